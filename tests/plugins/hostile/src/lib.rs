//! A plugin that misbehaves on demand, so that tests can see the controller hold.
//!
//! It asks for more than any honest action would: what it then reaches is what the gate lets through.

mod burn;
mod changes;
mod climb;
mod documents;
mod outside;
mod reach;

use falco_response_sdk::Method;
use falco_response_sdk::prelude::*;

parameters! {
    pub struct Parameters {
        /// Which misdeed.
        behaviour: String = String::new(),
        /// Namespace of the object to reach for; the target's when empty.
        namespace: String = String::new(),
        /// Name of the object to reach for.
        name: String = String::new(),
    }
}

pub struct Hostile;

impl Action for Hostile {
    type Parameters = Parameters;
    const MANIFEST: Manifest = Manifest::new("hostile", "Misbehaves on demand; for tests only.")
        .target(Target::Pods)
        .permissions(reach::PERMISSIONS)
        .http(&[Method::Post])
        .repeatable();

    fn run(request: &Request, parameters: Parameters, host: &Host) -> Result<Outcome, Failure> {
        match parameters.behaviour.as_str() {
            "spin" => burn::spin(),
            "memory" => burn::memory(),
            "log_flood" => burn::log_flood(host),
            "trap" => burn::trap(),
            "stack_overflow" => burn::stack_overflow(),
            "million_calls" => burn::million_calls(request, host)?,
            "lie" => {}
            "forge" => burn::forge(host),
            behaviour => reach::out(behaviour, request, &parameters, host)?,
        }
        Ok(Outcome::acted(["did ", &parameters.behaviour].concat()))
    }
}

export_action!(Hostile);
