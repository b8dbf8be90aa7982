//! What the controller may do in the cluster: the least it needs, and how the cluster is told.
//!
//! [`needs`] lists it for a configuration and its plugins; [`roles`] prints it for RBAC; [`admission`] prints what RBAC
//! cannot say. [`review`] asks the cluster what is missing and what is too much, and [`reach`] which pods the rules
//! could act on; [`grants`] says what the operator's grants make possible, [`ungranted`] what none has granted. Nothing here
//! changes a cluster.

pub mod admission;
pub mod grants;
pub mod needs;
pub mod outside;
mod permitted;
pub mod reach;
pub mod review;
pub mod roles;
pub mod ungranted;

pub use roles::Account;

/// The runbook's, beside the controller.
const CONFIG_MAP: &str = "response-controller-config";
