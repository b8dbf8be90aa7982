//! What would go along: the garbage collector deletes what a deleted object owns, and what that owns.
//!
//! The owner walk looks upward only, so it does not see that an object has a DaemonSet below it. Every DaemonSet of the
//! namespace is walked up instead, and one that is not provably apart from the object refuses the delete.

use std::collections::{BTreeSet, VecDeque};

use serde_json::Value;

use super::checks::{Check, Refusal};
use super::owners::{self, WalkError};
use super::policy::{DAEMON_SET, Policy};
use crate::cluster::names::{ApiResource, Namespace, ObjectName, ObjectRef, Uid};
use crate::cluster::{Reader, Selection};

/// # Errors
/// A DaemonSet belongs to the object, or may do so for all that can be read; or no answer.
pub async fn no_daemon_set_goes_along(
    object: &ObjectRef,
    uid: &Uid,
    namespace: &Namespace,
    reader: &Reader,
    policy: &Policy,
) -> Result<(), WalkError> {
    let daemon_sets = ApiResource::daemon_sets();
    let selection = Selection { namespace: Some(namespace.clone()), metadata_only: true, ..Selection::default() };
    let found = reader.list(&daemon_sets, &selection).await.map_err(|error| {
        if error.is_transient() {
            return WalkError::NoAnswer(error);
        }
        let detail = format!(
            "whether a DaemonSet belongs to {object} is unknown, since those of {namespace} cannot be listed: {error}"
        );
        WalkError::Refused(Refusal::new(Check::OwnerUnreadable, detail))
    })?;
    for daemon_set in &found {
        let name = daemon_set.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("");
        let name = ObjectName::parse(name).map_err(|error| Refusal::new(Check::OwnerUnreadable, error.to_string()))?;
        if belongs_to(daemon_set, uid, namespace, reader, policy).await? {
            let detail = format!("{DAEMON_SET}/{name} belongs to {object}, and would be deleted with it");
            return Err(Refusal::new(Check::DaemonSet, detail).into());
        }
    }
    Ok(())
}

/// Whether `uid` is an owner of the object, or of an owner of it.
async fn belongs_to(
    object: &Value,
    uid: &Uid,
    namespace: &Namespace,
    reader: &Reader,
    policy: &Policy,
) -> Result<bool, WalkError> {
    let mut seen = BTreeSet::new();
    let mut waiting = VecDeque::from(owners::references(object)?);
    while let Some(reference) = waiting.pop_front() {
        if reference.uid == *uid {
            return Ok(true);
        }
        if !owners::is_new(&mut seen, &reference)? {
            continue;
        }
        let kind = owners::kind_of(&reference, policy)?;
        if let Some(owner) = owners::read(&reference, kind, namespace, reader).await? {
            waiting.extend(owners::references(&owner)?);
        }
    }
    Ok(false)
}
