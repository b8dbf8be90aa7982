//! keep_evidence, end to end: what it keeps, where it stays, and what a rule makes of its failure.

use std::process::{Command, Output};

use integration_tests::alerts::{self, MINER};
use integration_tests::controller::binary;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::chain::EVIDENCE;
use crate::house::{House, Plan};

const POD: &str = "checkout-7d9f4b-q8r5t";

fn house(parameters: &str, on_failure: &str) -> Plan {
    let keep = format!("{{action: keep_evidence, parameters: {{{parameters}}}, on_failure: {on_failure}}}");
    Plan::new().replace("    action: kill_pod\n", &format!("    actions: [{keep}, {{action: kill_pod}}]\n"))
}

/// The records of an alert about the pod.
fn records(house: &House, number: usize) -> Vec<Value> {
    let alert = alerts::about(MINER, "production", POD);
    house.post(&alert);
    house.records_of(&alert, number)
}

fn show(house: &House, more: &[&str]) -> Output {
    let mut command = Command::new(binary().unwrap());
    command.args(["audit", "show"]).args(more).arg("--journal").arg(house.plan.path().join("journal.db"));
    command.output().unwrap()
}

#[test]
fn what_was_kept_can_be_read_after_the_pod_is_gone() {
    let house = house("lines: 2", "stop").and(EVIDENCE).start();
    let found = records(&house, 2);
    assert_eq!((&found[0]["outcome"], &found[1]["outcome"]), (&"skipped".into(), &"done".into()), "{found:#?}");
    assert_eq!(house.wait_for_followup(&found[1])["followup"], "gone");
    let entry = found[0]["entry_id"].as_str().unwrap();
    let listed = String::from_utf8(show(&house, &[entry]).stdout).unwrap();
    let content = |name: &str| {
        assert!(listed.contains(&format!("attachment \"{name}\"")), "{listed}");
        let output = show(&house, &[entry, "--attachment", name]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = found[0]["attachments"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap();
        let digest: String = Sha256::digest(&output.stdout).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(said["sha256"], digest);
        String::from_utf8(output.stdout).unwrap()
    };
    let log = content("log-checkout.txt");
    assert_eq!(log.lines().count(), 2, "{log}");
    assert!(log.ends_with("sh: /tmp/x: started\n"), "{log}");
    let manifest: Value = serde_json::from_str(&content("manifest.json")).unwrap();
    assert_eq!((&manifest["metadata"]["name"], &manifest["status"]["phase"]), (&POD.into(), &"Running".into()));
    assert!(manifest["metadata"].get("managedFields").is_none(), "{manifest}");
    let events: Value = serde_json::from_str(&content("events.json")).unwrap();
    assert_eq!(events[0]["reason"], "Pulled", "{events}");
    let report = Command::new(binary().unwrap())
        .args(["audit", "verify", "--journal"])
        .arg(house.plan.path().join("journal.db"))
        .output()
        .unwrap();
    assert!(report.status.success(), "{}", String::from_utf8_lossy(&report.stdout));
}

#[test]
fn without_its_grants_the_rule_says_whether_the_pod_is_killed() {
    for (on_failure, number) in [("stop", 1), ("continue", 2)] {
        let house = house("", on_failure).start();
        let found = records(&house, number);
        let entry = &found[0];
        assert_eq!((&entry["outcome"], &entry["failure"]), (&"failed".into(), &"denied".into()), "{entry}");
        assert_eq!(entry["attachments"][0]["name"], "manifest.json", "what can be kept is kept: {entry}");
        let missing = entry["note_evidence_missing"].as_str().unwrap();
        assert!(missing.contains("resources: [events]") && missing.contains("pods/log"), "{missing}");
        if on_failure == "stop" {
            std::thread::sleep(std::time::Duration::from_millis(300));
        }
        let found = house.controller.lines();
        let killed = found.iter().any(|line| line["action"] == "kill_pod" && line["outcome"] == "done");
        assert_eq!(killed, on_failure == "continue", "{on_failure}");
    }
}

#[test]
fn the_manifest_alone_needs_no_grant() {
    let house = house("lines: 0, events: false", "stop").start();
    let found = records(&house, 2);
    assert_eq!(found[0]["detail"], "the plugin changed nothing, and kept attachments: 1", "{}", found[0]);
    assert_eq!(found[1]["outcome"], "done");
}

#[test]
fn passwords_in_the_environment_are_not_kept() {
    let pod = "
apiVersion: v1
kind: Pod
metadata: {name: checkout-7d9f4b-q8r5t, namespace: production}
spec: {containers: [{name: web, image: web:1, env: [{name: PASSWORD, value: hunter2}]}]}
";
    let house = house("lines: 0, events: false", "stop").manifests(pod).start();
    let found = records(&house, 2);
    let entry = found[0]["entry_id"].as_str().unwrap();
    let output = show(&house, &[entry, "--attachment", "manifest.json"]);
    let manifest = String::from_utf8(output.stdout).unwrap();
    assert!(manifest.contains("PASSWORD") && !manifest.contains("hunter2"), "{manifest}");
}
