//~ 1 error
//~ the name `a_crate_exports_one_action` is defined multiple times
use falco_response_sdk::prelude::*;

parameters! { pub struct Parameters {} }

pub struct KillPod;

impl Action for KillPod {
    type Parameters = Parameters;
    const MANIFEST: Manifest = Manifest::new("kill_pod", "Deletes the pod.");

    fn run(_: &Request, _: Parameters, _: &Host) -> Result<Outcome, Failure> {
        Ok(Outcome::skipped("nothing to do"))
    }
}

export_action!(KillPod);
export_action!(KillPod);

fn main() {}
