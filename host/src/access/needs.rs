//! What the controller needs of the cluster: every call that it may come to make under a configuration, as RBAC sees
//! calls. A dry run needs the same.
//!
//! Two parts: what the host itself reads, and what the plugins may do in effect. Where nothing is ever acted on,
//! nothing is needed: not in kube-system, not in a denied namespace, and nothing of a kind that is protected, since an
//! owner's kind stands in the reference to it.

use std::collections::{BTreeMap, BTreeSet};

use super::permitted::{self, Action, Manifests, Reach, plural_of};
use crate::cluster::names::Namespace;
use crate::config::{Config, Problem};
use crate::plugins::Plugins;
use crate::plugins::manifest::Target;
use crate::safety::effective::{Basis, Effective};
use crate::safety::permissions::{Scope, Verb};
use crate::safety::policy::Policy;

/// One verb on one resource in one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    pub place: Place,
    /// The core group is `""`.
    pub group: String,
    /// As RBAC writes it: `pods/eviction`.
    pub resource: String,
    pub verb: Verb,
    /// Sorted; empty: any. A `create` with names is one by server-side apply: a POST has no name that RBAC could see.
    pub names: Vec<String>,
    /// Short sentences for people, sorted.
    pub why: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    Namespace(Namespace),
    /// All of it: every namespace, and what has none.
    Cluster,
}

/// Sorted and merged: no two of one place, resource and verb. What is wrong between configuration and plugins is
/// returned beside them: of an action without a usable plugin the needs are unknown and missing.
pub fn needs(config: &Config, plugins: &Plugins) -> (Vec<Need>, Vec<Problem>) {
    of_manifests(config, &manifests(plugins))
}

pub(super) fn manifests(plugins: &Plugins) -> Manifests<'_> {
    plugins.iter().map(|plugin| (plugin.manifest.name.as_str(), &plugin.manifest)).collect()
}

pub(super) fn of_manifests(config: &Config, manifests: &Manifests<'_>) -> (Vec<Need>, Vec<Problem>) {
    let (policy, actions, problems) = permitted::actions(config, manifests);
    let mut collected = Collected::default();
    for action in &actions {
        of_host(action, &policy, &mut collected);
        for effective in &action.effective {
            of_plugin(action, effective, &policy, &mut collected);
        }
        of_lifting(action, &policy, &mut collected);
    }
    (collected.sorted(), problems)
}

/// What is read before a plugin is started and after it has ended.
fn of_host(action: &Action<'_>, policy: &Policy, collected: &mut Collected) {
    if !matches!(action.target, Target::Pods | Target::Nodes) {
        return;
    }
    if action.target == Target::Nodes {
        collected.add(&Place::Cluster, ("", "nodes", Verb::Get), &[], "the host reads the node of the alert's pod");
    }
    for namespace in &action.namespaces {
        let place = Place::Namespace(namespace.clone());
        let why = "the host reads the alert's pod, and looks after a kill whether it is gone";
        collected.add(&place, ("", "pods", Verb::Get), &[], why);
        owner_kinds(&place, policy, collected);
    }
}

/// Protected kinds are refused by the reference alone, and `top_level` ones are not read.
fn owner_kinds(place: &Place, policy: &Policy, collected: &mut Collected) {
    let why = "the host looks for protected owners";
    for kind in policy.owner_kinds.iter().filter(|kind| !kind.top_level) {
        if crate::safety::checks::owner_not_protected(&kind.kind, &kind.kind, policy).is_ok() {
            collected.add(place, (kind.resource.group(), kind.resource.plural(), Verb::Get), &[], why);
        }
    }
}

/// What an action isolates is taken back by the host: once it is over, or when a person says so.
fn of_lifting(action: &Action<'_>, policy: &Policy, collected: &mut Collected) {
    let may = |group: &str, resource: &str, verbs: &[Verb]| {
        action.effective.iter().any(|one| {
            (one.group.as_str(), one.resource.as_str()) == (group, resource)
                && verbs.contains(&one.verb)
                && permitted::reach(one, action.target, policy) != Reach::Nowhere
        })
    };
    let makes = [Verb::Create, Verb::Patch];
    let Some(names) = permitted::isolates(action, policy) else { return };
    let unmarks = action.target == Target::Pods && may("", "pods", &makes);
    let why = "an isolation that is over, or that a person lifts, is deleted by the host";
    let labels = "the host takes labels of isolations off their pods";
    for namespace in &action.namespaces {
        let place = Place::Namespace(namespace.clone());
        for verb in [Verb::Get, Verb::Delete] {
            collected.add(&place, ("networking.k8s.io", "networkpolicies", verb), &names, why);
        }
        collected.add(&place, ("networking.k8s.io", "networkpolicies", Verb::List), &[], why);
        if unmarks {
            for verb in [Verb::Get, Verb::List, Verb::Patch] {
                collected.add(&place, ("", "pods", verb), &[], labels);
            }
        }
    }
}

fn of_plugin(action: &Action<'_>, effective: &Effective, policy: &Policy, collected: &mut Collected) {
    let basis = match effective.basis {
        Basis::Default => "by default",
        Basis::Granted { .. } => "granted in plugins.grants",
    };
    let why = format!("action {}, {basis}", action.name);
    let call = (effective.group.as_str(), effective.resource.as_str(), effective.verb);
    match permitted::reach(effective, action.target, policy) {
        Reach::Nowhere => {}
        Reach::Cluster => {
            collected.add(&Place::Cluster, call, &effective.names, &why);
            looked_up(&Place::Cluster, effective, policy, collected);
        }
        Reach::Namespaces => {
            for namespace in &action.namespaces {
                let place = Place::Namespace(namespace.clone());
                collected.add(&place, call, &effective.names, &why);
                looked_up(&place, effective, policy, collected);
            }
        }
        // For RBAC a namespace lies within itself.
        Reach::NamespacesThemselves => {
            for namespace in &action.namespaces {
                let own = namespace.as_str().to_owned();
                if effective.names.is_empty() || effective.names.contains(&own) {
                    collected.add(&Place::Namespace(namespace.clone()), call, &[own], &why);
                }
            }
        }
    }
}

/// What the host reads to judge a call of a plugin.
fn looked_up(place: &Place, effective: &Effective, policy: &Policy, collected: &mut Collected) {
    let (group, plural) = (effective.group.as_str(), plural_of(effective));
    let is_pod = group.is_empty() && plural == "pods";
    let is_policy = group == "networking.k8s.io" && plural == "networkpolicies";
    let is_node = group.is_empty() && plural == "nodes";
    let changes = match effective.verb {
        Verb::Patch | Verb::Delete => true,
        // A websocket is opened with GET; since Kubernetes 1.35 that takes `create` as well.
        Verb::Create if effective.resource == "pods/exec" => {
            let why = "a command's connection is opened with GET";
            collected.add(place, (group, "pods/exec", Verb::Get), &effective.names, why);
            true
        }
        Verb::Create => effective.resource == "pods/eviction",
        // Whose log it was is asked afterwards.
        Verb::Get if effective.resource == "pods/log" => {
            let why = "the host looks whose log it read";
            collected.add(place, (group, plural, Verb::Get), &effective.names, why);
            false
        }
        Verb::Get | Verb::List => false,
    };
    if !changes {
        return;
    }
    if is_node {
        let why = "the host reads the node that is to be changed, for its UID";
        return collected.add(place, (group, plural, Verb::Get), &effective.names, why);
    }
    let why = "the host reads what is to be changed, for its UID and its owners";
    collected.add(place, (group, plural, Verb::Get), &effective.names, why);
    // The target's own owners were walked before the plugin was started.
    if !is_policy && !effective.scopes.contains(&Scope::Target) {
        owner_kinds(place, policy, collected);
    }
    if effective.verb == Verb::Delete && !is_pod && !is_policy {
        let why = "the host looks whether a DaemonSet would go with what is deleted";
        collected.add(place, ("apps", "daemonsets", Verb::List), &[], why);
        owner_kinds(place, policy, collected);
    }
}

/// Group, resource and verb.
type Call<'a> = (&'a str, &'a str, Verb);

#[derive(Default)]
struct Collected(BTreeMap<(Place, String, String, Verb), Merged>);

struct Merged {
    any: bool,
    names: BTreeSet<String>,
    why: BTreeSet<String>,
}

impl Collected {
    fn add(&mut self, place: &Place, (group, resource, verb): Call<'_>, names: &[String], why: &str) {
        let key = (place.clone(), group.to_owned(), resource.to_owned(), verb);
        let empty = || Merged { any: false, names: BTreeSet::new(), why: BTreeSet::new() };
        let merged = self.0.entry(key).or_insert_with(empty);
        merged.any |= names.is_empty();
        merged.names.extend(names.iter().cloned());
        merged.why.insert(why.to_owned());
    }

    fn sorted(self) -> Vec<Need> {
        let needs = self.0.into_iter().map(|((place, group, resource, verb), merged)| Need {
            place,
            group,
            resource,
            verb,
            names: if merged.any { Vec::new() } else { merged.names.into_iter().collect() },
            why: merged.why.into_iter().collect(),
        });
        needs.collect()
    }
}

#[cfg(test)]
mod tests;
