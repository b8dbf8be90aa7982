//! The table of behaviours that the real API server is held to as well.

use integration_tests::behaviour::disagreements;

use super::*;

const NAMESPACE: &str = "apiVersion: v1\nkind: Namespace\nmetadata: { name: behaviour }\n";

#[test]
fn answers_as_a_real_api_server_does() {
    let (ambient, clock) = fixed::at("2026-03-01T12:00:00.4Z");
    let cluster = Cluster { simulation: Simulation::from_yaml(NAMESPACE, &ambient).unwrap(), clock };
    let found = disagreements("behaviour", true, |request| {
        cluster.raw(&request.method, &request.path, &request.content_type, request.body.clone().unwrap_or(Value::Null))
    });
    assert!(found.is_empty(), "{} disagreements\n{}", found.len(), found.join("\n"));
}
