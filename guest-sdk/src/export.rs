//! Makes a component of an action.

/// Exports an [`Action`](crate::Action) as the crate's component, and stamps its manifest into the custom section
/// `falco-response:manifest`. Once in a crate; on a native target it does nothing.
#[macro_export]
macro_rules! export_action {
    ($action:ty $(,)?) => {
        // On every target, so that `cargo test` finds what `plugin build` would.
        const _: () = $crate::manifest::check::whole(&<$action as $crate::Action>::MANIFEST);

        #[doc(hidden)]
        #[allow(dead_code, non_upper_case_globals, reason = "its name is what the compiler says of a second one")]
        const a_crate_exports_one_action: () = ();

        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, reason = "a custom section of WebAssembly is no code that could collide with another")]
        const _: () = {
            use $crate::alloc::{string::String, vec::Vec};

            const LENGTH: usize = $crate::glue::manifest::<$action, 0>().len;

            #[used]
            #[unsafe(link_section = "falco-response:manifest")]
            static MANIFEST: [u8; LENGTH] = $crate::glue::manifest::<$action, LENGTH>().bytes;

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
    ($($other:tt)*) => {
        ::core::compile_error!("export_action! takes the one type that implements Action: export_action!(KillPod);");
    };
}

/// What the exported functions call; the same natively, so that the mock runs an action the way the controller does.
#[doc(hidden)]
pub mod glue {
    use alloc::vec;
    use alloc::vec::Vec;

    use crate::manifest::render::{Buffer, render};
    use crate::{Action, Backend, Failure, Host, Outcome, Parameters, Problem, Request, json};

    /// The manifest as JSON; with `N` = 0 only its length.
    pub const fn manifest<A: Action, const N: usize>() -> Buffer<N> {
        render::<N>(&A::MANIFEST, <A::Parameters as Parameters>::FIELDS)
    }

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
