//! Actions as OCI artifacts: out of a registry, or a directory that stands in for one.
//!
//! Which artifact is meant is said by its digest, and everything that is fetched is checked against it; a registry, a
//! mirror and the network between are trusted with nothing but the time that they take. What an action may do is decided
//! elsewhere, and is the same wherever its component comes from.
//!
//! A client of our own and no crate: `oci-client` brings 65 further crates with it, and a second HTTP client beside the
//! one that the rest of the program speaks with; what is needed of the protocol is a page of requests.

pub mod artifact;
mod challenge;
pub mod http;
pub mod layout;
pub mod pull;
pub mod push;
pub mod reference;
pub mod secrets;
pub mod session;
pub mod signature;
#[cfg(test)]
mod tests;
