//! The invariants, from outside.

use std::collections::{BTreeMap, BTreeSet};

use falco_response_controller::ambient::Ambient;
use falco_response_controller::journal::Store;
use serde_json::Value;

use crate::house;
use crate::stage::Stage;

/// To be called once everything has settled, and the controller was stopped.
pub fn judge(stage: &Stage, what: &str) {
    let entries = records(stage, "falco-automated-response");
    let decisions = records(stage, "falco-response-decision");
    let changes = stage.api.changes();
    for alert in &stage.answered {
        let of_alert = |record: &&Value| record["alert_uuid"] == alert["uuid"];
        let outcomes: Vec<_> = entries.iter().chain(&decisions).filter(of_alert).collect();
        assert_eq!(outcomes.len(), 1, "{what}: an answered alert has one outcome, not {outcomes:#?}");
    }
    let mut asked = BTreeMap::new();
    for change in &changes {
        assert!(change.announced, "{what}: nothing is sent that was not announced: {change:?}");
        *asked.entry((change.method.clone(), change.path.clone(), change.event_id.clone())).or_insert(0) += 1;
    }
    for (call, times) in &asked {
        assert_eq!(*times, 1, "{what}: nothing is done twice: {call:?}");
    }
    for entry in &entries {
        truthful(entry, &asked, what);
    }
    delivered(stage, &entries, what);
    let store = Store::open(&stage.plan.path().join("journal.db"), &Ambient::system()).unwrap();
    let verified = store.verify().unwrap();
    assert!(verified.is_ok(), "{what}: the chain is whole: {verified:?}");
}

/// Whether an entry says of its call what the API server knows.
fn truthful(entry: &Value, asked: &BTreeMap<(String, String, String), i32>, what: &str) {
    let event = entry["event_id"].as_str().unwrap();
    let sent = asked.keys().any(|(_, _, of)| of == event);
    match entry["outcome"].as_str().unwrap() {
        // Nothing else deletes these pods, and each has alerts of one rule only.
        "done" => assert!(sent, "{what}: what was done was asked for: {entry}"),
        "failed" => assert!(!sent, "{what}: a failed action changed nothing: {entry}"),
        "unknown" | "already_gone" | "skipped" => {}
        other => panic!("{what}: an outcome {other}"),
    }
}

fn delivered(stage: &Stage, entries: &[Value], what: &str) {
    let taken: BTreeSet<_> = stage
        .graylog
        .taken()
        .into_iter()
        .filter(|one| one.status < 300)
        .filter_map(|one| Some(one.body.get("_entry_id")?.as_str()?.to_owned()))
        .collect();
    for entry in entries {
        assert!(taken.contains(entry["entry_id"].as_str().unwrap()), "{what}: Graylog has {entry}");
        if entry["action"] == "isolate_namespace" && entry["outcome"] == "done" {
            let page = stage.pager.wait_for("isolate_namespace");
            assert!(page.is_some(), "{what}: somebody was paged about {entry}");
        }
    }
}

pub fn records(stage: &Stage, log_type: &str) -> Vec<Value> {
    house::journal(stage.plan.path(), log_type)
}
