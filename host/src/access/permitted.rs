//! What the plugins of a configuration may do in effect, and where: by rule, action and namespace.

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::names::{ApiResource, Namespace};
use crate::config::{Config, Problem};
use crate::plugins::manifest::{Manifest, Target};
use crate::respond::rules;
use crate::safety::checks;
use crate::safety::effective::Effective;
use crate::safety::isolation::PREFIX;
use crate::safety::permissions::{Permissions, Scope, Verb};
use crate::safety::policy::{Policy, RuleScope};

/// The manifests that a configuration's actions are looked up in, by the action's name.
pub type Manifests<'a> = BTreeMap<&'a str, &'a Manifest>;

/// One action that rules run, and where it may act.
pub struct Action<'a> {
    pub name: &'a str,
    pub target: Target,
    /// Of all rules that run it.
    pub namespaces: BTreeSet<Namespace>,
    pub effective: Vec<Effective>,
}

/// Where calls of a permission can go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    Nowhere,
    /// The namespaces in which the action may act.
    Namespaces,
    /// The namespaces in which the action may act, and of each only the object itself.
    NamespacesThemselves,
    Cluster,
}

/// The actions in order of their names, and the policy they act under. What is wrong is returned beside them: an
/// action without a manifest is left out.
pub fn actions<'a>(config: &'a Config, manifests: &Manifests<'_>) -> (Policy, Vec<Action<'a>>, Vec<Problem>) {
    let mut problems = Vec::new();
    let policy = rules::policy(config, &mut problems);
    let mut found: BTreeMap<&str, Action<'_>> = BTreeMap::new();
    for rule in &config.rules {
        let own = rule.namespaces.as_ref().map(|names| rules::namespaces(names, rule.location, &mut problems));
        let namespaces = may_act_in(&policy, &RuleScope { namespaces: own });
        for action in &rule.actions {
            let Some(manifest) = manifests.get(action.action.as_str()) else {
                let message =
                    format!("no usable plugin describes itself as `{}`: what it needs is unknown", action.action);
                problems.push(Problem { location: action.location, message });
                continue;
            };
            let entry = found.entry(&action.action).or_insert_with(|| {
                let granted = config.plugins.grants.get(&action.action).cloned().unwrap_or_default();
                let permissions = Permissions { declared: manifest.permissions.clone(), granted };
                Action {
                    name: &action.action,
                    target: manifest.target,
                    namespaces: BTreeSet::new(),
                    effective: permissions.effective(),
                }
            });
            entry.namespaces.extend(namespaces.iter().cloned());
        }
    }
    (policy, found.into_values().collect(), problems)
}

/// What the gate would let a rule act in.
pub fn may_act_in(policy: &Policy, rule: &RuleScope) -> BTreeSet<Namespace> {
    let allowed = policy.allowed_namespaces.iter();
    allowed.filter(|namespace| checks::namespace(namespace, policy, rule).is_ok()).cloned().collect()
}

/// The names of the NetworkPolicies that an action may make and that can be lifted; none of them: any. None at all where it
/// makes none.
pub fn isolates(action: &Action<'_>, policy: &Policy) -> Option<Vec<String>> {
    let makes = |one: &&Effective| {
        (one.group.as_str(), one.resource.as_str()) == ("networking.k8s.io", "networkpolicies")
            && matches!(one.verb, Verb::Create | Verb::Patch)
            && reach(one, action.target, policy) != Reach::Nowhere
    };
    let made: Vec<_> = action.effective.iter().filter(makes).collect();
    if made.is_empty() {
        return None;
    }
    if made.iter().any(|one| one.names.is_empty()) {
        return Some(Vec::new());
    }
    let named = made.iter().flat_map(|one| &one.names).filter(|name| name.starts_with(PREFIX));
    let names: BTreeSet<_> = named.cloned().collect();
    (!names.is_empty()).then(|| names.into_iter().collect())
}

/// Where the gate lets calls of this permission go, for an action with such a target.
pub fn reach(effective: &Effective, target: Target, policy: &Policy) -> Reach {
    let is = |group: &str, plural: &str| effective.group == group && plural_of(effective) == plural;
    let writes = effective.verb.writes();
    let is_node = is("", "nodes");
    let has_node = matches!(target, Target::Pods | Target::Nodes);
    // Of what has no namespace only the alert's node is changed, and of that only by a patch; a DaemonSet never is.
    let patches_node = effective.verb == Verb::Patch && effective.resource == "nodes" && has_node;
    if writes && (is("", "namespaces") || is("apps", "daemonsets") || (is_node && !patches_node)) {
        return Reach::Nowhere;
    }
    // Of pods those that run there are listed and changed; a new one runs nowhere yet.
    let creates = effective.verb == Verb::Create && effective.resource == "pods";
    let on_node = is("", "pods") && (effective.verb == Verb::List || (writes && !creates));
    let within = |scope: Scope| match (scope, target) {
        (Scope::Cluster, _) => true,
        (_, Target::None) => false,
        (Scope::Target, Target::Pods) => is("", "pods"),
        (Scope::Target, Target::Namespaces) => is("", "namespaces"),
        (Scope::Target, Target::Nodes) => is_node,
        (Scope::Owners, Target::Pods) => {
            let resource = ApiResource::parse(&effective.group, "v1", plural_of(effective)).ok();
            let kind = resource.and_then(|resource| policy.owner_kinds.kind_of(&resource).map(str::to_owned));
            // With a protected owner nothing is started.
            kind.is_some_and(|kind| checks::owner_not_protected(&kind, &kind, policy).is_ok())
        }
        (Scope::Node, _) => has_node && (is_node || on_node),
        (Scope::Owners, Target::Namespaces | Target::Nodes) => false,
        // A node is in no namespace.
        (Scope::Namespace, _) => !is_node,
    };
    let [declared, granted] = effective.scopes;
    if !within(declared) || !within(granted) {
        return Reach::Nowhere;
    }
    let either = |scope: Scope| declared == scope || granted == scope;
    let both = |scopes: [Scope; 2]| scopes.contains(&declared) && scopes.contains(&granted);
    if is_node {
        return Reach::Cluster;
    }
    if either(Scope::Target) && target == Target::Namespaces {
        return if either(Scope::Namespace) { Reach::Nowhere } else { Reach::NamespacesThemselves };
    }
    if both([Scope::Node, Scope::Cluster]) && !writes { Reach::Cluster } else { Reach::Namespaces }
}

/// Without the subresource.
pub fn plural_of(effective: &Effective) -> &str {
    effective.resource.split_once('/').map_or(effective.resource.as_str(), |(plural, _)| plural)
}
