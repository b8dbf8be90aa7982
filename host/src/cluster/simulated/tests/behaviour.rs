//! The table of behaviours that the real API server is held to as well.

use integration_tests::behaviour::{Server, disagreements};

use super::*;

/// What the table makes on a real cluster with the help of its controllers, which do not run here.
const MANIFESTS: &str = r#"
apiVersion: v1
kind: Namespace
metadata: { name: behaviour }
---
apiVersion: v1
kind: Pod
metadata: { name: guarded, namespace: behaviour-2, labels: { app: guarded } }
spec: { nodeName: silent, terminationGracePeriodSeconds: 30, containers: [{ name: app, image: registry.example/app:1 }] }
---
apiVersion: v1
kind: Pod
metadata: { name: allowed, namespace: behaviour-2, labels: { app: allowed } }
spec: { nodeName: silent, terminationGracePeriodSeconds: 30, containers: [{ name: app, image: registry.example/app:1 }] }
---
apiVersion: v1
kind: Pod
metadata: { name: doubly, namespace: behaviour-2, labels: { app: doubly } }
spec: { nodeName: silent, terminationGracePeriodSeconds: 30, containers: [{ name: app, image: registry.example/app:1 }] }
---
apiVersion: v1
kind: Pod
metadata: { name: pending, namespace: behaviour-2, labels: { app: pending } }
spec: { nodeName: silent, terminationGracePeriodSeconds: 30, containers: [{ name: app, image: registry.example/app:1 }] }
status: { phase: Pending }
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: { name: none, namespace: behaviour-2 }
spec: { minAvailable: 1, selector: { matchLabels: { app: guarded } } }
status: { disruptionsAllowed: 0, desiredHealthy: 1, currentHealthy: 1 }
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: { name: one, namespace: behaviour-2 }
spec: { minAvailable: 0, selector: { matchExpressions: [{ key: app, operator: In, values: [allowed] }] } }
status: { disruptionsAllowed: 1, desiredHealthy: 0, currentHealthy: 1 }
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: { name: idle, namespace: behaviour-2 }
spec: { minAvailable: 1, selector: { matchLabels: { app: pending } } }
status: { disruptionsAllowed: 0, desiredHealthy: 1, currentHealthy: 0 }
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: { name: two, namespace: behaviour-2 }
spec: { minAvailable: 0, selector: { matchLabels: { app: doubly } } }
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: { name: three, namespace: behaviour-2 }
spec: { minAvailable: 0, selector: { matchLabels: { app: doubly } } }
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: widgets.example.com }
spec:
  group: example.com
  scope: Namespaced
  names: { kind: Widget, plural: widgets }
  versions: [{ name: v1, served: true, storage: true }]
"#;

#[test]
fn answers_as_a_real_api_server_does() {
    let (ambient, clock) = fixed::at("2026-03-01T12:00:00.4Z");
    let cluster = Cluster { simulation: Simulation::from_yaml(MANIFESTS, &ambient).unwrap(), clock };
    let found = disagreements("behaviour", Server::Simulation, |request| {
        let (method, path) = (&request.method, &request.path);
        cluster.raw(method, path, &request.content_type, &request.accept, request.body.clone())
    });
    assert!(found.is_empty(), "{} disagreements\n{}", found.len(), found.join("\n"));
}
