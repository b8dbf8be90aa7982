//! What the controller may do in the cluster: the least it needs, and how the cluster is told.
//!
//! [`needs`] lists it for a configuration and its plugins, and [`review`] asks the cluster about it; [`reach`] looks
//! which pods the rules could act on. Nothing here changes a cluster.

pub mod needs;
mod permitted;
pub mod reach;
pub mod review;
