//! A plugin that was built once against contract 0.1.0 runs on every controller that offers it, byte for byte.

use integration_tests::alerts::{self, MINER};
use integration_tests::root;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::check::{check, errors};
use crate::house::{House, Plan};

const PLUGIN: &str = "tests/fixtures/plugins/every-function-0.1.0.wasm";
const SHA256: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Logs are granted; everything else that it does it may do by default.
const GRANT: &str = "plugins: {grants: {every_function: [{apiGroups: [\"\"], resources: [pods/log], verbs: [get], scope: target}]}}";

fn run(end: &str, dryrun: bool) -> (House, Value) {
    let rule = format!("    action: every_function\n    timeout: 60s\n    parameters: {{end: {end}}}\n");
    let plan = Plan::new().plugin(root().join(PLUGIN)).replace("    action: kill_pod\n", &rule).and(GRANT);
    let plan = if dryrun { plan.replace("dryrun: false", "dryrun: true") } else { plan };
    let house = plan.start();
    let entry = house.record_of(&alerts::about(MINER, "production", "checkout-7d9f4b-xkp2m"));
    (house, entry)
}

#[test]
fn the_plugin_of_contract_0_1_0_is_the_one_that_was_built() {
    let file = std::fs::read(root().join(PLUGIN)).unwrap();
    let digest: String = Sha256::digest(&file).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digest, SHA256, "it is never built again, see tests/fixtures/plugins/README.md");
}

#[test]
fn a_plugin_of_contract_0_1_0_is_asked_and_answered_as_ever() {
    let (house, entry) = run("acted", false);
    assert_eq!((entry["outcome"].as_str(), entry["changed"].as_bool()), (Some("done"), Some(true)), "{entry}");
    for (note, expected) in [
        ("asked_rule", MINER),
        ("asked_reason", "Crypto miner process detected by Falco; automated termination"),
        ("asked_priority", "FalcoPriority::Critical"),
        ("asked_attempt", "1"),
        ("asked_field", "checkout-7d9f4b-xkp2m"),
        ("asked_alert", MINER),
        ("asked_target", "production/checkout-7d9f4b-xkp2m"),
        ("asked_manifest", "Pod"),
        ("asked_owners", "ReplicaSet/checkout-7d9f4b,Deployment/checkout"),
        ("got", "checkout-7d9f4b-xkp2m"),
        ("listed", "some"),
        ("attached", "yes"),
    ] {
        assert_eq!(entry[format!("note_{note}")], expected, "{note}: {entry}");
    }
    assert_eq!(entry["note_asked_id"], entry["event_id"]);
    assert_eq!(entry["plugin_says"], "called everything", "{entry}");
    assert_eq!(entry["plugin_sha256"], SHA256);
    let changes = house.changes().join("\n");
    for changed in ["falco-created", "falco-applied", "checkout-7d9f4b-xkp2m"] {
        assert!(changes.contains(changed), "{changed}: {changes}");
    }
    assert!(house.controller.text().contains("a line of contract 0.1.0"));
}

#[test]
fn every_end_of_a_plugin_of_contract_0_1_0_is_understood() {
    for (end, outcome, failure) in [("skipped", "done", ""), ("failed", "failed", "plugin"), ("trapped", "failed", "trap")] {
        let (_, entry) = run(end, false);
        assert_eq!(entry["outcome"], outcome, "{end}: {entry}");
        assert_eq!(entry["failure"].as_str().unwrap_or(""), failure, "{end}: {entry}");
    }
    let (house, entry) = run("acted", true);
    assert_eq!((entry["outcome"].as_str(), entry["dry_run"].as_bool()), (Some("done"), Some(true)), "{entry}");
    assert!(house.changes().is_empty(), "{:?}", house.changes());
}

#[test]
fn its_parameters_are_checked_when_the_configuration_is_loaded() {
    let rule = "    action: every_function\n    parameters: {end: never}\n";
    let plan = Plan::new().plugin(root().join(PLUGIN)).replace("    action: kill_pod\n", rule);
    let said = errors(&check(&plan));
    assert!(said.contains("expected acted, skipped, failed or trapped"), "{said}");
}
