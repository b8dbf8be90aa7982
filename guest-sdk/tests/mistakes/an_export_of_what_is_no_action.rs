//~ 1 error
//~ `KillPod` is no action
//~ implement `Action` for it
//~ an action has `type Parameters`, `const MANIFEST: Manifest` and `fn run`
use falco_response_sdk::prelude::*;

pub struct KillPod;

export_action!(KillPod);

fn main() {}
