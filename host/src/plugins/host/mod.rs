//! The host functions, one file for each interface of the contract. They translate and bound; what may be done is the
//! gate's to say.

mod audit;
mod cluster;
mod convert;
mod exec;
mod http;
mod log;
mod request;

/// `types` has no functions.
impl super::bindings::falco_response::plugin::types::Host for super::sandbox::Sandbox {}
