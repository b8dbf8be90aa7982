//! Pods and namespaces that are on their way out already, and pods that nobody owns any more.

use integration_tests::alerts::{self, MINER, POOL};
use integration_tests::webhook::{Webhook, pinned_deletes};
use serde_json::{Value, json};

use crate::lane::{self, bare_pod, cluster, house, name, pod_of, pods, workload, workloads};

#[test]
fn a_pod_that_is_being_deleted_is_not_deleted_again() {
    let Some(cluster) = cluster() else { return };
    cluster.namespace("parting").unwrap();
    bare_pod(cluster, "parting", "debug", &json!({"finalizers": ["example.com/hold"]}));
    let path = format!("{}/debug", pods("parting"));
    cluster.delete(&path, &json!({"gracePeriodSeconds": 3600})).unwrap();
    let webhook = Webhook::start(cluster).unwrap();
    webhook.guard(cluster, "parting").unwrap();
    let house = lane::house_in(cluster, "parting");
    let record = house.record_of(&alerts::about(MINER, "parting", "debug"));
    assert_eq!((record["decision"].as_str(), record["check"].as_str()), (Some("refused"), Some("already_deleting")));
    assert_eq!(pinned_deletes(&webhook.requests()), 0, "{:?}", webhook.requests());
    cluster.merge(&path, &json!({"metadata": {"finalizers": null}})).unwrap();
}

#[test]
fn in_a_namespace_that_is_going_away_nothing_is_made_and_its_pods_are_left_to_it() {
    let Some(cluster) = cluster() else { return };
    let house = house(cluster, "ending");
    bare_pod(cluster, "ending", "debug", &json!({"finalizers": ["example.com/hold"]}));
    cluster.delete("/api/v1/namespaces/ending", &Value::Null).unwrap();
    let path = format!("{}/debug", pods("ending"));
    cluster.until(&path, |pod| pod["metadata"]["deletionTimestamp"].is_string()).unwrap();
    let record = house.record_of(&alerts::about(MINER, "ending", "debug"));
    assert_eq!((record["decision"].as_str(), record["check"].as_str()), (Some("refused"), Some("already_deleting")));
    let entry = house.record_of(&alerts::about(POOL, "ending", "debug"));
    assert_eq!(
        (entry["outcome"].as_str(), entry["failure"].as_str(), entry["changed"].as_bool()),
        (Some("failed"), Some("denied"), Some(false)),
        "{entry}"
    );
    assert!(entry["detail"].as_str().unwrap().contains("being terminated"), "{entry}");
    cluster.merge(&path, &json!({"metadata": {"finalizers": null}})).unwrap();
}

#[test]
fn kills_a_pod_that_its_owner_left_behind() {
    let Some(cluster) = cluster() else { return };
    let house = house(cluster, "orphaned");
    let sets = workloads("orphaned", "replicasets");
    cluster.create(&sets, &workload("former", &json!({"replicas": 1}))).unwrap();
    let pod = pod_of(cluster, "orphaned", "former");
    cluster.delete(&format!("{sets}/former"), &json!({"propagationPolicy": "Orphan"})).unwrap();
    let path = format!("{}/{}", pods("orphaned"), name(&pod));
    cluster.until(&path, |pod| pod["metadata"]["ownerReferences"].is_null()).unwrap();
    let entry = house.record_of(&alerts::about(MINER, "orphaned", name(&pod)));
    assert_eq!((entry["outcome"].as_str(), entry["owner"].as_str()), (Some("done"), None), "{entry}");
    assert_eq!(house.wait_for_followup(&entry)["followup"], "gone");
}
