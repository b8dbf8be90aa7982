//! What it asks the cluster to take.

use falco_response_sdk::prelude::*;

/// A change of the metadata alone.
pub fn metadata(key: &str, value: Value) -> Value {
    object([("metadata", object([(key, value)]))])
}

/// Would make the pod look like someone else's, or like nobody's.
pub fn owner_references() -> Value {
    let owner = object([
        ("apiVersion", "v1".into()),
        ("kind", "ConfigMap".into()),
        ("name", "nobody".into()),
        ("uid", "00000000-0000-0000-0000-000000000000".into()),
    ]);
    array([owner])
}

/// As an RFC 6902 document.
pub fn operations(path: &str, value: Value) -> Value {
    array([object([("op", "add".into()), ("path", path.into()), ("value", value)])])
}

pub fn image(image: &str) -> Value {
    object([("spec", object([("containers", array([container(image)]))]))])
}

fn container(image: &str) -> Value {
    object([("name", "app".into()), ("image", image.into())])
}

pub fn labelled_pod(namespace: &str, name: &str) -> Value {
    let metadata = object([
        ("name", name.into()),
        ("namespace", namespace.into()),
        ("labels", object([("falco-response/quarantine", "true".into())])),
    ]);
    object([("apiVersion", "v1".into()), ("kind", "Pod".into()), ("metadata", metadata)])
}

pub fn pod(namespace: &str, name: &str) -> Value {
    let metadata = object([("name", name.into()), ("namespace", namespace.into())]);
    object([
        ("apiVersion", "v1".into()),
        ("kind", "Pod".into()),
        ("metadata", metadata),
        ("spec", object([("containers", array([container("miner:latest")]))])),
    ])
}

pub fn daemon_set(namespace: &str, name: &str) -> Value {
    let labels = object([("app", name.into())]);
    let template = object([
        ("metadata", object([("labels", labels.clone())])),
        ("spec", object([("containers", array([container("miner:latest")]))])),
    ]);
    object([
        ("apiVersion", "apps/v1".into()),
        ("kind", "DaemonSet".into()),
        ("metadata", object([("name", name.into()), ("namespace", namespace.into())])),
        ("spec", object([("selector", object([("matchLabels", labels)])), ("template", template)])),
    ])
}

/// A policy on every pod with this egress.
pub fn policy(namespace: &str, name: &str, egress: Value) -> Value {
    let metadata = object([
        ("name", name.into()),
        ("namespace", namespace.into()),
        ("labels", object([("app.kubernetes.io/managed-by", "falco-response-controller".into())])),
    ]);
    let spec =
        object([("podSelector", object::<&str>([])), ("policyTypes", array(["Egress".into()])), ("egress", egress)]);
    object([
        ("apiVersion", "networking.k8s.io/v1".into()),
        ("kind", "NetworkPolicy".into()),
        ("metadata", metadata),
        ("spec", spec),
    ])
}
