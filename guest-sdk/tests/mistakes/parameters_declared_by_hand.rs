//~ 1 error
//~ `Parameters` was not declared with `parameters!`
//~ write `parameters! { pub struct Parameters { name: type = default } }`
use falco_response_sdk::prelude::*;

pub struct Parameters;

pub struct KillPod;

impl Action for KillPod {
    type Parameters = Parameters;
    const MANIFEST: Manifest = Manifest::new("kill_pod", "Deletes the pod.");

    fn run(_: &Request, _: Parameters, _: &Host) -> Result<Outcome, Failure> {
        Ok(Outcome::skipped("nothing to do"))
    }
}

export_action!(KillPod);

fn main() {}
