use falco_response_sdk::mock::{Mock, Operation};

use super::*;

fn alert() -> Mock {
    Mock::on(kinds::NAMESPACES.cluster_wide("shop"))
}

fn object_ref(name: &str) -> ObjectRef {
    kinds::NETWORK_POLICIES.in_namespace("shop", name)
}

fn ours() -> ObjectRef {
    object_ref(policy::NAME)
}

fn parse(text: &str) -> Value {
    Value::parse(text).unwrap()
}

fn labelled(spec: &str) -> Value {
    parse(&format!(
        r#"{{"metadata":{{"labels":{{"app.kubernetes.io/managed-by":"falco-response-controller"}}}},"spec":{spec}}}"#
    ))
}

const COMPLETE: &str = r#"{"podSelector":{},"policyTypes":["Egress"]}"#;
const DNS: &str = r#"{"spec":{"podSelector":{},"policyTypes":["Egress"],"egress":[{"ports":[{"port":53}]}]}}"#;

#[test]
fn applies_a_policy_without_egress_where_there_is_none() {
    let mock = alert();
    assert_eq!(mock.run::<IsolateNamespace>(), Ok(Outcome::acted("isolated namespace shop")));
    assert_eq!(mock.operations(), [Operation::Get, Operation::Apply, Operation::Query]);
    let apply = &mock.calls()[1];
    assert!(!apply.force);
    assert_eq!(apply.object, ours());
    assert_eq!(
        apply.document,
        parse(
            r#"{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy",
            "metadata":{"name":"falco-emergency-isolation","namespace":"shop",
                "labels":{"app.kubernetes.io/managed-by":"falco-response-controller"}},
            "spec":{"podSelector":{},"policyTypes":["Egress"],"egress":[]}}"#
        )
    );
    assert_eq!(mock.notes(), [("isolation".into(), "full".into())]);
}

#[test]
fn skips_a_namespace_that_is_isolated_already() {
    for spec in [COMPLETE, r#"{"podSelector":{"matchLabels":{}},"policyTypes":["Egress"],"egress":[]}"#] {
        let mock = alert().with_object(&ours(), labelled(spec));
        assert_eq!(mock.run::<IsolateNamespace>(), Ok(Outcome::skipped("namespace shop is isolated already")));
        // So that the controller can put off its end.
        assert_eq!(mock.operations(), [Operation::Get, Operation::Apply, Operation::Query]);
        assert_eq!(mock.noted("isolation").as_deref(), Some("full"));
    }
}

#[test]
fn restores_its_own_policy_after_someone_opened_it() {
    for spec in [
        r#"{"podSelector":{},"policyTypes":["Egress"],"egress":[{}]}"#,
        r#"{"podSelector":{"matchLabels":{"app":"web"}},"policyTypes":["Egress"]}"#,
        r#"{"podSelector":{},"policyTypes":["Ingress"]}"#,
        r#"{"podSelector":{},"policyTypes":["Egress"],"surprise":1}"#,
        "null",
    ] {
        let repaired = labelled(COMPLETE);
        let mock = alert().with_object(&ours(), labelled(spec)).answering(Operation::Apply, repaired);
        assert_eq!(mock.run::<IsolateNamespace>(), Ok(Outcome::acted("isolated namespace shop")), "{spec}");
        assert!(!mock.calls()[1].force);
    }
}

#[test]
fn does_not_take_over_what_someone_else_owns_since() {
    let mock = alert()
        .with_object(&ours(), labelled(r#"{"podSelector":{},"policyTypes":["Egress"],"egress":[{}]}"#))
        .failing(Operation::Apply, Reason::Conflict, "conflict with \"kubectl-edit\": .spec.egress");
    let failure = mock.run::<IsolateNamespace>().unwrap_err();
    assert!(failure.message.contains("someone else changed"), "{}", failure.message);
    assert!(failure.message.contains("kubectl-edit"), "{}", failure.message);
    assert!(!failure.retry);
}

#[test]
fn never_overwrites_a_policy_of_that_name_that_it_did_not_make() {
    let theirs = parse(r#"{"metadata":{"labels":{"app.kubernetes.io/managed-by":"Helm"}},"spec":{"podSelector":{}}}"#);
    let mock = alert().with_object(&ours(), theirs);
    let failure = mock.run::<IsolateNamespace>().unwrap_err();
    assert!(failure.message.contains("not overwritten"), "{}", failure.message);
    assert_eq!(mock.operations(), [Operation::Get, Operation::Apply]);
    assert!(!mock.calls()[1].force);
}

#[test]
fn fails_when_the_cluster_made_another_policy_of_it() {
    let weakened = labelled(r#"{"podSelector":{},"policyTypes":["Egress"],"egress":[{"to":[]}]}"#);
    let mock = alert().answering(Operation::Apply, weakened);
    let failure = mock.run::<IsolateNamespace>().unwrap_err();
    assert!(failure.message.contains("not all forbidden"), "{}", failure.message);
    assert_eq!(mock.noted("isolation"), None);
}

#[test]
fn calls_the_isolation_partial_where_other_policies_allow_egress() {
    let ingress = parse(r#"{"spec":{"podSelector":{},"policyTypes":["Ingress"],"ingress":[{}]}}"#);
    let elsewhere = kinds::NETWORK_POLICIES.in_namespace("other", "allow-all");
    let mock = alert()
        .with_object(&object_ref("allow-dns"), parse(DNS))
        .with_object(&object_ref("allow-web"), parse(DNS))
        .with_object(&object_ref("ingress-only"), ingress)
        .with_object(&elsewhere, parse(DNS));
    assert!(matches!(mock.run::<IsolateNamespace>(), Ok(Outcome::Acted(_))));
    assert_eq!(mock.noted("isolation").as_deref(), Some("partial"));
    assert_eq!(mock.noted("isolation_partial_because").as_deref(), Some("allow-dns, allow-web"));
}

#[test]
fn tells_that_it_could_not_verify_instead_of_failing() {
    let mock = alert().failing(Operation::Query, Reason::Unavailable, "connection refused");
    assert!(matches!(mock.run::<IsolateNamespace>(), Ok(Outcome::Acted(_))));
    assert_eq!(mock.notes(), [("isolation_unverified".into(), "connection refused".into())]);
}

#[test]
fn asks_for_another_try_when_the_cluster_is_out_of_reach() {
    for operation in [Operation::Get, Operation::Apply] {
        let mock = alert().failing(operation, Reason::Unavailable, "connection refused");
        let failure = mock.run::<IsolateNamespace>().unwrap_err();
        assert!(failure.retry);
        assert!(failure.message.ends_with("connection refused"), "{}", failure.message);
    }
}
