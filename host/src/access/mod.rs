//! What the controller may do in the cluster: the least it needs, and how the cluster is told.
//!
//! [`needs`] lists it for a configuration and its plugins. Nothing here asks or changes a cluster.

pub mod needs;
mod permitted;
