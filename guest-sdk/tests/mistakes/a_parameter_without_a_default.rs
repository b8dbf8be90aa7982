//~ 1 error
//~ parameters! takes one struct, whose fields each have a type and a default, and nothing else
use falco_response_sdk::prelude::*;

parameters! {
    pub struct Parameters {
        /// Seconds.
        grace_period_seconds: u32,
    }
}

fn main() {}
