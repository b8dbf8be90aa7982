//! What is left of the gate with fault `gate_off`: names, and nothing else.

use serde_json::Value;

use super::checks::{Check, Refusal};
use super::clearance::{self, Cleared, NotCleared};
use super::gate::Change;
use super::identity::Subject;
use super::isolation::Stamped;
use super::owners::Chain;
use super::plan::Planned;
use crate::cluster::names::{ApiResource, ObjectName, ObjectRef, Subresource, Uid, collection_path};
use crate::cluster::{Mutation, Reader};

/// Pinned where the plugin named a UID.
pub(super) fn as_asked(change: Change) -> Result<Planned, Refusal> {
    let asked = |object: &ObjectRef| object.uid.clone().unwrap_or_else(Uid::none);
    let (path, mutation) = match change {
        Change::Create { resource, namespace, manifest } => {
            let name = manifest.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("");
            let name = ObjectName::parse(name).map_err(|error| Refusal::new(Check::InvalidName, error.to_string()))?;
            let path = collection_path(&resource, namespace.as_ref());
            (path, Mutation::Create { resource, namespace, name, manifest })
        }
        Change::Apply { object, manifest, force } => {
            (object.path(), Mutation::Apply { uid: object.uid.clone(), object, manifest, force })
        }
        Change::Patch { object, document } => {
            (object.path(), Mutation::Patch { uid: asked(&object), object, document })
        }
        Change::Delete { object, grace_period_seconds, propagation } => (
            object.path(),
            Mutation::Delete { uid: asked(&object), object, resource_version: None, grace_period_seconds, propagation },
        ),
        Change::Evict { pod, grace_period_seconds } => {
            let eviction =
                ObjectRef { resource: ApiResource::pods().with_subresource(Subresource::Eviction), ..pod.clone() };
            (eviction.path(), Mutation::Evict { uid: asked(&pod), pod, grace_period_seconds })
        }
    };
    Ok(Planned {
        mutation,
        uid: None,
        path,
        before: None,
        touched: None,
        stamped: Stamped::default(),
        counts_for: None,
    })
}

/// The pod as it is found: whoever it belongs to, wherever it is.
pub(super) async fn pod(subject: &Subject, reader: &Reader) -> Result<Cleared, NotCleared> {
    let (namespace, name) = (subject.namespace()?, subject.pod()?);
    let object = ObjectRef { resource: ApiResource::pods(), namespace: Some(namespace), name, uid: None };
    let manifest = reader.get(&object).await.map_err(|error| {
        if error.is_transient() {
            return NotCleared::NoAnswer(error);
        }
        NotCleared::Refused(Refusal::new(Check::PodAbsent, error.to_string()))
    })?;
    let object = ObjectRef { uid: Some(clearance::uid_of(&manifest)?), ..object };
    Ok(Cleared { object, manifest, chain: Chain::default(), proof: None, pod: None })
}
