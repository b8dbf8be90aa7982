//! Owners that are custom resources, which no list of ours knows: named in `owner_kinds`, and read with what `rbac` prints.

use integration_tests::alerts::{self, MINER};
use integration_tests::cluster::Cluster;
use serde_json::{Value, json};

use crate::lane::{bare_pod, cluster, name, plan, pod_of, workload, workloads};
use crate::rbac::{account, printed};

const GROUP: &str = "operators.example.org";

/// A custom kind that is served.
fn define(cluster: &Cluster, kind: &str, plural: &str, scope: &str) {
    let schema = json!({"openAPIV3Schema": {"type": "object"}});
    let definition = json!({
        "metadata": {"name": format!("{plural}.{GROUP}")},
        "spec": {
            "group": GROUP, "scope": scope, "names": {"kind": kind, "plural": plural},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}],
        },
    });
    cluster.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition).unwrap();
    cluster.until(&format!("/apis/{GROUP}/v1/{plural}"), |_| true).unwrap();
}

/// Creates one, and answers with the reference to it as its controller.
fn owner(cluster: &Cluster, place: &str, kind: &str, plural: &str) -> Value {
    let object = json!({"apiVersion": format!("{GROUP}/v1"), "kind": kind, "metadata": {"name": "main"}});
    let object = cluster.create(&format!("/apis/{GROUP}/v1{place}/{plural}"), &object).unwrap();
    json!([{
        "apiVersion": format!("{GROUP}/v1"), "kind": kind, "name": "main", "uid": object["metadata"]["uid"],
        "controller": true,
    }])
}

fn owned(app: &str, more: &Value, owner: &Value) -> Value {
    let mut workload = workload(app, more);
    workload["metadata"]["ownerReferences"] = owner.clone();
    workload
}

#[test]
fn a_custom_resource_is_an_owner_like_any_other_once_it_is_named() {
    let Some(cluster) = cluster() else { return };
    cluster.namespace("operated").unwrap();
    define(cluster, "Fleet", "fleets", "Namespaced");
    define(cluster, "Mesh", "meshes", "Cluster");
    let fleet = owner(cluster, "/namespaces/operated", "Fleet", "fleets");
    let mesh = owner(cluster, "", "Mesh", "meshes");
    let kinds = format!(
        "owner_kinds:\n  - {{apiVersion: {GROUP}/v1, kind: Fleet, plural: fleets}}\n  - {{apiVersion: {GROUP}/v1, kind: Mesh, \
         plural: meshes, top_level: true}}\n"
    );
    let plan = plan(cluster, &["operated"]).and(&kinds);
    let roles = printed(&plan, "operated-falco", &[]);
    assert!(roles.contains("\"fleets\"") && !roles.contains("meshes"), "{roles}");
    let account = account(cluster, &plan, "operated-falco");
    let house = plan.cluster(&account.spec()).start();

    let (deployments, sets) = (workloads("operated", "deployments"), workloads("operated", "statefulsets"));
    cluster.create(&deployments, &owned("web", &json!({"replicas": 1}), &fleet)).unwrap();
    let web = pod_of(cluster, "operated", "web");
    let entry = house.record_of(&alerts::about(MINER, "operated", name(&web)));
    assert_eq!((&entry["outcome"], &entry["owner"]), (&json!("done"), &json!("Fleet/main")), "{entry}");
    assert_eq!(house.wait_for_followup(&entry)["followup"], "gone");

    // What is not read can be in no namespace as well.
    bare_pod(cluster, "operated", "proxy", &json!({"ownerReferences": mesh}));
    let entry = house.record_of(&alerts::about(MINER, "operated", "proxy"));
    assert_eq!((&entry["outcome"], &entry["owner"]), (&json!("done"), &json!("Mesh/main")), "{entry}");

    // An operator's StatefulSet is one all the same.
    cluster.create(&sets, &owned("db", &json!({"replicas": 1, "serviceName": "db"}), &fleet)).unwrap();
    let database = pod_of(cluster, "operated", "db");
    let record = house.record_of(&alerts::about(MINER, "operated", name(&database)));
    assert_eq!(record["check"], "protected_owner", "{record}");
}

#[test]
fn an_owner_without_a_namespace_that_is_to_be_read_is_a_no_that_names_the_remedy() {
    let Some(cluster) = cluster() else { return };
    cluster.namespace("operated-wrongly").unwrap();
    define(cluster, "Realm", "realms", "Cluster");
    let realm = owner(cluster, "", "Realm", "realms");
    bare_pod(cluster, "operated-wrongly", "proxy", &json!({"ownerReferences": realm}));
    let kinds = format!("owner_kinds: [{{apiVersion: {GROUP}/v1, kind: Realm, plural: realms}}]");
    let house = plan(cluster, &["operated-wrongly"]).and(&kinds).start();
    let record = house.record_of(&alerts::about(MINER, "operated-wrongly", "proxy"));
    assert_eq!(record["check"], "owner_unreadable", "{record}");
    assert!(record["detail"].as_str().unwrap().contains("top_level"), "{record}");
}
