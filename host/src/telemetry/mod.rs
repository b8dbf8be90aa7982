//! Logs and metrics: what people and grep read.

pub mod log;
pub mod metrics;
