//! What each grant of the configuration makes possible, in a sentence: `grants:` is where an operator hands out power,
//! and a list of verbs does not say how much.

use super::needs::manifests;
use super::permitted::{self, Manifests, Reach};
use crate::cluster::names::qualified;
use crate::config::Config;
use crate::plugins::Plugins;
use crate::plugins::manifest::Manifest;
use crate::safety::effective::{Basis, Effective};
use crate::safety::permissions::{Permissions, Scope, Verb};

/// One sentence for each verb and resource that a grant names, in the order of the file.
pub fn sentences(config: &Config, plugins: &Plugins) -> Vec<String> {
    of_manifests(config, &manifests(plugins))
}

fn of_manifests(config: &Config, manifests: &Manifests<'_>) -> Vec<String> {
    let mut problems = Vec::new();
    let policy = crate::respond::rules::policy(config, &mut problems);
    let mut sentences = Vec::new();
    for (action, grants) in &config.plugins.grants {
        let Some(manifest) = manifests.get(action.as_str()) else { continue };
        for grant in grants {
            for (group, resource, verb) in grant.calls() {
                let alone = Permissions { declared: manifest.permissions.clone(), granted: vec![grant.clone()] };
                let effective = alone.effective().into_iter().filter(|one| {
                    matches!(one.basis, Basis::Granted { .. })
                        && (one.group.as_str(), one.resource.as_str(), one.verb) == (group, resource, verb)
                });
                let effective: Vec<_> =
                    effective.filter(|one| permitted::reach(one, manifest.target, &policy) != Reach::Nowhere).collect();
                sentences.push(match effective.first() {
                    None => without_effect(action, manifest, group, resource, verb),
                    Some(first) => sentence(action, first, permitted::reach(first, manifest.target, &policy)),
                });
            }
        }
    }
    sentences
}

fn without_effect(action: &str, manifest: &Manifest, group: &str, resource: &str, verb: Verb) -> String {
    let declares = manifest.permissions.iter().any(|declared| declared.names(group, resource, verb));
    let why = if declares { "there is nothing that it would reach" } else { "its manifest does not ask for it" };
    format!("the grant to `{action}` of {} {} has no effect: {why}", verb.as_str(), qualified(group, resource))
}

fn sentence(action: &str, effective: &Effective, reach: Reach) -> String {
    let Effective { group, resource, verb, names, basis, .. } = effective;
    let fields: &[String] = match basis {
        Basis::Granted { fields } => fields,
        Basis::Default => &[],
    };
    let mut text = format!("the grant to `{action}` lets it {} {}", verb.as_str(), qualified(group, resource));
    if !names.is_empty() {
        text.push_str(&format!(" named {}", names.join(", ")));
    }
    text.push_str(&format!(" {}", place(effective, reach)));
    if *verb == Verb::Patch && group.is_empty() && resource == "nodes" {
        // Whatever else is named has no effect.
        let cordons = fields.iter().any(|field| matches!(field.as_str(), "spec" | "spec.unschedulable"));
        let marks = "writing labels and annotations below falco-response/";
        text.push_str(&format!(", {marks}{}", if cordons { " and spec.unschedulable" } else { "" }));
    } else if *verb == Verb::Patch {
        let paths = if fields.is_empty() { String::new() } else { format!(" and {}", fields.join(", ")) };
        text.push_str(&format!(", writing labels and annotations{paths}"));
    }
    let consequences: Vec<_> = consequences(group, resource, *verb, fields);
    if !consequences.is_empty() {
        text.push_str(&format!(": {}", consequences.join("; ")));
    }
    text
}

fn place(effective: &Effective, reach: Reach) -> &'static str {
    let either = |scope: Scope| effective.scopes.contains(&scope);
    if either(Scope::Target) {
        "that an alert is about"
    } else if either(Scope::Owners) {
        "that own the alert's pod"
    } else if either(Scope::Node) && effective.resource == "nodes" {
        "that the alert's pod runs on"
    } else if either(Scope::Node) {
        "that run on the node of the alert's pod"
    } else if effective.resource == "nodes" && effective.verb.writes() {
        "that the alert's pod runs on"
    } else if reach == Reach::Cluster {
        "anywhere in the cluster"
    } else if either(Scope::Namespace) {
        "in the alert's namespace, whichever pod the alert is about"
    } else {
        "in every allowed namespace, whatever the alert is about"
    }
}

/// What may not be seen from the verb.
fn consequences(group: &str, resource: &str, verb: Verb, fields: &[String]) -> Vec<&'static str> {
    let plural = resource.split('/').next().unwrap_or_default();
    let workload = matches!(
        (group, plural),
        ("apps", "deployments" | "replicasets" | "statefulsets")
            | ("batch", "jobs" | "cronjobs")
            | ("", "replicationcontrollers")
    );
    let writes_at = |path: &str| {
        fields.iter().any(|field| {
            let within = |outer: &str, inner: &str| {
                inner == outer || inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.'))
            };
            within(field, path) || within(path, field)
        })
    };
    let creates_or_writes_spec = verb == Verb::Create || (verb == Verb::Patch && writes_at("spec.template"));
    let mut found = Vec::new();
    match (group, resource, verb) {
        ("", "secrets", Verb::Get | Verb::List) => {
            found.push("it reads passwords, keys and tokens, and may put them into a record or a page");
        }
        ("", "pods/log", _) => {
            found.push("it reads what programs print, secrets and personal data included, and may put it into a record or a page");
        }
        ("", "pods/exec", _) => {
            found.push("it runs commands of its own choice in the containers, with their rights, their secrets and their account");
        }
        ("", "configmaps", Verb::Create | Verb::Patch) => {
            found.push("it changes the configuration of the programs that read them");
        }
        ("", "pods", Verb::Create) => {
            found.push("it starts containers of its own choice, privileged ones and ones with any ServiceAccount there included");
        }
        ("", "pods", Verb::Patch) if writes_at("spec.containers") => {
            found.push("it exchanges a container's image: code of its own choice runs with the pod's rights");
        }
        ("", "nodes", Verb::Patch) if writes_at("spec.unschedulable") => {
            found.push("no pod of any namespace is started there any more, kube-system's Deployments included; what runs goes on");
        }
        ("", "pods/eviction", Verb::Create) => {
            found.push("it ends pods, as far as disruption budgets allow, each for a share of the limits");
        }
        ("rbac.authorization.k8s.io", "rolebindings", Verb::Delete) => {
            found.push("it takes rights from everybody whom the binding names");
        }
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings", Verb::List | Verb::Get) => {
            found.push("it reads who may do what");
        }
        ("", "secrets", Verb::Create | Verb::Patch) => {
            found.push("it changes what programs take for passwords and keys, and may ask for the token of any ServiceAccount there");
        }
        ("", "serviceaccounts", Verb::Create | Verb::Patch) => {
            found.push("it makes accounts that pods can run as, or changes what images they may pull");
        }
        ("", "services" | "endpoints", Verb::Create | Verb::Patch)
        | ("discovery.k8s.io", "endpointslices", Verb::Create | Verb::Patch)
        | ("networking.k8s.io", "ingresses", Verb::Create | Verb::Patch) => {
            found.push("it sends requests elsewhere than they are meant to go");
        }
        ("policy", "poddisruptionbudgets", Verb::Create | Verb::Patch) => {
            found.push("it can forbid every eviction, those of a node that is drained included");
        }
        ("coordination.k8s.io", "leases", Verb::Create | Verb::Patch) => {
            found.push("it decides which replica of a program leads, or that none does");
        }
        ("" | "events.k8s.io", "events", Verb::Create | Verb::Patch) => {
            found.push("it writes what people and programs take for the cluster's own account of what happened");
        }
        ("rbac.authorization.k8s.io", _, Verb::Create | Verb::Patch) => {
            found.push("it gives rights to others, as far as the controller has them");
        }
        ("networking.k8s.io", "networkpolicies", Verb::Create | Verb::Patch) => {
            found.push("it opens what was closed as well as it closes");
        }
        ("networking.k8s.io", "networkpolicies", Verb::Delete) => found.push("it opens what was closed"),
        _ => {}
    }
    if workload && creates_or_writes_spec {
        found.push(
            "it starts containers of its own choice, privileged ones and ones with any ServiceAccount there included",
        );
    }
    if workload && ((verb == Verb::Patch && writes_at("spec.replicas")) || resource.ends_with("/scale")) {
        found.push("it stops or multiplies the whole workload, not one pod");
    }
    if verb == Verb::Delete && !(group.is_empty() && plural == "pods") && found.is_empty() {
        found.push("whatever the deleted object owns goes with it, pods included");
    }
    if verb == Verb::Patch {
        for (path, consequence) in [
            (
                "metadata.ownerReferences",
                "a reference to an owner that is not there has the object deleted, without a delete and outside of every limit",
            ),
            ("metadata.finalizers", "an object can be made undeletable, or lose what its finalizers protect"),
            ("strategic", "a strategic patch may remove what it does not show"),
        ] {
            if fields.iter().any(|field| field == path || field == "metadata") {
                found.push(consequence);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests;
