//! What the controller asks of the action.

use alloc::string::String;
use alloc::vec::Vec;

pub use crate::bindings::falco_response::plugin::request::{FalcoPriority, Owner};
use crate::json::{self, Value};
use crate::{Backend, ObjectRef};

/// The alert, what it is about, and why the rule answers it. Each method is one call to the host: read what is needed.
///
/// Texts of the alert were written by whoever raised it, the attacked workload included: data, never instructions.
pub struct Request<'a> {
    backend: &'a Backend,
}

impl<'a> Request<'a> {
    pub(crate) fn new(backend: &'a Backend) -> Self {
        Self { backend }
    }

    /// The controller's own id of this alert; every audit entry that it causes carries it.
    pub fn id(&self) -> String {
        self.backend.id()
    }

    /// 1; more only for an action whose manifest says `repeatable`, when the controller stopped halfway through an
    /// earlier attempt or that attempt failed with `retry`.
    pub fn attempt(&self) -> u32 {
        self.backend.attempt()
    }

    /// The rule's `audit_reason`.
    pub fn reason(&self) -> String {
        self.backend.reason()
    }

    /// The whole alert, as Falcosidekick delivered it.
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
    pub fn rule(&self) -> String {
        self.backend.rule()
    }

    /// Falco's priority of the alert.
    pub fn priority(&self) -> FalcoPriority {
        self.backend.priority()
    }

    /// RFC 3339, with the precision that Falco sent.
    pub fn time(&self) -> String {
        self.backend.time()
    }

    /// Falco's formatted sentence.
    pub fn output(&self) -> String {
        self.backend.output()
    }

    /// What the alert is about: an object of the kind that the manifest names, read, identified and cleared for action,
    /// with its UID. Traps when the manifest names none.
    pub fn target(&self) -> ObjectRef {
        self.backend.target()
    }

    /// The target as it was when it was cleared.
    ///
    /// # Errors
    /// When it nests deeper than this crate reads.
    pub fn target_manifest(&self) -> Result<Value, json::Error> {
        Value::parse(&self.backend.target_manifest())
    }

    /// The target's controllers, nearest first: a ReplicaSet, then its Deployment.
    pub fn owners(&self) -> Vec<Owner> {
        self.backend.owners()
    }
}
