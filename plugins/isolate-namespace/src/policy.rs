//! The policy that isolates a namespace, and what others of that name or beside it mean.

use falco_response_sdk::prelude::*;

pub const NAME: &str = "falco-emergency-isolation";
const LABEL: &str = "app.kubernetes.io/managed-by";
const OWNER: &str = "falco-response-controller";

/// Every pod, no egress.
fn spec() -> Value {
    object([("podSelector", object::<&str>([])), ("policyTypes", array(["Egress".into()])), ("egress", array([]))])
}

/// The document to apply. For which alert it is there, and until when, the controller writes on it.
pub fn document(namespace: &str) -> Value {
    let metadata =
        object([("name", NAME.into()), ("namespace", namespace.into()), ("labels", object([(LABEL, OWNER.into())]))]);
    object([
        ("apiVersion", "networking.k8s.io/v1".into()),
        ("kind", "NetworkPolicy".into()),
        ("metadata", metadata),
        ("spec", spec()),
    ])
}

/// Whether the controller made this policy.
pub fn is_ours(policy: &Value) -> bool {
    policy.at(&["metadata", "labels", LABEL]).as_str() == Some(OWNER)
}

/// Whether a policy forbids all egress of every pod and does nothing else. The API server leaves out a list that is
/// empty, and may write an empty selector in full.
pub fn isolates(policy: &Value) -> bool {
    let spec = policy.at(&["spec"]);
    let selector = spec.at(&["podSelector"]);
    let selects_all = matches!(selector, Value::Object(members) if members.iter().all(|(_, part)| is_empty(part)));
    let known = ["podSelector", "policyTypes", "egress", "ingress"];
    selects_all
        && spec.at(&["policyTypes"]) == &array(["Egress".into()])
        && is_empty(spec.at(&["egress"]))
        && is_empty(spec.at(&["ingress"]))
        && spec.members().iter().all(|(key, _)| known.contains(&key.as_str()))
}

/// Policies add up: what another one allows stays allowed.
pub fn allows_egress(policy: &Value) -> bool {
    !policy.at(&["spec", "egress"]).items().is_empty()
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || (value.items().is_empty() && value.members().is_empty() && !is_scalar(value))
}

fn is_scalar(value: &Value) -> bool {
    matches!(value, Value::Bool(_) | Value::Number(_) | Value::Text(_))
}
