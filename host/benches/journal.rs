//! Writes a journal with many entries, through the journal's own code: `cargo xtask bench journal` measures beside it.
//!
//! `journal FILE COUNT`; the entries are a month old, so that nothing of them is remembered or followed.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]

use std::path::Path;

use falco_response_controller::harness::stage::StageClock;
use falco_response_controller::journal::{Journal, LogType, Record, Write};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

const GROUP: usize = 1000;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let (Some(file), Some(count)) = (arguments.next(), arguments.next()) else {
        // So that `cargo bench` has nothing to complain of.
        println!("usage: journal FILE COUNT");
        return;
    };
    let count: usize = count.parse().unwrap();
    let clock = StageClock::at(Timestamp::now() - SignedDuration::from_hours(24 * 30));
    let journal = Journal::open_scratch(Path::new(&file), &clock.ambient()).unwrap();
    for from in (0..count).step_by(GROUP) {
        journal.commit((from..count.min(from + GROUP)).map(entry).collect::<Vec<_>>()).await.unwrap();
    }
    journal.close().await;
}

/// As large as one is.
fn entry(number: usize) -> Write {
    let (event_id, entry_id) = (format!("event-{number:032}"), format!("entry-{number:032}"));
    let body = json!({
        "timestamp": "2026-01-01T00:00:00Z", "action": "kill_pod", "namespace": "production",
        "pod": format!("checkout-7d9f4b-{number}"), "rule": "Crypto mining process detected", "dry_run": true,
        "reason": "Crypto miner process detected by Falco; automated termination",
        "operator": "falco-response-controller", "falco_priority": "CRITICAL",
        "falco_output": "00:00:00.000000000: Critical Crypto mining process detected (user=root command=xmrig container=ee97d9c4186f)",
        "event_id": event_id, "alert_uuid": null, "entry_id": entry_id, "outcome": "done", "failure": null, "changed": false,
        "detail": "delete pod, owner Deployment/checkout", "pod_uid": "0f0e0d0c-0000-4000-8000-000000000000",
        "owner": "Deployment/checkout", "identity_proof": "pod_uid",
    });
    let body: Map<String, Value> = body.as_object().unwrap().clone();
    Write::Record(Record { log_type: LogType::Entry, event_id, entry_id: Some(entry_id), body })
}
