//! Logs and metrics: what people and grep read.

pub mod bridge;
pub mod escape;
pub mod log;
pub mod metrics;

pub use bridge::install;
