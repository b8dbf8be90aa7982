//! Names of objects and of their kinds.

use alloc::string::String;

pub use crate::bindings::falco_response::plugin::types::{ApiResource, ObjectRef};

/// A kind of object, known when the action is written: what [`ApiResource`] is at run time.
///
/// ```
/// # use falco_response_sdk::{ApiResource, Kind};
/// let leases = ApiResource::from(Kind::new("coordination.k8s.io", "v1", "leases"));
/// assert_eq!(leases.group, "coordination.k8s.io");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// "" for the core group.
    pub group: &'static str,
    /// `v1`; of an object that the alert is about it has to be the one that the controller uses.
    pub version: &'static str,
    /// As in URLs: `networkpolicies`.
    pub plural: &'static str,
}

/// The kinds that actions most often name.
///
/// ```
/// # use falco_response_sdk::kinds;
/// let evidence = kinds::CONFIG_MAPS.in_namespace("shop", "evidence");
/// ```
#[allow(missing_docs, reason = "their names and values say what they are")]
pub mod kinds {
    use super::Kind;

    pub const CONFIG_MAPS: Kind = Kind::new("", "v1", "configmaps");
    pub const DAEMON_SETS: Kind = Kind::new("apps", "v1", "daemonsets");
    pub const DEPLOYMENTS: Kind = Kind::new("apps", "v1", "deployments");
    pub const EVENTS: Kind = Kind::new("", "v1", "events");
    pub const NAMESPACES: Kind = Kind::new("", "v1", "namespaces");
    pub const NETWORK_POLICIES: Kind = Kind::new("networking.k8s.io", "v1", "networkpolicies");
    pub const NODES: Kind = Kind::new("", "v1", "nodes");
    pub const PODS: Kind = Kind::new("", "v1", "pods");
    pub const SECRETS: Kind = Kind::new("", "v1", "secrets");
}

impl Kind {
    /// Group, version and plural, as in URLs; a subresource after a slash.
    ///
    /// ```
    /// # use falco_response_sdk::Kind;
    /// const ROLLOUTS: Kind = Kind::new("argoproj.io", "v1alpha1", "rollouts");
    /// ```
    pub const fn new(group: &'static str, version: &'static str, plural: &'static str) -> Self {
        Self { group, version, plural }
    }

    /// One object of this kind in a namespace, whichever it is: no UID.
    ///
    /// ```
    /// # use falco_response_sdk::kinds;
    /// let policy = kinds::NETWORK_POLICIES.in_namespace("shop", "falco-emergency-isolation");
    /// assert_eq!(policy.namespace.as_deref(), Some("shop"));
    /// assert_eq!(policy.uid, None);
    /// ```
    pub fn in_namespace(self, namespace: impl Into<String>, name: impl Into<String>) -> ObjectRef {
        ObjectRef { resource: self.into(), namespace: Some(namespace.into()), name: name.into(), uid: None }
    }

    /// One object of a kind that lives in no namespace: a node, a namespace itself.
    ///
    /// ```
    /// # use falco_response_sdk::kinds;
    /// assert_eq!(kinds::NODES.cluster_wide("n1").namespace, None);
    /// ```
    pub fn cluster_wide(self, name: impl Into<String>) -> ObjectRef {
        ObjectRef { resource: self.into(), namespace: None, name: name.into(), uid: None }
    }
}

impl From<Kind> for ApiResource {
    fn from(kind: Kind) -> Self {
        Self { group: kind.group.into(), version: kind.version.into(), plural: kind.plural.into() }
    }
}
