//! What every plugin gets that declares it: a short allow list, and nothing else.
//!
//! One table for both who ask: the gate, call by call, and [`super::effective`], which tells beforehand which calls
//! may come.

use super::document::{Form, Path, Touched};
use super::permissions::{Call, Permission, Scope, Verb};
use super::{fields, free};
use crate::cluster::names::ObjectName;

const NETWORKING: &str = "networking.k8s.io";

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DefaultGrant {
    pub object: Object,
    pub verb: Verb,
    pub scope: Scope,
    pub only: Only,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Object {
    /// Group, and plural with a subresource after a slash.
    Of(&'static str, &'static str),
    /// Of whatever kind, but no subresource.
    Whole,
}

/// What a default grant asks of a call beyond verb, object and scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Only {
    Anything,
    /// Only `apiVersion`, `kind` and `metadata` are read.
    Metadata,
    /// The object's name stands in the manifest and begins with `falco-`.
    OwnName,
    /// The same, and what is written is a whole NetworkPolicy that allows nothing.
    OwnNameClosing,
    /// A merge patch of labels and annotations that nobody else lives by.
    FreeMetadata,
}

const fn grant(object: Object, verb: Verb, scope: Scope, only: Only) -> DefaultGrant {
    DefaultGrant { object, verb, scope, only }
}

const PODS: Object = Object::Of("", "pods");
const POLICIES: Object = Object::Of(NETWORKING, "networkpolicies");

pub(super) const DEFAULT_GRANTS: [DefaultGrant; 10] = [
    grant(PODS, Verb::Get, Scope::Target, Only::Anything),
    grant(PODS, Verb::Delete, Scope::Target, Only::Anything),
    grant(Object::Of("", "pods/eviction"), Verb::Create, Scope::Target, Only::Anything),
    grant(PODS, Verb::Patch, Scope::Target, Only::FreeMetadata),
    grant(PODS, Verb::List, Scope::Namespace, Only::Metadata),
    grant(Object::Whole, Verb::Get, Scope::Owners, Only::Anything),
    grant(POLICIES, Verb::List, Scope::Namespace, Only::Anything),
    grant(POLICIES, Verb::Get, Scope::Namespace, Only::OwnName),
    grant(POLICIES, Verb::Create, Scope::Namespace, Only::OwnNameClosing),
    grant(POLICIES, Verb::Patch, Scope::Namespace, Only::OwnNameClosing),
];

impl DefaultGrant {
    /// Whether it permits a call that `declared` covers.
    pub fn permits(&self, call: &Call, declared: &Permission) -> bool {
        let object = match self.object {
            Object::Of(group, resource) => call.resource.group() == group && call.resource.rbac_name() == resource,
            Object::Whole => call.resource.subresource().is_none(),
        };
        object && call.verb == self.verb && call.reach.within(self.scope) && self.only.permits(call, declared)
    }
}

impl Only {
    fn permits(self, call: &Call, declared: &Permission) -> bool {
        let own_name = || call.name.is_some_and(|name| is_own_name(name, declared));
        match self {
            Self::Anything => true,
            Self::Metadata => call.metadata_only,
            Self::OwnName => own_name(),
            Self::OwnNameClosing => own_name() && only_closes(call),
            Self::FreeMetadata => call.touched.is_some_and(|touched| {
                touched.form == Form::Merge
                    && touched.paths.iter().all(|path| free::is_free_metadata(path, call.current))
            }),
        }
    }

    /// Of the names that a manifest declares, those that it permits; none where any name will do.
    pub(super) fn names(self, declared: &Permission) -> Option<Vec<String>> {
        let own = |name: &&String| ObjectName::parse(name).is_ok_and(|name| is_own_name(&name, declared));
        match self {
            Self::Anything | Self::Metadata | Self::FreeMetadata => None,
            Self::OwnName | Self::OwnNameClosing => Some(declared.resource_names.iter().filter(own).cloned().collect()),
        }
    }
}

fn is_own_name(name: &ObjectName, declared: &Permission) -> bool {
    name.as_str().starts_with("falco-") && declared.resource_names.iter().any(|own| own == name.as_str())
}

/// A whole NetworkPolicy that allows nothing: no force, no rule, nothing in metadata but labels and annotations.
fn only_closes(call: &Call) -> bool {
    let (Some(manifest), Some(touched)) = (call.manifest, call.touched) else { return false };
    let empty =
        |pointer: &str| manifest.pointer(pointer).is_none_or(|rules| rules.as_array().is_some_and(Vec::is_empty));
    let known = |path: &Path| {
        fields::lies_in(path, "metadata.labels")
            || fields::lies_in(path, "metadata.annotations")
            || ["spec.podSelector", "spec.policyTypes", "spec.ingress", "spec.egress"]
                .iter()
                .any(|field| fields::lies_in(path, field))
    };
    let Touched { form, paths } = touched;
    !call.force && *form == Form::Manifest && empty("/spec/ingress") && empty("/spec/egress") && paths.iter().all(known)
}
