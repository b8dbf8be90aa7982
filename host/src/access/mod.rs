//! What the controller may do in the cluster: the least it needs, and how the cluster is told.
//!
//! [`needs`] lists it for a configuration and its plugins; [`roles`] prints it for RBAC; [`admission`] prints what RBAC
//! cannot say. Nothing here asks or changes a cluster.

pub mod admission;
pub mod needs;
mod permitted;
pub mod roles;

pub use roles::Account;
