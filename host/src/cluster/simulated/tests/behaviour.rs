//! The table of behaviours that the real API server is held to as well.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::panic::Location;

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

/// Where the simulation refuses things, by file.
const SOURCES: [(&str, &str); 8] = [
    ("access.rs", include_str!("../access.rs")),
    ("apply.rs", include_str!("../apply.rs")),
    ("delete.rs", include_str!("../delete.rs")),
    ("http.rs", include_str!("../http.rs")),
    ("patch.rs", include_str!("../patch.rs")),
    ("schema.rs", include_str!("../schema.rs")),
    ("selectors.rs", include_str!("../selectors.rs")),
    ("write.rs", include_str!("../write.rs")),
];

thread_local! {
    /// The places that refused something on this thread.
    static REFUSED: RefCell<BTreeSet<(String, u32)>> = const { RefCell::new(BTreeSet::new()) };
}

pub fn note(place: &Location<'_>) {
    let file = place.file().rsplit('/').next().unwrap_or_default().to_owned();
    REFUSED.with_borrow_mut(|refused| refused.insert((file, place.line())));
}

/// Puts the whole table to a simulation.
fn disagreements_of_the_simulation() -> Vec<String> {
    let (ambient, clock) = fixed::at("2026-03-01T12:00:00.4Z");
    let cluster = Cluster { simulation: Simulation::from_yaml(MANIFESTS, &ambient).unwrap(), clock };
    disagreements("behaviour", Server::Simulation, |request| {
        let (method, path) = (&request.method, &request.path);
        cluster.raw(method, path, &request.content_type, &request.accept, request.body.clone())
    })
}

#[test]
fn answers_as_a_real_api_server_does() {
    let found = disagreements_of_the_simulation();
    assert!(found.is_empty(), "{} disagreements\n{}", found.len(), found.join("\n"));
}

/// What the table does not ask of the real API server may be made up. The one thing that it never asks is what the
/// simulation says that it does not do.
#[test]
fn every_refusal_of_the_simulation_is_in_the_table() {
    disagreements_of_the_simulation();
    let refused = REFUSED.take();
    let mut made_up = Vec::new();
    for (file, source) in SOURCES {
        for (line, text) in (1..).zip(source.lines()) {
            // Handed over as a function, the place it is called from cannot be told; each of those is called elsewhere, too.
            let refuses = text.split("Failure::").skip(1).any(|rest| {
                let name = rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
                name != "not_simulated" && rest.strip_prefix(name).is_some_and(|rest| rest.starts_with('('))
            });
            if refuses && !refused.contains(&(file.to_owned(), line)) {
                made_up.push(format!("{file}:{line}: {}", text.trim()));
            }
        }
    }
    assert!(made_up.is_empty(), "{}", made_up.join("\n"));
    assert!(refused.len() > 50, "only {} places refused anything", refused.len());
}
