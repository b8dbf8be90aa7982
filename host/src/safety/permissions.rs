//! What an action may ask of the cluster: declared in its manifest, granted by default or by the operator.

use serde::{Deserialize, Serialize};

/// RBAC's verbs, as far as the host offers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    Get,
    List,
    Create,
    Patch,
    Delete,
}

/// How far a permission reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The object that the alert is about.
    Target,
    /// Its controllers.
    Owners,
    /// Objects in the target's namespace.
    Namespace,
    /// The target pod's node.
    Node,
    Cluster,
}

/// One permission: RBAC's rule plus a scope. The same shape stands in a manifest (`permissions`) and in the
/// configuration (`plugins.grants`), where `fields` may widen what a patch touches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Permission {
    #[serde(default)]
    pub api_groups: Vec<String>,
    /// Plural, with a subresource after a slash: `pods/eviction`.
    pub resources: Vec<String>,
    pub verbs: Vec<Verb>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    pub scope: Scope,
    /// Only in grants: further paths that a patch or apply may touch, `spec.replicas`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
}
