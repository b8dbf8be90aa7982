//! YAML manifests: read as values to be compared, and applied to a real API server as they stand.

use serde_json::{Map, Value};

use crate::cluster::Cluster;
use crate::http;

/// Every document that holds something.
///
/// # Errors
/// It is no YAML.
pub fn documents(yaml: &str) -> Result<Vec<Value>, String> {
    let options = serde_saphyr::options! { with_snippet: false };
    let documents: Vec<Value> =
        serde_saphyr::from_multiple_with_options(yaml, options).map_err(|error| error.to_string())?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// The first difference between two sets of manifests, for people. The order of documents and of lists does not count,
/// and neither do the documents' labels.
pub fn difference(left: &[Value], right: &[Value]) -> Option<String> {
    let (left, right) = (unordered(left), unordered(right));
    let apart = left.iter().zip(&right).find(|(one, other)| one != other);
    if let Some((one, other)) = apart {
        return Some(format!("{one:#}\nis not\n{other:#}"));
    }
    (left.len() != right.len()).then(|| format!("{} documents are not {}", left.len(), right.len()))
}

fn unordered(documents: &[Value]) -> Vec<Value> {
    let plain = |document: &Value| {
        let mut document = sorted(document);
        if let Some(metadata) = document["metadata"].as_object_mut() {
            metadata.remove("labels");
        }
        document
    };
    let mut documents: Vec<Value> = documents.iter().map(plain).collect();
    documents.sort_by_cached_key(Value::to_string);
    documents
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<(String, Value)> =
                fields.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            fields.sort_by(|one, other| one.0.cmp(&other.0));
            Value::Object(Map::from_iter(fields))
        }
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(sorted).collect();
            items.sort_by_cached_key(Value::to_string);
            Value::Array(items)
        }
        scalar => scalar.clone(),
    }
}

/// Where an object of this kind is on the API server.
///
/// # Errors
/// A kind that no test has needed so far.
pub fn path(object: &Value) -> Result<String, String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (kind, name, namespace) =
        (text(&object["kind"]), text(&object["metadata"]["name"]), text(&object["metadata"]["namespace"]));
    let plural = match kind.as_str() {
        "NetworkPolicy" | "ValidatingAdmissionPolicy" => format!("{}ies", kind.to_lowercase().trim_end_matches('y')),
        "ConfigMap"
        | "Deployment"
        | "Namespace"
        | "PodDisruptionBudget"
        | "Role"
        | "RoleBinding"
        | "Secret"
        | "Service"
        | "ServiceAccount"
        | "StatefulSet"
        | "ValidatingAdmissionPolicyBinding" => {
            format!("{}s", kind.to_lowercase())
        }
        _ => return Err(format!("the test does not know the kind {kind:?}")),
    };
    let version = text(&object["apiVersion"]);
    let api = if version.contains('/') { "apis" } else { "api" };
    let place = if namespace.is_empty() { String::new() } else { format!("/namespaces/{namespace}") };
    Ok(format!("/{api}/{version}{place}/{plural}/{name}"))
}

/// Applies each document, as `kubectl apply --server-side --validate=strict` does; `more` goes to the query. Warnings are
/// refusals.
///
/// # Errors
/// The first that the API server does not take as it is.
pub fn apply(cluster: &Cluster, yaml: &str, more: &str) -> Result<(), String> {
    let headers = "Content-Type: application/apply-patch+yaml\r\nAccept: application/json\r\n";
    for text in yaml.split("\n---\n") {
        let [object] = &documents(text)?[..] else { continue };
        let path = format!("{}?fieldManager=test&fieldValidation=Strict{more}", path(object)?);
        let answer = http::send(cluster.proxy, "PATCH", &path, headers, text.as_bytes())?;
        let warning = answer.head.lines().find(|line| line.to_ascii_lowercase().starts_with("warning:"));
        if !matches!(answer.status, 200 | 201) || warning.is_some() {
            let warning = warning.unwrap_or_default();
            return Err(format!("PATCH {path}: {} {warning} {}", answer.status, answer.body));
        }
    }
    Ok(())
}
