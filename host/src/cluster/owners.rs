//! Who controls an object: its owner references, and the kinds that the host can read on the way to the top.
//!
//! What a protected owner means is decided in [`crate::safety::owners`].

use serde_json::Value;

use super::names::{ApiResource, NameError, Namespace, ObjectName, ObjectRef, Uid};

/// `metadata.ownerReferences[]`, parsed. A namespaced owner lives in the namespace of what it owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerReference {
    pub api_version: String,
    pub kind: String,
    pub name: ObjectName,
    pub uid: Uid,
    pub controller: bool,
}

/// `Deployment/checkout`
impl std::fmt::Display for OwnerReference {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.kind, self.name)
    }
}

/// An owner reference that cannot be made sense of; the object's owners then count as unknown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    #[error("an owner reference has no text in `{0}`")]
    Missing(&'static str),
    #[error("an owner reference has an {0}")]
    Name(#[from] NameError),
}

/// The owner references of an object, controllers first.
///
/// # Errors
/// When one of them cannot be read: an owner that is not understood may be a protected one.
pub fn references(object: &Value) -> Result<Vec<OwnerReference>, ReferenceError> {
    let Some(list) = object.pointer("/metadata/ownerReferences") else { return Ok(Vec::new()) };
    let list = list.as_array().ok_or(ReferenceError::Missing("ownerReferences"))?;
    let mut references = list.iter().map(reference).collect::<Result<Vec<_>, _>>()?;
    references.sort_by_key(|reference| !reference.controller);
    Ok(references)
}

fn reference(value: &Value) -> Result<OwnerReference, ReferenceError> {
    let text = |key: &'static str| value.get(key).and_then(Value::as_str).ok_or(ReferenceError::Missing(key));
    Ok(OwnerReference {
        api_version: text("apiVersion")?.to_owned(),
        kind: text("kind")?.to_owned(),
        name: ObjectName::parse(text("name")?)?,
        uid: Uid::parse(text("uid")?)?,
        controller: value.get("controller").and_then(Value::as_bool).unwrap_or(false),
    })
}

/// A kind of owner that may be read, or is declared to be the end of the walk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerKind {
    pub kind: String,
    pub resource: ApiResource,
    /// Not read: nothing above it counts.
    pub top_level: bool,
}

/// The kinds of owners that the host knows how to read, all of them namespaced.
#[derive(Debug, Clone, Default)]
pub struct OwnerKinds(Vec<OwnerKind>);

impl OwnerKinds {
    /// A pod can own pods (Spark's driver does), and pods can be read anyway.
    pub fn new(mut kinds: Vec<OwnerKind>) -> Self {
        kinds.push(OwnerKind { kind: "Pod".to_owned(), resource: ApiResource::pods(), top_level: false });
        Self(kinds)
    }

    pub fn find(&self, reference: &OwnerReference) -> Option<&OwnerKind> {
        self.0
            .iter()
            .find(|known| known.kind == reference.kind && known.resource.api_version() == reference.api_version)
    }

    /// The kind of a resource, where it is one of these: `apps/statefulsets` → `StatefulSet`.
    pub fn kind_of(&self, resource: &ApiResource) -> Option<&str> {
        self.0
            .iter()
            .find(|known| known.resource.is(resource.group(), resource.plural()))
            .map(|known| known.kind.as_str())
    }

    pub fn iter(&self) -> impl Iterator<Item = &OwnerKind> {
        self.0.iter()
    }
}

impl OwnerReference {
    /// The referenced object, pinned to the UID in the reference.
    pub fn object(&self, resource: ApiResource, namespace: &Namespace) -> ObjectRef {
        ObjectRef { resource, namespace: Some(namespace.clone()), name: self.name.clone(), uid: Some(self.uid.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_references_with_the_controller_first() {
        let pod = json!({"metadata": {"ownerReferences": [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "u2"},
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "checkout-7d9f4b", "uid": "u1", "controller": true},
        ]}});
        let found = references(&pod).expect("valid");
        assert_eq!(
            found.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["ReplicaSet/checkout-7d9f4b", "ConfigMap/c"]
        );
        assert!(found[0].controller && !found[1].controller);
    }

    #[test]
    fn does_not_overlook_a_reference_that_it_cannot_read() {
        for broken in [
            json!({"kind": "X", "name": "x", "uid": "u"}),
            json!({"apiVersion": "v1", "kind": "X", "name": "a/b", "uid": "u"}),
            json!(7),
        ] {
            assert!(references(&json!({"metadata": {"ownerReferences": [broken]}})).is_err());
        }
        assert!(references(&json!({"metadata": {"ownerReferences": {}}})).is_err());
        assert_eq!(references(&json!({"metadata": {}})), Ok(vec![]));
    }
}
