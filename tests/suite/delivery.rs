//! Graylog's copy: what it keeps, what it missed and gets later, and actions that wait for it.

use std::time::Duration;

use integration_tests::alerts::{self, MINER};
use integration_tests::controller::Controller;
use integration_tests::graylog::{Graylog, Stored};
use integration_tests::receiver::Receiver;
use serde_json::{Value, json};

use crate::house::{House, Plan, journal};

fn plan(graylog: &Graylog) -> Plan {
    Plan::new().and(&format!("audit: {{graylog: {{url: \"http://{}/gelf\"}}}}", graylog.address))
}

fn of(id: &str, value: &Value) -> impl Fn(&Stored) -> bool {
    let (id, value) = (id.to_owned(), value.clone());
    move |stored| stored.get(&id) == Some(&value)
}

#[test]
fn the_fields_of_the_runbook_and_of_the_chain_are_stored() {
    let graylog = Graylog::start().unwrap();
    let house = plan(&graylog).start();
    let entry = house.record_of(&alerts::about(MINER, "production", "debug"));
    let stored = graylog.wait_for(of("entry_id", &entry["entry_id"])).expect("the entry is stored");
    for field in ["action", "namespace", "pod", "rule", "reason", "operator", "falco_priority", "outcome", "event_id"] {
        assert_eq!(stored.get(field), Some(&entry[field]), "{field}");
    }
    assert_eq!(stored["falco_output"], entry["falco_output"].as_str().unwrap().trim());
    assert_eq!(stored["dry_run"], "false", "a boolean would have been dropped");
    assert_eq!((&stored["level"], &stored["source"]), (&json!(5), &json!("falco-response-controller")));
    let time: jiff::Timestamp = entry["timestamp"].as_str().unwrap().parse().unwrap();
    assert_eq!(stored["timestamp"].as_f64(), Some(time.as_second() as f64), "not the time of receipt");
    for (field, expected) in [("log_type", "falco-automated-response"), ("source_system", "falco-response-controller")]
    {
        assert_eq!(stored[field], expected);
    }
    assert!(stored["seq"].as_i64().unwrap() > 0);
    for hash in ["hash", "prev_hash"] {
        assert_eq!(stored[hash].as_str().unwrap().len(), 64, "{hash}");
    }
    assert!(stored.contains_key("chain_id"));
    assert_eq!(graylog.discarded(), Vec::<String>::new());
}

#[test]
fn what_graylog_missed_it_gets_in_order_from_the_next_start() {
    let graylog = Graylog::start().unwrap();
    graylog.out_of_order(503);
    let house = plan(&graylog).start();
    let entries: Vec<_> = ["debug", "web-5c6d8-2lkjh"]
        .map(|pod| if pod == "debug" { ("production", pod) } else { ("staging", pod) })
        .map(|(namespace, pod)| house.record_of(&alerts::about(MINER, namespace, pod)))
        .to_vec();
    let House { controller, plan } = house;
    assert_eq!(controller.terminate().unwrap(), Some(0), "an outage does not keep it");
    assert!(graylog.stored().is_empty());
    graylog.works_again();
    let _again = Controller::start(&plan.setup()).unwrap();
    graylog.wait_for(of("entry_id", &entries[1]["entry_id"])).expect("the second, and so the first");
    let stored = graylog.stored();
    let entered: Vec<_> = stored.iter().filter(|one| one["log_type"] == "falco-automated-response").collect();
    assert_eq!(entered.len(), 2);
    assert_eq!(entered[0]["entry_id"], entries[0]["entry_id"]);
    let seqs: Vec<_> = stored.iter().map(|one| one["seq"].as_i64().unwrap()).collect();
    assert!(seqs.is_sorted(), "{seqs:?}");
}

#[test]
fn at_the_end_what_waits_is_sent_once_more() {
    let graylog = Graylog::start().unwrap();
    graylog.out_of_order(503);
    let house = plan(&graylog).start();
    let entry = house.record_of(&alerts::about(MINER, "production", "debug"));
    let failed = |line: &Value| line["message"].as_str().is_some_and(|text| text.starts_with("delivery fails"));
    house.controller.wait_for(0, Duration::from_secs(20), failed).expect("it was tried");
    graylog.works_again();
    // The next try by itself may be seconds away; the end does not wait for it.
    assert_eq!(house.controller.terminate().unwrap(), Some(0));
    assert!(graylog.stored().iter().any(of("entry_id", &entry["entry_id"])));
}

#[test]
fn where_graylog_has_to_accept_the_intent_nothing_is_sent_before() {
    let graylog = Graylog::start().unwrap();
    let pager = Receiver::start(200).unwrap();
    graylog.out_of_order(503);
    let house = Plan::new()
        .and(&format!("audit: {{require: graylog, graylog: {{url: \"http://{}/gelf\"}}}}", graylog.address))
        .and(&format!("paging: {{webhook: {{url: \"http://{}/hook\"}}}}", pager.address))
        .and("plugins: {limits: {timeout: 3s}}")
        .start();
    let entry = house.record_of(&alerts::about(MINER, "production", "debug"));
    assert_eq!((entry["outcome"].as_str(), entry["failure"].as_str()), (Some("failed"), Some("not_sent")), "{entry}");
    assert!(entry["detail"].as_str().unwrap().contains("Graylog did not accept"), "{entry}");
    assert!(house.changes().is_empty(), "{:?}", house.changes());
    pager.wait_for("not_sent").expect("somebody is told");
    graylog.works_again();
    let entry = house.record_of(&alerts::about(MINER, "staging", "web-5c6d8-2lkjh"));
    assert_eq!(entry["outcome"], "done", "{entry}");
    assert_eq!(house.changes().len(), 1);
    let of_entry = of("entry_id", &entry["entry_id"]);
    let intent = graylog.wait_for(move |one| of_entry(one) && one["log_type"] == "falco-response-intent");
    assert_eq!(intent.expect("it is there")["dry_run"], "false");
    // Dry runs wait for nobody.
    graylog.out_of_order(503);
}

#[test]
fn a_dry_run_does_not_wait_for_graylog() {
    let graylog = Graylog::start().unwrap();
    graylog.out_of_order(503);
    let house = Plan::new()
        .replace("dryrun: false", "dryrun: true")
        .and(&format!("audit: {{require: graylog, graylog: {{url: \"http://{}/gelf\"}}}}", graylog.address))
        .start();
    assert_eq!(house.record_of(&alerts::about(MINER, "production", "debug"))["outcome"], "done");
}

#[test]
fn a_secret_in_a_command_line_is_kept_by_nobody() {
    const SECRET: &str = "hunter2-Sup3rS3cret";
    let graylog = Graylog::start().unwrap();
    let house = plan(&graylog).start();
    let mut alert = alerts::about(MINER, "production", "debug");
    let output = format!("miner (command=xmrig --password={SECRET} -o pool:4444 badge=7)");
    alert["output"] = json!(output);
    alert["output_fields"]["proc.cmdline"] = json!(format!("xmrig --password={SECRET}"));
    let entry = house.record_of(&alert);
    assert_eq!(entry["falco_output"], "miner (command=xmrig --password=[redacted] -o pool:4444 badge=7)");
    assert_eq!(entry["redacted"], 1);
    let stored = graylog.wait_for(of("entry_id", &entry["entry_id"])).expect("the entry is stored");
    assert_eq!((&stored["redacted"], &stored["redacted_hmac"]), (&entry["redacted"], &entry["redacted_hmac"]));
    assert!(!format!("{:?}", graylog.stored()).contains(SECRET));
    // What an auditor does who has the original from elsewhere.
    let key = std::fs::read_to_string(house.plan.path().join("redaction.key")).unwrap();
    assert_eq!(entry["redacted_hmac"], hmac(key.trim(), output.as_bytes()));
    let House { controller, plan } = house;
    assert!(!controller.text().contains(SECRET));
    assert_eq!(controller.terminate().unwrap(), Some(0));
    assert_eq!(journal(plan.path(), "falco-automated-response"), [entry]);
    for file in ["journal.db", "journal.db-wal"] {
        let bytes = std::fs::read(plan.path().join(file)).unwrap_or_default();
        assert!(!bytes.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()), "{file} still has it");
    }
}

#[test]
fn a_pattern_of_ones_own_is_taken_out_as_well() {
    let house = Plan::new().and("redaction: {patterns: ['badge=(?P<secret>[0-9]+)']}").start();
    let mut alert = alerts::about(MINER, "production", "debug");
    alert["output"] = json!("miner badge=4711 PGPASSWORD=x");
    let entry = house.record_of(&alert);
    assert_eq!(entry["falco_output"], "miner badge=[redacted] PGPASSWORD=[redacted]");
    assert_eq!(entry["redacted"], 2);
}

/// HMAC-SHA-256, written out, so that both sides are not by one hand.
fn hmac(key: &str, text: &[u8]) -> String {
    use sha2::{Digest as _, Sha256};
    let mut block = [0_u8; 64];
    for (index, byte) in block.iter_mut().enumerate().take(key.len() / 2) {
        *byte = u8::from_str_radix(&key[2 * index..2 * index + 2], 16).unwrap();
    }
    let inner = Sha256::new_with_prefix(block.map(|byte| byte ^ 0x36)).chain_update(text).finalize();
    let outer = Sha256::new_with_prefix(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize();
    outer.iter().map(|byte| format!("{byte:02x}")).collect()
}
