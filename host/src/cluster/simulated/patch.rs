//! What a change may do to an object, however it was written: the documents of PATCH and PUT, and the fields that
//! nobody can change.

use serde_json::{Value, json};

use super::apply;
use super::kinds::Kind;
use super::status::Failure;

/// # Errors
/// 422 for one that does not fit, a failed `test` included.
pub fn operations(object: &Value, patch: &Value) -> Result<Value, Failure> {
    let patch: json_patch::Patch = serde_json::from_value(patch.clone()).map_err(|_| Failure::patch_does_not_fit())?;
    let mut after = object.clone();
    json_patch::patch(&mut after, &patch).map_err(|_| Failure::patch_does_not_fit())?;
    Ok(after)
}

/// Whether a document is of the shape that its content type promises.
///
/// # Errors
/// 400 in the words of the API server's decoder.
pub fn of_its_type(document: &Value, content_type: &str) -> Result<(), Failure> {
    let (fits, wanted) = match content_type {
        "application/json-patch+json" => (document.is_array(), "[]handlers.jsonPatchOp"),
        _ => (document.is_object(), "map[string]interface {}"),
    };
    if fits {
        return Ok(());
    }
    let found = match document {
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        Value::String(_) => "string",
        Value::Number(_) => "number",
        Value::Bool(_) | Value::Null => "bool",
    };
    let why = format!("error decoding patch: json: cannot unmarshal {found} into Go value of type {wanted}");
    Err(Failure::bad_request(why))
}

pub fn merge(object: &Value, patch: &Value) -> Value {
    let mut after = object.clone();
    json_patch::merge(&mut after, patch);
    after
}

/// Checks a changed object against the one it replaces and puts back what only the API server writes.
///
/// # Errors
/// 400, 409 or 422 for a change of what cannot change, 409 for one that was made against an older version.
pub fn settle(
    before: &Value,
    mut after: Value,
    kind: &Kind,
    manager: Option<&str>,
    now: &str,
) -> Result<Value, Failure> {
    let text =
        |object: &Value, pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let name = text(before, "/metadata/name");
    let differs = |pointer: &str| {
        let (old, new) = (text(before, pointer), text(&after, pointer));
        (old != new).then_some((old, new))
    };
    if !after.is_object() || !after["metadata"].is_object() {
        return Err(Failure::bad_request("the patched object is no Kubernetes object"));
    }
    if after["apiVersion"] != before["apiVersion"] || after["kind"] != before["kind"] {
        return Err(Failure::bad_patch("another apiVersion or kind"));
    }
    if let Some((old, new)) = differs("/metadata/name") {
        let why = format!("the name of the object ({new}) does not match the name on the URL ({old})");
        return Err(Failure::bad_request(why));
    }
    if differs("/metadata/namespace").is_some() {
        return Err(Failure::another_namespace());
    }
    match differs("/metadata/uid") {
        Some((_, new)) if !new.is_empty() => {
            let why = format!("Invalid value: \"{new}\": field is immutable");
            return Err(Failure::invalid(kind, &name, "metadata.uid", &why));
        }
        _ => {}
    }
    match differs("/metadata/resourceVersion") {
        Some((_, new)) if !new.is_empty() => {
            let why = "the object has been modified; please apply your changes to the latest version and try again";
            return Err(Failure::conflict(kind, &name, why));
        }
        _ => {}
    }
    for fixed in ["deletionTimestamp", "deletionGracePeriodSeconds"] {
        let (old, new) = (&before["metadata"][fixed], &after["metadata"][fixed]);
        if !new.is_null() && new != old {
            let why = format!("Invalid value: {new}: field is immutable");
            return Err(Failure::invalid(kind, &name, &format!("metadata.{fixed}"), &why));
        }
    }
    for kept in
        ["uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"]
    {
        keep(&before["metadata"], &mut after["metadata"], kept);
    }
    if !kind.custom {
        keep(before, &mut after, "status");
    }
    if kind.is_pod() && frozen_spec(before) != frozen_spec(&after) {
        let why = "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,\
            `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
            tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
        return Err(Failure::invalid(kind, &name, "spec", why));
    }
    if let Some(manager) = manager {
        keep(&before["metadata"], &mut after["metadata"], "managedFields");
        if after != *before {
            apply::own_changes(before, &mut after, kind, manager, now);
        }
    }
    if asks_for_more(before, &after, kind) {
        let generation = before["metadata"]["generation"].as_i64().unwrap_or(1);
        after["metadata"]["generation"] = json!(generation + 1);
    }
    Ok(after)
}

/// Whether it is another generation. Without a schema, all but the metadata counts.
fn asks_for_more(before: &Value, after: &Value, kind: &Kind) -> bool {
    let rest = |object: &Value| {
        let mut object = object.clone();
        object.as_object_mut().map(|object| object.shift_remove("metadata"));
        object
    };
    if kind.custom {
        rest(before) != rest(after)
    } else {
        kind.has_generation() && after.get("spec") != before.get("spec")
    }
}

fn keep(before: &Value, after: &mut Value, key: &str) {
    let Some(after) = after.as_object_mut() else { return };
    match before.get(key) {
        Some(value) => drop(after.insert(key.to_owned(), value.clone())),
        None => drop(after.shift_remove(key)),
    }
}

/// A pod's spec without what may change.
fn frozen_spec(pod: &Value) -> Value {
    let mut spec = pod["spec"].clone();
    for containers in ["containers", "initContainers"] {
        for container in spec.get_mut(containers).and_then(Value::as_array_mut).into_iter().flatten() {
            container.as_object_mut().map(|container| container.shift_remove("image"));
        }
    }
    if let Some(spec) = spec.as_object_mut() {
        for free in ["activeDeadlineSeconds", "terminationGracePeriodSeconds", "tolerations"] {
            spec.shift_remove(free);
        }
    }
    spec
}

/// Leaves out what [`strict`] refuses, as the API server does where nobody asks it to be strict.
pub fn prune(kind: &Kind, document: &mut Value) {
    while let Err(field) = strict(kind, document) {
        let (parent, key) = match field.strip_prefix("spec.") {
            Some(key) => (document.get_mut("spec"), key),
            None => (Some(&mut *document), field.as_str()),
        };
        if parent.and_then(Value::as_object_mut).and_then(|parent| parent.shift_remove(key)).is_none() {
            return;
        }
    }
}

/// `fieldValidation=Strict`: the keys of the schemas that the controller writes. Others are not checked.
///
/// # Errors
/// The unknown field; what status it makes depends on the kind of request.
pub fn strict(kind: &Kind, document: &Value) -> Result<(), String> {
    const EVERYWHERE: &[&str] = &["apiVersion", "kind", "metadata", "spec", "status"];
    let more: &[&str] = match kind.plural.as_str() {
        _ if kind.custom => return Ok(()),
        "configmaps" => &["binaryData", "data", "immutable"],
        "secrets" => &["data", "immutable", "stringData", "type"],
        "serviceaccounts" => &["automountServiceAccountToken", "imagePullSecrets", "secrets"],
        "roles" | "clusterroles" => &["aggregationRule", "rules"],
        "rolebindings" | "clusterrolebindings" => &["roleRef", "subjects"],
        // Its many fields stand at the top.
        "events" => return Ok(()),
        _ => &[],
    };
    let unknown = |at: &Value, prefix: &str, known: &[&[&str]]| {
        let mut keys = at.as_object().into_iter().flatten().map(|(key, _)| key);
        keys.find(|key| !known.iter().any(|known| known.contains(&key.as_str()))).map(|key| format!("{prefix}{key}"))
    };
    let mut found = unknown(document, "", &[EVERYWHERE, more]);
    if kind.is_network_policy() && found.is_none() {
        let known: &[&str] = &["egress", "ingress", "podSelector", "policyTypes"];
        found = unknown(&document["spec"], "spec.", &[known]);
    }
    match found {
        Some(field) => Err(field),
        None => Ok(()),
    }
}
