//! Ways from what an action may do to what it may not.

use serde_json::json;

use super::*;
use crate::cluster::{LogOptions, PatchDocument, Selection};

fn merge(object: ObjectRef, document: Value) -> Change {
    Change::Patch { object, document: PatchDocument::Merge(document) }
}

fn web() -> ObjectRef {
    object(ApiResource::parse("apps", "v1", "deployments").expect("valid"), "production", "web")
}

async fn denied(stage: &Stage, permissions: Permissions, change: Change) -> String {
    let before = stage.simulation.objects();
    let run = stage.run(permissions, false).await;
    let error = stage.gate.change(&run, change.clone()).await.expect_err("refused");
    assert_eq!((stage.sent(), stage.simulation.objects()), (vec![], before), "{change:?}: {error:?}");
    assert!(["denied", "conflict"].contains(&effects(&run)[0]), "{:?}", run.calls());
    error.message
}

/// Somebody deleted the Deployment and made another of its name.
fn replace_the_owner(stage: &Stage) {
    let other = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "production",
        "uid": "99999999-9999-4999-8999-999999999999"}});
    stage.simulation.place(other).expect("a Deployment");
}

#[tokio::test]
async fn a_permission_for_an_owner_is_none_for_what_took_its_name() {
    let stage = stage();
    let owners = Permission { scope: Scope::Owners, ..everything(&["spec.replicas"]) };
    let permissions = Permissions { declared: vec![everything(&[])], granted: vec![owners] };
    let run = stage.run(permissions, false).await;
    replace_the_owner(&stage);
    let read = stage.gate.get(&run, &web()).await.expect_err("another Deployment");
    assert_eq!(read.reason, Reason::Conflict, "{read:?}");
    let patched = stage.gate.change(&run, merge(web(), json!({"spec": {"replicas": 0}}))).await;
    assert_eq!(patched.expect_err("another Deployment").reason, Reason::Conflict);
    assert_eq!(stage.sent(), Vec::<String>::new());
}

/// A DaemonSet, or any controller, adopts a pod without a controller once its labels fit, has one too many, and deletes one.
#[tokio::test]
async fn a_label_does_not_bring_a_pod_under_a_controller() {
    let stage = stage();
    let labels = json!({"metadata": {"labels": {"name": "node-agent"}}});
    let said = denied(&stage, granted(&[]), merge(pod("other"), labels.clone())).await;
    assert!(said.contains("fields: [metadata.labels.name]"), "{said}");
    // The target has a controller of its own, and nobody adopts it.
    let run = stage.run(ungranted(), false).await;
    stage.gate.change(&run, merge(pod("target"), labels)).await.expect("a label of a pod that is controlled");
}

#[tokio::test]
async fn metadata_that_steers_others_is_not_free() {
    let stage = stage();
    for (kind, key) in [
        ("labels", "sidecar.istio.io/inject"),
        ("labels", "istio.io/dataplane-mode"),
        ("labels", "job-name"),
        ("annotations", "kept"),
        ("annotations", "fluentbit.io/exclude"),
        ("annotations", "k8s.v1.cni.cncf.io/networks"),
        ("annotations", "cluster-autoscaler.kubernetes.io/safe-to-evict"),
    ] {
        for value in [json!("x"), Value::Null] {
            let said =
                denied(&stage, ungranted(), merge(pod("target"), json!({"metadata": {kind: {key: value}}}))).await;
            assert!(said.contains("is not granted"), "{said}");
        }
    }
}

#[tokio::test]
async fn nothing_is_deleted_for_a_year_from_now_on() {
    let stage = stage();
    for seconds in [3601, u32::MAX] {
        let (object, grace_period_seconds) = (pod("target"), Some(seconds));
        for change in [
            Change::Delete { object: object.clone(), grace_period_seconds, propagation: None },
            Change::Evict { pod: object, grace_period_seconds },
        ] {
            let said = denied(&stage, ungranted(), change).await;
            assert!(said.contains("grace period"), "{said}");
        }
    }
}

#[tokio::test]
async fn what_an_action_may_not_read_it_may_not_guess() {
    let stage = stage();
    let test = |path: &str, value: &str| {
        let document = PatchDocument::Operations(json!([{"op": "test", "path": path, "value": value}]));
        Change::Patch { object: pod("target"), document }
    };
    for guess in ["secret", "wrong"] {
        let said = denied(&stage, granted(&[]), test("/spec/containers/0/env/0/value", guess)).await;
        assert!(said.contains("spec.containers.0.env.0.value"), "{said}");
    }
    let run = stage.run(granted(&[]), true).await;
    stage.gate.change(&run, test("/metadata/name", "target")).await.expect("its name it knows");
}

#[tokio::test]
async fn a_list_shows_what_it_was_permitted_for() {
    let stage = stage();
    let run = stage.run(ungranted(), false).await;
    let namespace = Some(Namespace::parse("production").expect("valid"));
    let selection = Selection { namespace, metadata_only: true, ..Selection::default() };
    let pods = stage.gate.query(&run, &ApiResource::pods(), &selection).await.expect("permitted");
    assert!(pods.len() >= 3);
    for pod in pods {
        let keys: Vec<_> = pod.as_object().expect("an object").keys().map(String::as_str).collect();
        assert!(keys.iter().all(|key| ["apiVersion", "kind", "metadata"].contains(key)), "{keys:?}");
    }
    // `pods/status` may be granted to somebody who may not list pods.
    let statuses = ApiResource::pods().with_subresource(crate::cluster::names::Subresource::Status);
    let run = stage.run(granted(&[]), false).await;
    let error = stage.gate.query(&run, &statuses, &selection).await.expect_err("no collection of its own");
    assert!(error.message.contains("subresource"), "{error:?}");
}

#[tokio::test]
async fn a_selector_is_no_way_out_of_the_query() {
    let stage = stage();
    let run = stage.run(ungranted(), false).await;
    let namespace = Some(Namespace::parse("production").expect("valid"));
    for text in ["a=b&limit=0", "a=b#", "a=b&continue=x", "a in (b)&labelSelector=", "%26watch%3Dtrue"] {
        let (labels, fields) = (Some(text.to_owned()), Some(text.to_owned()));
        let selection =
            Selection { namespace: namespace.clone(), labels, fields, metadata_only: true, ..Selection::default() };
        // What it answers is the API server's business: it is asked about this collection, and with these keys only.
        let _ = stage.gate.query(&run, &ApiResource::pods(), &selection).await;
    }
    for seen in stage.simulation.requests().iter().filter(|seen| seen.path_and_query.contains('?')) {
        let (path, query) = seen.path_and_query.split_once('?').expect("a query");
        let keys: Vec<_> = query.split('&').map(|part| part.split('=').next().unwrap_or("")).collect();
        assert_eq!(path, "/api/v1/namespaces/production/pods");
        assert_eq!(keys, ["limit", "labelSelector", "fieldSelector"], "{query}");
    }
}

#[tokio::test]
async fn the_log_of_another_pod_is_not_the_targets() {
    let stage = stage();
    let own = Permission { scope: Scope::Target, ..everything(&[]) };
    let run = stage.run(Permissions { declared: vec![everything(&[])], granted: vec![own] }, false).await;
    let before = stage.simulation.requests().len();
    for name in ["other", "agent-1"] {
        let error = stage.gate.logs(&run, &pod(name), &LogOptions::default()).await.expect_err("not its own");
        assert_eq!(error.reason, Reason::Denied);
    }
    let elsewhere = object(ApiResource::pods(), "kube-system", "dns");
    stage.gate.logs(&run, &elsewhere, &LogOptions::default()).await.expect_err("not its own");
    assert_eq!(stage.simulation.requests().len(), before, "nothing was asked");
}

/// Scope `namespace` ends at the target's namespace, whatever a manifest says of itself.
#[tokio::test]
async fn a_manifest_reaches_no_other_namespace_than_its_call() {
    let stage = stage();
    let in_namespace = Permission { scope: Scope::Namespace, ..everything(&["data", "metadata.labels"]) };
    let permissions = || Permissions { declared: vec![everything(&[])], granted: vec![in_namespace.clone()] };
    let config_maps = || ApiResource::core("configmaps");
    let manifest =
        |metadata: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "b"}});
    for (namespace, metadata) in [
        ("production", json!({"name": "x", "namespace": "staging"})),
        ("production", json!({"name": "x", "namespace": "kube-system"})),
        ("production", json!({"name": "x", "namespace": ""})),
        ("production", json!({"name": "x", "namespace": null})),
        ("production", json!({"name": "x", "namespace": ["staging"]})),
        ("production", json!({"name": "x", "generateName": "y-"})),
        ("production", json!({"generateName": "y-"})),
        ("production", json!({"name": "x.", "namespace": "production"})),
        ("production", json!({"name": "X", "namespace": "production"})),
        ("production", json!({"name": "x", "ownerReferences": [{"kind": "Pod", "name": "target"}]})),
        ("production", json!({"name": "x", "finalizers": ["a/b"]})),
        ("production", json!({"name": "x", "deletionTimestamp": "2026-01-01T00:00:00Z"})),
        ("production", json!({"name": "x", "managedFields": []})),
        ("production", json!("x")),
        ("staging", json!({"name": "x", "namespace": "staging"})),
        ("staging", json!({"name": "x", "namespace": "production"})),
        ("kube-system", json!({"name": "x"})),
        ("monitoring", json!({"name": "x"})),
    ] {
        let document = manifest(metadata.clone());
        let target = Namespace::parse(namespace).expect("valid");
        let create = Change::Create { resource: config_maps(), namespace: Some(target), manifest: document.clone() };
        denied(&stage, permissions(), create).await;
        let apply = Change::Apply { object: object(config_maps(), namespace, "x"), manifest: document, force: true };
        denied(&stage, permissions(), apply).await;
    }
    let nowhere = Change::Create { resource: config_maps(), namespace: None, manifest: manifest(json!({"name": "x"})) };
    denied(&stage, permissions(), nowhere).await;
    let run = stage.run(permissions(), false).await;
    let create = Change::Create {
        resource: config_maps(),
        namespace: Some(Namespace::parse("production").expect("valid")),
        manifest: manifest(json!({"name": "x", "labels": {"app.kubernetes.io/name": "x"}})),
    };
    stage.gate.change(&run, create).await.expect("in its own namespace");
}

/// A name in a grant is the whole name, and a create without one has none.
#[tokio::test]
async fn a_grant_with_names_is_for_these_names() {
    let stage = stage();
    let named = Permission { resource_names: vec!["evidence".to_owned()], ..everything(&["data"]) };
    let permissions = || Permissions { declared: vec![everything(&[])], granted: vec![named.clone()] };
    let create = |metadata: Value| Change::Create {
        resource: ApiResource::core("configmaps"),
        namespace: Some(Namespace::parse("production").expect("valid")),
        manifest: json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {}}),
    };
    for metadata in [
        json!({"name": "evidence-2"}),
        json!({"name": "evidence."}),
        json!({"name": "Evidence"}),
        json!({"name": "\u{435}vidence"}),
        json!({"name": "evidence\n"}),
        json!({"name": ["evidence"]}),
        json!({"generateName": "evidence"}),
        json!({}),
    ] {
        denied(&stage, permissions(), create(metadata)).await;
    }
    let run = stage.run(permissions(), false).await;
    stage.gate.change(&run, create(json!({"name": "evidence"}))).await.expect("its name");
}

/// What serde_json keeps of a document in which a key stands twice is what the gate judges and what is sent.
#[tokio::test]
async fn a_key_that_stands_twice_is_judged_as_it_is_sent() {
    let stage = stage();
    let twice = r#"{"metadata":{"labels":{"quarantine":"x"}},"metadata":{"finalizers":["a/b"]}}"#;
    let document: Value = serde_json::from_str(twice).expect("JSON");
    denied(&stage, ungranted(), merge(pod("target"), document)).await;
    let harmless = r#"{"spec":{"hostPID":true},"spec":{},"metadata":{"finalizers":[],"labels":{}}}"#;
    denied(&stage, ungranted(), merge(pod("target"), serde_json::from_str(harmless).expect("JSON"))).await;
}

#[tokio::test]
async fn a_document_may_be_no_deeper_than_anything_real() {
    let stage = stage();
    let mut deep = json!({"a": "b"});
    for _ in 0..100 {
        deep = json!({ "spec": deep });
    }
    let said = denied(&stage, granted(&["spec"]), merge(pod("target"), deep)).await;
    assert!(said.contains("too deep"), "{said}");
}
