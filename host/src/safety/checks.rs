//! The checks, each a small pure function that answers with a reason a person understands.
//!
//! Their order stands in [`super::clearance`] (targets) and [`super::gate`] (calls).

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::policy::{DAEMON_SET, KUBE_SYSTEM, Policy, RuleScope};
use crate::cluster::names::Namespace;

/// Which check refused; its id is part of the record and a metric's label, so it never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Check {
    NoTarget,
    InvalidName,
    KubeSystem,
    NamespaceDenied,
    NamespaceNotAllowed,
    NamespaceNotInRule,
    Stale,
    FromTheFuture,
    PodAbsent,
    NotTheAlertsPod,
    IdentityUnproven,
    MirrorPod,
    AlreadyDeleting,
    DaemonSet,
    ProtectedOwner,
    OwnerUnreadable,
    /// The alert's pod is on no node, or on one that cannot be read.
    NodeAbsent,
    /// An object without a namespace, which no list of namespaces covers.
    ClusterScoped,
    Permission,
    /// The document touches what it may not.
    Document,
    /// The object is not the one that was checked, or belongs to somebody else.
    Conflict,
    /// The brake.
    Stopped,
    OwnerBudget,
    NamespaceBudget,
    ClusterBudget,
    /// The journal takes no writes.
    Journal,
    /// Graylog has to accept the intent first, and did not.
    NotAccepted,
}

impl Check {
    pub fn id(self) -> &'static str {
        match self {
            Self::NoTarget => "no_target",
            Self::InvalidName => "invalid_name",
            Self::KubeSystem => "kube_system",
            Self::NamespaceDenied => "namespace_denied",
            Self::NamespaceNotAllowed => "namespace_not_allowed",
            Self::NamespaceNotInRule => "namespace_not_in_rule",
            Self::Stale => "stale",
            Self::FromTheFuture => "from_the_future",
            Self::PodAbsent => "pod_absent",
            Self::NotTheAlertsPod => "not_the_alerts_pod",
            Self::IdentityUnproven => "identity_unproven",
            Self::MirrorPod => "mirror_pod",
            Self::AlreadyDeleting => "already_deleting",
            Self::DaemonSet => "daemonset",
            Self::ProtectedOwner => "protected_owner",
            Self::OwnerUnreadable => "owner_unreadable",
            Self::NodeAbsent => "node_absent",
            Self::ClusterScoped => "cluster_scoped",
            Self::Permission => "permission",
            Self::Document => "document",
            Self::Conflict => "conflict",
            Self::Stopped => "stopped",
            Self::OwnerBudget => "owner_budget",
            Self::NamespaceBudget => "namespace_budget",
            Self::ClusterBudget => "cluster_budget",
            Self::Journal => "journal",
            Self::NotAccepted => "not_accepted",
        }
    }
}

/// A no, and why. `detail` holds validated names and the host's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub check: Check,
    pub detail: String,
}

impl Refusal {
    pub fn new(check: Check, detail: impl Into<String>) -> Self {
        Self { check, detail: detail.into() }
    }
}

pub type Verdict = Result<(), Refusal>;

pub fn not_kube_system(namespace: &Namespace) -> Verdict {
    if namespace.as_str() == KUBE_SYSTEM {
        return Err(Refusal::new(Check::KubeSystem, "kube-system is out of reach, whatever the configuration says"));
    }
    Ok(())
}

pub fn not_denied(namespace: &Namespace, policy: &Policy) -> Verdict {
    if policy.denied_namespaces.contains(namespace) {
        return Err(Refusal::new(Check::NamespaceDenied, format!("namespace {namespace} is in denied_namespaces")));
    }
    Ok(())
}

pub fn allowed(namespace: &Namespace, policy: &Policy) -> Verdict {
    if !policy.allowed_namespaces.contains(namespace) {
        return Err(Refusal::new(
            Check::NamespaceNotAllowed,
            format!("namespace {namespace} is not in allowed_namespaces"),
        ));
    }
    Ok(())
}

pub fn in_rule(namespace: &Namespace, rule: &RuleScope) -> Verdict {
    match &rule.namespaces {
        Some(namespaces) if !namespaces.contains(namespace) => Err(Refusal::new(
            Check::NamespaceNotInRule,
            format!("namespace {namespace} is not in the rule's own namespaces"),
        )),
        _ => Ok(()),
    }
}

/// All that a namespace is asked, in this order; denied beats allowed.
pub fn namespace(namespace: &Namespace, policy: &Policy, rule: &RuleScope) -> Verdict {
    not_kube_system(namespace)?;
    not_denied(namespace, policy)?;
    allowed(namespace, policy)?;
    in_rule(namespace, rule)
}

/// Judged by the time of receipt, so that a restart cannot turn an accepted alert stale.
pub fn fresh(alert_time: Timestamp, received_at: Timestamp, policy: &Policy) -> Verdict {
    let age = received_at.duration_since(alert_time);
    let limit = |duration: std::time::Duration| SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
    if age > limit(policy.max_alert_age) {
        let detail = format!(
            "the alert was {} s old when it came, older than max_alert_age ({} s)",
            age.as_secs(),
            policy.max_alert_age.as_secs()
        );
        return Err(Refusal::new(Check::Stale, detail));
    }
    if -age > limit(policy.max_clock_skew) {
        let detail = format!("the alert's time is {} s in the future: check the node's clock", (-age).as_secs());
        return Err(Refusal::new(Check::FromTheFuture, detail));
    }
    Ok(())
}

/// Static pods belong to their node's kubelet; deleting the mirror kills nothing.
pub fn not_a_mirror_pod(pod: &Value) -> Verdict {
    let annotated =
        pod.pointer("/metadata/annotations").and_then(|all| all.get("kubernetes.io/config.mirror")).is_some();
    let owned_by_node = pod
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array)
        .is_some_and(|owners| owners.iter().any(|owner| owner.get("kind").and_then(Value::as_str) == Some("Node")));
    if annotated || owned_by_node {
        return Err(Refusal::new(
            Check::MirrorPod,
            "the pod is a mirror of a static pod, which only its node can stop",
        ));
    }
    Ok(())
}

pub fn not_already_deleting(object: &Value) -> Verdict {
    match object.pointer("/metadata/deletionTimestamp").and_then(Value::as_str) {
        Some(since) => {
            Err(Refusal::new(Check::AlreadyDeleting, format!("already being deleted (deletionTimestamp {since})")))
        }
        None => Ok(()),
    }
}

/// `described` is `Deployment/checkout`, the owner as a person knows it.
pub fn owner_not_protected(kind: &str, described: &str, policy: &Policy) -> Verdict {
    if kind == DAEMON_SET {
        let detail = format!(
            "{described} is in the owner chain; a DaemonSet's pods are out of reach, whatever the configuration says"
        );
        return Err(Refusal::new(Check::DaemonSet, detail));
    }
    if policy.protected_owners.contains(kind) {
        return Err(Refusal::new(
            Check::ProtectedOwner,
            format!("{described} is in the owner chain, and {kind} is in protected_owners"),
        ));
    }
    Ok(())
}

#[cfg(test)]
pub mod fixtures {
    use super::*;
    use crate::cluster::names::ApiResource;
    use crate::cluster::owners::{OwnerKind, OwnerKinds};
    use std::time::Duration;

    pub fn policy() -> Policy {
        let names = |list: &[&str]| list.iter().map(|name| Namespace::parse(name).expect("valid")).collect();
        let kind = |group: &str, kind: &str, plural: &str| OwnerKind {
            kind: kind.to_owned(),
            resource: ApiResource::parse(group, "v1", plural).expect("valid"),
            top_level: false,
        };
        Policy {
            allowed_namespaces: names(&["production", "staging", "kube-system", "falco"]),
            denied_namespaces: names(&["kube-system", "falco", "monitoring"]),
            protected_owners: ["DaemonSet", "StatefulSet"].map(str::to_owned).into(),
            owner_kinds: OwnerKinds::new(vec![
                kind("apps", "ReplicaSet", "replicasets"),
                kind("apps", "Deployment", "deployments"),
                kind("apps", "StatefulSet", "statefulsets"),
                kind("apps", "DaemonSet", "daemonsets"),
                kind("batch", "Job", "jobs"),
                kind("batch", "CronJob", "cronjobs"),
            ]),
            strict_identity: false,
            max_alert_age: Duration::from_secs(300),
            max_clock_skew: Duration::from_secs(60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fixtures::policy;
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn ns(text: &str) -> Namespace {
        Namespace::parse(text).expect("valid")
    }

    fn check(verdict: Verdict) -> &'static str {
        verdict.map_or_else(|refusal| refusal.check.id(), |()| "passed")
    }

    #[test]
    fn asks_namespaces_in_order() {
        let rule = RuleScope { namespaces: Some([ns("production")].into()) };
        for (name, expected) in [
            ("production", "passed"),
            ("staging", "namespace_not_in_rule"),
            ("kube-system", "kube_system"),
            ("falco", "namespace_denied"),
            ("monitoring", "namespace_denied"),
            ("default", "namespace_not_allowed"),
        ] {
            assert_eq!(check(namespace(&ns(name), &policy(), &rule)), expected, "{name}");
        }
        assert_eq!(check(namespace(&ns("staging"), &policy(), &RuleScope::default())), "passed");
    }

    #[test]
    fn judges_age_at_receipt_both_ways() {
        let received: Timestamp = "2026-11-24T12:00:00Z".parse().expect("valid");
        for (time, expected) in [
            ("2026-11-24T11:55:00Z", "passed"),
            ("2026-11-24T11:54:59.999Z", "stale"),
            ("2026-11-24T12:01:00Z", "passed"),
            ("2026-11-24T12:01:00.001Z", "from_the_future"),
            ("1970-01-01T00:00:00Z", "stale"),
        ] {
            assert_eq!(check(fresh(time.parse().expect("valid"), received, &policy())), expected, "{time}");
        }
    }

    #[test]
    fn knows_mirror_pods_and_pods_on_their_way_out() {
        assert_eq!(
            check(not_a_mirror_pod(&json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}}))),
            "mirror_pod"
        );
        assert_eq!(
            check(not_a_mirror_pod(&json!({"metadata": {"ownerReferences": [{"kind": "Node"}]}}))),
            "mirror_pod"
        );
        assert_eq!(check(not_a_mirror_pod(&json!({"metadata": {"annotations": {"a": "b"}}}))), "passed");
        assert_eq!(
            check(not_already_deleting(&json!({"metadata": {"deletionTimestamp": "2026-11-24T12:00:00Z"}}))),
            "already_deleting"
        );
        assert_eq!(check(not_already_deleting(&json!({"metadata": {}}))), "passed");
    }

    proptest! {
        /// Whatever the lists say, kube-system and DaemonSets stay out of reach, and nothing outside of the allowed passes.
        #[test]
        fn no_configuration_opens_what_the_code_closes(
            allowed_list in prop::collection::btree_set("[a-z]{1,3}|kube-system|production", 0..6),
            denied_list in prop::collection::btree_set("[a-z]{1,3}|production", 0..6),
            protected in prop::collection::btree_set("[A-Z][a-z]{1,5}", 0..4),
            asked in "[a-z]{1,3}|kube-system|production",
            narrowed in prop::option::of(prop::collection::btree_set("[a-z]{1,3}|kube-system|production", 0..6)),
        ) {
            let set = |names: std::collections::BTreeSet<String>| names.iter().map(|name| ns(name)).collect::<std::collections::BTreeSet<_>>();
            let mut policy = policy();
            policy.allowed_namespaces = set(allowed_list);
            policy.denied_namespaces = set(denied_list);
            policy.protected_owners = protected;
            let rule = RuleScope { namespaces: narrowed.map(set) };
            let asked = ns(&asked);
            prop_assert!(namespace(&ns("kube-system"), &policy, &rule).is_err());
            prop_assert!(owner_not_protected("DaemonSet", "DaemonSet/x", &policy).is_err());
            let expected = asked.as_str() != "kube-system"
                && !policy.denied_namespaces.contains(&asked)
                && policy.allowed_namespaces.contains(&asked)
                && rule.namespaces.as_ref().is_none_or(|own| own.contains(&asked));
            prop_assert_eq!(namespace(&asked, &policy, &rule).is_ok(), expected);
        }
    }
}
