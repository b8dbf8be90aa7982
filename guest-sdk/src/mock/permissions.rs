//! Whether a call is among what the action's manifest declares.

use alloc::string::ToString;

use super::{Mock, Operation, describe};
use crate::{ApiResource, ClusterError, ObjectRef, Permission, Reason, Scope, Verb, kinds};

impl Mock {
    /// Refuses a call that no permission covers, as the controller would.
    pub(super) fn allowed(
        &self,
        permissions: &[Permission],
        operation: Operation,
        object: &ObjectRef,
        exists: bool,
    ) -> Result<(), ClusterError> {
        let verbs: &[Verb] = match operation {
            Operation::Get | Operation::Logs => &[Verb::Get],
            Operation::Query => &[Verb::List],
            Operation::Create | Operation::Evict | Operation::Exec => &[Verb::Create],
            Operation::Apply if exists => &[Verb::Patch],
            Operation::Apply => &[Verb::Patch, Verb::Create],
            Operation::Patch => &[Verb::Patch],
            Operation::Delete => &[Verb::Delete],
        };
        let pods = ApiResource::from(kinds::PODS);
        let as_pod = ObjectRef { resource: pods.clone(), ..object.clone() };
        let (object, resource) = match operation {
            // A log is a pod's, whatever the reference calls it.
            Operation::Logs => (&as_pod, "pods/log"),
            Operation::Exec => (object, "pods/exec"),
            Operation::Evict if object.resource != pods => {
                let message = ["only pods are evicted, not ", &describe(object)].concat();
                return Err(ClusterError { reason: Reason::Denied, message });
            }
            Operation::Evict => (object, "pods/eviction"),
            _ => (object, object.resource.plural.as_str()),
        };
        for verb in verbs {
            let covered = permissions.iter().any(|permission| {
                permission.api_groups.contains(&object.resource.group.as_str())
                    && permission.resources.contains(&resource)
                    && permission.verbs.contains(verb)
                    && (permission.resource_names.is_empty()
                        || permission.resource_names.contains(&object.name.as_str()))
                    && self.reaches(permission.scope, object)
            });
            if !covered {
                let message =
                    ["the manifest does not declare ", verb_name(*verb), " on ", resource, " for ", &describe(object)];
                return Err(ClusterError { reason: Reason::Denied, message: message.concat() });
            }
        }
        Ok(())
    }

    fn reaches(&self, scope: Scope, object: &ObjectRef) -> bool {
        // The version counts, and so does the object itself: its subresources are further resources, but no further objects.
        let plural = |object: &ObjectRef| object.resource.plural.split('/').next().unwrap_or_default().to_string();
        let same = |other: &ObjectRef| {
            (&other.resource.group, &other.resource.version, &other.namespace, &other.name)
                == (&object.resource.group, &object.resource.version, &object.namespace, &object.name)
                && plural(other) == plural(object)
        };
        match scope {
            Scope::Cluster => true,
            Scope::Target => self.target.as_ref().is_some_and(same),
            Scope::Owners => self.owners.iter().any(|owner| same(&owner.object)),
            Scope::Namespace => self.target.as_ref().is_some_and(|target| {
                let is_namespace = target.resource == ApiResource::from(kinds::NAMESPACES);
                let namespace = target.namespace.as_ref().or(is_namespace.then_some(&target.name));
                namespace.is_some() && object.namespace.as_ref() == namespace
            }),
            Scope::Node => {
                let state = self.state.borrow();
                let on = |pod: &ObjectRef| {
                    let pod = state.store.get(pod);
                    pod.and_then(|pod| pod.at(&["spec", "nodeName"]).as_str().map(ToString::to_string))
                };
                let node = self.target.as_ref().and_then(|target| {
                    let is_node = target.resource == ApiResource::from(kinds::NODES);
                    if is_node { Some(target.name.clone()) } else { on(target) }
                });
                let core = object.resource.group.is_empty();
                match plural(object).as_str() {
                    "nodes" => core && object.namespace.is_none() && node.as_ref() == Some(&object.name),
                    // That a list selects what runs there is for the controller to see.
                    "pods" if object.name.is_empty() => core && node.is_some(),
                    "pods" => core && node.is_some() && on(&ObjectRef { uid: None, ..object.clone() }) == node,
                    _ => false,
                }
            }
        }
    }
}

fn verb_name(verb: Verb) -> &'static str {
    match verb {
        Verb::Get => "get",
        Verb::List => "list",
        Verb::Create => "create",
        Verb::Patch => "patch",
        Verb::Delete => "delete",
    }
}
