use falco_response_sdk::mock::{Mock, Operation};

use super::*;

fn subject(name: &str) -> String {
    format!(r#"{{"kind":"ServiceAccount","namespace":"shop","name":"{name}"}}"#)
}

fn binding(subjects: &[String]) -> Value {
    let subjects = subjects.join(",");
    let text = format!(
        r#"{{"metadata":{{"resourceVersion":"7","labels":{{"a":"b"}}}},
            "roleRef":{{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"r"}},"subjects":[{subjects}]}}"#
    );
    Value::parse(&text).unwrap()
}

fn bindings(name: &str) -> ObjectRef {
    ROLE_BINDINGS.in_namespace("shop", name)
}

/// Of the account `web`: one binding of its own, one that it shares; and one of another account.
fn alert(account: &str, parameters: &str) -> Mock {
    let pod = kinds::PODS.in_namespace("shop", "web-1");
    let group = r#"{"kind":"Group","name":"ops"}"#.to_owned();
    let cluster_role = CLUSTER_ROLE_BINDINGS.cluster_wide("web-everywhere");
    Mock::on(pod.clone())
        .with_object(&pod, Value::parse(&format!(r#"{{"spec":{{"serviceAccountName":"{account}"}}}}"#)).unwrap())
        .with_object(&bindings("own"), binding(&[subject("web")]))
        .with_object(&bindings("shared"), binding(&[subject("web"), group]))
        .with_object(&bindings("other"), binding(&[subject("api")]))
        .with_object(&bindings("of-default"), binding(&[subject("default")]))
        .with_object(&cluster_role, binding(&[subject("web")]))
        .with_parameters(parameters)
}

fn deleted(mock: &Mock) -> Vec<String> {
    let deletes = mock.calls().into_iter().filter(|call| call.operation == Operation::Delete);
    deletes.map(|call| call.object.name).collect()
}

#[test]
fn deletes_the_accounts_own_bindings_and_keeps_them_first() {
    let mock = alert("web", "{}");
    let said = "deleted 1 RoleBindings of ServiceAccount shop/web, and 1 are left";
    assert_eq!(mock.run::<RevokeServiceAccount>(), Ok(Outcome::acted(said)));
    assert_eq!(deleted(&mock), ["own"]);
    assert!(mock.calls()[1].object.uid.is_some());
    assert_eq!(mock.noted("left").as_deref(), Some("RoleBinding shared (names others as well)"));
    let [kept] = &mock.attachments()[..] else { panic!("one attachment: {:?}", mock.attachments()) };
    let kept = Value::parse(core::str::from_utf8(&kept.content).unwrap()).unwrap();
    let item = &kept.at(&["items"]).items()[0];
    assert_eq!(item.at(&["metadata", "name"]).as_str(), Some("own"));
    assert!(item.at(&["metadata", "resourceVersion"]).is_null() && item.at(&["metadata", "uid"]).is_null());
    assert_eq!(item.at(&["roleRef", "name"]).as_str(), Some("r"));
}

#[test]
fn deletes_what_others_share_only_where_the_rule_says_so() {
    let mock = alert("web", r#"{"shared": true, "cluster_wide": true}"#);
    assert!(mock.run::<RevokeServiceAccount>().is_ok());
    assert_eq!(deleted(&mock), ["own", "shared"]);
    assert_eq!(mock.noted("left").as_deref(), Some("ClusterRoleBinding web-everywhere"));
}

#[test]
fn leaves_the_account_of_everybody_alone_unless_told_otherwise() {
    let mock = alert("default", "{}");
    assert!(matches!(mock.run::<RevokeServiceAccount>(), Ok(Outcome::Skipped(_))));
    assert_eq!(mock.calls(), []);
    let mock = alert("default", r#"{"default_account": true}"#);
    assert!(mock.run::<RevokeServiceAccount>().is_ok());
    assert_eq!(deleted(&mock), ["of-default"]);
}

#[test]
fn deletes_nothing_that_it_could_not_keep() {
    let huge = format!(
        r#"{{"metadata":{{"annotations":{{"a":"{}"}}}},"subjects":[{}]}}"#,
        "x".repeat(1 << 20),
        subject("web")
    );
    let mock = alert("web", "{}").with_object(&bindings("own"), Value::parse(&huge).unwrap());
    let failure = mock.run::<RevokeServiceAccount>().unwrap_err();
    assert!(failure.message.starts_with("nothing was deleted"), "{}", failure.message);
    assert_eq!(deleted(&mock), Vec::<String>::new());
}

#[test]
fn tells_what_it_deleted_before_it_was_stopped() {
    let mock =
        alert("web", r#"{"shared": true}"#).failing_on(Operation::Delete, &bindings("shared"), Reason::Denied, "no");
    let failure = mock.run::<RevokeServiceAccount>().unwrap_err();
    assert!(failure.message.starts_with("not all of the bindings"), "{}", failure.message);
    assert_eq!(mock.noted("deleted").as_deref(), Some("own"));
}
