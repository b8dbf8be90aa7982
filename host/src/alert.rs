//! A Falco alert as it really arrives from Falcosidekick.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::value::RawValue;

/// Falco's priorities, most urgent first, so that `critical <= error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    Emergency,
    Alert,
    Critical,
    Error,
    Warning,
    Notice,
    Informational,
    Debug,
}

impl Priority {
    /// In any case: `Critical`, `CRITICAL`, `critical`; `info` and `informational` are one.
    pub fn parse(_text: &str) -> Option<Self> {
        todo!("alert helper")
    }

    /// Upper case, as the audit entry has it: `CRITICAL`.
    pub fn as_upper(self) -> &'static str {
        todo!("alert helper")
    }
}

/// Why a body is no alert: one line, safe to send back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AlertError(pub String);

#[derive(Debug, Clone)]
pub struct Alert {
    /// Minted by Falcosidekick for each alert; Falco alone sends none.
    pub uuid: Option<String>,
    pub output: String,
    pub priority: Priority,
    pub rule: String,
    pub time: Timestamp,
    /// RFC 3339 with the precision that Falco sent.
    pub time_text: String,
    pub source: Option<String>,
    pub tags: Vec<String>,
    pub hostname: Option<String>,
    fields: BTreeMap<String, Box<RawValue>>,
    /// The body, verbatim.
    raw: Arc<str>,
}

impl Alert {
    /// # Errors
    /// One line that says why `body` is no alert.
    pub fn parse(_body: &[u8]) -> Result<Self, AlertError> {
        todo!("alert helper")
    }

    /// The body, verbatim.
    pub fn raw(&self) -> &Arc<str> {
        &self.raw
    }

    /// One of the `output_fields`: a string as it is, anything else as JSON; none when absent or null.
    pub fn field(&self, name: &str) -> Option<String> {
        let _ = &self.fields.get(name)?;
        todo!("alert helper")
    }

    /// A field that holds a string that is not empty, and not `<NA>`.
    pub fn text(&self, _name: &str) -> Option<String> {
        todo!("alert helper")
    }
}
