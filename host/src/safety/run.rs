//! One run of one action: what it is cleared for, and what it did.
//!
//! The outcome of an action is derived from this record of calls, not from what the plugin says.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::budget::{Account, Allowance, Trip};
use super::checks::Check;
use super::clearance::Cleared;
use super::isolation::Marks;
use super::permissions::{Permissions, Reach};
use super::policy::{Policy, RuleScope};
use super::undo::Undo;
use super::web::WebPermissions;
use crate::cluster::names::{ApiResource, Namespace, ObjectName, ObjectRef, Uid};
use crate::cluster::overlay::Overlay;

/// What a run is, for its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub event_id: String,
    pub entry_id: String,
    /// `kill_pod`
    pub action: String,
    pub plugin_sha256: String,
}

/// Everything that a run is bound by.
pub struct Bounds {
    pub policy: Arc<Policy>,
    pub rule: RuleScope,
    pub permissions: Permissions,
    pub web: WebPermissions,
    /// What the alert is about; none for an action on nothing.
    pub cleared: Option<Cleared>,
    /// Decided by the host before the run; the plugin is not told.
    pub dry_run: bool,
    /// No request is started after it.
    pub deadline: Instant,
    /// The run's share of the budgets, and where further ones are drawn. Without one nothing live is sent; a dry run and a
    /// lift need none.
    pub allowance: Option<Allowance>,
    pub purpose: Purpose,
}

/// What a run is for, and so which changes it may make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// An action answers an alert; what it isolates bears these marks.
    Answer(Marks),
    /// The controller takes an isolation back.
    Lift,
}

impl Default for Purpose {
    fn default() -> Self {
        Self::Answer(Marks::default())
    }
}

/// Shared between the plugin's host functions and the pipeline.
pub struct Run {
    pub identity: Identity,
    pub bounds: Bounds,
    pub(super) recorder: Arc<dyn Recorder>,
    /// What was rehearsed before and in this run; only a dry run has one.
    overlay: Option<Overlay>,
    calls: Mutex<Vec<CallRecord>>,
    sending: Mutex<Vec<JoinHandle<()>>>,
    /// What was attached since the last call was announced.
    evidence: Mutex<Vec<Evidence>>,
    /// Whether a pod was deleted or evicted by the run's own share.
    removed: AtomicBool,
    trips: Mutex<Vec<Trip>>,
}

impl Run {
    pub fn new(identity: Identity, bounds: Bounds, recorder: Arc<dyn Recorder>) -> Self {
        let overlay = bounds.dry_run.then(Overlay::default);
        Self {
            identity,
            bounds,
            recorder,
            overlay,
            calls: Mutex::default(),
            sending: Mutex::default(),
            evidence: Mutex::default(),
            removed: AtomicBool::new(false),
            trips: Mutex::default(),
        }
    }

    /// Goes on from what the alert's earlier actions have rehearsed. Without meaning for a live run, which never sees it.
    #[must_use]
    pub fn after(self, rehearsed: &Overlay) -> Self {
        Self { overlay: self.bounds.dry_run.then(|| rehearsed.clone()), ..self }
    }

    pub(super) fn overlay(&self) -> Option<&Overlay> {
        self.overlay.as_ref()
    }

    /// Whether the UID is of an object that exists in the rehearsal alone. No record names it.
    pub(super) fn made_up(&self, uid: &Uid) -> bool {
        self.overlay().is_some_and(|overlay| overlay.made_up(uid))
    }

    pub fn target(&self) -> Option<&Cleared> {
        self.bounds.cleared.as_ref()
    }

    /// Whether the object, or a subresource of it, is the target.
    pub(super) fn is_target(&self, object: &ObjectRef) -> bool {
        self.reach(&object.resource, object.namespace.as_ref(), Some(&object.name)).is_target
    }

    /// Keeps what the action attaches until its next call is announced, or it has ended.
    pub fn attach(&self, evidence: Evidence) {
        lock(&self.evidence).push(evidence);
    }

    /// What is not on disk yet.
    pub fn take_evidence(&self) -> Vec<Evidence> {
        std::mem::take(&mut *lock(&self.evidence))
    }

    /// True once: a pod is about to be deleted or evicted, and the run's own share is for one.
    pub(super) fn removes_first(&self) -> bool {
        !self.removed.swap(true, Ordering::Relaxed)
    }

    pub(super) fn tripped(&self, trip: Trip) {
        lock(&self.trips).push(trip);
    }

    /// The budgets that ended before what the action wanted to do did.
    pub fn trips(&self) -> Vec<Trip> {
        lock(&self.trips).clone()
    }

    /// Whether attachments of so many bytes in all can be kept with the entry.
    pub fn has_room_for_evidence(&self, bytes: u64) -> bool {
        self.recorder.has_room_for_evidence(bytes)
    }

    /// What the action did and tried so far, in order.
    pub fn calls(&self) -> Vec<CallRecord> {
        lock(&self.calls).clone()
    }

    /// How many calls that is.
    pub fn made(&self) -> usize {
        lock(&self.calls).len()
    }

    /// Waits for requests that were under way when the plugin was stopped, so that their results are in the record.
    pub async fn settle(&self) {
        loop {
            let Some(sending) = lock(&self.sending).pop() else { return };
            // A task that panicked leaves its call recorded as unknown.
            let _ = sending.await;
        }
    }

    /// How an object relates to this run.
    pub(super) fn reach(
        &self,
        resource: &ApiResource,
        namespace: Option<&Namespace>,
        name: Option<&ObjectName>,
    ) -> Reach {
        let Some(cleared) = self.target() else { return Reach::default() };
        let is = |object: &ObjectRef| is(object, resource, namespace, name);
        Reach {
            is_target: is(&cleared.object),
            is_owner: cleared.chain.controllers.iter().any(|owner| is(&owner.object)),
            in_namespace: namespace.is_some() && namespace == cleared.namespace().as_ref(),
            is_node: resource.is("", "nodes")
                && namespace.is_none()
                && name.is_some()
                && name.map(ObjectName::as_str) == cleared.node(),
        }
    }

    /// The name of the node that the alert's pod runs on.
    pub(super) fn node(&self) -> Option<&str> {
        self.target().and_then(Cleared::node)
    }

    /// The UID of the target, or of the owner, that was cleared under this name.
    pub(super) fn cleared_uid(&self, object: &ObjectRef) -> Option<&Uid> {
        let cleared = self.target()?;
        let owners = cleared.chain.controllers.iter().map(|owner| &owner.object);
        std::iter::once(&cleared.object)
            .chain(owners)
            .find(|known| is(known, &object.resource, object.namespace.as_ref(), Some(&object.name)))?
            .uid
            .as_ref()
    }

    /// Adds a call and answers with its number.
    pub(super) fn push(&self, call: CallRecord) -> usize {
        let mut calls = lock(&self.calls);
        calls.push(call);
        calls.len() - 1
    }

    pub(super) fn update(&self, number: usize, change: impl FnOnce(&mut CallRecord)) {
        if let Some(call) = lock(&self.calls).get_mut(number) {
            change(call);
        }
    }

    pub(super) fn call(&self, number: usize) -> Option<CallRecord> {
        lock(&self.calls).get(number).cloned()
    }

    pub(super) fn sends(&self, task: JoinHandle<()>) {
        lock(&self.sending).push(task);
    }
}

/// Whether these names are the object's; of whichever subresource.
fn is(object: &ObjectRef, resource: &ApiResource, namespace: Option<&Namespace>, name: Option<&ObjectName>) -> bool {
    // The version counts: of one that is not served the API server says 404, as it does of what is gone.
    resource.is(object.resource.group(), object.resource.plural())
        && resource.version() == object.resource.version()
        && namespace == object.namespace.as_ref()
        && name == Some(&object.name)
}

/// The data is whole even if a thread panicked while it held the lock: every change is a single assignment or push.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One call of the plugin, as the host saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRecord {
    pub verb: &'static str,
    /// As RBAC names it, with its group: `pods`, `networkpolicies.networking.k8s.io`; of a request to a server outside,
    /// method and URL.
    pub resource: String,
    pub namespace: Option<Namespace>,
    pub name: Option<ObjectName>,
    /// Of the object changed: what the call was pinned to, or what the API server's answer carries.
    pub uid: Option<Uid>,
    pub is_target: bool,
    pub mutating: bool,
    pub effect: Effect,
    /// Why, where it is no plain success; the host's or the API server's words.
    pub detail: String,
    pub sent_at: Option<Timestamp>,
    pub accepted_at: Option<Timestamp>,
    pub attempts: u32,
    /// What takes it back, once it has changed something.
    pub undo: Option<Undo>,
}

impl CallRecord {
    /// `pods production/checkout-1`
    pub fn object(&self) -> String {
        match (&self.namespace, &self.name) {
            (Some(namespace), Some(name)) => format!("{} {namespace}/{name}", self.resource),
            (None, Some(name)) => format!("{} {name}", self.resource),
            (Some(namespace), None) => format!("{} in {namespace}", self.resource),
            (None, None) => self.resource.clone(),
        }
    }
}

/// What a call did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Answered, and something changed (or would have, dry).
    Changed,
    /// Answered, and nothing changed: a read, an unchanged apply.
    Unchanged,
    /// A delete or eviction answered 404.
    Gone,
    /// A check, a permission, RBAC or admission said no.
    Denied(Option<Check>),
    /// The object is not the one that was checked, or somebody else's.
    Conflict,
    /// Any other no of the API server, or an answer that cannot be used.
    Api,
    /// It never left.
    NotSent,
    /// A read that was not answered.
    NoAnswer,
    /// It left, and no answer came.
    Unknown,
}

impl Effect {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::Gone => "gone",
            Self::Denied(_) => "denied",
            Self::Conflict => "conflict",
            Self::Api => "api",
            Self::NotSent => "not_sent",
            Self::NoAnswer => "no_answer",
            Self::Unknown => "unknown",
        }
    }
}

/// What an action attaches to its entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    pub name: String,
    pub media_type: String,
    pub sha256: String,
    pub content: Vec<u8>,
}

/// A mutating call that is about to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// From 0 within the run.
    pub call: usize,
    pub verb: &'static str,
    pub path: String,
    pub uid: Option<Uid>,
    pub dry_run: bool,
    pub at: Timestamp,
    /// The object's name, where the path has none: of a create.
    pub name: Option<ObjectName>,
    /// What is sent, where neither path nor object says it: a command line, in which there may be secrets.
    pub says: Option<String>,
    /// Whom the call is for; none for a dry run.
    pub account: Option<Account>,
    /// Whether it uses up a share of the account's budgets.
    pub counts: bool,
    /// What was attached before it, and is on disk before it is sent: the call may be what makes it irreplaceable.
    pub evidence: Vec<Evidence>,
}

pub type Recorded<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// Puts intents and results on disk. A call whose intent cannot be recorded is not sent.
pub trait Recorder: Send + Sync {
    fn intent<'a>(&'a self, identity: &'a Identity, intent: &'a Intent) -> Recorded<'a>;
    /// Waits until whoever must have accepted the intent has; nobody must, unless the recorder says so. A call whose
    /// intent is not accepted before the action's time is over is not sent.
    fn accepted<'a>(&'a self, _identity: &'a Identity, _intent: &'a Intent) -> Recorded<'a> {
        Box::pin(std::future::ready(Ok(())))
    }
    fn result<'a>(&'a self, identity: &'a Identity, intent: &'a Intent, call: &'a CallRecord) -> Recorded<'a>;
    /// Whether so many bytes of attachments find room beside what must be recorded.
    fn has_room_for_evidence(&self, _bytes: u64) -> bool {
        true
    }
}
