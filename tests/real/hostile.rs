//! What only the hostile plugin does: evictions, labels, patches of what it may not touch.

use integration_tests::alerts::{self, MINER};
use integration_tests::cluster::Cluster;
use serde_json::{Value, json};

use crate::house::House;
use crate::lane::{bare_pod, cluster, plan, pods, versions};

fn house(cluster: &Cluster, namespace: &str, behaviour: &str) -> House {
    let rule = format!("    action: hostile\n    timeout: 5s\n    parameters: {{behaviour: {behaviour}}}\n");
    plan(cluster, &[namespace]).hostile().replace("    action: kill_pod\n", &rule).start()
}

fn run(house: &House, namespace: &str) -> Value {
    house.record_of(&alerts::about(MINER, namespace, "debug"))
}

#[test]
fn labels_the_target() {
    let Some(cluster) = cluster() else { return };
    cluster.namespace("labels").unwrap();
    bare_pod(cluster, "labels", "debug", &json!({}));
    let entry = run(&house(cluster, "labels", "label"), "labels");
    assert_eq!((entry["outcome"].as_str(), entry["changed"].as_bool()), (Some("done"), Some(true)), "{entry}");
    let pod = cluster.get(&format!("{}/debug", pods("labels"))).unwrap();
    assert_eq!(pod["metadata"]["labels"]["falco-response/quarantine"], "true");
}

#[test]
fn evicts_only_as_far_as_the_disruption_budget_allows() {
    let Some(cluster) = cluster() else { return };
    cluster.namespace("evicted").unwrap();
    bare_pod(cluster, "evicted", "debug", &json!({"labels": {"app": "debug"}}));
    let house = house(cluster, "evicted", "evict_target");
    let budgets = "/apis/policy/v1/namespaces/evicted/poddisruptionbudgets";
    let budget = json!({
        "metadata": {"name": "all"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "debug"}}},
    });
    cluster.create(budgets, &budget).unwrap();
    let path = format!("{budgets}/all");
    cluster.until(&path, |budget| budget["status"]["currentHealthy"] == 1).unwrap();
    let before = versions(cluster, &[pods("evicted")]);
    let entry = run(&house, "evicted");
    assert_eq!((entry["outcome"].as_str(), entry["changed"].as_bool()), (Some("failed"), Some(false)), "{entry}");
    assert_eq!(versions(cluster, &[pods("evicted")]), before);
    // Two budgets on one pod are a 500 of the API server's, and no outage: nothing is unknown about it.
    let second = json!({"metadata": {"name": "second"}, "spec": budget["spec"]});
    cluster.create(budgets, &second).unwrap();
    let entry = run(&house, "evicted");
    assert_eq!((entry["outcome"].as_str(), entry["failure"].as_str()), (Some("failed"), Some("api")), "{entry}");
    assert!(entry["detail"].as_str().unwrap().contains("more than one PodDisruptionBudget"), "{entry}");
    cluster.delete(&format!("{budgets}/second"), &Value::Null).unwrap();
    cluster.delete(&path, &Value::Null).unwrap();
    let entry = run(&house, "evicted");
    assert_eq!((entry["outcome"].as_str(), entry["changed"].as_bool()), (Some("done"), Some(true)), "{entry}");
    assert_eq!(house.wait_for_followup(&entry)["followup"], "gone");
}

#[test]
fn nothing_refused_reaches_the_api_server() {
    let Some(cluster) = cluster() else { return };
    cluster.namespace("untouched").unwrap();
    bare_pod(cluster, "untouched", "debug", &json!({}));
    let paths = [pods("untouched"), "/apis/networking.k8s.io/v1/namespaces/untouched/networkpolicies".to_owned()];
    let before = versions(cluster, &paths);
    for behaviour in [
        "owner_references",
        "json_patch_owner",
        "strategic",
        "patch_spec",
        "apply_force",
        "open_policy",
        "take_over_label",
        "leave_the_mesh",
        "hide_the_log",
        "job_label",
        "delete_next_year",
        "evict_next_year",
        "guess",
        "root",
        "twice",
    ] {
        let entry = run(&house(cluster, "untouched", behaviour), "untouched");
        assert_eq!((entry["outcome"].as_str(), entry["failure"].as_str()), (Some("failed"), Some("denied")), "{entry}");
        assert_eq!(versions(cluster, &paths), before, "{behaviour}");
    }
}
