//! As much of an API server as one kill asks for, from memory: every pod is there, belongs to one Deployment, and is as it was after its DELETE. For
//! what is measured without a real one, and with the same client.

use std::io::BufReader;
use std::net::{SocketAddr, TcpListener, TcpStream};

use integration_tests::request::{self, Request};
use serde_json::{Value, json};

/// Answers until the process ends.
pub fn serve() -> Result<SocketAddr, String> {
    let failed = |error: std::io::Error| format!("cannot bind a port: {error}");
    let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || converse(&stream));
        }
    });
    Ok(address)
}

fn converse(stream: &TcpStream) {
    // Without it each answer waits for the acknowledgement of its own head.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let mut reader = BufReader::new(stream);
    while let Some(request) = request::read(&mut reader) {
        let (status, body) = answer(&request);
        if request::answer(stream, status, &body.to_string()).is_err() {
            return;
        }
    }
}

fn answer(request: &Request) -> (u16, Value) {
    let path = request.path.split('?').next().unwrap_or_default();
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    match (request.method.as_str(), &segments[..]) {
        ("GET", ["version"]) => (200, json!({"major": "1", "minor": "33", "gitVersion": "v1.33.0"})),
        ("POST", ["apis", "authorization.k8s.io", ..]) => (
            201,
            json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "status": {"allowed": true}}),
        ),
        ("GET" | "DELETE", ["api", "v1", "namespaces", namespace, "pods", name]) => {
            (200, object("v1", "Pod", namespace, name, Some(("ReplicaSet", "shop-7d9f4b"))))
        }
        ("GET", ["apis", "apps", "v1", "namespaces", namespace, "replicasets", name]) => {
            (200, object("apps/v1", "ReplicaSet", namespace, name, Some(("Deployment", "shop"))))
        }
        ("GET", ["apis", "apps", "v1", "namespaces", namespace, "deployments", name]) => {
            (200, object("apps/v1", "Deployment", namespace, name, None))
        }
        _ => {
            (404, json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}))
        }
    }
}

fn object(version: &str, kind: &str, namespace: &str, name: &str, owner: Option<(&str, &str)>) -> Value {
    let owners: Vec<Value> = owner
        .into_iter()
        .map(|(kind, name)| {
            json!({"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": format!("uid-{name}"), "controller": true})
        })
        .collect();
    json!({
        "apiVersion": version, "kind": kind, "status": {"phase": "Running"},
        "metadata": {
            "name": name, "namespace": namespace, "uid": format!("uid-{name}"), "ownerReferences": owners,
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"nodeName": "node-1", "containers": [{"name": "app", "image": "registry.example/app:1"}]},
    })
}
