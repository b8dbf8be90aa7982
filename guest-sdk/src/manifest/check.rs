//! What the controller would refuse a manifest for, said by the compiler at the line that says it.
//!
//! The controller checks again: a component may come from anywhere.

use super::{Manifest, Permission, Scope, Target, Verb};

#[track_caller]
pub(super) const fn name(name: &str) {
    let name = name.as_bytes();
    assert!(!name.is_empty() && name.len() <= 63, "an action's name has 1 to 63 bytes");
    assert!(name[0].is_ascii_lowercase(), "an action's name begins with a lower-case letter, like `kill_pod`");
    let mut i = 0;
    while i < name.len() {
        assert!(
            name[i].is_ascii_lowercase() || name[i].is_ascii_digit() || name[i] == b'_',
            "an action's name has only lower-case letters, digits and `_`: `kill_pod`, not `kill-pod` or `KillPod`"
        );
        i += 1;
    }
}

#[track_caller]
pub(super) const fn summary(summary: &str) {
    let summary = summary.as_bytes();
    assert!(!summary.trim_ascii().is_empty(), "the summary is empty: say in one sentence what the action does");
    assert!(summary.len() <= 512, "the summary has more than 512 bytes: one sentence will do");
    let mut i = 0;
    while i < summary.len() {
        assert!(summary[i] >= b' ', "the summary has a line break or another control character: write it on one line");
        i += 1;
    }
}

#[track_caller]
pub(super) const fn permission(permission: &Permission) {
    assert!(!permission.api_groups.is_empty(), "a permission names no API group: write &[\"\"] for the core group");
    assert!(!permission.verbs.is_empty(), "a permission names no verb: &[Verb::Get]");
    assert!(!permission.resources.is_empty(), "a permission names no resource: plurals, like &[\"pods\"]");
    let mut i = 0;
    while i < permission.resources.len() {
        resource(permission.resources[i]);
        i += 1;
    }
}

#[track_caller]
const fn resource(resource: &str) {
    let resource = resource.as_bytes();
    assert!(!resource.is_empty(), "a resource is an empty text: write its plural, like \"pods\"");
    let mut i = 0;
    while i < resource.len() {
        assert!(resource[i] != b'*', "a permission has no wildcards: name each resource");
        assert!(
            resource[i].is_ascii_lowercase()
                || resource[i].is_ascii_digit()
                || resource[i] == b'/'
                || resource[i] == b'-',
            "a resource is a plural as in URLs, like \"networkpolicies\" or \"pods/eviction\": not a kind, and no group"
        );
        i += 1;
    }
}

#[track_caller]
pub(super) const fn names(names: &[&str], verbs: &[Verb]) {
    assert!(!names.is_empty(), "named(&[]) names nothing: leave it out where any name will do");
    let mut i = 0;
    while i < verbs.len() {
        assert!(
            !matches!(verbs[i], Verb::List),
            "a list has no name, so a named permission never covers one: declare Verb::List in a permission without names"
        );
        i += 1;
    }
}

/// What only the whole manifest shows. Called by `export_action!`, natively as well.
#[track_caller]
pub const fn whole(manifest: &Manifest) {
    if !matches!(manifest.target, Target::None) {
        return;
    }
    let mut i = 0;
    while i < manifest.permissions.len() {
        assert!(
            matches!(manifest.permissions[i].scope, Scope::Cluster),
            "a permission reaches as far as the target, and the manifest names none: add .target(Target::Pods)"
        );
        i += 1;
    }
}
