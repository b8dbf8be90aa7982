//! What the operator allows, in the words that the checks use.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::cluster::names::Namespace;
use crate::cluster::owners::OwnerKinds;

/// The one namespace that is out of reach whatever the configuration says.
pub const KUBE_SYSTEM: &str = "kube-system";
/// The one kind of owner that is protected whatever the configuration says.
pub const DAEMON_SET: &str = "DaemonSet";

#[derive(Debug, Clone)]
pub struct Policy {
    pub allowed_namespaces: BTreeSet<Namespace>,
    pub denied_namespaces: BTreeSet<Namespace>,
    /// Kinds.
    pub protected_owners: BTreeSet<String>,
    pub owner_kinds: OwnerKinds,
    /// Whether only a pod UID or a container id proves that a pod is the alert's.
    pub strict_identity: bool,
    pub max_alert_age: Duration,
    /// How far in the future an alert may be.
    pub max_clock_skew: Duration,
}

/// What one rule allows on top of the policy: less, never more.
#[derive(Debug, Clone, Default)]
pub struct RuleScope {
    /// None: as the policy.
    pub namespaces: Option<BTreeSet<Namespace>>,
}
