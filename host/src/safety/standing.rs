//! How what a manifest declares stands before anybody has granted anything: granted by default, in part, or not at all.
//!
//! For those who look at a plugin; the gate judges calls, by the same table.

use super::defaults::{DEFAULT_GRANTS, DefaultGrant, Object, Only};
use super::permissions::{Permission, Scope, Verb};

/// One verb on one resource, as a manifest declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared<'a> {
    pub group: &'a str,
    /// Plural, with a subresource after a slash.
    pub resource: &'a str,
    pub verb: Verb,
    pub standing: Standing,
}

/// Groups of what usually owns pods.
const WORKLOADS: [&str; 2] = ["apps", "batch"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Every plugin that declares it has it.
    Default,
    /// Of what is declared, only this; the rest needs a grant.
    Part(Vec<String>),
    /// Needs a grant.
    Grant,
    /// No call could ever be covered, granted or not.
    Nothing(&'static str),
}

impl Permission {
    /// In the order of the manifest.
    pub fn declared(&self) -> impl Iterator<Item = Declared<'_>> {
        self.calls().map(|(group, resource, verb)| {
            let standing = self.standing(group, resource, verb);
            Declared { group, resource, verb, standing }
        })
    }

    fn standing(&self, group: &str, resource: &str, verb: Verb) -> Standing {
        if verb == Verb::List && !self.resource_names.is_empty() {
            return Standing::Nothing("a list has no name, and resourceNames are declared");
        }
        let mut parts = Vec::new();
        for default in DEFAULT_GRANTS.iter().filter(|default| default.is_of(group, resource, verb)) {
            let Some(mut limits) = default.only.limits(self) else { continue };
            if !within(self.scope, default.scope) {
                // Any kind may own a pod; few do, and nobody asks for secrets in order to read owners.
                let far = default.object == Object::Whole && !WORKLOADS.contains(&group);
                if far || !within(default.scope, self.scope) {
                    continue;
                }
                limits.insert(0, place(default.scope).to_owned());
            }
            if limits.is_empty() {
                return Standing::Default;
            }
            parts.push(limits.join(", "));
        }
        if parts.is_empty() { Standing::Grant } else { Standing::Part(parts) }
    }
}

impl DefaultGrant {
    fn is_of(&self, group: &str, resource: &str, verb: Verb) -> bool {
        let object = match self.object {
            Object::Of(own, plural) => own == group && plural == resource,
            Object::Whole => !resource.contains('/'),
        };
        object && self.verb == verb
    }
}

impl Only {
    /// What a default grant leaves out of what is declared; none where it grants nothing of it.
    fn limits(self, declared: &Permission) -> Option<Vec<String>> {
        let mut limits = Vec::new();
        if let Some(names) = self.names(declared) {
            if names.is_empty() {
                return None;
            }
            if names.len() < declared.resource_names.len() {
                limits.push(format!("named {}", names.join(", ")));
            }
        }
        match self {
            Self::Anything | Self::OwnName => {}
            Self::Metadata => limits.push("metadata only".to_owned()),
            Self::OwnNameClosing => limits.push("without force, and allowing nothing".to_owned()),
            Self::FreeMetadata => {
                limits.push("merge patches that add labels and annotations nobody else lives by".to_owned());
            }
        }
        Some(limits)
    }
}

/// Whether all that one scope reaches lies within another.
fn within(inner: Scope, outer: Scope) -> bool {
    match (inner, outer) {
        (_, Scope::Cluster) | (Scope::Target | Scope::Owners, Scope::Namespace) => true,
        _ => inner == outer,
    }
}

fn place(scope: Scope) -> &'static str {
    match scope {
        Scope::Target => "of the target",
        Scope::Owners => "of its owners",
        Scope::Namespace => "in the target's namespace",
        Scope::Node => "of its node",
        Scope::Cluster => "anywhere",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(permission: &str) -> Vec<Standing> {
        let permission: Permission = serde_json::from_str(permission).unwrap();
        permission.declared().map(|declared| declared.standing).collect()
    }

    fn part(text: &str) -> Standing {
        Standing::Part(vec![text.to_owned()])
    }

    #[test]
    fn what_kill_pod_asks_for_needs_no_grant() {
        let permission = r#"{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "delete"], "scope": "target"}"#;
        assert_eq!(standing(permission), [Standing::Default, Standing::Default]);
    }

    #[test]
    fn a_patch_is_granted_as_far_as_it_adds_labels() {
        let permission = r#"{"apiGroups": [""], "resources": ["pods"], "verbs": ["patch"], "scope": "target"}"#;
        assert_eq!(standing(permission), [part("merge patches that add labels and annotations nobody else lives by")]);
    }

    #[test]
    fn a_wider_scope_is_granted_as_far_as_the_narrower_one_reaches() {
        let permission =
            r#"{"apiGroups": [""], "resources": ["pods"], "verbs": ["delete", "list"], "scope": "namespace"}"#;
        assert_eq!(standing(permission), [part("of the target"), part("metadata only")]);
        let permission =
            r#"{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"], "scope": "cluster"}"#;
        assert_eq!(standing(permission), [part("of its owners")]);
    }

    #[test]
    fn network_policies_are_granted_by_their_names() {
        let with = |names: &str| {
            let names = if names.is_empty() { String::new() } else { format!(r#""resourceNames": [{names}],"#) };
            format!(
                r#"{{"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": ["get", "create"],
                    {names} "scope": "namespace"}}"#
            )
        };
        let closing = || part("without force, and allowing nothing");
        assert_eq!(standing(&with("")), [Standing::Grant, Standing::Grant]);
        assert_eq!(standing(&with(r#""mine""#)), [Standing::Grant, Standing::Grant]);
        assert_eq!(standing(&with(r#""falco-a""#)), [Standing::Default, closing()]);
        let both = standing(&with(r#""falco-a", "mine""#));
        assert_eq!(both, [part("named falco-a"), part("named falco-a, without force, and allowing nothing")]);
    }

    #[test]
    fn what_nobody_gets_by_default_needs_a_grant() {
        for resource in ["secrets", "pods/log", "serviceaccounts"] {
            let permission = format!(
                r#"{{"apiGroups": [""], "resources": ["{resource}"], "verbs": ["get"], "scope": "namespace"}}"#
            );
            assert_eq!(standing(&permission), [Standing::Grant], "{resource}");
        }
    }

    #[test]
    fn a_list_with_names_covers_nothing() {
        let permission = r#"{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"], "resourceNames": ["a"],
            "scope": "namespace"}"#;
        assert!(matches!(standing(permission)[..], [Standing::Nothing(_)]));
    }
}
