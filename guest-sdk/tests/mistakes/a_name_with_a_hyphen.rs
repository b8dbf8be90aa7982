//~ 1 error
//~ an action's name has only lower-case letters, digits and `_`: `kill_pod`, not `kill-pod` or `KillPod`
//~ const MANIFEST: Manifest = Manifest::new("kill-pod", "Deletes the pod.")
use falco_response_sdk::prelude::*;

parameters! { pub struct Parameters {} }

pub struct KillPod;

impl Action for KillPod {
    type Parameters = Parameters;
    const MANIFEST: Manifest = Manifest::new("kill-pod", "Deletes the pod.").target(Target::Pods);

    fn run(_: &Request, _: Parameters, _: &Host) -> Result<Outcome, Failure> {
        Ok(Outcome::skipped("nothing to do"))
    }
}

export_action!(KillPod);

fn main() {}
