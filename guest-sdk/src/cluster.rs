//! The cluster, as far as the action may reach it.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

pub use crate::bindings::falco_response::plugin::cluster::{
    DeleteOptions, Error as ClusterError, LogOptions, PatchDocument, Propagation, Reason, Selection,
};
use crate::json::Value;
use crate::{ApiResource, Backend, ObjectRef};

/// Calls to the Kubernetes API, each checked, recorded and, in a dry run, kept from having an effect by the controller.
///
/// Objects are [`Value`]s: JSON as the API server sends it, but without the values of environment variables. In a dry run
/// every answer is what the change would have come to, and nothing says that it was one.
///
/// # Errors
///
/// A call's error is a [`ClusterError`]: a [`Reason`] to decide by, and a message for people. With `?` it becomes the action's
/// [`Failure`](crate::Failure). What the record says is the controller's word, and derived from the calls themselves, whatever
/// the action makes of an error:
///
/// | [`Reason`] | the entry's `outcome` (and `failure`), if it was a change | with `?` |
/// |---|---|---|
/// | `Denied` | `failed` (`denied`) | no retry |
/// | `Conflict`, `AlreadyExists` | `failed` (`conflict`) | no retry |
/// | `NotFound` of a delete or eviction | `already_gone` | no retry |
/// | `NotFound` of anything else, `Invalid`, `Other` | `failed` (`api`) | no retry |
/// | `TooLarge` | `unknown`: it may have been made | no retry |
/// | `Blocked` | `failed` (`api`) | worth a retry |
/// | `Unavailable` | `failed` (`not_sent`, `api`), or `unknown` where the change may have been made | worth a retry |
/// | none of them, and something changed | `done` | |
/// | none of them, and nothing changed | `skipped` | |
///
/// A read that fails fails the run only if the action gives up: then `failure` is `denied`, `conflict` or `api` like that of a
/// change, and `plugin` where no call failed. What was refused stands in the record in any case. `retry` is the action's word
/// that running again is safe; the controller runs again only where the cluster did not answer and nothing was sent, or, after
/// a crash of its own, an action that is [`repeatable`](crate::Manifest::repeatable).
///
/// ```no_run
/// # use falco_response_sdk::prelude::*;
/// # fn f(host: &Host, pod: &ObjectRef) -> Result<Outcome, Failure> {
/// match host.cluster().delete(pod, DeleteOptions::default()) {
///     Ok(()) => Ok(Outcome::acted("deleted the pod")),
///     Err(error) if error.reason == Reason::NotFound => Ok(Outcome::skipped("already gone")),
///     Err(error) => Err(Failure::from(error).context("cannot delete the pod")),
/// }
/// # }
/// ```
pub struct Cluster<'a> {
    backend: &'a Backend,
}

type Answer<T> = Result<T, ClusterError>;

impl<'a> Cluster<'a> {
    pub(crate) fn new(backend: &'a Backend) -> Self {
        Self { backend }
    }

    /// Reads one object. Needs `get`.
    ///
    /// ```no_run
    /// # use falco_response_sdk::prelude::*;
    /// # fn f(request: &Request, host: &Host) -> Result<(), Failure> {
    /// let pod = host.cluster().get(&request.target())?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Reason::NotFound`] when it is not there; [`Reason::Conflict`] when one of that name is, but with another UID
    /// than `object` asks for.
    pub fn get(&self, object: &ObjectRef) -> Answer<Value> {
        read(&self.backend.get(object)?)
    }

    /// Lists objects of one kind. Needs `list`.
    ///
    /// ```no_run
    /// # use falco_response_sdk::prelude::*;
    /// # fn f(host: &Host, node: &str) -> Result<(), Failure> {
    /// let fields = Some(format!("spec.nodeName={node}"));
    /// let pods = host.cluster().query(kinds::PODS, &Selection { fields, metadata_only: true, ..Selection::default() })?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Reason::TooLarge`] when the answer is more than the controller hands over: narrow the selection or ask for
    /// `metadata_only`.
    pub fn query(&self, kind: impl Into<ApiResource>, selection: &Selection) -> Answer<Vec<Value>> {
        self.backend.query(&kind.into(), selection)?.iter().map(|object| read(object)).collect()
    }

    /// Creates an object, in `namespace` if its kind lives in one. Needs `create`. The manifest has a name, and no
    /// `generateName`.
    ///
    /// ```no_run
    /// # use falco_response_sdk::{kubernetes::NetworkPolicy, prelude::*};
    /// # fn f(host: &Host) -> Result<(), Failure> {
    /// let policy = NetworkPolicy::new("shop", "falco-x").no_egress();
    /// host.cluster().create(kinds::NETWORK_POLICIES, Some("shop"), &policy.document())?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Reason::AlreadyExists`], which after a first [attempt](crate::Request::attempt) may be the action's own work.
    pub fn create(&self, kind: impl Into<ApiResource>, namespace: Option<&str>, manifest: &Value) -> Answer<Value> {
        read(&self.backend.create(&kind.into(), namespace, &manifest.to_string())?)
    }

    /// Server-side apply; the field manager names the action. Needs `patch`, and `create` where the object may be absent. One
    /// that is there has to be the target, or bear the controller's label `app.kubernetes.io/managed-by`.
    ///
    /// ```no_run
    /// # use falco_response_sdk::{kubernetes::NetworkPolicy, prelude::*};
    /// # fn f(host: &Host) -> Result<(), Failure> {
    /// let policy = NetworkPolicy::new("shop", "falco-x").no_egress();
    /// host.cluster().apply(&policy.reference(), &policy.document())?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Reason::Conflict`] when another manager owns a field that this would change.
    pub fn apply(&self, object: &ObjectRef, manifest: &Value) -> Answer<Value> {
        read(&self.backend.apply(object, &manifest.to_string(), false)?)
    }

    /// Server-side apply that takes over fields of other managers. Never by default: it needs a grant.
    ///
    /// ```no_run
    /// # use falco_response_sdk::{kubernetes::NetworkPolicy, prelude::*};
    /// # fn f(host: &Host, policy: &NetworkPolicy) -> Result<(), Failure> {
    /// host.cluster().apply_forced(&policy.reference(), &policy.document())?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As for every call; never a conflict over fields.
    pub fn apply_forced(&self, object: &ObjectRef, manifest: &Value) -> Answer<Value> {
        read(&self.backend.apply(object, &manifest.to_string(), true)?)
    }

    /// Changes an object by JSON merge patch (RFC 7386). Needs `patch`.
    ///
    /// ```no_run
    /// # use falco_response_sdk::{kubernetes, prelude::*};
    /// # fn f(request: &Request, host: &Host) -> Result<(), Failure> {
    /// host.cluster().merge(&request.target(), &kubernetes::labels([("falco-response/suspect", "true")]))?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Reason::NotFound`], [`Reason::Invalid`].
    pub fn merge(&self, object: &ObjectRef, change: &Value) -> Answer<Value> {
        self.patch(object, &PatchDocument::Merge(change.to_string()))
    }

    /// Changes an object by any kind of patch. Needs `patch`; but for merge patches of free labels and annotations of the target
    /// it needs a grant that names the fields.
    ///
    /// ```no_run
    /// # use falco_response_sdk::{PatchDocument, prelude::*};
    /// # fn f(host: &Host, deployment: &ObjectRef) -> Result<(), Failure> {
    /// let operations = array([object([("op", "replace".into()), ("path", "/spec/replicas".into()), ("value", 0_u32.into())])]);
    /// host.cluster().patch(deployment, &PatchDocument::Operations(operations.to_string()))?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Reason::NotFound`], [`Reason::Invalid`].
    pub fn patch(&self, object: &ObjectRef, document: &PatchDocument) -> Answer<Value> {
        read(&self.backend.patch(object, document)?)
    }

    /// Deletes an object. Needs `delete`.
    ///
    /// ```no_run
    /// # use falco_response_sdk::prelude::*;
    /// # fn f(request: &Request, host: &Host) -> Result<(), Failure> {
    /// let soon = DeleteOptions { grace_period_seconds: Some(1), ..DeleteOptions::default() };
    /// host.cluster().delete(&request.target(), soon)?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Reason::NotFound`] when it is gone already.
    pub fn delete(&self, object: &ObjectRef, options: DeleteOptions) -> Answer<()> {
        self.backend.remove(object, options)
    }

    /// Deletes a pod as far as disruption budgets allow. Needs `create` on `pods/eviction`.
    ///
    /// ```no_run
    /// # use falco_response_sdk::prelude::*;
    /// # fn f(request: &Request, host: &Host) -> Result<(), Failure> {
    /// host.cluster().evict(&request.target(), None)?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Reason::Blocked`] when a budget forbids it for now.
    pub fn evict(&self, pod: &ObjectRef, grace_period_seconds: Option<u32>) -> Answer<()> {
        self.backend.evict(pod, grace_period_seconds)
    }

    /// A container's log; what is not UTF-8 in it is replaced. Needs `get` on `pods/log`, which is never granted by default.
    ///
    /// ```no_run
    /// # use falco_response_sdk::{LogOptions, prelude::*};
    /// # fn f(request: &Request, host: &Host) -> Result<(), Failure> {
    /// let options = LogOptions { container: Some("web".into()), tail_lines: Some(100), ..LogOptions::default() };
    /// let log = host.cluster().logs(&request.target(), &options)?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Reason::TooLarge`]: ask for fewer lines.
    pub fn logs(&self, pod: &ObjectRef, options: &LogOptions) -> Answer<String> {
        self.backend.logs(pod, options)
    }
}

fn read(object: &str) -> Answer<Value> {
    Value::parse(object).map_err(|error| ClusterError {
        reason: Reason::Other,
        message: ["the answer is not readable: ", &error.to_string()].concat(),
    })
}

impl Default for Selection {
    /// Everything, whole.
    fn default() -> Self {
        Self { namespace: None, labels: None, fields: None, limit: None, metadata_only: false }
    }
}

impl Selection {
    /// Everything in one namespace.
    ///
    /// ```
    /// # use falco_response_sdk::Selection;
    /// let web = Selection { labels: Some("app=web,tier!=db".into()), metadata_only: true, ..Selection::in_namespace("shop") };
    /// ```
    pub fn in_namespace(namespace: impl Into<String>) -> Self {
        Self { namespace: Some(namespace.into()), ..Self::default() }
    }
}

impl Default for DeleteOptions {
    /// The object's own grace period and the API's own propagation.
    fn default() -> Self {
        Self { grace_period_seconds: None, propagation: None }
    }
}

impl Default for LogOptions {
    /// The whole log of the only container.
    fn default() -> Self {
        Self { container: None, previous: false, tail_lines: None }
    }
}

impl fmt::Display for PatchDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Merge(json) | Self::Operations(json) | Self::Strategic(json) => f.write_str(json),
        }
    }
}
