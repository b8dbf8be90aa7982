//! Reaches for what is not its own. A call that is refused fails the run, unless it means to hide it.

use falco_response_sdk::prelude::*;
use falco_response_sdk::{LogOptions, PatchDocument};

use crate::{Parameters, burn, changes, climb, documents, outside};

const ALL: &[Verb] = &[Verb::Get, Verb::List, Verb::Create, Verb::Patch, Verb::Delete];
/// A list has no name.
const NAMED: &[Verb] = &[Verb::Get, Verb::Create, Verb::Patch, Verb::Delete];
pub const POLICY: &str = "falco-emergency-isolation";

pub const PERMISSIONS: &[Permission] = &[
    Permission::core(&["pods", "pods/eviction", "pods/log"], ALL, Scope::Target),
    Permission::core(&["pods", "pods/eviction", "pods/log"], ALL, Scope::Cluster),
    Permission::core(&["pods/exec"], &[Verb::Create], Scope::Cluster),
    Permission::core(&["pods/status", "secrets", "configmaps", "namespaces", "nodes"], ALL, Scope::Cluster),
    Permission::core(&["serviceaccounts", "events"], ALL, Scope::Cluster),
    Permission::new(&["apps"], &["daemonsets", "deployments", "statefulsets", "replicasets"], ALL, Scope::Cluster),
    Permission::new(&["apps"], &["deployments/scale"], ALL, Scope::Cluster),
    Permission::new(&["coordination.k8s.io"], &["leases"], ALL, Scope::Cluster),
    Permission::new(&["policy"], &["poddisruptionbudgets"], ALL, Scope::Cluster),
    Permission::new(
        &["rbac.authorization.k8s.io"],
        &["rolebindings", "clusterrolebindings", "clusterroles"],
        ALL,
        Scope::Cluster,
    ),
    Permission::new(
        &["admissionregistration.k8s.io", "apiextensions.k8s.io"],
        &["mutatingwebhookconfigurations", "customresourcedefinitions"],
        ALL,
        Scope::Cluster,
    ),
    Permission::new(&["networking.k8s.io"], &["networkpolicies"], ALL, Scope::Cluster),
    Permission::new(&["networking.k8s.io"], &["networkpolicies"], NAMED, Scope::Namespace).named(&[POLICY]),
];

pub fn out(behaviour: &str, request: &Request, parameters: &Parameters, host: &Host) -> Result<(), Failure> {
    let cluster = host.cluster();
    let target = request.target();
    let own = target.namespace.clone().unwrap_or_default();
    let namespace = if parameters.namespace.is_empty() { own } else { parameters.namespace.clone() };
    let name = parameters.name.as_str();
    let other = kinds::PODS.in_namespace(&namespace, name);
    let now = DeleteOptions::default();
    match behaviour {
        // `name` is for names that are none: `../../nodes/x`, `a?b`.
        "delete_other_pod" | "name" => cluster.delete(&other, now)?,
        "delete_kube_system" => cluster.delete(&kinds::PODS.in_namespace("kube-system", name), now)?,
        "owner_references" => {
            cluster.merge(&target, &documents::metadata("ownerReferences", documents::owner_references()))?;
        }
        "finalizers" => {
            cluster.merge(&target, &documents::metadata("finalizers", array(["hostile.example/never".into()])))?;
        }
        "json_patch_owner" => {
            let document = documents::operations("/metadata/ownerReferences", documents::owner_references());
            cluster.patch(&target, &PatchDocument::Operations(document.to_string()))?;
        }
        "strategic" => {
            let document = documents::image("miner:latest");
            cluster.patch(&target, &PatchDocument::Strategic(document.to_string()))?;
        }
        "patch_spec" => {
            cluster.merge(&target, &documents::image("miner:latest"))?;
        }
        "apply_target" => {
            cluster.apply(&target, &documents::labelled_pod(&namespace, &target.name))?;
        }
        "apply_force" => {
            cluster.apply_forced(&target, &documents::labelled_pod(&namespace, &target.name))?;
        }
        "foreign_policy" => {
            let name = if name.is_empty() { "hostile" } else { name };
            let object = kinds::NETWORK_POLICIES.in_namespace(&namespace, name);
            cluster.apply(&object, &documents::policy(&namespace, name, array([])))?;
        }
        "open_policy" => {
            let policy = kinds::NETWORK_POLICIES.in_namespace(&namespace, POLICY);
            cluster.apply(&policy, &documents::policy(&namespace, POLICY, array([object::<&str>([])])))?;
        }
        "create_pod" => {
            cluster.create(kinds::PODS, Some(&namespace), &documents::pod(&namespace, "hostile"))?;
        }
        "create_daemonset" => {
            cluster.create(kinds::DAEMON_SETS, Some(&namespace), &documents::daemon_set(&namespace, "hostile"))?;
        }
        "evict_other" => cluster.evict(&other, None)?,
        "read_secret" => {
            cluster.get(&kinds::SECRETS.in_namespace(&namespace, name))?;
        }
        "logs" => {
            cluster.logs(if name.is_empty() { &target } else { &other }, &LogOptions::default())?;
        }
        "list_all" => {
            cluster.query(kinds::PODS, &Selection::default())?;
        }
        "subresource" => {
            let exec = Kind::new("", "v1", "pods/exec").in_namespace(&namespace, &target.name);
            cluster.get(&exec)?;
        }
        // What it hides the controller has to tell.
        "swallow" => drop(cluster.delete(&other, now)),
        "act_then_trap" => {
            cluster.delete(&target, now)?;
            burn::trap();
        }
        "act_then_spin" => {
            cluster.delete(&target, now)?;
            burn::spin();
        }
        // What it may not read it asks for all the same, and says nothing of it.
        "peep" => drop(cluster.get(&kinds::SECRETS.in_namespace(&namespace, "database"))),
        other => {
            let done = changes::make(other, &target, &namespace, host)
                .or_else(|| climb::make(other, &target, host))
                .or_else(|| outside::make(other, &target, (&namespace, name), host));
            match done {
                Some(done) => done?,
                None => return Err(Failure::new(["no such behaviour: ", other].concat())),
            }
        }
    }
    Ok(())
}
