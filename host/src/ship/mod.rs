//! What leaves the controller: audit records to Graylog, pages to PagerDuty, Alertmanager and a webhook, all from the
//! journal's outbox, in order, tried again until taken.

pub mod acceptance;
pub mod access;
pub mod alertmanager;
pub mod channel;
mod confirmed;
pub mod gelf;
pub mod graylog;
pub mod http;
pub mod pagerduty;
pub mod read_back;
pub mod shipper;
pub mod socket;
mod watch;
pub mod webhook;

pub use channel::{Channel, EncodeError, Verdict};
pub use shipper::{Crowded, Parts, Shipper, ShipperHandle};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A page, the same for every channel. Written by the host alone; holds no text of the alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// One incident for each action and namespace: the same key folds into it.
    pub dedup_key: String,
    pub severity: Severity,
    /// One line, 1024 characters at most.
    pub summary: String,
    /// RFC 3339.
    pub timestamp: String,
    /// Shown to the person on call, in this order: `rule`, `namespace`, `event_id`, `undo`, …
    pub details: Map<String, Value>,
    /// Whether the incident of this key is over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resolved: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Critical,
    Error,
    Warning,
    Info,
}
