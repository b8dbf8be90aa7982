//! Whether a call is among what the action's manifest declares.

use alloc::string::ToString;

use super::{Mock, Operation, describe};
use crate::{ClusterError, ObjectRef, Permission, Reason, Scope, Verb};

impl Mock {
    /// Refuses a call that no permission covers, as the controller would.
    pub(super) fn allowed(
        &self,
        permissions: &[Permission],
        operation: Operation,
        object: &ObjectRef,
        exists: bool,
    ) -> Result<(), ClusterError> {
        let (subresource, verbs): (&str, &[Verb]) = match operation {
            Operation::Get => ("", &[Verb::Get]),
            Operation::Query => ("", &[Verb::List]),
            Operation::Create => ("", &[Verb::Create]),
            Operation::Apply if exists => ("", &[Verb::Patch]),
            Operation::Apply => ("", &[Verb::Patch, Verb::Create]),
            Operation::Patch => ("", &[Verb::Patch]),
            Operation::Delete => ("", &[Verb::Delete]),
            Operation::Evict => ("/eviction", &[Verb::Create]),
            Operation::Logs => ("/log", &[Verb::Get]),
        };
        let resource = [object.resource.plural.as_str(), subresource].concat();
        for verb in verbs {
            let covered = permissions.iter().any(|permission| {
                permission.api_groups.contains(&object.resource.group.as_str())
                    && permission.resources.contains(&resource.as_str())
                    && permission.verbs.contains(verb)
                    && (permission.resource_names.is_empty()
                        || permission.resource_names.contains(&object.name.as_str()))
                    && self.reaches(permission.scope, object)
            });
            if !covered {
                let message =
                    ["the manifest does not declare ", verb_name(*verb), " on ", &resource, " for ", &describe(object)];
                return Err(ClusterError { reason: Reason::Denied, message: message.concat() });
            }
        }
        Ok(())
    }

    fn reaches(&self, scope: Scope, object: &ObjectRef) -> bool {
        let same = |other: &ObjectRef| {
            (&other.resource.group, &other.resource.plural, &other.namespace, &other.name)
                == (&object.resource.group, &object.resource.plural, &object.namespace, &object.name)
        };
        match scope {
            Scope::Cluster => true,
            Scope::Target => self.target.as_ref().is_some_and(same),
            Scope::Owners => self.owners.iter().any(|owner| same(&owner.object)),
            Scope::Namespace => self.target.as_ref().is_some_and(|target| {
                let namespace = target.namespace.as_ref().unwrap_or(&target.name);
                object.namespace.as_ref() == Some(namespace)
            }),
            Scope::Node => {
                let state = self.state.borrow();
                let target = self.target.as_ref().and_then(|target| state.store.get(target));
                let node = target.and_then(|target| target.at(&["spec", "nodeName"]).as_str().map(ToString::to_string));
                object.resource.plural == "nodes" && node.as_ref() == Some(&object.name)
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
