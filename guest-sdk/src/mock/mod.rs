//! A controller and a cluster in memory, for an action's own tests: `cargo test` runs them natively.
//!
//! It keeps objects, records calls, refuses what the manifest does not declare, and fails where a test asks for it. It
//! does not run the controller's safety checks: what an operator grants and what the controller refuses is not the
//! action's to know. What either comes to is a call that fails ([`Mock::failing`], [`Mock::failing_on`]). Nor is there a dry
//! run to test: an action cannot tell one.
//!
//! ```
//! use falco_response_sdk::mock::{Mock, Operation};
//! use falco_response_sdk::prelude::*;
//! # parameters! { pub struct None {} }
//! # struct KillPod;
//! # impl Action for KillPod {
//! #     type Parameters = None;
//! #     const MANIFEST: Manifest = Manifest::new("kill_pod", "Deletes.").target(Target::Pods)
//! #         .permissions(&[Permission::core(&["pods"], &[Verb::Delete], Scope::Target)]);
//! #     fn run(request: &Request, _: None, host: &Host) -> Result<Outcome, Failure> {
//! #         host.cluster().delete(&request.target(), DeleteOptions::default())?;
//! #         Ok(Outcome::acted("deleted"))
//! #     }
//! # }
//!
//! let mock = Mock::on(kinds::PODS.in_namespace("shop", "web-1"));
//! assert!(mock.run::<KillPod>().is_ok());
//! assert_eq!(mock.calls()[0].operation, Operation::Delete);
//! assert_eq!(mock.object(&kinds::PODS.in_namespace("shop", "web-1")), Option::None);
//! ```

mod backend;
mod outside;
mod permissions;
mod store;
#[cfg(test)]
mod tests;

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;

use crate::export::glue;
use crate::json::{Value, object};
use crate::{Action, ClusterError, Failure, FalcoPriority, Level, ObjectRef, Outcome, Owner, Permission, Reason};
use store::Store;

/// One kind of call to the cluster: the methods of [`Cluster`](crate::Cluster).
///
/// ```
/// # use falco_response_sdk::{Reason, kinds, mock::{Mock, Operation}};
/// let mock = Mock::on(kinds::PODS.in_namespace("shop", "web-1")).failing(Operation::Evict, Reason::Blocked, "a budget");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// [`get`](crate::Cluster::get)
    Get,
    /// [`query`](crate::Cluster::query)
    Query,
    /// [`create`](crate::Cluster::create)
    Create,
    /// [`apply`](crate::Cluster::apply), forced or not
    Apply,
    /// [`patch`](crate::Cluster::patch) and [`merge`](crate::Cluster::merge)
    Patch,
    /// [`delete`](crate::Cluster::delete)
    Delete,
    /// [`evict`](crate::Cluster::evict)
    Evict,
    /// [`logs`](crate::Cluster::logs)
    Logs,
    /// [`run`](crate::Exec::run)
    Exec,
}

/// A call that the action made, refused or not, as [`Mock::calls`] tells it.
///
/// ```
/// # use falco_response_sdk::mock::{Mock, Operation};
/// fn changes(mock: &Mock) -> usize {
///     mock.calls().iter().filter(|call| call.operation != Operation::Get).count()
/// }
/// # assert_eq!(changes(&Mock::default()), 0);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Which method.
    pub operation: Operation,
    /// Without a name for [`Operation::Query`].
    pub object: ObjectRef,
    /// What was sent; null where nothing is.
    pub document: Value,
    /// Of an apply.
    pub force: bool,
    /// Of a delete or an eviction.
    pub grace_period_seconds: Option<u32>,
}

/// Evidence that the action attached, as [`Mock::attachments`] tells it.
///
/// ```
/// # use falco_response_sdk::mock::Mock;
/// assert!(Mock::default().attachments().iter().all(|attachment| attachment.media_type == "text/plain"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// As a file of it would be called.
    pub name: String,
    /// `text/plain`
    pub media_type: String,
    /// All of it.
    pub content: Vec<u8>,
}

/// An alert, what it is about, and the cluster around it. Built for one test, then [`run`](Mock::run).
///
/// ```
/// # use falco_response_sdk::{json::Value, kinds, mock::Mock};
/// let pod = kinds::PODS.in_namespace("shop", "web-1");
/// let mock = Mock::on(pod.clone())
///     .owned_by("Deployment", kinds::DEPLOYMENTS.in_namespace("shop", "web"))
///     .with_object(&pod, Value::parse(r#"{"metadata": {"labels": {"app": "web"}}}"#).unwrap())
///     .with_parameters(r#"{"grace_period_seconds": 5}"#);
/// ```
pub struct Mock {
    target: Option<ObjectRef>,
    parameters: String,
    alert: Value,
    reason: String,
    attempt: u32,
    owners: Vec<Owner>,
    state: RefCell<State>,
}

/// What a test makes fail.
struct Failing {
    operation: Operation,
    /// None: of any object.
    object: Option<ObjectRef>,
    /// None: every time.
    times: Option<u32>,
    error: ClusterError,
}

#[derive(Default)]
struct State {
    store: Store,
    permissions: &'static [Permission],
    outside: outside::Outside,
    failures: Vec<Failing>,
    answers: Vec<(Operation, Value)>,
    /// The pod, the container, and what it printed.
    logs: Vec<(ObjectRef, Option<String>, String)>,
    calls: Vec<Call>,
    notes: Vec<(String, String)>,
    attachments: Vec<Attachment>,
    lines: Vec<(Level, String)>,
}

impl Default for Mock {
    /// An alert about no object.
    fn default() -> Self {
        let alert = object([
            ("rule", "Terminal shell in container".into()),
            ("priority", "Critical".into()),
            ("time", "2026-01-02T03:04:05.678901234Z".into()),
            ("output", "A shell was spawned in a container".into()),
            ("output_fields", object::<&str>([])),
        ]);
        Self {
            target: None,
            parameters: "{}".to_owned(),
            alert,
            reason: "Shell in a container".to_owned(),
            attempt: 1,
            owners: Vec::new(),
            state: RefCell::default(),
        }
    }
}

impl Mock {
    /// An alert about `target`, which is there, with the UID given or `uid-of-NAME`.
    ///
    /// ```
    /// # use falco_response_sdk::{json::{Value, object}, kinds, mock::{Mock, Operation}};
    /// # let pod = kinds::PODS.in_namespace("shop", "web-1");
    /// let mock = Mock::on(pod.clone());
    /// assert_eq!(mock.object(&pod).unwrap().at(&["metadata", "uid"]).as_str(), Some("uid-of-web-1"));
    /// ```
    pub fn on(target: ObjectRef) -> Self {
        let uid = target.uid.clone().unwrap_or_else(|| ["uid-of-", &target.name].concat());
        let target = ObjectRef { uid: Some(uid), ..target };
        let mock = Self { target: Some(target.clone()), ..Self::default() };
        mock.state.borrow_mut().store.put(&target, object::<&str>([]));
        mock
    }

    /// The rule's `parameters`, as JSON.
    ///
    /// ```
    /// # use falco_response_sdk::{json::{Value, object}, kinds, mock::{Mock, Operation}};
    /// # let pod = kinds::PODS.in_namespace("shop", "web-1");
    /// let mock = Mock::on(pod).with_parameters(r#"{"grace_period_seconds": 5}"#);
    /// ```
    #[must_use]
    pub fn with_parameters(self, json: &str) -> Self {
        Self { parameters: json.to_owned(), ..self }
    }

    /// The rule's `audit_reason`.
    ///
    /// ```
    /// # use falco_response_sdk::{json::{Value, object}, kinds, mock::{Mock, Operation}};
    /// # let pod = kinds::PODS.in_namespace("shop", "web-1");
    /// let mock = Mock::on(pod).with_reason("A miner; automated termination");
    /// ```
    #[must_use]
    pub fn with_reason(self, reason: &str) -> Self {
        Self { reason: reason.to_owned(), ..self }
    }

    /// The whole alert, instead of the one that [`Default`] makes.
    ///
    /// ```
    /// # use falco_response_sdk::{json::{Value, object}, kinds, mock::{Mock, Operation}};
    /// # let pod = kinds::PODS.in_namespace("shop", "web-1");
    /// let alert = Value::parse(r#"{"rule": "Miner", "priority": "Critical", "output_fields": {"proc.name": "xmrig"}}"#).unwrap();
    /// let mock = Mock::on(pod).with_alert(alert);
    /// ```
    #[must_use]
    pub fn with_alert(self, alert: Value) -> Self {
        Self { alert, ..self }
    }

    /// A second attempt, or a later one.
    ///
    /// ```
    /// # use falco_response_sdk::{json::{Value, object}, kinds, mock::{Mock, Operation}};
    /// # let pod = kinds::PODS.in_namespace("shop", "web-1");
    /// let mock = Mock::on(pod).on_attempt(2);
    /// ```
    #[must_use]
    pub fn on_attempt(self, attempt: u32) -> Self {
        Self { attempt, ..self }
    }

    /// A controller of the target, nearest first.
    ///
    /// ```
    /// # use falco_response_sdk::{json::{Value, object}, kinds, mock::{Mock, Operation}};
    /// # let pod = kinds::PODS.in_namespace("shop", "web-1");
    /// let mock = Mock::on(pod).owned_by("ReplicaSet", kinds::DEPLOYMENTS.in_namespace("shop", "web"));
    /// ```
    #[must_use]
    pub fn owned_by(mut self, kind: &str, object: ObjectRef) -> Self {
        self.owners.push(Owner { kind: kind.to_owned(), object });
        self
    }

    /// An object that is there. Its name, namespace and UID are set in its metadata.
    ///
    /// ```
    /// # use falco_response_sdk::{json::{Value, object}, kinds, mock::{Mock, Operation}};
    /// # let pod = kinds::PODS.in_namespace("shop", "web-1");
    /// let mock = Mock::on(pod).with_object(&kinds::NODES.cluster_wide("n1"), object::<&str>([]));
    /// ```
    #[must_use]
    pub fn with_object(self, at: &ObjectRef, manifest: Value) -> Self {
        self.state.borrow_mut().store.put(at, manifest);
        self
    }

    /// An object, the target perhaps, that is not there any more.
    ///
    /// ```
    /// # use falco_response_sdk::{json::{Value, object}, kinds, mock::{Mock, Operation}};
    /// # let pod = kinds::PODS.in_namespace("shop", "web-1");
    /// let mock = Mock::on(pod.clone()).without(&pod);
    /// assert!(mock.object(&pod).is_none());
    /// ```
    #[must_use]
    pub fn without(self, at: &ObjectRef) -> Self {
        self.state.borrow_mut().store.remove(at);
        self
    }

    /// A pod's log, the same of each of its containers.
    ///
    /// ```
    /// # use falco_response_sdk::{json::{Value, object}, kinds, mock::{Mock, Operation}};
    /// # let pod = kinds::PODS.in_namespace("shop", "web-1");
    /// let mock = Mock::on(pod.clone()).with_logs(&pod, "started\nmining\n");
    /// ```
    #[must_use]
    pub fn with_logs(self, pod: &ObjectRef, text: &str) -> Self {
        self.state.borrow_mut().logs.push((pod.clone(), None, text.to_owned()));
        self
    }

    /// The log of one container. The pod's others have none: to ask for theirs is [`Reason::Invalid`], as it is of one
    /// that never started.
    ///
    /// ```
    /// # use falco_response_sdk::mock::Mock;
    /// # use falco_response_sdk::kinds;
    /// let pod = kinds::PODS.in_namespace("shop", "web-1");
    /// let mock = Mock::on(pod.clone()).with_logs_of(&pod, "web", "GET /\n");
    /// ```
    #[must_use]
    pub fn with_logs_of(self, pod: &ObjectRef, container: &str, text: &str) -> Self {
        self.state.borrow_mut().logs.push((pod.clone(), Some(container.to_owned()), text.to_owned()));
        self
    }

    /// Every call of this kind fails, and has no effect: a denial of the controller's, an answer of the API server's, or
    /// none at all.
    ///
    /// ```
    /// # use falco_response_sdk::{Reason, kinds, mock::{Mock, Operation}};
    /// let pod = kinds::PODS.in_namespace("shop", "web-1");
    /// let refused = Mock::on(pod.clone()).failing(Operation::Delete, Reason::Denied, "the owner is protected");
    /// let away = Mock::on(pod).failing(Operation::Delete, Reason::Unavailable, "connection refused");
    /// ```
    #[must_use]
    pub fn failing(self, operation: Operation, reason: Reason, message: &str) -> Self {
        self.fails(operation, None, None, reason, message)
    }

    /// As [`failing`](Self::failing), of one object only.
    ///
    /// ```
    /// # use falco_response_sdk::{Reason, kinds, mock::{Mock, Operation}};
    /// let (pod, policy) = (kinds::PODS.in_namespace("shop", "web-1"), kinds::NETWORK_POLICIES.in_namespace("shop", "falco-x"));
    /// let mock = Mock::on(pod).failing_on(Operation::Get, &policy, Reason::Denied, "not granted");
    /// ```
    #[must_use]
    pub fn failing_on(self, operation: Operation, object: &ObjectRef, reason: Reason, message: &str) -> Self {
        self.fails(operation, Some(object.clone()), None, reason, message)
    }

    /// As [`failing`](Self::failing), the first time only.
    ///
    /// ```
    /// # use falco_response_sdk::{Reason, kinds, mock::{Mock, Operation}};
    /// let mock = Mock::on(kinds::PODS.in_namespace("shop", "web-1")).failing_once(Operation::Evict, Reason::Blocked, "a budget");
    /// ```
    #[must_use]
    pub fn failing_once(self, operation: Operation, reason: Reason, message: &str) -> Self {
        self.fails(operation, None, Some(1), reason, message)
    }

    fn fails(
        self,
        operation: Operation,
        object: Option<ObjectRef>,
        times: Option<u32>,
        reason: Reason,
        message: &str,
    ) -> Self {
        let error = ClusterError { reason, message: message.to_owned() };
        self.state.borrow_mut().failures.push(Failing { operation, object, times, error });
        self
    }

    /// A create, apply or patch is answered with this object: what an admission webhook made of it.
    ///
    /// ```
    /// # use falco_response_sdk::{json::{Value, object}, kinds, mock::{Mock, Operation}};
    /// # let pod = kinds::PODS.in_namespace("shop", "web-1");
    /// let mock = Mock::on(pod).answering(Operation::Apply, object([("spec", object::<&str>([]))]));
    /// ```
    #[must_use]
    pub fn answering(self, operation: Operation, object: Value) -> Self {
        self.state.borrow_mut().answers.push((operation, object));
        self
    }

    /// Runs the action as the controller does: its parameters are checked first, and what it declares is all it may do.
    ///
    /// ```
    /// # use falco_response_sdk::{mock::Mock, prelude::*};
    /// # parameters! { pub struct None {} }
    /// # struct Tell;
    /// # impl Action for Tell {
    /// #     type Parameters = None;
    /// #     const MANIFEST: Manifest = Manifest::new("tell", "Tells.").target(Target::Pods);
    /// #     fn run(request: &Request, _: None, _: &Host) -> Result<Outcome, Failure> {
    /// #         Ok(Outcome::skipped(request.target().name))
    /// #     }
    /// # }
    /// let mock = Mock::on(kinds::PODS.in_namespace("shop", "web-1"));
    /// assert_eq!(mock.run::<Tell>(), Ok(Outcome::skipped("web-1")));
    /// ```
    ///
    /// # Errors
    /// The action's own failure, or that its parameters were refused.
    pub fn run<A: Action>(&self) -> Result<Outcome, Failure> {
        {
            let state = &mut *self.state.borrow_mut();
            state.permissions = A::MANIFEST.permissions;
            state.outside.methods = A::MANIFEST.http;
        }
        glue::validate::<A>(&self.parameters).map_err(|problems| {
            let problems: Vec<String> =
                problems.iter().map(|problem| [problem.at.as_str(), ": ", &problem.message].concat()).collect();
            Failure::new(["parameters: ", &problems.join("; ")].concat())
        })?;
        glue::run_on::<A>(self)
    }

    /// What the action called, in order.
    ///
    /// ```
    /// # use falco_response_sdk::{json::{Value, object}, kinds, mock::{Mock, Operation}};
    /// # let pod = kinds::PODS.in_namespace("shop", "web-1");
    /// assert_eq!(Mock::on(pod).calls(), []);
    /// ```
    pub fn calls(&self) -> Vec<Call> {
        self.state.borrow().calls.clone()
    }

    /// The operations of [`calls`](Self::calls).
    ///
    /// ```
    /// # use falco_response_sdk::{json::{Value, object}, kinds, mock::{Mock, Operation}};
    /// # let pod = kinds::PODS.in_namespace("shop", "web-1");
    /// assert_eq!(Mock::on(pod).operations(), []);
    /// ```
    pub fn operations(&self) -> Vec<Operation> {
        self.state.borrow().calls.iter().map(|call| call.operation).collect()
    }

    /// The last note of this key.
    ///
    /// ```
    /// # use falco_response_sdk::{json::{Value, object}, kinds, mock::{Mock, Operation}};
    /// # let pod = kinds::PODS.in_namespace("shop", "web-1");
    /// assert_eq!(Mock::on(pod).noted("isolation"), None);
    /// ```
    pub fn noted(&self, key: &str) -> Option<String> {
        self.state.borrow().notes.iter().rev().find(|(known, _)| known == key).map(|(_, value)| value.clone())
    }

    /// All notes, in order.
    ///
    /// ```
    /// # use falco_response_sdk::{json::{Value, object}, kinds, mock::{Mock, Operation}};
    /// # let pod = kinds::PODS.in_namespace("shop", "web-1");
    /// assert_eq!(Mock::on(pod).notes(), []);
    /// ```
    pub fn notes(&self) -> Vec<(String, String)> {
        self.state.borrow().notes.clone()
    }

    /// All evidence, in order.
    ///
    /// ```
    /// # use falco_response_sdk::{json::{Value, object}, kinds, mock::{Mock, Operation}};
    /// # let pod = kinds::PODS.in_namespace("shop", "web-1");
    /// assert_eq!(Mock::on(pod).attachments(), []);
    /// ```
    pub fn attachments(&self) -> Vec<Attachment> {
        self.state.borrow().attachments.clone()
    }

    /// What the action logged, in order.
    ///
    /// ```
    /// # use falco_response_sdk::{json::{Value, object}, kinds, mock::{Mock, Operation}};
    /// # let pod = kinds::PODS.in_namespace("shop", "web-1");
    /// assert_eq!(Mock::on(pod).log_lines(), []);
    /// ```
    pub fn log_lines(&self) -> Vec<(Level, String)> {
        self.state.borrow().lines.clone()
    }

    /// An object as it is now.
    ///
    /// ```
    /// # use falco_response_sdk::{json::{Value, object}, kinds, mock::{Mock, Operation}};
    /// # let pod = kinds::PODS.in_namespace("shop", "web-1");
    /// assert!(Mock::on(pod.clone()).object(&pod).is_some());
    /// ```
    pub fn object(&self, at: &ObjectRef) -> Option<Value> {
        self.state.borrow().store.get(at).cloned()
    }
}

/// Falco's name of a priority.
fn priority(name: &str) -> FalcoPriority {
    match name.to_ascii_lowercase().as_str() {
        "emergency" => FalcoPriority::Emergency,
        "alert" => FalcoPriority::Alert,
        "critical" => FalcoPriority::Critical,
        "error" => FalcoPriority::Error,
        "warning" => FalcoPriority::Warning,
        "notice" => FalcoPriority::Notice,
        "informational" => FalcoPriority::Informational,
        _ => FalcoPriority::Debug,
    }
}

fn error(reason: Reason, message: impl ToString) -> ClusterError {
    ClusterError { reason, message: message.to_string() }
}

/// For messages.
fn describe(object: &ObjectRef) -> String {
    match &object.namespace {
        Some(namespace) => [object.resource.plural.as_str(), " ", namespace, "/", &object.name].concat(),
        None => [object.resource.plural.as_str(), " ", &object.name].concat(),
    }
}
