//! The one gate: every call of a plugin, reading or changing, passes here on its way to the cluster.

use serde_json::Value;

use super::CallError;
use crate::cluster::names::{ApiResource, NameError, Namespace, ObjectRef};
use crate::cluster::{LogOptions, PatchDocument, Propagation, Selection};

/// What a plugin asks to change, already parsed into safe names, not yet checked or pinned.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    Create { resource: ApiResource, namespace: Option<Namespace>, manifest: Value },
    Apply { object: ObjectRef, manifest: Value, force: bool },
    Patch { object: ObjectRef, document: PatchDocument },
    Delete { object: ObjectRef, grace_period_seconds: Option<u32>, propagation: Option<Propagation> },
    Evict { pod: ObjectRef, grace_period_seconds: Option<u32> },
}

/// What the alert is about, read, identified and cleared for action.
#[derive(Debug, Clone, PartialEq)]
pub struct Cleared {
    pub object: ObjectRef,
    /// The object as it was read; null for a namespace that was not read.
    pub manifest: Value,
    /// Nearest first.
    pub owners: Vec<Owner>,
}

/// A controller of the target. `kind` is Kubernetes' `Deployment`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub kind: String,
    pub object: ObjectRef,
}

/// One run of one action: what it is cleared for, and what it did. Shared between the plugin's host functions and the
/// pipeline.
pub struct Run {}

impl Run {
    pub fn target(&self) -> Option<&Cleared> {
        todo!("safety")
    }
}

#[derive(Clone)]
pub struct Gate {}

impl Gate {
    /// # Errors
    /// Not permitted, not found, or no answer.
    pub async fn get(&self, _run: &Run, _object: &ObjectRef) -> Result<Value, CallError> {
        todo!("safety")
    }

    /// # Errors
    /// Not permitted, too large, or no answer.
    pub async fn query(
        &self,
        _run: &Run,
        _resource: &ApiResource,
        _selection: &Selection,
    ) -> Result<Vec<Value>, CallError> {
        todo!("safety")
    }

    /// # Errors
    /// Not permitted, not found, or no answer.
    pub async fn logs(&self, _run: &Run, _pod: &ObjectRef, _options: &LogOptions) -> Result<String, CallError> {
        todo!("safety")
    }

    /// Checks, records the intent, sends, records the result. Answers with the object as the API server returned it,
    /// null where it returned none.
    ///
    /// # Errors
    /// Refused by a check or a permission, or by the API server, or no answer.
    pub async fn change(&self, _run: &Run, _change: Change) -> Result<Value, CallError> {
        todo!("safety")
    }

    /// Records that a plugin's call named something that is no valid name, and gives the error it gets.
    pub fn refuse_name(&self, _run: &Run, _function: &'static str, _error: &NameError) -> CallError {
        todo!("safety")
    }
}
