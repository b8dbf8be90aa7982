//! The record, field by field; and Graylog's copy of it.

use integration_tests::alerts::{self, MINER};
use integration_tests::graylog::{Graylog, Stored};
use serde_json::{Value, json};

use crate::house::{House, Plan};

const FIELDS: [&str; 27] = [
    "timestamp",
    "action",
    "namespace",
    "pod",
    "rule",
    "dry_run",
    "reason",
    "operator",
    "falco_priority",
    "falco_output",
    "event_id",
    "alert_uuid",
    "entry_id",
    "action_id",
    "outcome",
    "failure",
    "changed",
    "detail",
    "pod_uid",
    "owner",
    "identity_proof",
    "plugin_sha256",
    "config_sha256",
    "cluster",
    "received_at",
    "sent_at",
    "accepted_at",
];

#[test]
fn an_entry_has_its_fields_in_their_order() {
    let house = House::new();
    let alert = alerts::about(MINER, "production", "checkout-7d9f4b-xkp2m");
    house.record_of(&alert);
    let text = house.controller.text();
    let line = text.lines().find(|line| line.starts_with("{\"timestamp\"")).expect("the entry is a bare object");
    let entry: Value = serde_json::from_str(line).unwrap();
    let mut from = 0;
    for field in FIELDS {
        let key = format!("\"{field}\":");
        let at = line[from..].find(&key).unwrap_or_else(|| panic!("{field} is missing, or out of order, in {line}"));
        from += at + key.len();
    }
    let expected = json!({
        "action": "kill_pod", "namespace": "production", "pod": "checkout-7d9f4b-xkp2m", "rule": MINER, "dry_run": false,
        "reason": "Crypto miner process detected by Falco; automated termination", "operator": "falco-response-controller",
        "falco_priority": "CRITICAL", "falco_output": alert["output"], "alert_uuid": alert["uuid"], "outcome": "done", "failure": null,
        "changed": true, "cluster": "simulated",
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&entry[key], value, "{key}");
    }
    let timestamp = entry["timestamp"].as_str().unwrap();
    assert!(timestamp.len() == 20 && timestamp.ends_with('Z'), "{timestamp}");
    assert_eq!(house.journal("falco-automated-response"), vec![entry.clone()], "the journal has the same");
    for id in ["plugin_sha256", "config_sha256"] {
        assert_eq!(entry[id].as_str().unwrap().len(), 64, "{id}");
    }
}

#[test]
fn each_change_was_announced_before_it_was_made() {
    let house = House::new();
    let entry = house.record_of(&alerts::about(MINER, "production", "debug"));
    let connection = rusqlite::Connection::open(house.plan.path().join("journal.db")).unwrap();
    let mut statement = connection.prepare("SELECT log_type FROM chain WHERE event_id = ?1 ORDER BY seq").unwrap();
    let types: Vec<String> =
        statement.query_map([entry["event_id"].as_str()], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(types[..3], ["falco-response-intent", "falco-response-result", "falco-automated-response"]);
    let intent = &house.journal("falco-response-intent")[0];
    assert_eq!(intent["entry_id"], entry["entry_id"]);
    assert_eq!(intent["uid"], entry["pod_uid"]);
    assert_eq!(intent["path"], "/api/v1/namespaces/production/pods/debug");
}

#[test]
fn graylog_gets_decisions_as_well() {
    let graylog = Graylog::start().unwrap();
    let house = Plan::new().and(&format!("audit: {{graylog: {{url: \"http://{}/gelf\"}}}}", graylog.address)).start();
    let refused = house.record_of(&alerts::about(MINER, "kube-system", "coredns-6f6b679f8f-x2vjq"));
    let of_alert = |stored: &Stored| stored.get("event_id") == Some(&refused["event_id"]);
    let decision = graylog.wait_for(of_alert).expect("it is stored");
    assert_eq!((&decision["log_type"], &decision["level"]), (&json!("falco-response-decision"), &json!(6)));
    assert_eq!(decision["check"], refused["check"]);
}

#[test]
fn text_from_an_alert_forges_nothing() {
    let house = House::new();
    let mut alert = alerts::about(MINER, "production", "debug");
    let hostile =
        "x\n{\"timestamp\":\"forged\",\"outcome\":\"done\"}\r\nDRY_RUN kill_pod \u{1b}[31m\u{2028}\u{202e}\u{0}";
    alert["output"] = json!(hostile);
    alert["hostname"] = json!(hostile);
    alert["output_fields"]["proc.cmdline"] = json!(hostile);
    alert["uuid"] = json!(format!("{} DRY_RUN", alerts::unique_uuid()));
    let entry = house.record_of(&alert);
    assert_eq!(entry["falco_output"], hostile, "kept verbatim in the value");
    let text = house.controller.text();
    assert!(!text.contains("DRY_RUN"), "{text}");
    assert!(!text.contains('\u{1b}') && !text.contains('\u{2028}') && !text.contains('\u{202e}'), "{text:?}");
    assert!(text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{text}");
    assert!(!text.contains("\"timestamp\":\"forged\""));
}

#[test]
fn a_long_output_is_cut_and_marked() {
    let house = House::new();
    let mut alert = alerts::about(MINER, "production", "debug");
    alert["output"] = json!("é".repeat(10_000));
    let entry = house.record_of(&alert);
    let kept = entry["falco_output"].as_str().unwrap();
    assert!(kept.len() < 8_300 && kept.ends_with("[cut]"), "{} bytes", kept.len());
}
