//! The one gate: every call of a plugin, reading or changing, passes here on its way to the cluster.
//!
//! The gate owns the only [`Writer`] there is, so nothing else can change the cluster. A change is asked, in this order:
//!
//! 1. the brake: a file named `stop`, or a configuration that says so;
//! 2. the document is of its form and names the call's own object;
//! 3. the object has a namespace, and that namespace passes the same checks as a target's; or it is the alert's node, and
//!    nothing is written there that could end a pod;
//! 4. it is no DaemonSet, and no subresource in disguise;
//! 5. the plugin declares and was granted it, down to the paths that are written; what marks an isolation as one is the
//!    host's to write ([`super::isolation`]), and its to take away ([`super::lifting`]);
//! 6. the object is the one that was cleared, or is read and cleared now; its UID is pinned; and no DaemonSet would be
//!    deleted along with it;
//! 7. the run holds a share of the budgets, which its first call uses up; each further pod that it deletes or evicts
//!    draws one more;
//! 8. the intent is on disk, and neither the brake was pulled nor the time ran out meanwhile.
//!
//! Only then is it sent, dry or live; and its result is recorded, also when the plugin is stopped in between.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use serde_json::Value;

use super::checks::{Check, Refusal};
use super::plan::{Planned, Stop};
use super::run::{CallRecord, Effect, Run};
use super::send::NOTHING_TO_CHANGE;
use super::{CallError, Reason, isolation, reads, send, undo};
use crate::ambient::Ambient;
use crate::cluster::names::{ApiResource, NameError, Namespace, ObjectName, ObjectRef};
use crate::cluster::overlay::Overlay;
use crate::cluster::{ApiError, PatchDocument, Propagation, Reader, Writer};
use crate::telemetry::metrics::Metrics;

/// What a plugin asks to change, already parsed into safe names, not yet checked or pinned.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    Create { resource: ApiResource, namespace: Option<Namespace>, manifest: Value },
    Apply { object: ObjectRef, manifest: Value, force: bool },
    Patch { object: ObjectRef, document: PatchDocument },
    Delete { object: ObjectRef, grace_period_seconds: Option<u32>, propagation: Option<Propagation> },
    Evict { pod: ObjectRef, grace_period_seconds: Option<u32> },
}

/// Where a call is made; no name where it is in the document.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub resource: &'a ApiResource,
    pub namespace: Option<&'a Namespace>,
    pub name: Option<&'a ObjectName>,
}

impl<'a> From<&'a ObjectRef> for Place<'a> {
    fn from(object: &'a ObjectRef) -> Self {
        Self { resource: &object.resource, namespace: object.namespace.as_ref(), name: Some(&object.name) }
    }
}

#[derive(Clone)]
pub struct Gate {
    pub(super) inner: Arc<Inner>,
    metrics: Option<Metrics>,
}

pub(super) struct Inner {
    pub reader: Reader,
    pub writer: Writer,
    pub ambient: Ambient,
    stop_file: Option<PathBuf>,
    /// Why nothing live is sent.
    brake: ArcSwapOption<String>,
}

impl Inner {
    /// Why nothing live is sent, while that is so. Asked before every change.
    pub(super) fn braked(&self) -> Option<String> {
        self.stopped_by_file().or_else(|| self.brake.load().as_deref().cloned())
    }

    fn stopped_by_file(&self) -> Option<String> {
        // A file that cannot be looked at may be there.
        let stop = self.stop_file.as_ref().is_some_and(|file| file.try_exists().unwrap_or(true));
        stop.then(|| STOPPED.to_owned())
    }
}

/// What a refusal by the file says.
const STOPPED: &str = "a file named `stop` lies beside the configuration: nothing live is sent while it does";

impl Gate {
    /// Takes the writer for good. `stop_file`: while it exists, nothing live is sent.
    pub fn new(reader: Reader, writer: Writer, ambient: Ambient, stop_file: Option<PathBuf>) -> Self {
        Self {
            inner: Arc::new(Inner { reader, writer, ambient, stop_file, brake: ArcSwapOption::empty() }),
            metrics: None,
        }
    }

    /// Times the plugins' calls from now on.
    #[must_use]
    pub fn observed(self, metrics: Metrics) -> Self {
        Self { metrics: Some(metrics), ..self }
    }

    /// `function` is the host's, by its name in the contract.
    pub fn observe<T>(&self, function: &'static str, result: &Result<T, CallError>, took: Duration) {
        if let Some(metrics) = &self.metrics {
            metrics.host_call(function, result.is_ok(), took);
        }
    }

    pub fn reader(&self) -> &Reader {
        &self.inner.reader
    }

    /// What a run reads: the cluster, with what it has rehearsed where it is a dry one.
    pub(super) fn reader_of(&self, run: &Run) -> Reader {
        self.reader_over(run.overlay())
    }

    /// The cluster as it would be after what was rehearsed; as it is, without an overlay.
    pub fn reader_over(&self, overlay: Option<&Overlay>) -> Reader {
        let reader = &self.inner.reader;
        overlay.map_or_else(|| reader.clone(), |overlay| reader.rehearsing(overlay))
    }

    /// Whether the brake is on.
    pub fn stopped(&self) -> bool {
        self.inner.braked().is_some()
    }

    /// Why it is.
    pub fn braked(&self) -> Option<String> {
        self.inner.braked()
    }

    /// Why live action is stopped by the file, which goes before the brake.
    pub fn stopped_by_file(&self) -> Option<String> {
        self.inner.stopped_by_file()
    }

    /// Stops everything live from the next change on, and says why; none lets go.
    pub fn brake(&self, why: Option<String>) {
        self.inner.brake.store(why.map(Arc::new));
    }

    /// Checks, records the intent, sends, records the result. Answers with the object as the API server returned it,
    /// null where it returned none.
    ///
    /// # Errors
    /// Refused by a check or a permission, or by the API server, or no answer.
    pub async fn change(&self, run: &Arc<Run>, change: Change) -> Result<Value, CallError> {
        let record = match &change {
            Change::Create { resource, namespace, manifest } => {
                let name = manifest
                    .pointer("/metadata/name")
                    .and_then(Value::as_str)
                    .and_then(|name| ObjectName::parse(name).ok());
                record("create", resource, namespace.as_ref(), name.as_ref(), true, run)
            }
            Change::Apply { object, .. } => {
                record("apply", &object.resource, object.namespace.as_ref(), Some(&object.name), true, run)
            }
            Change::Patch { object, .. } => {
                record("patch", &object.resource, object.namespace.as_ref(), Some(&object.name), true, run)
            }
            Change::Delete { object, .. } => {
                record("delete", &object.resource, object.namespace.as_ref(), Some(&object.name), true, run)
            }
            Change::Evict { pod, .. } => {
                record("evict", &pod.resource, pod.namespace.as_ref(), Some(&pod.name), true, run)
            }
        };
        let again = Self::of_isolation(&change);
        let planned = self.plan(run, change).await;
        let was_there = planned.as_ref().is_ok_and(|planned| planned.before.is_some());
        let answer = self.carry_on(run, record.clone(), planned).await;
        match again {
            Some((object, change))
                if was_there
                    && answer.as_ref().is_err_and(|error| error.reason == Reason::Conflict)
                    && self.reader_of(run).get(&object).await.is_err_and(|error| error.is_not_found()) =>
            {
                // An isolation that was over went while it was asked for again: it is not lost for that.
                run.update(run.made().saturating_sub(1), |call| {
                    call.effect = Effect::Gone;
                    call.detail = "it was lifted in the meantime, and is applied anew".to_owned();
                });
                let planned = self.plan(run, change).await;
                self.carry_on(run, record, planned).await
            }
            _ => answer,
        }
    }

    /// An apply of a NetworkPolicy of whatever UID, to be tried once more.
    fn of_isolation(change: &Change) -> Option<(ObjectRef, Change)> {
        match change {
            Change::Apply { object, .. } if isolation::is_policy(&object.resource) && object.uid.is_none() => {
                Some((object.clone(), change.clone()))
            }
            _ => None,
        }
    }

    /// Sends what was planned, or puts on record why not.
    pub(super) async fn carry_on(
        &self,
        run: &Arc<Run>,
        record: CallRecord,
        planned: Result<Planned, Stop>,
    ) -> Result<Value, CallError> {
        match planned {
            Ok(planned) if planned.stamped.unchanged => Ok(leave(run, record, planned)),
            Ok(planned) => send::send(&self.inner, run, record, planned).await,
            Err(Stop::Refused(refusal)) => Err(deny(run, &record, refusal)),
            Err(Stop::Api(error)) => Err(fail(run, &record, &error)),
        }
    }

    /// Records that a plugin's call named something that is no valid name, and gives the error it gets.
    pub fn refuse_name(&self, run: &Run, function: &'static str, error: &NameError) -> CallError {
        let mut call = record(function, &ApiResource::core("unknown"), None, None, true, run);
        call.resource = "invalid name".to_owned();
        deny(run, &call, Refusal::new(Check::InvalidName, error.to_string()))
    }

    /// Records that a plugin's call brought a document that is none, and gives the error it gets.
    pub fn refuse_document(&self, run: &Run, function: &'static str, place: Place<'_>, message: String) -> CallError {
        let Place { resource, namespace, name } = place;
        let call = record(function, resource, namespace, name, true, run);
        CallError { reason: Reason::Invalid, ..deny(run, &call, Refusal::new(Check::Document, message)) }
    }
}

pub(super) fn record(
    verb: &'static str,
    resource: &ApiResource,
    namespace: Option<&Namespace>,
    name: Option<&ObjectName>,
    mutating: bool,
    run: &Run,
) -> CallRecord {
    CallRecord {
        verb,
        resource: resource.to_string(),
        namespace: namespace.cloned(),
        name: name.cloned(),
        uid: None,
        is_target: run.reach(resource, namespace, name).is_target,
        mutating,
        effect: Effect::Unchanged,
        detail: String::new(),
        sent_at: None,
        accepted_at: None,
        attempts: 0,
        undo: None,
    }
}

/// Puts on record that what an apply asks for is there already, expiry included: nothing is sent.
fn leave(run: &Run, record: CallRecord, planned: Planned) -> Value {
    let undo = undo::of(&planned);
    let before = planned.before.unwrap_or_default();
    let uid = planned.uid.filter(|uid| !run.made_up(uid));
    run.push(CallRecord { uid, undo, detail: NOTHING_TO_CHANGE.to_owned(), ..record });
    reads::for_plugin(before)
}

/// Puts a refused call on record.
pub(super) fn deny(run: &Run, record: &CallRecord, refusal: Refusal) -> CallError {
    let conflict = refusal.check == Check::Conflict;
    let effect = if conflict { Effect::Conflict } else { Effect::Denied(Some(refusal.check)) };
    run.push(CallRecord { effect, detail: refusal.detail.clone(), ..record.clone() });
    CallError { reason: if conflict { Reason::Conflict } else { Reason::Denied }, message: refusal.detail }
}

/// Puts a failed read, or a change that failed before it was sent, on record.
pub(super) fn fail(run: &Run, record: &CallRecord, error: &ApiError) -> CallError {
    let gone = error.is_not_found() && (record.verb == "delete" || record.verb == "evict");
    let effect = match error {
        _ if gone => Effect::Gone,
        ApiError::Status { code: 403, .. } => Effect::Denied(None),
        // Nothing was sent yet: a change that was not sent because a read before it got no answer.
        error if error.is_transient() => {
            if record.mutating {
                Effect::NotSent
            } else {
                Effect::NoAnswer
            }
        }
        _ => Effect::Api,
    };
    run.push(CallRecord { effect, detail: error.to_string(), ..record.clone() });
    send::call_error(error)
}
