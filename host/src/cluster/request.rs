//! From a mutation to the request that the outermost layer approves: where the UID goes, which document is sent.

use serde_json::{Map, Value, json};

use super::names::{Subresource, Uid, collection_path};
use super::outermost::{Approved, Shape};
use super::{Mutation, PatchDocument, Propagation, Sending};

pub(super) fn approve(mutation: &Mutation, sending: &Sending) -> Approved {
    let approved = |shape, path, body, uid: Option<&Uid>| Approved {
        shape,
        path,
        body,
        dry_run: sending.dry_run,
        uid: uid.map(|uid| uid.as_str().to_owned()),
        field_manager: sending.field_manager.clone(),
    };
    match mutation {
        Mutation::Create { resource, namespace, manifest, .. } => {
            approved(Shape::Create, collection_path(resource, namespace.as_ref()), without_uid(manifest.clone()), None)
        }
        Mutation::Apply { object, uid, manifest, force } => {
            let document = match uid {
                Some(uid) => with_uid(manifest.clone(), uid),
                None => without_uid(manifest.clone()),
            };
            approved(Shape::Apply { force: *force }, object.path(), document, uid.as_ref())
        }
        Mutation::Patch { object, uid, document } => {
            let (shape, body) = match document {
                PatchDocument::Merge(document) => (Shape::Merge, with_uid(document.clone(), uid)),
                PatchDocument::Strategic(document) => (Shape::Strategic, with_uid(document.clone(), uid)),
                PatchDocument::Operations(operations) => (Shape::Operations, tested(operations, uid)),
            };
            approved(shape, object.path(), body, Some(uid))
        }
        Mutation::Delete { object, uid, resource_version, grace_period_seconds, propagation } => {
            let mut body = delete_options(uid, *grace_period_seconds, *propagation);
            if let Some(version) = resource_version {
                body["preconditions"]["resourceVersion"] = json!(version);
            }
            approved(Shape::Delete, object.path(), body, Some(uid))
        }
        Mutation::Evict { pod, uid, grace_period_seconds } => {
            let mut eviction = pod.clone();
            eviction.resource = eviction.resource.with_subresource(Subresource::Eviction);
            let mut metadata = json!({"name": pod.name.as_str()});
            if let (Some(namespace), Some(map)) = (&pod.namespace, metadata.as_object_mut()) {
                map.insert("namespace".to_owned(), json!(namespace.as_str()));
            }
            // Not kube's `evict`: version 5.0.0 writes `delete_options`, which the API server does not know.
            let body = json!({
                "apiVersion": "policy/v1",
                "kind": "Eviction",
                "metadata": metadata,
                "deleteOptions": delete_options(uid, *grace_period_seconds, None),
            });
            approved(Shape::Evict, eviction.path(), body, Some(uid))
        }
    }
}

fn delete_options(uid: &Uid, grace_period_seconds: Option<u32>, propagation: Option<Propagation>) -> Value {
    let mut options = Map::new();
    options.insert("apiVersion".to_owned(), json!("v1"));
    options.insert("kind".to_owned(), json!("DeleteOptions"));
    if let Some(seconds) = grace_period_seconds {
        options.insert("gracePeriodSeconds".to_owned(), json!(seconds));
    }
    if let Some(propagation) = propagation {
        let policy = match propagation {
            Propagation::Background => "Background",
            Propagation::Foreground => "Foreground",
            Propagation::Orphan => "Orphan",
        };
        options.insert("propagationPolicy".to_owned(), json!(policy));
    }
    options.insert("preconditions".to_owned(), json!({"uid": uid.as_str()}));
    Value::Object(options)
}

/// The API server takes a document whose `metadata.uid` is another object's as an attempt to change it, and refuses.
fn with_uid(mut document: Value, uid: &Uid) -> Value {
    if let Some(map) = document.as_object_mut() {
        let metadata = map.entry("metadata").or_insert_with(|| json!({}));
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.insert("uid".to_owned(), json!(uid.as_str()));
        }
    }
    document
}

fn without_uid(mut document: Value) -> Value {
    if let Some(metadata) = document.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.shift_remove("uid");
    }
    document
}

fn tested(operations: &Value, uid: &Uid) -> Value {
    let mut all = vec![json!({"op": "test", "path": "/metadata/uid", "value": uid.as_str()})];
    all.extend(operations.as_array().cloned().unwrap_or_default());
    Value::Array(all)
}
