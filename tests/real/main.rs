//! The built binary against a real Kubernetes API server, topic by topic. `cargo xtask test` builds what it needs.
//!
//! One control plane serves the whole binary; every test has namespaces of its own.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

#[path = "../suite/house.rs"]
#[allow(dead_code, reason = "the suite uses all of it")]
mod house;
#[path = "../suite/pod.rs"]
#[allow(dead_code, reason = "the suite uses all of it")]
mod pod;

mod access;
mod admission;
mod alertmanager;
mod behaviour;
mod chain;
mod commands;
mod deploy;
mod hostile;
mod image;
mod isolation;
mod kill;
mod lane;
mod leaving;
mod lift;
mod nodes;
mod owners;
mod plugin_run;
mod rbac;
mod registry;
mod registry_doors;
mod rehearsal;
mod session;
mod webhooks;
mod workloads;
