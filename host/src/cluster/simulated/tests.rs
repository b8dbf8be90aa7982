//! The behaviours that the controller relies on, each as a request and its answer.

mod behaviour;
mod loading;
mod requests;

use http::{Method, Request};
use serde_json::{Value, json};

pub(super) use behaviour::note;

use super::Simulation;
use crate::ambient::fixed;

const CLUSTER: &str = r#"
apiVersion: v1
kind: Pod
metadata:
  name: qi
  namespace: production
  labels: { app: qi }
spec:
  nodeName: node-1
  containers: [{ name: main, image: qi:1 }]
---
apiVersion: v1
kind: Pod
metadata: { name: held, namespace: production, labels: { app: held }, finalizers: [example.org/hold] }
spec: { containers: [{ name: main, image: qi:1 }] }
---
apiVersion: v1
kind: Pod
metadata: { name: guarded, namespace: production, labels: { app: guarded } }
spec: { containers: [{ name: main, image: qi:1 }] }
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: { name: budget, namespace: production }
spec: { selector: { matchLabels: { app: guarded } } }
status: { disruptionsAllowed: 0, desiredHealthy: 1, currentHealthy: 1 }
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: human, namespace: production }
spec: { podSelector: {}, policyTypes: [Egress], egress: [{}] }
"#;

const QI: &str = "/api/v1/namespaces/production/pods/qi";
const POLICIES: &str = "/apis/networking.k8s.io/v1/namespaces/production/networkpolicies";

struct Cluster {
    simulation: Simulation,
    clock: std::sync::Arc<fixed::FixedClock>,
}

impl Cluster {
    fn new() -> Self {
        let (ambient, clock) = fixed::at("2026-03-01T12:00:00.4Z");
        Self { simulation: Simulation::from_yaml(CLUSTER, &ambient).unwrap(), clock }
    }

    fn pass(&self, seconds: i64) {
        let mut now = self.clock.0.lock().unwrap();
        *now = super::store::later(*now, seconds);
    }

    fn uid(&self, path: &str) -> String {
        self.simulation.object(path).unwrap()["metadata"]["uid"].as_str().unwrap().to_owned()
    }

    /// The content type of a PATCH is put before the path: `merge /api/…`.
    fn send(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let (content_type, path) = match path.split_once(' ') {
            Some(("apply", path)) => ("application/apply-patch+yaml".to_owned(), path),
            Some((kind, path)) => (format!("application/{kind}-patch+json"), path),
            None => ("application/json".to_owned(), path),
        };
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.raw(method, path, &content_type, "application/json", body)
    }

    fn raw(&self, method: &str, path: &str, content_type: &str, accept: &str, body: String) -> (u16, Value) {
        let method: Method = method.parse().unwrap();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", content_type)
            .header("accept", accept)
            .header("user-agent", "tester/1");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let response = runtime.block_on(self.simulation.respond(request.body(body.into_bytes()).unwrap())).unwrap();
        let text = || Value::String(String::from_utf8_lossy(response.body()).into_owned());
        let body = serde_json::from_slice(response.body()).unwrap_or_else(|_| text());
        (response.status().as_u16(), body)
    }

    fn get(&self, path: &str) -> (u16, Value) {
        self.send("GET", path, Value::Null)
    }
}

fn policy(egress: Value) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "spec": { "podSelector": {}, "policyTypes": ["Egress"], "egress": egress },
    })
}

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect()
}
