//! Which kinds the simulated cluster serves: the usual built-in ones, and what CustomResourceDefinitions add.

use serde_json::Value;

/// Group, version, kind, plural, and whether its objects live in a namespace.
const BUILT_IN: &[(&str, &str, &str, &str, bool)] = &[
    ("", "v1", "ConfigMap", "configmaps", true),
    ("", "v1", "Event", "events", true),
    ("", "v1", "Namespace", "namespaces", false),
    ("", "v1", "Node", "nodes", false),
    ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", true),
    ("", "v1", "Pod", "pods", true),
    ("", "v1", "ReplicationController", "replicationcontrollers", true),
    ("", "v1", "Secret", "secrets", true),
    ("", "v1", "Service", "services", true),
    ("", "v1", "ServiceAccount", "serviceaccounts", true),
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", false),
    ("apps", "v1", "DaemonSet", "daemonsets", true),
    ("apps", "v1", "Deployment", "deployments", true),
    ("apps", "v1", "ReplicaSet", "replicasets", true),
    ("apps", "v1", "StatefulSet", "statefulsets", true),
    ("batch", "v1", "CronJob", "cronjobs", true),
    ("batch", "v1", "Job", "jobs", true),
    ("networking.k8s.io", "v1", "Ingress", "ingresses", true),
    ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", true),
    ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", true),
    ("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", false),
    ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", false),
    ("rbac.authorization.k8s.io", "v1", "Role", "roles", true),
    ("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", true),
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    pub group: String,
    pub version: String,
    pub kind: String,
    pub plural: String,
    pub namespaced: bool,
    /// From a CustomResourceDefinition: no schema, no status of its own.
    pub custom: bool,
}

impl Kind {
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `pods`, `deployments.apps`: how the API server names the resource in an error.
    pub fn resource(&self) -> String {
        qualified(&self.plural, &self.group)
    }

    /// `Pod`, `Deployment.apps`: how it names the kind in an error.
    pub fn qualified_kind(&self) -> String {
        qualified(&self.kind, &self.group)
    }

    pub fn is(&self, group: &str, plural: &str) -> bool {
        self.group == group && self.plural == plural
    }

    pub fn is_pod(&self) -> bool {
        self.is("", "pods")
    }

    pub fn is_event(&self) -> bool {
        self.is("", "events")
    }

    pub fn is_namespace(&self) -> bool {
        self.is("", "namespaces")
    }

    /// Whether its objects count the changes of what they ask for.
    pub fn has_generation(&self) -> bool {
        let counts = ["apiextensions.k8s.io", "apps", "batch", "networking.k8s.io", "policy"];
        self.custom || counts.contains(&self.group.as_str()) || self.is_pod() || self.is("", "replicationcontrollers")
    }

    pub fn is_network_policy(&self) -> bool {
        self.is("networking.k8s.io", "networkpolicies")
    }
}

pub fn qualified(name: &str, group: &str) -> String {
    if group.is_empty() { name.to_owned() } else { format!("{name}.{group}") }
}

#[derive(Debug, Clone)]
pub struct Kinds(Vec<Kind>);

impl Kinds {
    pub fn built_in() -> Self {
        let kind = |&(group, version, kind, plural, namespaced): &(&str, &str, &str, &str, bool)| Kind {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
            namespaced,
            custom: false,
        };
        Self(BUILT_IN.iter().map(kind).collect())
    }

    /// Adds every served version that a CustomResourceDefinition names.
    ///
    /// # Errors
    /// Which field it lacks.
    pub fn define(&mut self, definition: &Value) -> Result<(), String> {
        let text = |pointer: &str| {
            let found = definition.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
            found.ok_or_else(|| format!("the CustomResourceDefinition lacks `{}`", pointer[1..].replace('/', ".")))
        };
        let (group, kind, plural) = (text("/spec/group")?, text("/spec/names/kind")?, text("/spec/names/plural")?);
        let namespaced = match text("/spec/scope")?.as_str() {
            "Namespaced" => true,
            "Cluster" => false,
            other => return Err(format!("`spec.scope` is `{other}`, write `Namespaced` or `Cluster`")),
        };
        let versions = definition.pointer("/spec/versions").and_then(Value::as_array);
        for version in versions.ok_or("the CustomResourceDefinition lacks `spec.versions`")? {
            let name = version["name"].as_str().ok_or("a version of the CustomResourceDefinition has no `name`")?;
            if version["served"].as_bool() == Some(false) || self.by_path(&group, name, &plural).is_some() {
                continue;
            }
            self.0.push(Kind {
                group: group.clone(),
                version: name.to_owned(),
                kind: kind.clone(),
                plural: plural.clone(),
                namespaced,
                custom: true,
            });
        }
        Ok(())
    }

    /// Adds a kind of which no more is known than how it is called: it is taken as it comes.
    pub fn learn(&mut self, kind: Kind) {
        if self.by_path(&kind.group, &kind.version, &kind.plural).is_none() {
            self.0.push(kind);
        }
    }

    pub fn by_kind(&self, api_version: &str, kind: &str) -> Option<&Kind> {
        self.0.iter().find(|known| known.kind == kind && known.api_version() == api_version)
    }

    /// By what RBAC and people call it: `pods`, `deployments.apps`.
    pub fn by_resource(&self, resource: &str) -> Option<&Kind> {
        self.0.iter().find(|known| known.resource() == resource)
    }

    pub fn by_path(&self, group: &str, version: &str, plural: &str) -> Option<&Kind> {
        self.0.iter().find(|known| known.group == group && known.version == version && known.plural == plural)
    }
}
