//! What the API server's schemas make of an object before it is stored: defaults, empty lists left out, and a no to
//! names, labels and pods that are none. Only what the controller or its tests send; the rest is taken as it comes.

use serde_json::{Value, json};

use super::kinds::Kind;
use super::status::Failure;

const LONGEST_LABEL: usize = 63;
const LONGEST_NAME: usize = 253;
const STANDARD_FINALIZERS: [&str; 3] = ["foregroundDeletion", "kubernetes", "orphan"];

/// Fills in defaults. The types have `omitempty`: an empty list or map is not stored, not even where it was asked for.
pub fn settle(kind: &Kind, object: &mut Value) {
    if kind.is_pod()
        && let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut)
    {
        spec.entry("terminationGracePeriodSeconds").or_insert(json!(30));
    }
    let empty = |value: &Value| {
        value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(serde_json::Map::is_empty)
    };
    let mut drop_empty = |at: &str, keys: &[&str]| {
        let Some(map) = object.get_mut(at).and_then(Value::as_object_mut) else { return };
        for key in keys {
            if map.get(*key).is_some_and(empty) {
                map.shift_remove(*key);
            }
        }
    };
    drop_empty("metadata", &["annotations", "finalizers", "labels", "ownerReferences"]);
    if !kind.is_network_policy() {
        return;
    }
    drop_empty("spec", &["egress", "ingress", "policyTypes"]);
    let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else { return };
    if !spec.contains_key("policyTypes") {
        let types = if spec.contains_key("egress") { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
        spec.insert("policyTypes".to_owned(), types);
    }
}

/// Whether labels and annotations are texts.
///
/// # Errors
/// In the words of the API server's decoder.
pub fn decodes(object: &Value) -> Result<(), String> {
    for at in ["labels", "annotations"] {
        let values = object.pointer(&format!("/metadata/{at}")).and_then(Value::as_object).into_iter().flatten();
        if values.into_iter().any(|(_, value)| !value.is_string()) {
            return Err(format!("json: cannot unmarshal into Go struct field ObjectMeta.metadata.{at} of type string"));
        }
    }
    Ok(())
}

/// # Errors
/// 422 that names the field.
pub fn validate(kind: &Kind, object: &Value) -> Result<(), Failure> {
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let invalid = |field: &str, why: &str| Err(Failure::invalid(kind, name, field, why));
    if !is_subdomain(name) {
        return invalid("metadata.name", &format!("Invalid value: \"{name}\": a lowercase RFC 1123 subdomain"));
    }
    for (at, of_labels) in [("labels", true), ("annotations", false)] {
        for (key, value) in object["metadata"][at].as_object().into_iter().flatten() {
            let field = format!("metadata.{at}");
            if !is_key(key) {
                return invalid(&field, &format!("Invalid value: \"{key}\": a valid label key"));
            }
            let text = value.as_str().unwrap_or_default();
            if of_labels && !is_label(text) {
                return invalid(&field, &format!("Invalid value: \"{text}\": a valid label"));
            }
        }
    }
    for (index, finalizer) in object["metadata"]["finalizers"].as_array().into_iter().flatten().enumerate() {
        let finalizer = finalizer.as_str().unwrap_or_default();
        let sound = STANDARD_FINALIZERS.contains(&finalizer) || (finalizer.contains('/') && is_key(finalizer));
        if !sound {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            return invalid(
                &format!("metadata.finalizers[{index}]"),
                &format!("Invalid value: \"{finalizer}\": {why}"),
            );
        }
    }
    let owners = object["metadata"]["ownerReferences"].as_array();
    for (index, owner) in owners.into_iter().flatten().enumerate() {
        for key in ["apiVersion", "kind", "name", "uid"] {
            if owner[key].as_str().unwrap_or_default().is_empty() {
                return invalid(
                    &format!("metadata.ownerReferences[{index}].{key}"),
                    "Required value: must not be empty",
                );
            }
        }
    }
    if owners.into_iter().flatten().filter(|owner| owner["controller"] == true).count() > 1 {
        return invalid(
            "metadata.ownerReferences",
            "Invalid value: only one reference can have Controller set to true",
        );
    }
    let containers = object.pointer("/spec/containers").and_then(Value::as_array);
    if kind.is_pod() && containers.is_none_or(Vec::is_empty) {
        return invalid("spec.containers", "Required value");
    }
    Ok(())
}

/// Nobody may add a finalizer to what is being deleted.
///
/// # Errors
/// 422 that names them.
pub fn no_late_finalizers(kind: &Kind, before: &Value, after: &Value) -> Result<(), Failure> {
    if !before["metadata"]["deletionTimestamp"].is_string() {
        return Ok(());
    }
    let of = |object: &Value| object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    let known = of(before);
    let late: Vec<String> =
        of(after).iter().filter(|finalizer| !known.contains(finalizer)).map(ToString::to_string).collect();
    if late.is_empty() {
        return Ok(());
    }
    let why = format!(
        "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
        late.join(", ")
    );
    let name = before["metadata"]["name"].as_str().unwrap_or_default();
    Err(Failure::invalid(kind, name, "metadata.finalizers", &why))
}

/// RBAC's names and those of custom kinds may be freer; none that the tests use is.
fn is_subdomain(name: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let part = |part: &str| {
        let bytes = part.as_bytes();
        edge(bytes.first())
            && edge(bytes.last())
            && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
    };
    name.len() <= LONGEST_NAME && (name.contains(':') || name.split('.').all(part))
}

/// `name` or `prefix/name`.
fn is_key(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    prefix.is_none_or(|prefix| !prefix.contains(':') && is_subdomain(prefix)) && !name.is_empty() && is_label(name)
}

pub fn is_label(value: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = value.as_bytes();
    bytes.is_empty()
        || (bytes.len() <= LONGEST_LABEL
            && edge(bytes.first())
            && edge(bytes.last())
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte)))
}
