//~ 1 error
//~ a permission reaches as far as the target, and the manifest names none: add .target(Target::Pods)
//~ export_action!(KillPod);
use falco_response_sdk::prelude::*;

parameters! { pub struct Parameters {} }

pub struct KillPod;

impl Action for KillPod {
    type Parameters = Parameters;
    const MANIFEST: Manifest = Manifest::new("kill_pod", "Deletes the pod.")
        .permissions(&[Permission::core(&["pods"], &[Verb::Delete], Scope::Target)]);

    fn run(_: &Request, _: Parameters, _: &Host) -> Result<Outcome, Failure> {
        Ok(Outcome::skipped("nothing to do"))
    }
}

export_action!(KillPod);

fn main() {}
