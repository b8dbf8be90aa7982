//! Documents that would kill, hijack or wipe, sent by an action whose operator granted less than that.

use serde_json::json;

use super::*;
use crate::cluster::PatchDocument;

fn patch(document: PatchDocument) -> Change {
    Change::Patch { object: pod("target"), document }
}

async fn refused(permissions: Permissions, document: PatchDocument) {
    let stage = stage();
    let before = stage.simulation.object(&path("target"));
    let run = stage.run(permissions, false).await;
    let said = message(stage.gate.change(&run, patch(document.clone())).await);
    assert_ne!(said, "done", "{document:?}");
    assert_eq!((stage.sent(), stage.simulation.object(&path("target"))), (vec![], before), "{document:?}: {said}");
}

#[tokio::test]
async fn an_operation_on_a_parent_counts_as_one_on_all_that_it_replaces() {
    let metadata = json!({"name": "target", "namespace": "production", "labels": {"x": "y"}});
    for (fields, operation) in [
        (&[][..], json!({"op": "replace", "path": "/metadata/labels", "value": {"x": "y"}})),
        (&[], json!({"op": "add", "path": "/metadata/annotations", "value": {"x": "y"}})),
        (
            &["metadata.labels", "metadata.name", "metadata.namespace"],
            json!({"op": "replace", "path": "/metadata", "value": metadata}),
        ),
        (&["metadata.labels"], json!({"op": "replace", "path": "", "value": {"metadata": {"labels": {}}}})),
        (&["spec.replicas"], json!({"op": "replace", "path": "/spec", "value": {"replicas": 0}})),
        (&["metadata.labels"], json!({"op": "move", "from": "/metadata/ownerReferences", "path": "/metadata/labels"})),
        (&["metadata.labels"], json!({"op": "replace", "path": "/metadata/ownerReferences/0/uid", "value": "x"})),
        (&["metadata.labels"], json!({"op": "replace", "path": "/metadata/owner~0References", "value": "x"})),
        (&["metadata"], json!({"op": "remove", "path": "/metadata/ownerReferences"})),
        (&["metadata"], json!({"op": "replace", "path": "/metadata", "value": {}})),
    ] {
        refused(granted(fields), PatchDocument::Operations(json!([operation]))).await;
    }
}

#[tokio::test]
async fn metadata_that_kills_needs_a_grant_that_names_it() {
    for document in [
        json!({"metadata": {"ownerReferences": []}}),
        json!({"metadata": {"ownerReferences": null}}),
        json!({"metadata": {"finalizers": ["a/b"]}}),
        json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}),
        json!({"metadata": null}),
        json!({"metadata": []}),
        json!({"metadata": {"$patch": "replace", "labels": {"x": "y"}}}),
        json!({"$patch": "delete"}),
        json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/b"]}}),
        json!(null),
        json!([]),
    ] {
        for fields in [&["metadata"][..], &["metadata.labels", "strategic"], &[]] {
            refused(granted(fields), PatchDocument::Merge(document.clone())).await;
            refused(granted(fields), PatchDocument::Strategic(document.clone())).await;
        }
    }
}

#[tokio::test]
async fn without_a_grant_only_new_labels_and_annotations_pass() {
    for document in [
        json!({"metadata": {"labels": {"app": "x"}}}),
        json!({"metadata": {"labels": {"app": null}}}),
        json!({"metadata": {"labels": null}}),
        json!({"metadata": {"annotations": null}}),
        json!({"metadata": {"labels": {"pod-template-hash": "x"}}}),
        json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}}),
        json!({"metadata": {"uid": "x"}}),
        json!({"metadata": {"name": "x"}}),
        json!({"metadata": {"Labels": {"a": "b"}}}),
        json!({"\u{43c}etadata": {"labels": {"a": "b"}}}),
        json!({"spec": {"activeDeadlineSeconds": 1}}),
    ] {
        refused(ungranted(), PatchDocument::Merge(document)).await;
    }
    let stage = stage();
    let run = stage.run(ungranted(), false).await;
    let document = json!({"metadata": {"labels": {"quarantine": "true"}}});
    stage.gate.change(&run, patch(PatchDocument::Merge(document))).await.expect("allowed");
    let after = stage.simulation.object(&path("target")).expect("there");
    assert_eq!(after["metadata"]["labels"], json!({"app": "web", "tier": "front", "quarantine": "true"}));
}

#[tokio::test]
async fn a_uid_in_a_document_never_replaces_the_one_that_was_checked() {
    let stage = stage();
    let checked = stage.simulation.object(&path("target")).expect("there")["metadata"]["uid"].clone();
    let run = stage.run(granted(&["metadata.uid", "metadata.labels"]), true).await;
    let merge = json!({"metadata": {"uid": "11111111-1111-4111-8111-111111111111", "labels": {"x": "y"}}});
    stage.gate.change(&run, patch(PatchDocument::Merge(merge))).await.expect("sent with the right one");
    // In a run of its own: the second change of a rehearsed object is first judged without the API server.
    let run = stage.run(granted(&["metadata.uid", "metadata.labels"]), true).await;
    let operations = json!([{"op": "test", "path": "/metadata/uid", "value": "11111111-1111-4111-8111-111111111111"}]);
    stage.gate.change(&run, patch(PatchDocument::Operations(operations))).await.expect_err("its own test fails");
    let bodies: Vec<_> = stage
        .simulation
        .requests()
        .into_iter()
        .filter(|seen| seen.method == Method::PATCH)
        .map(|seen| seen.body)
        .collect();
    assert_eq!((&bodies[0]["metadata"]["uid"], &bodies[1][0]["value"]), (&checked, &checked));
}
