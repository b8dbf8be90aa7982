//! The log on standard output: one line for each thing, JSON or text, and nothing in it that text from outside could
//! forge.

use std::sync::Arc;

use serde_json::{Map, Value};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

/// Writes whole lines; cheap to clone.
#[derive(Clone)]
pub struct Log {
    _inner: Arc<()>,
}

impl Log {
    /// Standard output.
    pub fn stdout(_format: Format) -> Self {
        todo!("telemetry")
    }

    /// Into memory, with the lines so far as the second half; for tests.
    pub fn memory(_format: Format) -> (Self, Arc<std::sync::Mutex<Vec<u8>>>) {
        todo!("telemetry")
    }

    /// One operational line or decision. Neither `message` nor a field can contain the marker `DRY_RUN`, a line break
    /// or a control character: they are broken or escaped.
    pub fn line(&self, _level: Level, _message: &str, _fields: &Map<String, Value>) {
        todo!("telemetry")
    }

    /// As [`Self::line`], with the host's own `DRY_RUN ` in front of the message.
    pub fn dry_run(&self, _level: Level, _message: &str, _fields: &Map<String, Value>) {
        todo!("telemetry")
    }

    /// An audit entry: the bare object, in either format.
    pub fn entry(&self, _entry: &Map<String, Value>) {
        todo!("telemetry")
    }
}
