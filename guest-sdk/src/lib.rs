//! Write response actions for the Falco response controller.
//!
//! An action is a type that implements [`Action`]: a [`Manifest`] that says what it is and what it may reach, its
//! parameters, and a function that runs once for an alert. [`export_action!`] turns it into a WebAssembly component;
//! `cargo test` runs it natively against [`mock::Mock`].
//!
//! ```
//! use falco_response_sdk::prelude::*;
//!
//! parameters! {
//!     /// What a rule may say about it.
//!     pub struct Parameters {
//!         /// Value of the label `falco-response/quarantine`.
//!         value: String = "true".into(),
//!     }
//! }
//!
//! pub struct LabelPod;
//!
//! impl Action for LabelPod {
//!     type Parameters = Parameters;
//!     const MANIFEST: Manifest = Manifest::new("label_pod", "Labels the alert's pod.")
//!         .target(Target::Pods)
//!         .permissions(&[Permission::core(&["pods"], &[Verb::Patch], Scope::Target)]);
//!
//!     fn run(request: &Request, parameters: Parameters, host: &Host) -> Result<Outcome, Failure> {
//!         let pod = request.target();
//!         let labels = object([("falco-response/quarantine", parameters.value.into())]);
//!         host.cluster().merge(&pod, &object([("metadata", object([("labels", labels)]))]))?;
//!         Ok(Outcome::acted(["labelled ", &pod.name].concat()))
//!     }
//! }
//!
//! export_action!(LabelPod);
//! # fn main() {}
//! ```
//!
//! What the action asks of the cluster is checked by the controller against the manifest and against what the operator
//! granted; nothing in this crate is a safeguard.
#![no_std]
#![warn(missing_docs)]

#[doc(hidden)]
pub extern crate alloc;
#[cfg(test)]
extern crate std;

// The macros name the crate from outside.
#[cfg(test)]
extern crate self as falco_response_sdk;

/// Compiles the first action of the project's README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct ReadmeOfTheProject;

mod action;
mod cluster;
mod exec;
mod export;
mod host;
mod http;
pub mod json;
pub mod kubernetes;
#[cfg(target_family = "wasm")]
mod live;
pub mod manifest;
#[cfg(not(target_family = "wasm"))]
pub mod mock;
mod object;
mod parameters;
mod request;

/// Generated from `wit/`; the typed methods of this crate are what to use.
#[doc(hidden)]
#[allow(unsafe_code, reason = "the generated glue passes pointers between component and host")]
#[allow(missing_docs, reason = "what is public of it says so in `wit/`")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../wit",
        world: "action-plugin",
        pub_export_macro: true,
        export_macro_name: "export_world",
        default_bindings_module: "falco_response_sdk::bindings",
        additional_derives: [PartialEq],
    });
}

#[cfg(target_family = "wasm")]
use live::Live as Backend;
#[cfg(not(target_family = "wasm"))]
use mock::Mock as Backend;

pub use action::{Action, Failure, Outcome, Problem};
pub use cluster::{Cluster, ClusterError, DeleteOptions, LogOptions, PatchDocument, Propagation, Reason, Selection};
pub use exec::{Command, Exec, Output};
#[doc(hidden)]
pub use export::glue;
pub use host::{Audit, Host, Level};
pub use http::{Http, HttpRequest, HttpResponse};
pub use manifest::{Manifest, Method, Permission, Scope, Target, Verb};
pub use object::{ApiResource, Kind, ObjectRef, kinds};
pub use parameters::{Field, Parameter, Parameters, Schema};
pub use request::{FalcoPriority, Owner, Request};
#[doc(hidden)]
pub use serde;

/// Everything that an action commonly names.
pub mod prelude {
    pub use crate::json::{Value, array, object};
    pub use crate::{
        Action, ClusterError, DeleteOptions, Failure, Host, Kind, Level, Manifest, ObjectRef, Outcome, Permission,
        Problem, Reason, Request, Scope, Selection, Target, Verb, export_action, kinds, parameters,
    };
    pub use alloc::borrow::ToOwned;
    pub use alloc::collections::BTreeMap;
    pub use alloc::string::{String, ToString};
    pub use alloc::vec::Vec;
    pub use alloc::{format, vec};
}
