//! Chains of a dry run against the real API server: each action finds what those before it would have left behind.

use integration_tests::alerts::{self, MINER};
use serde_json::{Value, json};

use crate::lane::{self, bare_pod, cluster, is_running, pods, versions};

/// What became of each action of a chain, and whether the cluster is as it was.
fn rehearsed(namespace: &str, actions: &str, number: usize) -> Option<Vec<String>> {
    let cluster = cluster()?;
    cluster.namespace(namespace).unwrap();
    let house = lane::plan(cluster, &[namespace])
        .replace("dryrun: false", "dryrun: true")
        .replace("    action: kill_pod\n", &format!("    actions: {actions}\n"))
        .start();
    bare_pod(cluster, namespace, "debug", &json!({}));
    let paths = [pods(namespace), format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies")];
    let before = versions(cluster, &paths);
    let alert = alerts::about(MINER, namespace, "debug");
    house.post(&alert);
    let found = house.records_of(&alert, number);
    assert_eq!(versions(cluster, &paths), before, "a rehearsal changed the cluster");
    assert!(is_running(&cluster.get(&format!("{}/debug", pods(namespace))).unwrap()));
    let word = |record: &Value, key: &str| record[key].as_str().unwrap_or("-").to_owned();
    Some(
        found
            .iter()
            .map(|record| format!("{} {} {}", word(record, "action"), word(record, "outcome"), word(record, "check")))
            .collect(),
    )
}

#[test]
fn a_pod_that_was_killed_is_going_or_gone_for_the_next_action() {
    for (namespace, grace, check) in [("going", 30, "already_deleting"), ("gone", 0, "pod_absent")] {
        let actions = format!(
            "[{{action: kill_pod, parameters: {{grace_period_seconds: {grace}}}}}, {{action: kill_pod, on_failure: continue}}, \
             {{action: isolate_namespace}}]"
        );
        let Some(found) = rehearsed(&format!("rehearsed-{namespace}"), &actions, 3) else { return };
        assert_eq!(
            found,
            ["kill_pod done -".to_owned(), format!("kill_pod - {check}"), "isolate_namespace done -".to_owned()]
        );
    }
}

#[test]
fn an_isolation_and_a_kill_rehearse_both() {
    let Some(found) = rehearsed("rehearsed-both", "[{action: isolate_namespace}, {action: kill_pod}]", 2) else {
        return;
    };
    assert_eq!(found, ["isolate_namespace done -", "kill_pod done -"]);
}
