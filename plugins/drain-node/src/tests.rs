use falco_response_sdk::mock::{Mock, Operation};

use super::*;

const POD: &str = r#"{"spec":{"nodeName":"n1"}}"#;

fn pod(namespace: &str, name: &str) -> ObjectRef {
    kinds::PODS.in_namespace(namespace, name)
}

fn parsed(text: &str) -> Value {
    Value::parse(text).unwrap()
}

/// Two pods that may go, and beside them whatever stays.
fn node(parameters: &str) -> Mock {
    let with = |metadata: &str| parsed(&format!(r#"{{"metadata":{metadata},"spec":{{"nodeName":"n1"}}}}"#));
    let owned = |kind: &str| with(&format!(r#"{{"ownerReferences":[{{"kind":"{kind}","controller":true}}]}}"#));
    Mock::on(kinds::NODES.cluster_wide("n1"))
        .with_object(&pod("shop", "web-1"), owned("ReplicaSet"))
        .with_object(&pod("other", "api-1"), owned("ReplicaSet"))
        .with_object(&pod("shop", "elsewhere"), parsed(r#"{"spec":{"nodeName":"n2"}}"#))
        .with_object(&pod("shop", "done"), parsed(r#"{"spec":{"nodeName":"n1"},"status":{"phase":"Succeeded"}}"#))
        .with_object(&pod("shop", "agent"), owned("DaemonSet"))
        .with_object(&pod("shop", "static"), with(r#"{"annotations":{"kubernetes.io/config.mirror":"x"}}"#))
        .with_object(&pod("shop", "going"), with(r#"{"deletionTimestamp":"2026-01-01T00:00:00Z"}"#))
        .with_object(&pod("shop", "db-0"), owned("StatefulSet"))
        .with_object(&pod("kube-system", "dns"), parsed(POD))
        .with_parameters(parameters)
}

fn evicted(mock: &Mock) -> Vec<String> {
    let evictions = mock.calls().into_iter().filter(|call| call.operation == Operation::Evict);
    evictions.map(|call| call.object.name).collect()
}

#[test]
fn evicts_what_may_go_with_its_uid_and_tells_what_stays() {
    let mock = node("{}");
    let said = "evicted 2 pods of node n1, 2 left there";
    assert_eq!(mock.run::<DrainNode>(), Ok(Outcome::acted(said)));
    assert_eq!(evicted(&mock), ["web-1", "api-1"]);
    assert!(mock.calls().iter().skip(1).all(|call| call.object.uid.is_some() && call.grace_period_seconds.is_none()));
    assert_eq!(mock.noted("evicted").as_deref(), Some("shop/web-1, other/api-1"));
    assert_eq!(mock.noted("left").as_deref(), Some("shop/db-0, kube-system/dns"));
}

#[test]
fn keeps_to_the_namespaces_owners_and_number_of_the_rule() {
    let mock = node(r#"{"namespaces": ["shop"], "grace_period_seconds": 5, "skip_owners": []}"#);
    assert!(mock.run::<DrainNode>().is_ok());
    assert_eq!(evicted(&mock), ["web-1", "db-0"]);
    assert!(mock.calls().iter().skip(1).all(|call| call.grace_period_seconds == Some(5)));
    let mock = node(r#"{"max_pods": 1}"#);
    assert!(mock.run::<DrainNode>().is_ok());
    assert_eq!(evicted(&mock), ["web-1"]);
    assert_eq!(mock.noted("left").as_deref(), Some("other/api-1, shop/db-0, kube-system/dns"));
}

#[test]
fn a_pod_that_nothing_would_bring_back_stays_unless_it_is_asked_for() {
    let mock = node("{}").with_object(&pod("shop", "by-hand"), parsed(POD));
    assert!(mock.run::<DrainNode>().is_ok());
    assert_eq!(evicted(&mock), ["web-1", "api-1"]);
    assert!(mock.noted("left").is_some_and(|left| left.contains("shop/by-hand")), "{:?}", mock.noted("left"));
    let mock = node(r#"{"unmanaged": true}"#).with_object(&pod("shop", "by-hand"), parsed(POD));
    assert!(mock.run::<DrainNode>().is_ok());
    assert!(evicted(&mock).contains(&"by-hand".to_owned()));
}

#[test]
fn goes_on_past_what_is_blocked_or_refused_and_forces_nothing() {
    let mock = node("{}").failing_on(Operation::Evict, &pod("shop", "web-1"), Reason::Blocked, "a budget");
    let said = "evicted 1 pods of node n1, 1 blocked by disruption budgets, 2 left there";
    assert_eq!(mock.run::<DrainNode>(), Ok(Outcome::acted(said)));
    assert_eq!(mock.noted("blocked").as_deref(), Some("shop/web-1"));
    assert!(mock.operations().iter().all(|operation| *operation != Operation::Delete));
    let mock = node("{}").failing(Operation::Evict, Reason::Denied, "no");
    assert_eq!(mock.run::<DrainNode>(), Ok(Outcome::skipped("evicted 0 pods of node n1, 2 refused, 2 left there")));
    let mock = node("{}").failing(Operation::Evict, Reason::Unavailable, "away");
    assert!(mock.run::<DrainNode>().is_err());
    assert_eq!(evicted(&mock).len(), 1, "the next would fare no better");
}

#[test]
fn says_when_the_configuration_is_loaded_what_could_never_be() {
    for (parameters, place) in [
        (r#"{"max_pods": 0}"#, "/max_pods: nothing"),
        (r#"{"namespaces": ["kube-system"]}"#, "/namespaces: kube-system"),
    ] {
        let failure = node(parameters).run::<DrainNode>().unwrap_err();
        assert!(failure.message.contains(place), "{parameters}: {}", failure.message);
    }
}
