//! Makes a component of an action.

/// Exports an [`Action`](crate::Action) as the crate's component, and stamps its manifest into the custom section
/// `falco-response:manifest`. Once in a crate; on a native target it does nothing.
#[macro_export]
macro_rules! export_action {
    ($action:ty) => {
        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, reason = "a custom section of WebAssembly is no code that could collide with another")]
        const _: () = {
            use $crate::alloc::{string::String, vec::Vec};

            const ACTION: $crate::Manifest = <$action as $crate::Action>::MANIFEST;
            const FIELDS: &[$crate::Field] = <<$action as $crate::Action>::Parameters as $crate::Parameters>::FIELDS;
            const LENGTH: usize = $crate::manifest::render::render::<0>(&ACTION, FIELDS).len;

            #[used]
            #[unsafe(link_section = "falco-response:manifest")]
            static MANIFEST: [u8; LENGTH] = $crate::manifest::render::render::<LENGTH>(&ACTION, FIELDS).bytes;

            struct Plugin;

            impl $crate::bindings::exports::falco_response::plugin::action::Guest for Plugin {
                fn validate(parameters: String) -> Result<(), Vec<$crate::Problem>> {
                    $crate::glue::validate::<$action>(&parameters)
                }

                fn run() -> Result<$crate::Outcome, $crate::Failure> {
                    $crate::glue::run::<$action>()
                }
            }

    $crate::bindings::export_world!(Plugin with_types_in $crate::bindings);
        };
    };
}

/// What the exported functions call; the same natively, so that the mock runs an action the way the controller does.
#[doc(hidden)]
pub mod glue {
    use alloc::vec;
    use alloc::vec::Vec;

    use crate::{Action, Backend, Failure, Host, Outcome, Problem, Request, json};

    fn read<A: Action>(parameters: &str) -> Result<A::Parameters, Vec<Problem>> {
        json::from_str(parameters).map_err(|error: json::Error| vec![Problem::new(error.at, error.message)])
    }

    pub fn validate<A: Action>(parameters: &str) -> Result<(), Vec<Problem>> {
        let problems = A::check(&read::<A>(parameters)?);
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    #[cfg(target_family = "wasm")]
    pub fn run<A: Action>() -> Result<Outcome, Failure> {
        run_on::<A>(&Backend)
    }

    pub(crate) fn run_on<A: Action>(backend: &Backend) -> Result<Outcome, Failure> {
        let parameters =
            json::from_str(&backend.parameters()).map_err(|error| Failure::from(error).context("parameters"))?;
        A::run(&Request::new(backend), parameters, &Host::new(backend))
    }
}
