use falco_response_sdk::mock::{Mock, Operation};

use super::*;

const EGRESS: &str = "falco-response/isolated-egress";
const INGRESS: &str = "falco-response/isolated-ingress";

fn pod() -> ObjectRef {
    kinds::PODS.in_namespace("shop", "web-1")
}

fn policy(name: &str) -> ObjectRef {
    kinds::NETWORK_POLICIES.in_namespace("shop", name)
}

fn parse(text: &str) -> Value {
    Value::parse(text).unwrap()
}

/// An alert about a pod with these labels.
fn alert(labels: &str) -> Mock {
    Mock::on(pod()).with_object(&pod(), parse(&format!(r#"{{"metadata":{{"labels":{labels}}},"spec":{{}}}}"#)))
}

fn allowing(spec: &str) -> Value {
    parse(&format!(r#"{{"spec":{spec}}}"#))
}

fn label(mock: &Mock, key: &str) -> Option<String> {
    mock.object(&pod()).unwrap().at(&["metadata", "labels", key]).as_str().map(ToOwned::to_owned)
}

#[test]
fn puts_the_policy_in_place_before_the_label_that_it_selects() {
    let mock = alert(r#"{"app":"web"}"#);
    assert_eq!(mock.run::<IsolatePod>(), Ok(Outcome::acted("isolated pod web-1")));
    assert_eq!(mock.operations(), [Operation::Apply, Operation::Patch, Operation::Query]);
    let [apply, label, _] = &mock.calls()[..] else { panic!("{:?}", mock.calls()) };
    assert!(!apply.force);
    assert_eq!(
        apply.document,
        parse(
            r#"{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy",
            "metadata":{"name":"falco-pod-isolation-egress","namespace":"shop",
                "labels":{"app.kubernetes.io/managed-by":"falco-response-controller"}},
            "spec":{"podSelector":{"matchLabels":{"falco-response/isolated-egress":"true"}},
                "policyTypes":["Egress"],"egress":[]}}"#
        )
    );
    assert_eq!(label.object.uid.as_deref(), Some("uid-of-web-1"));
    assert_eq!(label.document, parse(r#"{"metadata":{"labels":{"falco-response/isolated-egress":"true"}}}"#));
    assert_eq!(mock.notes(), [("isolation".into(), "full".into())]);
}

#[test]
fn cuts_what_comes_in_as_well_where_the_rule_says_so() {
    let mock = alert("{}").with_parameters(r#"{"ingress": true}"#);
    assert!(mock.run::<IsolatePod>().is_ok());
    let ingress = mock.object(&policy("falco-pod-isolation-ingress")).unwrap();
    assert_eq!(ingress.at(&["spec", "policyTypes"]), &array(["Ingress".into()]));
    assert!(ingress.at(&["spec", "egress"]).is_null());
    assert!(mock.object(&policy("falco-pod-isolation-egress")).is_some());
    assert_eq!((label(&mock, EGRESS).as_deref(), label(&mock, INGRESS).as_deref()), (Some("true"), Some("true")));
}

#[test]
fn adds_to_an_isolation_only_what_it_lacks() {
    let mock = alert(r#"{"falco-response/isolated-egress":"true"}"#).with_parameters(r#"{"ingress": true}"#);
    assert!(matches!(mock.run::<IsolatePod>(), Ok(Outcome::Acted(_))));
    let patch = &mock.calls()[2];
    assert_eq!(patch.document, parse(r#"{"metadata":{"labels":{"falco-response/isolated-ingress":"true"}}}"#));
}

#[test]
fn only_sees_to_the_policies_of_a_pod_that_is_isolated_already() {
    let mock = alert(r#"{"falco-response/isolated-egress":"true"}"#);
    assert!(matches!(mock.run::<IsolatePod>(), Ok(Outcome::Skipped(_))));
    assert_eq!(mock.operations(), [Operation::Apply, Operation::Query]);
}

#[test]
fn leaves_open_what_the_rule_names() {
    let mock = alert("{}")
        .with_parameters(r#"{"allow_cidrs": ["10.20.0.0/16"], "allow_namespaces": ["forensics"], "ingress": true}"#);
    assert!(mock.run::<IsolatePod>().is_ok());
    let found = mock.object(&policy("falco-pod-isolation-egress-exceptions")).unwrap();
    assert_eq!(
        found.at(&["spec"]),
        &parse(
            r#"{"podSelector":{"matchLabels":{"falco-response/isolated-egress":"true","falco-response/isolated-except":"true"}},
            "policyTypes":["Egress"],"egress":[{"to":[{"ipBlock":{"cidr":"10.20.0.0/16"}},
                {"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"forensics"}}}]}]}"#
        )
    );
    let ingress = mock.object(&policy("falco-pod-isolation-ingress-exceptions")).unwrap();
    assert_eq!(ingress.at(&["spec", "ingress"]).items()[0].at(&["from"]).items().len(), 2);
    assert_eq!(label(&mock, policy::EXCEPTED).as_deref(), Some("true"));
    assert_eq!(mock.noted("isolation").as_deref(), Some("partial"));
    assert_eq!(
        mock.noted("isolation_partial_because").as_deref(),
        Some("falco-pod-isolation-egress-exceptions, falco-pod-isolation-ingress-exceptions")
    );
}

#[test]
fn does_not_replace_the_exceptions_of_another_rule() {
    let first = alert("{}").with_parameters(r#"{"allow_namespaces": ["forensics"]}"#);
    assert!(first.run::<IsolatePod>().is_ok());
    let there = first.object(&policy("falco-pod-isolation-egress-exceptions")).unwrap();
    let second = alert("{}")
        .with_object(&policy("falco-pod-isolation-egress-exceptions"), there.clone())
        .with_parameters(r#"{"allow_namespaces": ["forensics", "default"]}"#);
    let failure = second.run::<IsolatePod>().unwrap_err();
    assert!(failure.message.contains("not replaced"), "{}", failure.message);
    assert_eq!(second.operations(), [Operation::Get], "nothing was changed before");
    // The same ones are no trouble.
    let third = alert("{}")
        .with_object(&policy("falco-pod-isolation-egress-exceptions"), there)
        .with_parameters(r#"{"allow_namespaces": ["forensics"]}"#);
    assert!(third.run::<IsolatePod>().is_ok());
}

#[test]
fn a_label_that_somebody_else_gave_the_pod_is_not_changed() {
    let mock = alert(r#"{"falco-response/isolated-egress":"no"}"#);
    let failure = mock.run::<IsolatePod>().unwrap_err();
    assert!(failure.message.contains("isolated-egress=no"), "{}", failure.message);
    assert_eq!(mock.calls(), []);
}

#[test]
fn claims_nothing_about_a_pod_on_its_nodes_network() {
    let mock = Mock::on(pod()).with_object(&pod(), parse(r#"{"spec":{"hostNetwork":true}}"#));
    assert!(mock.run::<IsolatePod>().unwrap_err().message.contains("no NetworkPolicy covers"));
    assert_eq!(mock.calls(), []);
}

#[test]
fn says_which_half_is_done_where_the_second_call_fails() {
    let mock = alert("{}").failing(Operation::Patch, Reason::Unavailable, "connection refused");
    let failure = mock.run::<IsolatePod>().unwrap_err();
    assert!(failure.retry);
    assert!(failure.message.contains("the pod bears no label"), "{}", failure.message);
    assert!(mock.object(&policy("falco-pod-isolation-egress")).is_some());
    assert_eq!(label(&mock, EGRESS), None);
    assert_eq!(mock.noted("isolation"), None);
    // And where the first one fails, the second is not made.
    let mock = alert("{}").failing(Operation::Apply, Reason::Conflict, "conflict with \"kubectl-edit\"");
    assert!(mock.run::<IsolatePod>().unwrap_err().message.contains("kubectl-edit"));
    assert_eq!(mock.operations(), [Operation::Apply]);
}

#[test]
fn fails_where_the_cluster_made_something_else_of_it() {
    let spec = r#"{"podSelector":{"matchLabels":{"falco-response/isolated-egress":"true"}},"policyTypes":["Egress"]}"#;
    // The API server leaves empty lists out.
    assert!(alert("{}").answering(Operation::Apply, allowing(spec)).run::<IsolatePod>().is_ok());
    for spec in [
        r#"{"podSelector":{"matchLabels":{"falco-response/isolated-egress":"true"}},"policyTypes":["Egress"],"egress":[{}]}"#,
        r#"{"podSelector":{},"policyTypes":["Egress"]}"#,
        r#"{"podSelector":{"matchLabels":{"falco-response/isolated-egress":"true"}},"policyTypes":["Ingress"]}"#,
        "null",
    ] {
        let mock = alert("{}").answering(Operation::Apply, allowing(spec));
        assert!(mock.run::<IsolatePod>().unwrap_err().message.contains("made another policy"), "{spec}");
        assert_eq!(label(&mock, EGRESS), None);
    }
    let mock = alert("{}").answering(Operation::Patch, parse(r#"{"metadata":{"labels":{"app":"web"}}}"#));
    assert!(mock.run::<IsolatePod>().unwrap_err().message.contains("took the label off"));
}

#[test]
fn names_the_policies_that_leave_this_pod_something_open() {
    let rules = r#""policyTypes":["Egress"],"egress":[{"ports":[{"port":53}]}]"#;
    let policies = [
        ("all", "{}", rules),
        ("web", r#"{"matchLabels":{"app":"web"}}"#, rules),
        ("db", r#"{"matchLabels":{"app":"db"}}"#, rules),
        ("in", r#"{"matchExpressions":[{"key":"app","operator":"In","values":["web","db"]}]}"#, rules),
        ("notin", r#"{"matchExpressions":[{"key":"app","operator":"NotIn","values":["web"]}]}"#, rules),
        ("exists", r#"{"matchExpressions":[{"key":"app","operator":"Exists"}]}"#, rules),
        ("absent", r#"{"matchExpressions":[{"key":"app","operator":"DoesNotExist"}]}"#, rules),
        ("isolated", r#"{"matchExpressions":[{"key":"falco-response/isolated-egress","operator":"Exists"}]}"#, rules),
        ("unknown", r#"{"matchExpressions":[{"key":"app","operator":"Like"}]}"#, rules),
        ("ingress", "{}", r#""policyTypes":["Ingress"],"ingress":[{}]"#),
        ("closed", "{}", r#""policyTypes":["Egress"]"#),
    ];
    let with = |mock: Mock| {
        policies.iter().fold(mock, |mock, (name, selector, rules)| {
            mock.with_object(&policy(name), allowing(&format!(r#"{{"podSelector":{selector},{rules}}}"#)))
        })
    };
    let mock = with(alert(r#"{"app":"web"}"#));
    assert!(mock.run::<IsolatePod>().is_ok());
    assert_eq!(mock.noted("isolation").as_deref(), Some("partial"));
    assert_eq!(mock.noted("isolation_partial_because").as_deref(), Some("all, web, in, exists, isolated, unknown"));
    let mock = with(alert(r#"{"app":"web"}"#)).with_parameters(r#"{"ingress": true}"#);
    assert!(mock.run::<IsolatePod>().is_ok());
    assert!(mock.noted("isolation_partial_because").unwrap().ends_with("unknown, ingress"));
}

#[test]
fn tells_that_it_could_not_verify_instead_of_failing() {
    let mock = alert("{}").failing(Operation::Query, Reason::Unavailable, "connection refused");
    assert!(matches!(mock.run::<IsolatePod>(), Ok(Outcome::Acted(_))));
    assert_eq!(mock.notes(), [("isolation_unverified".into(), "connection refused".into())]);
}

#[test]
fn refuses_exceptions_that_are_none() {
    for cidr in [
        "10.0.0.1",
        "10.0.0.0/33",
        "fd00::/129",
        "10.0.0/8",
        "10.0.0.0/",
        "/8",
        "10.0.0.0/+8",
        "10.0.0.0/08",
        "x/8",
        "",
        "10.0.0.0/8/8",
        " 10.0.0.0/8",
        "0.0.0.0/0",
        "::/0",
    ] {
        let mock = alert("{}").with_parameters(&object([("allow_cidrs", array([cidr.into()]))]).to_string());
        let failure = mock.run::<IsolatePod>().unwrap_err();
        assert!(failure.message.starts_with("parameters: /allow_cidrs/0: "), "{cidr:?}: {}", failure.message);
        assert_eq!(mock.calls(), []);
    }
    for namespace in ["", "Shop", "a_b", "-a", "a-", "a.b", &"a".repeat(64)] {
        let parameters = object([("allow_namespaces", array(["ok".into(), namespace.into()]))]).to_string();
        let failure = alert("{}").with_parameters(&parameters).run::<IsolatePod>().unwrap_err();
        assert!(failure.message.contains("/allow_namespaces/1: "), "{namespace:?}: {}", failure.message);
    }
    let fine = r#"{"allow_cidrs": ["10.0.0.0/8", "192.0.2.1/32", "fd00::/8", "::1/128"], "allow_namespaces": ["a-1"]}"#;
    assert!(alert("{}").with_parameters(fine).run::<IsolatePod>().is_ok());
}
