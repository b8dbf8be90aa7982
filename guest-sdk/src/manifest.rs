//! The manifest: what the controller and the operator learn about an action without running it.
//!
//! Written as a `const` and turned into JSON by the compiler ([`render`]), since it has to stand in the component as
//! bytes: a plugin cannot declare one thing when it is looked at and another in production.

#[doc(hidden)]
pub mod check;
#[doc(hidden)]
pub mod render;
#[cfg(test)]
mod tests;

/// What kind of object an action works on. The controller finds it, proves that it is the alert's, and clears it before
/// the action runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Pods,
    Namespaces,
    Nodes,
    /// The alert alone; [`Request::target`](crate::Request::target) traps.
    None,
}

/// RBAC's verbs, as far as the controller offers them. `apply` needs `patch`, and `create` where the object may be
/// absent; an eviction is `create` on `pods/eviction`; logs are `get` on `pods/log`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Get,
    List,
    Create,
    Patch,
    Delete,
}

/// How far a permission reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// A rule as in RBAC, and how far it reaches. Declaring one does not grant it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permission {
    /// "" is the core group.
    pub api_groups: &'static [&'static str],
    /// Plurals, with a subresource after a slash: `pods/eviction`.
    pub resources: &'static [&'static str],
    pub verbs: &'static [Verb],
    /// Only objects of these names; empty for any.
    pub resource_names: &'static [&'static str],
    pub scope: Scope,
}

/// What an action is and what it needs. Build it with [`Manifest::new`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manifest {
    /// As rules name it: `kill_pod`.
    pub name: &'static str,
    /// One sentence.
    pub summary: &'static str,
    pub target: Target,
    pub permissions: &'static [Permission],
    /// Whether the person on call is paged when the action changed something.
    pub pages: bool,
    /// Whether it may be run again for the same alert.
    pub repeatable: bool,
}

impl Permission {
    /// On resources of the core group.
    #[track_caller]
    pub const fn core(resources: &'static [&'static str], verbs: &'static [Verb], scope: Scope) -> Self {
        Self::new(&[""], resources, verbs, scope)
    }

    /// On resources of these groups.
    ///
    /// ```
    /// # use falco_response_sdk::{Permission, Scope, Verb};
    /// const POLICY: Permission =
    ///     Permission::new(&["networking.k8s.io"], &["networkpolicies"], &[Verb::Get], Scope::Namespace).named(&["mine"]);
    /// ```
    #[track_caller]
    pub const fn new(
        api_groups: &'static [&'static str],
        resources: &'static [&'static str],
        verbs: &'static [Verb],
        scope: Scope,
    ) -> Self {
        let permission = Self { api_groups, resources, verbs, resource_names: &[], scope };
        check::permission(&permission);
        permission
    }

    /// Only on objects of these names.
    #[track_caller]
    pub const fn named(self, resource_names: &'static [&'static str]) -> Self {
        check::names(resource_names, self.verbs);
        Self { resource_names, ..self }
    }
}

impl Manifest {
    /// An action that works on the alert alone, needs no permission, does not page and is run once.
    #[track_caller]
    pub const fn new(name: &'static str, summary: &'static str) -> Self {
        check::name(name);
        check::summary(summary);
        Self { name, summary, target: Target::None, permissions: &[], pages: false, repeatable: false }
    }

    pub const fn target(self, target: Target) -> Self {
        Self { target, ..self }
    }

    pub const fn permissions(self, permissions: &'static [Permission]) -> Self {
        Self { permissions, ..self }
    }

    /// Page the person on call when the action changed something.
    pub const fn pages(self) -> Self {
        Self { pages: true, ..self }
    }

    /// The action may be run again for the same alert: doing it twice is as good as once.
    pub const fn repeatable(self) -> Self {
        Self { repeatable: true, ..self }
    }
}
