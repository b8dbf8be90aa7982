//! Lifting by the gate's own hand: only what is ours, only as it was read, and by no run that answers an alert.

use serde_json::json;

use super::*;
use crate::safety::isolation::Isolation;
use crate::safety::lifting::{self, Lift};

const POLICIES: &str = r#"
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: falco-x
  namespace: production
  labels: {app.kubernetes.io/managed-by: falco-response-controller}
  managedFields: [{manager: falco-response-controller/isolate, operation: Apply, fieldsV1: {f:spec: {f:policyTypes: {}}}}]
spec: {podSelector: {}, policyTypes: [Egress]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: falco-edited, namespace: production, labels: {app.kubernetes.io/managed-by: falco-response-controller}}
spec: {podSelector: {}, policyTypes: [Egress]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: falco-foreign, namespace: production}
spec: {podSelector: {}, policyTypes: [Egress]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: falco-x, namespace: monitoring, labels: {app.kubernetes.io/managed-by: falco-response-controller}}
spec: {podSelector: {}, policyTypes: [Egress]}
---
"#;

fn policies_stage(stop_file: Option<std::path::PathBuf>) -> Stage {
    stage_of(&format!("{POLICIES}{MANIFESTS}"), stop_file)
}

async fn lifting_run(stage: &Stage, dry_run: bool, notes: Arc<Notes>) -> Arc<Run> {
    let bounds = stage.bounds(stage.cleared().await, lifting::permissions(), dry_run, Duration::from_secs(10));
    let bounds = Bounds { purpose: Purpose::Lift, allowance: None, ..bounds };
    Arc::new(Run::new(identity(), bounds, notes))
}

async fn policy(stage: &Stage, namespace: &str, name: &str) -> (ObjectRef, String) {
    let object = ObjectRef {
        resource: crate::safety::isolation::policies(),
        namespace: Namespace::parse(namespace).ok(),
        name: ObjectName::parse(name).expect("valid"),
        uid: None,
    };
    let read = stage.reader.get(&object).await.expect("is there");
    let version = read["metadata"]["resourceVersion"].as_str().expect("has one").to_owned();
    let uid = read["metadata"]["uid"].as_str().and_then(|uid| crate::cluster::names::Uid::parse(uid).ok());
    (ObjectRef { uid, ..object }, version)
}

#[tokio::test]
async fn what_is_ours_goes_as_it_was_read_and_uses_no_budget() {
    let stage = policies_stage(None);
    let notes = Arc::new(Notes::default());
    let run = lifting_run(&stage, false, Arc::clone(&notes)).await;
    let (policy, resource_version) = policy(&stage, "production", "falco-x").await;
    let read = stage.reader.get(&ObjectRef { uid: None, ..policy.clone() }).await.expect("is there");
    assert!(Isolation::read(&read).is_ok());
    stage
        .gate
        .lift(&run, Lift::Policy { policy: policy.clone(), resource_version, edited: false })
        .await
        .expect("lifted");
    assert!(stage.reader.get(&policy).await.expect_err("gone").is_not_found());
    assert_eq!(*notes.written.lock().unwrap(), ["intent delete", "result delete changed"]);
}

#[tokio::test]
async fn what_is_not_ours_or_was_edited_or_is_elsewhere_stays() {
    for (namespace, name, version, words) in [
        ("production", "falco-foreign", None, "is not ours"),
        ("production", "falco-edited", None, "somebody has edited"),
        ("production", "falco-x", Some("1000000"), "was changed since it was looked at"),
        ("monitoring", "falco-x", None, "denied_namespaces"),
    ] {
        let stage = policies_stage(None);
        let run = lifting_run(&stage, false, Arc::default()).await;
        let (policy, read) = policy(&stage, namespace, name).await;
        let resource_version = version.map_or(read, str::to_owned);
        let error =
            stage.gate.lift(&run, Lift::Policy { policy, resource_version, edited: false }).await.expect_err(name);
        assert!(error.message.contains(words), "{name}: {}", error.message);
        assert!(stage.sent().is_empty(), "{name}: {:?}", stage.sent());
    }
}

#[tokio::test]
async fn the_brake_and_a_dry_run_hold_for_it() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let stage = policies_stage(Some(file.path().to_owned()));
    let (policy, resource_version) = policy(&stage, "production", "falco-x").await;
    let lift = || Lift::Policy { policy: policy.clone(), resource_version: resource_version.clone(), edited: false };
    let run = lifting_run(&stage, false, Arc::default()).await;
    let error = stage.gate.lift(&run, lift()).await.expect_err("the brake is on");
    assert!(error.message.contains("stop"), "{}", error.message);
    let run = lifting_run(&stage, true, Arc::default()).await;
    stage.gate.lift(&run, lift()).await.expect("rehearsed");
    assert!(stage.reader.get(&policy).await.is_ok(), "it is there as before");
}

#[tokio::test]
async fn a_run_either_acts_or_lifts() {
    let stage = policies_stage(None);
    let (policy, resource_version) = policy(&stage, "production", "falco-x").await;
    let answers = stage.run(lifting::permissions(), false).await;
    let error = stage
        .gate
        .lift(&answers, Lift::Policy { policy, resource_version, edited: false })
        .await
        .expect_err("it answers");
    assert_eq!(error.reason, Reason::Denied);
    let lifts = lifting_run(&stage, false, Arc::default()).await;
    let delete = Change::Delete { object: pod("target"), grace_period_seconds: None, propagation: None };
    assert_eq!(stage.gate.change(&lifts, delete).await.expect_err("it lifts").reason, Reason::Denied);
    assert!(stage.sent().is_empty(), "{:?}", stage.sent());
}

#[tokio::test]
async fn of_a_pod_only_our_labels_go_and_of_a_protected_one_none() {
    let stage = policies_stage(None);
    for (name, labels) in
        [("target", vec!["tier"]), ("target", vec![]), ("agent-1", vec!["falco-response/isolated-egress"])]
    {
        let run = lifting_run(&stage, false, Arc::default()).await;
        let labels = labels.into_iter().map(str::to_owned).collect();
        let lifted = stage.gate.lift(&run, Lift::Labels { pod: pod(name), labels }).await;
        assert_eq!(lifted.expect_err(name).reason, Reason::Denied, "{name}");
    }
    assert!(stage.sent().is_empty(), "{:?}", stage.sent());
    let run = lifting_run(&stage, false, Arc::default()).await;
    let label = json!({"metadata": {"labels": {"falco-response/isolated-egress": "true"}}});
    let put = Change::Patch { object: pod("target"), document: crate::cluster::PatchDocument::Merge(label) };
    stage.gate.change(&stage.run(granted(&["metadata.labels"]), false).await, put).await.expect("labelled");
    let labels = vec!["falco-response/isolated-egress".to_owned()];
    stage.gate.lift(&run, Lift::Labels { pod: pod("target"), labels }).await.expect("taken off");
    let left = stage.simulation.object(&path("target")).expect("is there")["metadata"]["labels"].clone();
    assert_eq!(left, json!({"app": "web", "tier": "front"}));
}

/// The other replica, or this one's own clock, is at the policy while an alert asks for it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_isolation_that_is_lifted_while_it_is_asked_for_again_is_made_anew() {
    let stage = policies_stage(None);
    let (policy, resource_version) = policy(&stage, "production", "falco-x").await;
    let (gate, lifts) = (stage.gate.clone(), lifting_run(&stage, false, Arc::default()).await);
    let once = std::sync::atomic::AtomicBool::new(true);
    let lift = Lift::Policy { policy: policy.clone(), resource_version, edited: false };
    let meanwhile = move || {
        if once.swap(false, std::sync::atomic::Ordering::AcqRel) {
            let lifted = gate.lift(&lifts, lift.clone());
            let lifted = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(lifted));
            assert!(lifted.is_ok(), "{lifted:?}");
        }
    };
    let notes = Arc::new(Notes { meanwhile: Some(Box::new(meanwhile)), ..Notes::default() });
    let bounds = stage.bounds(stage.cleared().await, granted(&ALL_FIELDS), false, Duration::from_secs(10));
    let marks = crate::safety::isolation::Marks { rule: "r".to_owned(), lasts: Some(Duration::from_mins(60)) };
    // What is there lasts for ever: only a change of what it forbids is sent.
    let run = Arc::new(Run::new(identity(), Bounds { purpose: Purpose::Answer(marks), ..bounds }, notes));
    let object = ObjectRef { uid: None, ..policy };
    let manifest = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "falco-x"},
        "spec": {"podSelector": {}, "policyTypes": ["Egress", "Ingress"], "egress": [], "ingress": []},
    });
    let applied = stage.gate.change(&run, Change::Apply { object: object.clone(), manifest, force: false }).await;
    assert!(applied.is_ok(), "{applied:?} {:?}", run.calls());
    let effects: Vec<_> = run.calls().iter().map(|call| call.effect).collect();
    assert_eq!(effects, [Effect::Gone, Effect::Changed], "{:?}", run.calls());
    assert!(stage.reader.get(&object).await.is_ok());
}
