//! Replaces every pod of the workload behind the alert's pod, one after another, as `kubectl rollout restart` does.

use falco_response_sdk::prelude::*;

parameters! {
    pub struct Parameters {}
}

/// kubectl's own, so that whoever looks at the workload knows it.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

pub struct RestartWorkload;

impl Action for RestartWorkload {
    type Parameters = Parameters;
    const MANIFEST: Manifest =
        Manifest::new("restart_workload", "Replaces every pod of the workload behind the alert's.")
            .target(Target::Pods)
            .permissions(&[Permission::new(
                &["apps"],
                &["deployments", "statefulsets"],
                &[Verb::Get, Verb::Patch],
                Scope::Owners,
            )])
            .repeatable();

    fn run(request: &Request, _: Parameters, host: &Host) -> Result<Outcome, Failure> {
        let Some(top) = request.owners().pop() else {
            return Ok(Outcome::skipped("nothing controls the pod, so there is nothing to restart"));
        };
        let name = [&top.kind, "/", &top.object.name].concat();
        if !matches!(top.kind.as_str(), "Deployment" | "StatefulSet") {
            return Ok(Outcome::skipped([&name, " is of a kind that is not restarted"].concat()));
        }
        let found = host.cluster().get(&top.object)?;
        if found.at(&["spec", "paused"]).as_bool() == Some(true) {
            return Ok(Outcome::skipped(
                [&name, " is paused, and would not be restarted before it is resumed"].concat(),
            ));
        }
        // Of one alert the time is the same however often it runs: what was restarted for it is not restarted again.
        let at = object([(RESTARTED_AT, Value::from(request.time()))]);
        let template = object([("metadata", object([("annotations", at)]))]);
        host.cluster().merge(&top.object, &object([("spec", object([("template", template)]))]))?;
        Ok(Outcome::acted(["restarted ", &name].concat()))
    }
}

export_action!(RestartWorkload);

#[cfg(test)]
mod tests;
