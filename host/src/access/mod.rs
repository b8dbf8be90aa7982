//! What the controller may do in the cluster: the least it needs, and how the cluster is told.
//!
//! [`needs`] lists it for a configuration and its plugins; [`review`] asks the cluster about it. Nothing here changes a
//! cluster.

pub mod needs;
mod permitted;
pub mod review;
