//~ 1 error
//~ export_action! takes the one type that implements Action: export_action!(KillPod);
use falco_response_sdk::prelude::*;

pub struct KillPod;
pub struct LabelPod;

export_action!(KillPod, LabelPod);

fn main() {}
