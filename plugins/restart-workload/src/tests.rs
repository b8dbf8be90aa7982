use falco_response_sdk::mock::{Mock, Operation};

use super::*;

fn alert(kind: &str, owner: ObjectRef, manifest: &str) -> Mock {
    Mock::on(kinds::PODS.in_namespace("shop", "web-1"))
        .owned_by(kind, owner.clone())
        .with_object(&owner, Value::parse(manifest).unwrap())
}

fn deployment(manifest: &str) -> Mock {
    alert("Deployment", kinds::DEPLOYMENTS.in_namespace("shop", "web"), manifest)
}

#[test]
fn changes_nothing_but_the_templates_annotation() {
    let mock = deployment("{}");
    assert_eq!(mock.run::<RestartWorkload>(), Ok(Outcome::acted("restarted Deployment/web")));
    assert_eq!(mock.operations(), [Operation::Get, Operation::Patch]);
    let expected = r#"{"spec":{"template":{"metadata":{"annotations":{
        "kubectl.kubernetes.io/restartedAt":"2026-01-02T03:04:05.678901234Z"}}}}}"#;
    assert_eq!(mock.calls()[1].document, Value::parse(expected).unwrap());
}

#[test]
fn leaves_alone_what_would_not_be_restarted() {
    let paused = deployment(r#"{"spec":{"paused":true}}"#);
    assert!(matches!(paused.run::<RestartWorkload>(), Ok(Outcome::Skipped(said)) if said.contains("paused")));
    assert_eq!(paused.operations(), [Operation::Get]);
    let job = alert("Job", Kind::new("batch", "v1", "jobs").in_namespace("shop", "report"), "{}");
    assert!(matches!(job.run::<RestartWorkload>(), Ok(Outcome::Skipped(said)) if said.contains("Job/report")));
    let bare = Mock::on(kinds::PODS.in_namespace("shop", "web-1"));
    assert!(matches!(bare.run::<RestartWorkload>(), Ok(Outcome::Skipped(_))));
    assert_eq!((job.calls(), bare.calls()), (vec![], vec![]));
}
