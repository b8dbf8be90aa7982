//! `plugin run` against a cluster that somebody uses: it shows what the API server says would be, and changes nothing.

use std::process::Command;

use integration_tests::alerts::{self, MINER, POOL};
use integration_tests::cluster::Cluster;
use integration_tests::controller::binary;
use integration_tests::root;
use serde_json::{Value, json};

use crate::lane::{bare_pod, cluster, pods, versions};

fn run(cluster: &Cluster, component: &str, alert: &Value) -> Value {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("alert.json");
    std::fs::write(&file, alert.to_string()).unwrap();
    let mut command = Command::new(binary().unwrap());
    command.args(["plugin", "run"]).arg(root().join("target/plugins").join(component)).arg("--alert").arg(file);
    command.arg("--cluster").arg(format!("kubeconfig:{}", cluster.kubeconfig().display())).arg("--json");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn policies(namespace: &str) -> String {
    format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies")
}

#[test]
fn a_kill_on_a_real_cluster_is_only_shown() {
    let Some(cluster) = cluster() else { return };
    cluster.namespace("tried").unwrap();
    bare_pod(cluster, "tried", "victim", &json!({}));
    let before = versions(cluster, &[pods("tried")]);
    let told = run(cluster, "kill_pod.wasm", &alerts::about(MINER, "tried", "victim"));
    assert_eq!((&told["dry_run"], &told["run"]["outcome"]), (&json!(true), &json!("done")), "{told}");
    assert_eq!(told["expect"]["cluster"], json!([{"deleted": "pods tried/victim"}]), "{told}");
    assert_eq!(versions(cluster, &[pods("tried")]), before);
}

#[test]
fn an_isolation_on_a_real_cluster_shows_the_policy_that_the_api_server_would_make() {
    let Some(cluster) = cluster() else { return };
    cluster.namespace("played").unwrap();
    let told = run(cluster, "isolate_namespace.wasm", &alerts::about(POOL, "played", "long-gone"));
    assert_eq!(told["run"]["outcome"], "done", "{told}");
    let policy = &told["changes"][0];
    assert_eq!(policy["object"], "networkpolicies.networking.k8s.io played/falco-emergency-isolation", "{told}");
    assert_eq!(policy["before"], Value::Null);
    assert_eq!(policy["after"]["spec"], json!({"podSelector": {}, "policyTypes": ["Egress"]}), "{told}");
    assert_eq!(told["pages"], json!([]), "{told}");
    assert!(versions(cluster, &[policies("played")]).is_empty());
}
