//! The Falco response controller: takes Falco's alerts, decides whether it may act, runs the configured action as a
//! sandboxed WebAssembly component, and keeps the record.
//!
//! An alert walks through the modules in one direction: `intake` → `journal` → `respond` → `plugins` → `safety` →
//! `cluster`, and back through `journal` to `ship`. Nothing points back, and nothing changes the cluster but through
//! [`safety::gate::Gate`].

pub mod access;
pub mod alert;
pub mod ambient;
pub mod authoring;
pub mod cli;
pub mod cluster;
pub mod config;
#[cfg(test)]
mod counts;
mod faults;
#[cfg(test)]
mod fuzz;
pub mod harness;
mod hex;
pub mod intake;
pub mod journal;
pub mod plugins;
pub mod redact;
pub mod respond;
pub mod safety;
pub mod ship;
#[cfg(test)]
mod simulation;
pub mod telemetry;

/// Of what an alert costs, the C library's allocator was two fifths.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
