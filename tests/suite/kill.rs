//! kill_pod, end to end.

use integration_tests::alerts::{self, MINER};
use serde_json::json;

use crate::house::{House, Plan};

const POD: &str = "checkout-7d9f4b-xkp2m";

#[test]
fn kills_the_pod_of_a_deployment_and_leaves_the_record() {
    let house = House::new();
    let alert = alerts::about(MINER, "production", POD);
    let entry = house.record_of(&alert);
    assert_eq!(entry["outcome"], "done", "{entry}");
    assert_eq!(entry["changed"], true);
    assert_eq!(entry["owner"], "Deployment/checkout");
    assert_eq!(entry["identity_proof"], "name_and_time");
    assert_eq!(entry["dry_run"], false);
    let changes = house.changes();
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert!(changes[0].contains(&format!("production/{POD}")), "{changes:?}");
    assert_eq!(house.wait_for_followup(&entry)["followup"], "gone");
}

#[test]
fn says_that_a_pod_is_gone_or_going_without_failing() {
    let house = House::new();
    let first = house.record_of(&alerts::about(MINER, "production", POD));
    let second = house.record_of(&alerts::about(MINER, "production", POD));
    assert_eq!(
        (second["decision"].as_str(), second["check"].as_str()),
        (Some("refused"), Some("already_deleting")),
        "{second}"
    );
    house.wait_for_followup(&first);
    let third = house.record_of(&alerts::about(MINER, "production", POD));
    assert_eq!((third["decision"].as_str(), third["check"].as_str()), (Some("refused"), Some("pod_absent")), "{third}");
}

#[test]
fn sends_the_grace_period_that_kubectl_sends_and_the_one_that_is_asked_for() {
    for (parameters, expected) in
        [("", "grace period 1 s"), ("    parameters: {grace_period_seconds: 3}\n", "grace period 3 s")]
    {
        let plan = Plan::new().replace("    action: kill_pod\n", &format!("    action: kill_pod\n{parameters}"));
        let house = plan.start();
        house.record_of(&alerts::about(MINER, "production", POD));
        let changes = house.changes();
        assert!(changes.iter().any(|change| change.contains(expected)), "{changes:?}");
    }
}

#[test]
fn acts_once_on_alerts_that_come_at_once() {
    let house = House::new();
    let alerts: Vec<_> = (0..8).map(|_| alerts::about(MINER, "production", POD)).collect();
    std::thread::scope(|scope| {
        for alert in &alerts {
            let house = &house;
            scope.spawn(move || house.post(alert));
        }
    });
    let records: Vec<_> = alerts.iter().map(|alert| house.wait_for_record(alert)).collect();
    let done = records.iter().filter(|record| record["outcome"] == "done").count();
    assert_eq!(done, 1, "{records:#?}");
    for record in records.iter().filter(|record| record["outcome"] != "done") {
        let check = record["check"].as_str().unwrap_or("");
        assert!(["already_deleting", "pod_absent", "duplicate"].contains(&check), "{record}");
    }
}

#[test]
fn takes_the_same_alert_once() {
    let house = House::new();
    let alert = alerts::about(MINER, "production", POD);
    house.record_of(&alert);
    house.post(&alert);
    let other = alerts::about(MINER, "production", "debug");
    house.record_of(&other);
    assert_eq!(house.journal("falco-automated-response").len(), 2, "one for each pod");
}

#[test]
fn kills_by_uid_and_by_container_id() {
    let house = House::new();
    let mut alert = alerts::about(MINER, "production", POD);
    alert["output_fields"]["k8s.pod.uid"] = json!("00000000-0000-0000-0000-000000000000");
    assert_eq!(house.record_of(&alert)["check"], "not_the_alerts_pod");
    let mut alert = alerts::about(MINER, "production", POD);
    alert["output_fields"]["container.id"] = json!("ee97d9c4186f");
    assert_eq!(house.record_of(&alert)["check"], "not_the_alerts_pod", "no container of that pod has the id");
    assert!(house.changes().is_empty());
}
