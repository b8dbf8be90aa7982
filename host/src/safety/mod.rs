//! Whether something may be done: names, namespaces, freshness, identity, owners, permissions; and the one gate that
//! asks all of it before anything changes.

pub mod budget;
pub mod checks;
pub mod clearance;
pub mod defaults;
pub(crate) mod denials;
mod dependents;
pub(crate) mod document;
pub mod effective;
mod exec;
pub mod fields;
pub(crate) mod free;
pub mod gate;
pub mod identity;
pub mod isolation;
pub mod lifting;
mod nodes;
mod outside;
pub mod owners;
pub mod permissions;
mod plan;
pub mod policy;
mod reads;
pub mod run;
mod send;
mod share;
pub mod standing;
#[cfg(test)]
mod tests;
pub mod undo;
#[cfg(any(test, feature = "faults"))]
mod unguarded;
pub mod web;

pub use outside::WebRequest;
pub use reads::for_plugin;

/// Why a call of a plugin did not do what it asked; the WIT contract's `error`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallError {
    pub reason: Reason,
    /// For the plugin and the record: names the check or the permission, and how to allow it where that is possible.
    pub message: String,
}

/// The WIT contract's `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    Denied,
    NotFound,
    AlreadyExists,
    Conflict,
    Invalid,
    Blocked,
    TooLarge,
    Unavailable,
    Other,
}
