//! Cuts one pod off from the network: NetworkPolicies that select a label, and then the label on the pod.
//!
//! In this order: until the pod is labelled the policies select nothing, and with the label everything takes hold at
//! once. A run that fails before its last call has cut nothing off, and no pod bears a label that does not hold.

mod exceptions;
mod policy;
mod selector;

use falco_response_sdk::prelude::*;
use policy::{Direction, Policy};

parameters! {
    pub struct Parameters {
        /// Whether what comes in is cut as well as what goes out.
        ingress: bool = false,
        /// Address ranges that stay reachable, such as 10.20.0.0/16. Needs a grant.
        allow_cidrs: Vec<String> = Vec::new(),
        /// Namespaces that stay reachable. Needs a grant.
        allow_namespaces: Vec<String> = Vec::new(),
    }
}

pub struct IsolatePod;

impl Action for IsolatePod {
    type Parameters = Parameters;
    const MANIFEST: Manifest =
        Manifest::new("isolate_pod", "Cuts the alert's pod off from the network, by a label and NetworkPolicies.")
            .target(Target::Pods)
            .permissions(&[
                Permission::core(&["pods"], &[Verb::Patch], Scope::Target),
                Permission::new(
                    &["networking.k8s.io"],
                    &["networkpolicies"],
                    &[Verb::Get, Verb::Create, Verb::Patch],
                    Scope::Namespace,
                )
                .named(&policy::NAMES),
                Permission::new(&["networking.k8s.io"], &["networkpolicies"], &[Verb::List], Scope::Namespace),
            ])
            .pages()
            .repeatable();

    fn check(parameters: &Parameters) -> Vec<Problem> {
        exceptions::problems(&parameters.allow_cidrs, &parameters.allow_namespaces)
    }

    fn run(request: &Request, parameters: Parameters, host: &Host) -> Result<Outcome, Failure> {
        let pod = request.target();
        let manifest = request.target_manifest()?;
        if manifest.at(&["spec", "hostNetwork"]).as_bool() == Some(true) {
            return Err(Failure::new("the pod is on its node's network, which no NetworkPolicy covers"));
        }
        let peers = exceptions::peers(&parameters.allow_cidrs, &parameters.allow_namespaces);
        let directions: &[Direction] =
            if parameters.ingress { &[Direction::Egress, Direction::Ingress] } else { &[Direction::Egress] };
        let mut labels: Vec<&str> = directions.iter().map(|direction| direction.label()).collect();
        if !peers.is_empty() {
            labels.push(policy::EXCEPTED);
        }
        let missing = missing(&manifest, &labels)?;
        let namespace = pod.namespace.as_deref().unwrap_or_default();
        for direction in directions {
            if !peers.is_empty() {
                except(host, namespace, &Policy::allowing(*direction, &peers))?;
            }
            put(host, namespace, &Policy::closing(*direction))?;
        }
        if !missing.is_empty() {
            mark(host, &pod, &missing)?;
        }
        note_reach(host, namespace, directions, &manifest, &labels);
        Ok(if missing.is_empty() {
            Outcome::skipped(["pod ", &pod.name, " bears the labels of its isolation already"].concat())
        } else {
            Outcome::acted(["isolated pod ", &pod.name].concat())
        })
    }
}

/// Those of the labels that the pod lacks. One that it has with another value is somebody's, and not changed.
fn missing<'l>(manifest: &Value, labels: &[&'l str]) -> Result<Vec<&'l str>, Failure> {
    let mut missing = Vec::new();
    for label in labels {
        match manifest.at(&["metadata", "labels", *label]).as_str() {
            None => missing.push(*label),
            Some(policy::ON) => {}
            Some(other) => {
                let found = ["the pod bears the label ", *label, "=", other, ", which the action did not put there"];
                return Err(Failure::new(found.concat()));
            }
        }
    }
    Ok(missing)
}

/// One set of exceptions counts for all pods of a namespace that have any: others that are there are not replaced, since
/// that would open or close what another rule decided.
fn except(host: &Host, namespace: &str, policy: &Policy) -> Result<(), Failure> {
    match host.cluster().get(&policy.object(namespace)) {
        Err(error) if error.reason == Reason::NotFound => {}
        Err(error) => return Err(Failure::from(error).context("cannot read the exceptions that are in force")),
        Ok(found) if policy.is(&found) => {}
        Ok(_) => {
            let found = [policy.name(), " is there with other exceptions, and was not replaced: delete it first"];
            return Err(Failure::new(found.concat()));
        }
    }
    put(host, namespace, policy)
}

/// Never by force: who changed a policy since meant something by it, and the person on call decides.
fn put(host: &Host, namespace: &str, policy: &Policy) -> Result<(), Failure> {
    let applied = host
        .cluster()
        .apply(&policy.object(namespace), &policy.document(namespace))
        .map_err(|error| Failure::from(error).context(&["cannot apply ", policy.name()].concat()))?;
    // An admission webhook may have made something else of it.
    if policy.is(&applied) {
        Ok(())
    } else {
        Err(Failure::new([policy.name(), " was applied, but the cluster made another policy of it"].concat()))
    }
}

fn mark(host: &Host, pod: &ObjectRef, labels: &[&str]) -> Result<(), Failure> {
    let change = object(labels.iter().map(|label| (*label, policy::ON.into())));
    let marked = host
        .cluster()
        .merge(pod, &object([("metadata", object([("labels", change)]))]))
        .map_err(|error| Failure::from(error).context("the policies are in place, but the pod bears no label"))?;
    let stayed = |label: &&str| marked.at(&["metadata", "labels", *label]).as_str() == Some(policy::ON);
    if labels.iter().all(stayed) {
        Ok(())
    } else {
        Err(Failure::new("the pod was labelled, but the cluster took the label off again"))
    }
}

/// Whether other policies that select the pod leave something open. Not knowing does not undo the isolation, so it fails
/// nothing.
fn note_reach(host: &Host, namespace: &str, directions: &[Direction], manifest: &Value, labels: &[&str]) {
    let policies = match host.cluster().query(kinds::NETWORK_POLICIES, &Selection::in_namespace(namespace)) {
        Ok(policies) => policies,
        Err(error) => return host.audit().note("isolation_unverified", &error.message),
    };
    let label = |key: &str| match labels.contains(&key) {
        true => Some(policy::ON),
        false => manifest.at(&["metadata", "labels", key]).as_str(),
    };
    let open: Vec<&str> = policies
        .iter()
        .filter(|policy| directions.iter().any(|direction| direction.is_opened_by(policy)))
        .filter(|policy| selector::selects(policy.at(&["spec", "podSelector"]), label))
        .map(|policy| policy.at(&["metadata", "name"]).as_str().unwrap_or("?"))
        .collect();
    if open.is_empty() {
        host.audit().note("isolation", "full");
    } else {
        host.audit().note("isolation", "partial");
        host.audit().note("isolation_partial_because", &open.join(", "));
    }
}

export_action!(IsolatePod);

#[cfg(test)]
mod tests;
