//! isolate_namespace, end to end.

use integration_tests::alerts::{self, POOL};

use crate::house::{House, Plan};

const ISOLATED: &str = "production/falco-emergency-isolation";

#[test]
fn cuts_the_egress_of_a_namespace_once() {
    let house = House::new();
    let entry = house.record_of(&alerts::about(POOL, "production", "long-gone"));
    assert_eq!((entry["outcome"].as_str(), entry["isolation"].as_str()), (Some("done"), Some("full")), "{entry}");
    assert_eq!(
        (entry["pod"].as_str(), entry["pod_uid"].as_str()),
        (Some("long-gone"), None),
        "the pod need not be there"
    );
    assert!(house.changes().iter().any(|change| change.contains(ISOLATED)), "{:?}", house.changes());
    let again = house.record_of(&alerts::about(POOL, "production", "debug"));
    assert_eq!((again["outcome"].as_str(), again["changed"].as_bool()), (Some("skipped"), Some(false)), "{again}");
    assert_eq!(house.changes().len(), 1);
}

#[test]
fn says_when_other_policies_leave_it_partial() {
    let house = House::new();
    let entry = house.record_of(&alerts::about(POOL, "staging", "web-5c6d8-2lkjh"));
    assert_eq!((entry["outcome"].as_str(), entry["isolation"].as_str()), (Some("done"), Some("partial")), "{entry}");
    assert!(
        entry["note_isolation_partial_because"].as_str().is_some_and(|names| names.contains("allow-dns")),
        "{entry}"
    );
}

#[test]
fn never_overwrites_a_policy_that_is_somebody_elses() {
    let foreign = r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: falco-emergency-isolation, namespace: production}
spec: {podSelector: {}, policyTypes: [Egress], egress: [{}]}
"#;
    let house = Plan::new().manifests(foreign).start();
    let entry = house.record_of(&alerts::about(POOL, "production", "web"));
    assert_eq!((entry["outcome"].as_str(), entry["failure"].as_str()), (Some("failed"), Some("conflict")), "{entry}");
    assert_eq!(entry["changed"], false);
    assert!(house.changes().is_empty(), "{:?}", house.changes());
}

#[test]
fn does_not_take_an_edited_policy_for_its_own() {
    let edited = r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: falco-emergency-isolation
  namespace: production
  labels: {app.kubernetes.io/managed-by: falco-response-controller}
spec: {podSelector: {}, policyTypes: [Egress], egress: [{}]}
"#;
    let house = Plan::new().manifests(edited).start();
    let entry = house.record_of(&alerts::about(POOL, "production", "web"));
    assert_eq!((entry["outcome"].as_str(), entry["failure"].as_str()), (Some("failed"), Some("conflict")), "{entry}");
    assert!(house.changes().is_empty(), "{:?}", house.changes());
}
