//! Deletes the pod that the alert is about.

use falco_response_sdk::prelude::*;

parameters! {
    pub struct Parameters {
        /// Seconds that the containers get to stop. 1 is what kubectl sends for 0: a literal 0 removes only the record of
        /// the pod and leaves its processes to the kubelet.
        grace_period_seconds: u32 = 1,
    }
}

pub struct KillPod;

impl Action for KillPod {
    type Parameters = Parameters;
    const MANIFEST: Manifest = Manifest::new("kill_pod", "Deletes the pod that the alert is about.")
        .target(Target::Pods)
        .permissions(&[Permission::core(&["pods"], &[Verb::Delete], Scope::Target)])
        .repeatable();

    fn run(request: &Request, parameters: Parameters, host: &Host) -> Result<Outcome, Failure> {
        // With the UID that was cleared: a pod that took the name since then is left alone.
        let pod = request.target();
        let options = DeleteOptions { grace_period_seconds: Some(parameters.grace_period_seconds), propagation: None };
        match host.cluster().delete(&pod, options) {
            Ok(()) => Ok(Outcome::acted(["deleted pod ", &pod.name].concat())),
            Err(error) if error.reason == Reason::NotFound => Ok(Outcome::skipped("already gone")),
            Err(error) => Err(error.into()),
        }
    }
}

export_action!(KillPod);

#[cfg(test)]
mod tests;
