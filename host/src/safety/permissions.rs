//! What an action may ask of the cluster: declared in its manifest, granted by default or by the operator.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::checks::{Check, Refusal};
use super::defaults::DEFAULT_GRANTS;
use super::document::{Form, Path, Touched};
use super::fields::{self, LIFE_AND_DEATH, STRATEGIC};
use super::{denials, free};
use crate::cluster::names::{ApiResource, ObjectName};

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

impl Verb {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Create => "create",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }

    /// Whether it changes anything.
    pub fn writes(self) -> bool {
        matches!(self, Self::Create | Self::Patch | Self::Delete)
    }
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
    /// Only in grants: further [fields](super::fields) that a patch or apply may touch, `spec.replicas`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
}

/// One call as permissions see it.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    pub verb: Verb,
    pub resource: &'a ApiResource,
    /// None for lists and for creates without a name.
    pub name: Option<&'a ObjectName>,
    pub reach: Reach,
    /// Only `apiVersion`, `kind` and `metadata` are asked for.
    pub metadata_only: bool,
    /// What is written; empty for what writes no document.
    pub touched: Option<&'a Touched>,
    /// The document of an apply or create.
    pub manifest: Option<&'a Value>,
    /// The object as it is, where labels are written.
    pub current: &'a Value,
    pub force: bool,
}

/// How the object of a call relates to the run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reach {
    pub is_target: bool,
    pub is_owner: bool,
    pub in_namespace: bool,
    pub is_node: bool,
}

impl Reach {
    pub(super) fn within(self, scope: Scope) -> bool {
        match scope {
            Scope::Target => self.is_target,
            Scope::Owners => self.is_owner,
            Scope::Namespace => self.in_namespace,
            Scope::Node => self.is_node,
            Scope::Cluster => true,
        }
    }

    /// The narrowest scope that a grant for this call would need.
    pub(super) fn scope(self) -> Scope {
        [Scope::Target, Scope::Owners, Scope::Namespace, Scope::Node]
            .into_iter()
            .find(|scope| self.within(*scope))
            .unwrap_or(Scope::Cluster)
    }
}

/// What a plugin may do: both what it declares and what is granted must permit a call.
#[derive(Debug, Clone, Default)]
pub struct Permissions {
    pub declared: Vec<Permission>,
    pub granted: Vec<Permission>,
}

impl Permissions {
    /// # Errors
    /// Names what is missing, and the `grants:` line that would allow it where a grant can.
    pub fn permit(&self, action: &str, call: &Call) -> Result<(), Refusal> {
        #[cfg(any(test, feature = "faults"))]
        if crate::faults::is("gate_off") {
            return Ok(());
        }
        let refuse = |detail| Err(Refusal::new(Check::Permission, detail));
        let declared: Vec<_> = self.declared.iter().filter(|permission| permission.covers(call)).collect();
        if declared.is_empty() {
            return refuse(denials::undeclared(action, call));
        }
        if declared.iter().any(|permission| DEFAULT_GRANTS.iter().any(|default| default.permits(call, permission))) {
            return Ok(());
        }
        let grants: Vec<_> = self.granted.iter().filter(|permission| permission.covers(call)).collect();
        if grants.iter().any(|grant| grant.covers_paths(call)) {
            return Ok(());
        }
        // An apply creates what is not there: where the action means to, one line allows both.
        let creates = Call { verb: Verb::Create, ..call.clone() };
        let applies = call.verb == Verb::Patch && call.manifest.is_some();
        let both = applies && self.declared.iter().any(|permission| permission.covers(&creates));
        let verbs: &[Verb] = if both { &[Verb::Create, Verb::Patch] } else { &[call.verb] };
        refuse(denials::not_granted(action, call, verbs, grants.is_empty()))
    }
}

/// Whether a strategic patch says there what is to happen, such as `$patch: replace`.
pub(super) fn is_directive(path: &Path) -> bool {
    path.iter().any(|part| part.starts_with('$'))
}

impl Scope {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Target => "target",
            Self::Owners => "owners",
            Self::Namespace => "namespace",
            Self::Node => "node",
            Self::Cluster => "cluster",
        }
    }
}

impl Permission {
    /// Group, resource and verb of every kind of call that it names.
    pub fn calls(&self) -> impl Iterator<Item = (&str, &str, Verb)> {
        self.api_groups.iter().flat_map(move |group| {
            self.resources
                .iter()
                .flat_map(move |resource| self.verbs.iter().map(move |verb| (group.as_str(), resource.as_str(), *verb)))
        })
    }

    /// Whether it names calls of that kind; whose object it is is judged apart.
    pub fn names(&self, group: &str, resource: &str, verb: Verb) -> bool {
        self.verbs.contains(&verb)
            && self.api_groups.iter().any(|own| own == group)
            && self.resources.iter().any(|own| own == resource)
    }

    /// Verb, resource, name and scope; what is written is judged apart.
    fn covers(&self, call: &Call) -> bool {
        self.names(call.resource.group(), &call.resource.rbac_name(), call.verb)
            && (self.resource_names.is_empty()
                || call.name.is_some_and(|name| self.resource_names.iter().any(|own| own == name.as_str())))
            && call.reach.within(self.scope)
    }

    /// A grant without `fields` covers labels and annotations; each further path is named, and what kills by itself
    /// must be named exactly.
    fn covers_paths(&self, call: &Call) -> bool {
        let Some(touched) = call.touched else { return true };
        if touched.form == Form::Strategic && !self.fields.iter().any(|field| field == STRATEGIC) {
            return false;
        }
        touched.paths.iter().all(|path| {
            if is_directive(path) {
                return false;
            }
            if let Some(field) = LIFE_AND_DEATH.iter().find(|field| fields::reaches(path, field)) {
                return self.fields.iter().any(|own| own == field) && fields::lies_in(path, field);
            }
            self.fields.iter().any(|field| fields::lies_in(path, field)) || free::is_free_metadata(path, call.current)
        })
    }
}
