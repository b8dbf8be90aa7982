//! What the controller asks of the action.

use alloc::string::String;
use alloc::vec::Vec;

pub use crate::bindings::falco_response::plugin::request::{FalcoPriority, Owner};
use crate::json::{self, Value};
use crate::{Backend, ObjectRef};

/// The alert, what it is about, and why the rule answers it. Each method is one call to the host: read what is needed.
///
/// Texts of the alert were written by whoever raised it, the attacked workload included: data, never instructions.
///
/// ```no_run
/// # use falco_response_sdk::prelude::*;
/// # fn f(request: &Request) -> Result<(), Failure> {
/// let pod = request.target();
/// let command = request.field("proc.cmdline").unwrap_or_default();
/// let deployment = request.owners().into_iter().find(|owner| owner.kind == "Deployment");
/// # Ok(()) }
/// ```
pub struct Request<'a> {
    backend: &'a Backend,
}

impl<'a> Request<'a> {
    pub(crate) fn new(backend: &'a Backend) -> Self {
        Self { backend }
    }

    /// The controller's own id of this alert; every audit entry that it causes carries it.
    ///
    /// ```no_run
    /// # fn f(request: &falco_response_sdk::Request) {
    /// let annotations = falco_response_sdk::kubernetes::annotations([("falco-response/event-id", request.id())]);
    /// # }
    /// ```
    pub fn id(&self) -> String {
        self.backend.id()
    }

    /// 1; more only for an action whose manifest says `repeatable`, when the controller stopped halfway through an
    /// earlier attempt or that attempt failed with `retry`.
    ///
    /// ```no_run
    /// # use falco_response_sdk::prelude::*;
    /// # fn f(request: &Request, error: ClusterError) -> Result<(), Failure> {
    /// match error.reason {
    ///     // Then it was this action that made it.
    ///     Reason::AlreadyExists if request.attempt() > 1 => Ok(()),
    ///     _ => Err(error.into()),
    /// }
    /// # }
    /// ```
    pub fn attempt(&self) -> u32 {
        self.backend.attempt()
    }

    /// The rule's `audit_reason`.
    ///
    /// ```no_run
    /// # fn f(request: &falco_response_sdk::Request) {
    /// let why = ["because of: ", &request.reason()].concat();
    /// # }
    /// ```
    pub fn reason(&self) -> String {
        self.backend.reason()
    }

    /// The whole alert, as Falcosidekick delivered it.
    ///
    /// ```no_run
    /// # use falco_response_sdk::prelude::*;
    /// # fn f(request: &Request) -> Result<(), Failure> {
    /// let alert = request.alert()?;
    /// let tags: Vec<_> = alert.at(&["tags"]).items().iter().filter_map(Value::as_str).collect();
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When it nests deeper than this crate reads.
    pub fn alert(&self) -> Result<Value, json::Error> {
        Value::parse(&self.backend.alert())
    }

    /// One of its `output_fields`: a string as it is, anything else as JSON; none when absent or null.
    ///
    /// ```no_run
    /// # fn f(request: &falco_response_sdk::Request) {
    /// let command = request.field("proc.cmdline");
    /// # }
    /// ```
    pub fn field(&self, name: &str) -> Option<String> {
        self.backend.field(name)
    }

    /// The Falco rule's name.
    ///
    /// ```no_run
    /// # fn f(request: &falco_response_sdk::Request) {
    /// let annotations = falco_response_sdk::kubernetes::annotations([("falco-response/rule", request.rule())]);
    /// # }
    /// ```
    pub fn rule(&self) -> String {
        self.backend.rule()
    }

    /// Falco's priority of the alert.
    ///
    /// ```no_run
    /// # use falco_response_sdk::{FalcoPriority, Request};
    /// # fn f(request: &Request) {
    /// let urgent = matches!(request.priority(), FalcoPriority::Emergency | FalcoPriority::Alert);
    /// # }
    /// ```
    pub fn priority(&self) -> FalcoPriority {
        self.backend.priority()
    }

    /// RFC 3339, with the precision that Falco sent: `2026-01-02T03:04:05.678901234Z`.
    ///
    /// ```no_run
    /// # fn f(request: &falco_response_sdk::Request) {
    /// let day = request.time().split('T').next().map(str::len);
    /// # }
    /// ```
    pub fn time(&self) -> String {
        self.backend.time()
    }

    /// Falco's formatted sentence. Who was attacked wrote parts of it.
    ///
    /// ```no_run
    /// # fn f(request: &falco_response_sdk::Request, host: &falco_response_sdk::Host) -> Result<(), String> {
    /// host.audit().attach("alert.txt", "text/plain", request.output().as_bytes())
    /// # }
    /// ```
    pub fn output(&self) -> String {
        self.backend.output()
    }

    /// What the alert is about: an object of the kind that the manifest names, read, identified and cleared for action,
    /// with its UID. Traps when the manifest names none.
    ///
    /// ```no_run
    /// # use falco_response_sdk::prelude::*;
    /// # fn f(request: &Request, host: &Host) -> Result<(), Failure> {
    /// host.cluster().delete(&request.target(), DeleteOptions::default())?;
    /// # Ok(()) }
    /// ```
    pub fn target(&self) -> ObjectRef {
        self.backend.target()
    }

    /// The target as it was when it was cleared, without the values of environment variables. Of a namespace only what is
    /// known: its name.
    ///
    /// ```no_run
    /// # use falco_response_sdk::{kubernetes::Pod, prelude::*};
    /// # fn f(request: &Request) -> Result<(), Failure> {
    /// let manifest = request.target_manifest()?;
    /// let node = Pod::of(&manifest).node();
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When it nests deeper than this crate reads.
    pub fn target_manifest(&self) -> Result<Value, json::Error> {
        Value::parse(&self.backend.target_manifest())
    }

    /// The target's controllers, nearest first: a ReplicaSet, then its Deployment.
    ///
    /// ```no_run
    /// # fn f(request: &falco_response_sdk::Request) {
    /// let top = request.owners().pop().map(|owner| [owner.kind, "/".into(), owner.object.name].concat());
    /// # }
    /// ```
    pub fn owners(&self) -> Vec<Owner> {
        self.backend.owners()
    }
}
