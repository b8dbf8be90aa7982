//~ 1 error
//~ the summary has a line break or another control character: write it on one line
use falco_response_sdk::prelude::*;

parameters! { pub struct Parameters {} }

pub struct KillPod;

impl Action for KillPod {
    type Parameters = Parameters;
    const MANIFEST: Manifest = Manifest::new("kill_pod", "Deletes the pod.\nAnd more.").target(Target::Pods);

    fn run(_: &Request, _: Parameters, _: &Host) -> Result<Outcome, Failure> {
        Ok(Outcome::skipped("nothing to do"))
    }
}

export_action!(KillPod);

fn main() {}
