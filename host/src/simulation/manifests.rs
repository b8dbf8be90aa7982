//! The scenario's cluster: every kind of owner, in namespaces that are allowed, denied and out of reach.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::dice::Dice;

/// Namespace and name of what alerts are about.
pub const PODS: &[(&str, &str)] = &[
    ("production", "checkout-1"),
    ("production", "checkout-1"),
    ("production", "checkout-2"),
    ("production", "bare"),
    ("production", "bare"),
    ("production", "db-0"),
    ("production", "agent-x"),
    ("staging", "checkout-1"),
    ("staging", "bare"),
    ("staging", "static"),
    ("staging", "absent"),
    ("kube-system", "dns"),
    ("monitoring", "prometheus"),
    ("elsewhere", "bare"),
];

/// What somebody deletes now and then.
pub const DELETABLE: &[&str] = &[
    "/api/v1/namespaces/production/pods/checkout-1",
    "/api/v1/namespaces/production/pods/bare",
    "/api/v1/namespaces/production/pods/db-0",
    "/api/v1/namespaces/staging/pods/bare",
    "/apis/apps/v1/namespaces/production/replicasets/checkout",
    "/apis/apps/v1/namespaces/production/deployments/checkout",
    "/apis/networking.k8s.io/v1/namespaces/production/networkpolicies/falco-emergency-isolation",
];

pub fn cluster(dice: &Dice, start: Timestamp) -> Vec<Value> {
    let mut all = Vec::new();
    for name in ["production", "staging", "kube-system", "monitoring", "elsewhere"] {
        all.push(object("v1", "Namespace", "", name, dice, start, None));
    }
    for namespace in ["production", "staging"] {
        let deployment = object("apps/v1", "Deployment", namespace, "checkout", dice, start, None);
        let replicas = object("apps/v1", "ReplicaSet", namespace, "checkout", dice, start, Some(&deployment));
        for name in ["checkout-1", "checkout-2"] {
            all.push(object("v1", "Pod", namespace, name, dice, start, Some(&replicas)));
        }
        let db = object("apps/v1", "StatefulSet", namespace, "db", dice, start, None);
        all.push(object("v1", "Pod", namespace, "db-0", dice, start, Some(&db)));
        all.push(object("v1", "Pod", namespace, "bare", dice, start, None));
        all.extend([deployment, replicas, db]);
    }
    let mut mirror = object("v1", "Pod", "staging", "static", dice, start, None);
    mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
    all.push(mirror);
    for namespace in ["production", "kube-system"] {
        let agent = object("apps/v1", "DaemonSet", namespace, "agent", dice, start, None);
        all.push(object("v1", "Pod", namespace, "agent-x", dice, start, Some(&agent)));
        all.push(agent);
    }
    for (namespace, name) in [("kube-system", "dns"), ("monitoring", "prometheus"), ("elsewhere", "bare")] {
        all.push(object("v1", "Pod", namespace, name, dice, start, None));
    }
    if dice.chance(200) {
        all.push(policy("production", dice.chance(500)));
    }
    all
}

pub fn policy(namespace: &str, open: bool) -> Value {
    let egress = if open { json!([{}]) } else { json!([]) };
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "falco-emergency-isolation", "namespace": namespace},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": egress}})
}

fn object(
    api_version: &str,
    kind: &str,
    namespace: &str,
    name: &str,
    dice: &Dice,
    start: Timestamp,
    owner: Option<&Value>,
) -> Value {
    let created = start.saturating_sub(SignedDuration::from_secs(3600)).unwrap_or(start);
    let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "uid": dice.uuid()}});
    if !namespace.is_empty() {
        object["metadata"]["namespace"] = json!(namespace);
    }
    if let Some(owner) = owner {
        object["metadata"]["ownerReferences"] = json!([{"apiVersion": owner["apiVersion"], "kind": owner["kind"],
            "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"], "controller": true}]);
    }
    match kind {
        "Pod" => born(&mut object, dice, created),
        "Namespace" => {}
        _ => object["spec"] = json!({"replicas": 2}),
    }
    object
}

/// A pod that runs since `created`, with a container of its own.
pub fn born(pod: &mut Value, dice: &Dice, created: Timestamp) {
    let at = Timestamp::from_second(created.as_second()).unwrap_or(created).to_string();
    pod["metadata"]["creationTimestamp"] = json!(at);
    pod["spec"] = json!({"nodeName": "node-1", "containers": [{"name": "c", "image": "i"}]});
    let id: String = (0..4).map(|_| format!("{:016x}", dice.next())).collect();
    pod["status"] = json!({"phase": "Running", "startTime": at, "containerStatuses": [
        {"name": "c", "image": "i", "containerID": format!("containerd://{id}"), "ready": true,
            "state": {"running": {"startedAt": at}}}]});
}
