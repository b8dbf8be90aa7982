//! `plugin record` against the real API server, and its session played back without one.

use std::process::{Command, Output};

use integration_tests::alerts::{self, MINER};
use integration_tests::controller::binary;
use integration_tests::root;
use serde_json::json;

use crate::lane::{bare_pod, cluster, name, pods, versions};

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_session_changes_nothing_keeps_no_credentials_and_plays_back() {
    let Some(cluster) = cluster() else { return };
    cluster.namespace("recorded").unwrap();
    let pod = bare_pod(cluster, "recorded", "debug", &json!({"annotations": {"note": "--password=hunter2"}}));
    let before = versions(cluster, &[pods("recorded")]);
    let directory = tempfile::tempdir().unwrap();
    let (alert, session) = (directory.path().join("alert.json"), directory.path().join("session.yaml"));
    std::fs::write(&alert, alerts::about(MINER, "recorded", name(&pod)).to_string()).unwrap();
    let component = root().join("target/plugins/kill_pod.wasm");
    let spec = format!("kubeconfig:{}", cluster.kubeconfig().display());
    let mut record = Command::new(binary().unwrap());
    record.args(["plugin", "record"]).arg(&component).arg("--alert").arg(&alert).args(["--cluster", &spec]);
    let recorded = record.arg("--output").arg(&session).output().unwrap();
    assert_eq!(recorded.status.code(), Some(0), "{}", said(&recorded));
    assert_eq!(versions(cluster, &[pods("recorded")]), before);
    let text = std::fs::read_to_string(&session).unwrap();
    assert!(text.contains("dry_run: true") && !text.contains("hunter2"), "{text}");
    assert!(!text.to_lowercase().contains("authorization") && !text.contains("managedFields"), "{text}");
    let replayed =
        Command::new(binary().unwrap()).args(["plugin", "replay"]).arg(&component).arg(&session).output().unwrap();
    assert_eq!(replayed.status.code(), Some(0), "{}", said(&replayed));
}
