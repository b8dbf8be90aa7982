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
///
/// ```
/// # use falco_response_sdk::{Manifest, Target};
/// const MANIFEST: Manifest = Manifest::new("isolate", "Isolates the alert's namespace.").target(Target::Namespaces);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The alert's pod, with its owners.
    Pods,
    /// The alert's namespace; its pod may be gone.
    Namespaces,
    /// The node that the alert's pod runs on. Of it only `spec.unschedulable` can be changed, and labels and annotations below
    /// `falco-response/`; each needs a grant.
    Nodes,
    /// The alert alone; [`Request::target`](crate::Request::target) traps.
    None,
}

/// RBAC's verbs, as far as the controller offers them. `apply` needs `patch`, and `create` where the object may be
/// absent; an eviction is `create` on `pods/eviction`; logs are `get` on `pods/log`.
///
/// ```
/// # use falco_response_sdk::{Permission, Scope, Verb};
/// const EVICT: Permission = Permission::core(&["pods/eviction"], &[Verb::Create], Scope::Target);
/// const LOGS: Permission = Permission::core(&["pods/log"], &[Verb::Get], Scope::Target);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// [`Cluster::get`](crate::Cluster::get), and logs.
    Get,
    /// [`Cluster::query`](crate::Cluster::query).
    List,
    /// [`Cluster::create`](crate::Cluster::create), evictions, and an apply of what is not there.
    Create,
    /// [`Cluster::patch`](crate::Cluster::patch), and every apply.
    Patch,
    /// [`Cluster::delete`](crate::Cluster::delete).
    Delete,
}

/// How far a permission reaches. The narrower, the less an operator has to think about.
///
/// ```
/// # use falco_response_sdk::{Permission, Scope, Verb};
/// // The alert's own pod, and the Deployment above it.
/// const NEEDS: &[Permission] = &[
///     Permission::core(&["pods"], &[Verb::Delete], Scope::Target),
///     Permission::new(&["apps"], &["deployments"], &[Verb::Get], Scope::Owners),
/// ];
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The object that the alert is about.
    Target,
    /// Its controllers.
    Owners,
    /// Objects in the target's namespace.
    Namespace,
    /// The node of the alert's pod, and the pods that run there: those that a list selects by `spec.nodeName`, and those that
    /// are changed one by one.
    Node,
    /// Any object, but for what the controller's safety checks keep out of reach.
    Cluster,
}

/// A rule as in RBAC, and how far it reaches. Declaring one does not grant it: a few are granted by default, the others by
/// the operator. Build it with [`Permission::core`] or [`Permission::new`].
///
/// ```
/// # use falco_response_sdk::{Permission, Scope, Verb};
/// const NEEDS: &[Permission] = &[Permission::core(&["pods"], &[Verb::Get, Verb::Delete], Scope::Target)];
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permission {
    /// "" is the core group.
    pub api_groups: &'static [&'static str],
    /// Plurals, with a subresource after a slash: `pods/eviction`.
    pub resources: &'static [&'static str],
    /// What may be done to them.
    pub verbs: &'static [Verb],
    /// Only objects of these names; empty for any.
    pub resource_names: &'static [&'static str],
    /// To which of them.
    pub scope: Scope,
}

/// A method of requests to servers outside of the cluster.
///
/// ```
/// # use falco_response_sdk::{Manifest, Method};
/// const MANIFEST: Manifest = Manifest::new("tell", "Tells a hook of the alert.").http(&[Method::Post]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// `GET`
    Get,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
}

impl Method {
    /// As a request has it.
    ///
    /// ```
    /// # use falco_response_sdk::Method;
    /// assert_eq!(Method::Post.as_str(), "POST");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// What an action is and what it needs. Build it with [`Manifest::new`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manifest {
    /// As rules name it: `kill_pod`.
    pub name: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// What the controller finds, proves to be the alert's and clears before the action runs.
    pub target: Target,
    /// All that it may do.
    pub permissions: &'static [Permission],
    /// The methods of its requests to servers outside; which servers those are the operator says.
    pub http: &'static [Method],
    /// Whether the person on call is paged when the action changed something.
    pub pages: bool,
    /// Whether it may be run again for the same alert.
    pub repeatable: bool,
}

impl Permission {
    /// On resources of the core group.
    #[track_caller]
    /// ```
    /// # use falco_response_sdk::{Manifest, Permission, Scope, Target, Verb};
    /// const PODS: Permission = Permission::core(&["pods"], &[Verb::Delete], Scope::Target);
    /// assert_eq!(PODS.api_groups, [""]);
    /// ```
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
    /// ```
    /// # use falco_response_sdk::{Manifest, Permission, Scope, Target, Verb};
    /// const MINE: Permission = Permission::core(&["configmaps"], &[Verb::Create], Scope::Namespace).named(&["evidence"]);
    /// ```
    pub const fn named(self, resource_names: &'static [&'static str]) -> Self {
        check::names(resource_names, self.verbs);
        Self { resource_names, ..self }
    }
}

impl Manifest {
    /// An action that works on the alert alone, needs no permission, does not page and is run once.
    #[track_caller]
    /// ```
    /// # use falco_response_sdk::{Manifest, Permission, Scope, Target, Verb};
    /// const MANIFEST: Manifest = Manifest::new("tell", "Notes that there was an alert.");
    /// assert_eq!(MANIFEST.target, Target::None);
    /// ```
    pub const fn new(name: &'static str, summary: &'static str) -> Self {
        check::name(name);
        check::summary(summary);
        Self { name, summary, target: Target::None, permissions: &[], http: &[], pages: false, repeatable: false }
    }

    /// What it works on.
    ///
    /// ```
    /// # use falco_response_sdk::{Manifest, Permission, Scope, Target, Verb};
    /// const MANIFEST: Manifest = Manifest::new("label", "Labels the pod.").target(Target::Pods);
    /// ```
    pub const fn target(self, target: Target) -> Self {
        Self { target, ..self }
    }

    /// All that it may do, instead of nothing.
    ///
    /// ```
    /// # use falco_response_sdk::{Manifest, Permission, Scope, Target, Verb};
    /// const MANIFEST: Manifest = Manifest::new("kill", "Deletes the pod.")
    ///     .target(Target::Pods)
    ///     .permissions(&[Permission::core(&["pods"], &[Verb::Delete], Scope::Target)]);
    /// ```
    pub const fn permissions(self, permissions: &'static [Permission]) -> Self {
        Self { permissions, ..self }
    }

    /// That it sends requests with these methods to servers outside of the cluster.
    ///
    /// ```
    /// # use falco_response_sdk::{Manifest, Method, Target};
    /// const MANIFEST: Manifest = Manifest::new("tell", "Tells a hook of the alert.").target(Target::None).http(&[Method::Post]);
    /// ```
    pub const fn http(self, methods: &'static [Method]) -> Self {
        Self { http: methods, ..self }
    }

    /// Page the person on call when the action changed something.
    ///
    /// ```
    /// # use falco_response_sdk::{Manifest, Permission, Scope, Target, Verb};
    /// const MANIFEST: Manifest = Manifest::new("isolate", "Isolates the namespace.").target(Target::Namespaces).pages();
    /// ```
    pub const fn pages(self) -> Self {
        Self { pages: true, ..self }
    }

    /// The action may be run again for the same alert: doing it twice is as good as once.
    ///
    /// ```
    /// # use falco_response_sdk::{Manifest, Permission, Scope, Target, Verb};
    /// const MANIFEST: Manifest = Manifest::new("kill", "Deletes the pod.").target(Target::Pods).repeatable();
    /// ```
    pub const fn repeatable(self) -> Self {
        Self { repeatable: true, ..self }
    }
}
