//! What tests and the demo share: the controller as a process of its own, plain HTTP, a receiver for what it ships,
//! and real alerts with the place and time put in.
//!
//! It uses nothing of the controller's own code, so that both sides of an interface are not written by one hand.

pub mod account;
pub mod alertmanager;
pub mod alerts;
pub mod behaviour;
pub mod cluster;
pub mod control_plane;
pub mod controller;
pub mod exposition;
pub mod graylog;
pub mod http;
pub mod image;
pub mod languages;
pub mod manifests;
pub mod ports;
pub mod program;
pub mod receiver;
pub mod registry;
pub mod render;
pub mod request;
pub mod undertaker;
pub mod webhook;

use std::path::{Path, PathBuf};

/// The root of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned()
}
