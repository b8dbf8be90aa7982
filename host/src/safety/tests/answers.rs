//! Answers that are lost, and what the record may say of them.

use serde_json::json;

use super::*;

fn isolation() -> Change {
    let policies = ApiResource::parse("networking.k8s.io", "v1", "networkpolicies").expect("valid");
    let manifest = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "falco-x"},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": []}});
    Change::Apply { object: object(policies, "production", "falco-x"), manifest, force: false }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_was_made_but_not_answered_is_not_recorded_as_no_change() {
    let stage = stage();
    stage.fault(Method::PATCH, FaultKind::LoseAnswer, 1);
    let run = stage.run(granted(&ALL_FIELDS), false).await;
    stage.gate.change(&run, isolation()).await.expect("the second attempt is answered");
    assert_eq!(stage.sent().len(), 2);
    assert_eq!(effects(&run), ["changed"], "{:?}", run.calls());
}

#[tokio::test]
async fn an_apply_that_meets_an_object_made_in_the_meantime_is_recorded_as_a_change_of_it() {
    let stage = stage();
    let simulation = stage.simulation.clone();
    // When the gate has looked, and found nothing.
    let meanwhile = move || {
        let made = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": "falco-x", "namespace": "production"}, "spec": {"podSelector": {}, "policyTypes": ["Egress"]}});
        simulation.place(made).expect("a policy");
    };
    let notes = Arc::new(Notes { meanwhile: Some(Box::new(meanwhile)), ..Notes::default() });
    let run = stage.run_of(granted(&ALL_FIELDS), false, Duration::from_secs(10), notes).await;
    stage.gate.change(&run, isolation()).await.expect("nothing of it conflicts");
    assert_eq!(effects(&run), ["changed"], "{:?}", run.calls());
    assert!(run.calls()[0].detail.contains("another writer"), "{:?}", run.calls());
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_gone_after_an_unanswered_delete_is_not_recorded_as_gone_before_it() {
    let stage = stage();
    stage.fault(Method::DELETE, FaultKind::LoseAnswer, 1);
    let run = stage.run(ungranted(), false).await;
    let now = Change::Delete { object: pod("target"), grace_period_seconds: Some(0), propagation: None };
    let error = stage.gate.change(&run, now).await.expect_err("the second attempt finds nothing");
    assert_eq!(error.reason, Reason::NotFound);
    assert_eq!(effects(&run), ["unknown"], "{:?}", run.calls());
    assert!(run.calls()[0].detail.contains("got no answer"), "{:?}", run.calls());
}

#[tokio::test]
async fn a_proxys_503_does_not_prove_that_nothing_was_changed() {
    use crate::cluster::ApiError;
    let status = |code, reason: &str| ApiError::Status {
        code,
        reason: reason.to_owned(),
        message: "upstream connect error or disconnect/reset before headers".to_owned(),
        retry_after: None,
    };
    assert!(crate::safety::send::is_ambiguous(&status(503, "")));
    assert!(!crate::safety::send::is_ambiguous(&status(503, "ServiceUnavailable")));
    assert!(!crate::safety::send::is_ambiguous(&status(429, "TooManyRequests")));
}

#[tokio::test]
async fn a_webhook_that_could_not_be_asked_proves_that_nothing_was_changed() {
    use crate::cluster::ApiError;
    let status = |message: &str| ApiError::Status {
        code: 500,
        reason: "InternalError".to_owned(),
        message: message.to_owned(),
        retry_after: None,
    };
    let unasked = "Internal error occurred: failed calling webhook \"a.example.com\": failed to call webhook: EOF";
    assert!(!crate::safety::send::is_ambiguous(&status(unasked)));
    assert!(crate::safety::send::is_ambiguous(&status("Internal error occurred: etcdserver: request timed out")));
}

#[tokio::test]
async fn another_version_of_a_kind_is_not_the_target() {
    let stage = stage();
    let run = stage.run(ungranted(), false).await;
    let odd = ObjectRef { resource: ApiResource::parse("", "v9", "pods").expect("valid"), ..pod("target") };
    // The API server knows no such version and answers 404: the pod would count as gone.
    stage.gate.change(&run, delete(odd)).await.expect_err("refused");
    assert_eq!((effects(&run), stage.sent()), (vec!["denied"], vec![]), "{:?}", run.calls());
}

#[tokio::test]
async fn a_pod_that_took_the_targets_name_is_not_handed_out_as_the_target() {
    let stage = stage();
    let run = stage.run(ungranted(), false).await;
    let admin = stage.run(ungranted(), false).await;
    let now = Change::Delete { object: pod("target"), grace_period_seconds: Some(0), propagation: None };
    stage.gate.change(&admin, now).await.expect("deleted");
    let manifest = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "target", "namespace": "production"},
        "spec": {"containers": [{"name": "a", "image": "b"}]}});
    let create = http::Request::post("/api/v1/namespaces/production/pods")
        .header("content-type", "application/json")
        .body(manifest.to_string().into_bytes())
        .expect("valid");
    assert_eq!(stage.simulation.respond(create).await.expect("answered").status(), 201);
    let error = stage.gate.get(&run, &pod("target")).await.expect_err("another pod");
    assert_eq!(error.reason, Reason::Conflict, "{error:?}");
}

#[tokio::test]
async fn values_of_the_environment_are_kept_back_at_any_depth() {
    let mut nested = json!({"env": [{"name": "A", "value": "secret"}]});
    for _ in 0..100 {
        nested = json!({ "deeper": nested });
    }
    assert!(!crate::safety::for_plugin(nested).to_string().contains("secret"));
    let stage = stage();
    let run = stage.run(ungranted(), false).await;
    let read = stage.gate.get(&run, &pod("target")).await.expect("its own target").to_string();
    assert!(read.contains("PASSWORD") && !read.contains("secret"), "{read}");
}
