//! The cluster: names that are safe in a URL, one kube client, and the outermost layer that every request passes.
//!
//! [`connect()`] hands out two halves. A [`Reader`] can be cloned and changes nothing. A [`Writer`] cannot be
//! cloned, and [`crate::safety::gate::Gate`] swallows the one there is: that is what makes the gate the only way to
//! change anything. What an alert or a plugin is, is unknown here.

#[cfg(test)]
mod against_real;
mod ahead;
mod client;
pub mod connect;
pub mod exec;
pub mod names;
mod outermost;
pub mod overlay;
pub mod owners;
pub mod recorded;
mod request;
pub mod review;
pub mod simulated;
#[cfg(test)]
mod tests;
pub mod web;

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

pub use ahead::Ahead;
pub use client::{Reader, Writer};
pub use connect::connect;
use names::{ApiResource, Namespace, ObjectName, ObjectRef, Uid};

/// Where the cluster is: `simulated:DIR`, `kubeconfig[:FILE]`, `in-cluster`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterSpec {
    Simulated(PathBuf),
    Kubeconfig(Option<PathBuf>),
    InCluster,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// None for every namespace, and for cluster-scoped objects.
    pub namespace: Option<Namespace>,
    pub labels: Option<String>,
    pub fields: Option<String>,
    pub limit: Option<u32>,
    /// Only `apiVersion`, `kind` and `metadata` of each.
    pub metadata_only: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogOptions {
    pub container: Option<ObjectName>,
    pub previous: bool,
    pub tail_lines: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    Background,
    Foreground,
    Orphan,
}

#[derive(Debug, Clone, PartialEq)]
pub enum PatchDocument {
    Merge(Value),
    /// RFC 6902.
    Operations(Value),
    Strategic(Value),
}

/// A change as it goes out. Deletes, evictions and patches name the UID of the object that was checked; the writer
/// puts it where the API server honours it: in `preconditions`, or in the document's `metadata.uid`.
#[derive(Debug, Clone, PartialEq)]
pub enum Mutation {
    Create {
        resource: ApiResource,
        namespace: Option<Namespace>,
        name: ObjectName,
        manifest: Value,
    },
    /// Server-side apply. `uid` none means that the object was absent when it was checked.
    Apply {
        object: ObjectRef,
        uid: Option<Uid>,
        manifest: Value,
        force: bool,
    },
    Patch {
        object: ObjectRef,
        uid: Uid,
        document: PatchDocument,
    },
    Delete {
        object: ObjectRef,
        uid: Uid,
        /// Where it is to be deleted only as it was read.
        resource_version: Option<String>,
        grace_period_seconds: Option<u32>,
        propagation: Option<Propagation>,
    },
    Evict {
        pod: ObjectRef,
        uid: Uid,
        grace_period_seconds: Option<u32>,
    },
}

/// How a mutation is sent.
#[derive(Debug, Clone)]
pub struct Sending {
    pub dry_run: bool,
    /// `falco-response-controller/isolate_namespace`.
    pub field_manager: String,
    /// Goes into the User-Agent, and so into the API server's audit log.
    pub event_id: String,
    pub timeout: Duration,
}

/// The API server's answer to a request that it carried out.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub code: u16,
    pub object: Value,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The API server said no. `reason` is the `Status` object's (`NotFound`, `Conflict`, …), possibly empty.
    #[error("{message} ({code} {reason})")]
    Status { code: u16, reason: String, message: String, retry_after: Option<Duration> },
    /// The request never left, or was refused before a byte was sent: nothing changed.
    #[error("not sent: {0}")]
    NotSent(String),
    /// It left, and no answer came back (timeout, connection lost, an answer that cannot be read).
    #[error("no answer: {0}")]
    NoAnswer(String),
    #[error("the answer is larger than {limit} bytes")]
    TooLarge { limit: usize },
}

/// An object's `metadata.uid`.
pub fn uid_str(object: &Value) -> Option<&str> {
    object.pointer("/metadata/uid").and_then(Value::as_str)
}

impl ApiError {
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Status { code: 404, .. })
    }

    /// Whether this is no answer in the sense of fail-closed: asking again may help. 4xx but 401 and 429 are final: where the
    /// API server does not know who asks, it has said nothing about the object, and a token is exchanged now and then.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Status { code, .. } => matches!(code, 401 | 429 | 500..),
            Self::NotSent(_) | Self::NoAnswer(_) => true,
            Self::TooLarge { .. } => false,
        }
    }
}
