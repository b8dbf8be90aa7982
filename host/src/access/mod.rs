//! What the controller may do in the cluster: the least it needs, and how the cluster is told.
//!
//! [`needs`] lists it for a configuration and its plugins, and [`review`] asks the cluster about it; [`reach`] looks
//! which pods the rules could act on; [`grants`] says what the operator's grants make possible. Nothing here changes a
//! cluster.

pub mod grants;
pub mod needs;
mod permitted;
pub mod reach;
pub mod review;
