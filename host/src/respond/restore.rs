//! At start: what the journal remembers and memory does not. A restart refills no budget.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::confirm::{Group, Sighting};
use super::{Inner, RecoverError};
use crate::journal::{LogType, Record};
use crate::safety::budget::{Account, Spent};

/// How far back records are read at least.
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(1);

impl Inner {
    pub(super) async fn restore(&self) -> Result<(), RecoverError> {
        let longest = self.rules.load().longest_memory();
        let back = SignedDuration::try_from(longest).unwrap_or(SignedDuration::MAX).max(LOOK_BACK);
        let since = self.ambient.now().saturating_sub(back).unwrap_or(Timestamp::MIN);
        let recent = self.journal.recent(since, is_remembered).await?;
        self.budgets.restore(spent(&recent));
        self.confirmations.restore(recent.iter().filter_map(waiting));
        Ok(())
    }
}

fn is_remembered(record: &Record) -> bool {
    match record.log_type {
        LogType::Intent | LogType::Result => true,
        LogType::Decision => is_waiting(record),
        LogType::Entry | LogType::Followup | LogType::Config => false,
    }
}

fn is_waiting(record: &Record) -> bool {
    record.log_type == LogType::Decision
        && record.body.get("check").and_then(Value::as_str) == Some("awaiting_confirmation")
}

/// An alert that waited for others.
fn waiting(record: &Record) -> Option<(Group, Sighting)> {
    let text = |key: &str| record.body.get(key).and_then(Value::as_str).map(str::to_owned);
    if !is_waiting(record) {
        return None;
    }
    let group = Group { rule: text("rule")?, action: text("action")?, namespace: text("namespace")? };
    let sighting = Sighting {
        event_id: record.event_id.clone(),
        pod: text("pod").filter(|pod| pod != "-"),
        pod_uid: text("alert_pod_uid"),
        received_at: text("received_at")?.parse().ok()?,
    };
    Some((group, sighting))
}

/// One for each run that announced a live call which is not known to have stayed here.
fn spent(recent: &[Record]) -> Vec<Spent> {
    let call = |record: &Record| (record.entry_id.clone(), record.body.get("call").and_then(Value::as_u64));
    let stayed: HashSet<_> = recent
        .iter()
        .filter(|record| record.log_type == LogType::Result && record.body.get("sent_at") == Some(&Value::Null))
        .map(call)
        .collect();
    let mut runs = HashSet::new();
    let live = |record: &&Record| {
        record.log_type == LogType::Intent && record.body.get("dry_run") == Some(&Value::Bool(false))
    };
    recent
        .iter()
        .filter(live)
        .filter(|intent| !stayed.contains(&call(intent)))
        .filter_map(|intent| spent_by(intent).filter(|_| runs.insert(intent.entry_id.clone())))
        .collect()
}

fn spent_by(intent: &Record) -> Option<Spent> {
    let text = |key: &str| intent.body.get(key).and_then(Value::as_str).unwrap_or_default();
    let account = Account {
        owner: text("owner_key").to_owned(),
        described: text("owner").to_owned(),
        namespace: text("namespace").to_owned(),
        controlled: intent.body.get("controlled") == Some(&Value::Bool(true)),
    };
    let kill = matches!(text("verb"), "delete" | "evict") && text("path").contains("/pods/");
    Some(Spent { account, at: text("timestamp").parse().ok()?, kill })
}
