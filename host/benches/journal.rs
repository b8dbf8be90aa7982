//! Writes a journal with many entries, through the journal's own code: `cargo xtask bench journal` measures beside it.
//!
//! `journal FILE COUNT`; the entries are a month old, so that nothing of them is remembered or followed.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]

use std::path::Path;

use falco_response_controller::ambient::Ambient;
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
    let month_ago = Timestamp::now() - SignedDuration::from_hours(24 * 30);
    let clock = StageClock::at(month_ago);
    let ambient = clock.ambient();
    let journal = Journal::open_scratch(Path::new(&file), &ambient).unwrap();
    for from in (0..count).step_by(GROUP) {
        let entries = (from..count.min(from + GROUP)).map(|number| {
            // Ids begin with the time, so that what comes later stands behind what was there.
            clock.set(month_ago + SignedDuration::from_millis(i64::try_from(number).unwrap()));
            entry(number, &ambient)
        });
        journal.commit(entries.collect::<Vec<_>>()).await.unwrap();
    }
    journal.close().await;
}

/// As large as one is.
fn entry(number: usize, ambient: &Ambient) -> Write {
    let (event_id, entry_id) = (ambient.uuid().to_string(), ambient.uuid().to_string());
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
