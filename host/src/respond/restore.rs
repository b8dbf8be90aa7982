//! At start: what the journal remembers and memory does not. A restart refills no budget, forgets no alert that waits
//! for another, and follows on the kills that were followed.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::confirm::{Group, Sighting};
use super::follow::Followed;
use super::rules::Rule;
use super::{Event, Inner, RecoverError, lift, lookup};
use crate::alert::Alert;
use crate::cluster::names::{ApiResource, ObjectRef, Uid};
use crate::faults;
use crate::journal::{LogType, Record};
use crate::safety::budget::{Account, Spent};
use crate::safety::policy::RuleScope;

/// The check of a decision that waits for others.
const AWAITING: &str = "awaiting_confirmation";
/// How far back records are read at least.
const LOOK_BACK: SignedDuration = SignedDuration::from_hours(1);

impl Inner {
    pub(super) async fn restore(self: &Arc<Self>) -> Result<(), RecoverError> {
        let longest = self.rules.load().longest_memory();
        let back = SignedDuration::try_from(longest).unwrap_or(SignedDuration::MAX).max(LOOK_BACK);
        let since = self.ambient.now().saturating_sub(back).unwrap_or(Timestamp::MIN);
        let recent = self.journal.recent(since, is_remembered).await?;
        self.budgets.restore(spent(&recent));
        self.confirmations.restore(recent.iter().filter_map(waiting));
        if !faults::is("forget_followers") {
            self.follow_again(&recent);
        }
        Ok(())
    }

    /// The kills whose end is not on record.
    fn follow_again(self: &Arc<Self>, recent: &[Record]) {
        let of_type = |log_type| recent.iter().filter(move |record| record.log_type == log_type);
        let ended: HashSet<_> = of_type(LogType::Followup).map(|record| &record.entry_id).collect();
        for entry in of_type(LogType::Entry).filter(|entry| !ended.contains(&entry.entry_id)) {
            let intents = of_type(LogType::Intent).filter(|intent| intent.entry_id == entry.entry_id);
            if let Some(followed) = self.killed_before(&entry.body, intents.map(|intent| &intent.body)) {
                self.follow_on(followed);
            }
        }
    }

    /// What there is to follow of a live kill that was done, or may have been, from its entry and its intents alone.
    pub(super) fn killed_before<'a>(
        &self,
        entry: &Map<String, Value>,
        mut intents: impl Iterator<Item = &'a Map<String, Value>>,
    ) -> Option<Followed> {
        let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        if entry.get("dry_run") != Some(&Value::Bool(false)) || !matches!(text("outcome").as_str(), "done" | "unknown")
        {
            return None;
        }
        let pod = intents.find_map(|intent| {
            let verb = intent.get("verb").and_then(Value::as_str)?;
            let object = lookup::object_of(intent).filter(|_| matches!(verb, "delete" | "evict"))?;
            let uid = Uid::parse(intent.get("uid")?.as_str()?).ok()?;
            (object.resource == ApiResource::pods() && object.name.as_str() == text("pod"))
                .then_some(ObjectRef { uid: Some(uid), ..object })
        })?;
        // The alert left the inbox with its entry, which tells what a headline and a page need.
        let alert = json!({
            "rule": text("rule"), "time": text("timestamp"), "priority": text("falco_priority"),
            "output_fields": {"k8s.ns.name": text("namespace"), "k8s.pod.name": text("pod")},
        });
        let alert = Arc::new(Alert::parse(alert.to_string().as_bytes()).ok()?);
        let since = text("sent_at").parse().or_else(|_| text("timestamp").parse()).ok()?;
        let rule = Rule {
            name: text("rule"),
            audit_reason: text("reason"),
            dryrun: false,
            scope: RuleScope::default(),
            timeout: None,
            steps: Vec::new(),
        };
        Some(Followed {
            event: Event { id: text("event_id"), alert, received_at: since },
            rules: self.rules.load_full(),
            rule: Arc::new(rule),
            action: text("action"),
            pod,
            node: None,
            entry: entry.clone(),
            since,
        })
    }
}

/// By the text of the body, which is compact JSON: in a text of an alert the quotes are escaped, so none can look like this.
/// What nobody needs is not even read, since all that is remembered is in memory at once.
fn is_remembered(log_type: LogType, body: &str) -> bool {
    match log_type {
        // A lift spends nothing.
        LogType::Intent => !body.contains(r#""dry_run":true"#) && !body.contains(lift::MARK),
        LogType::Entry => !body.contains(r#""dry_run":true"#),
        // Only of what never left: it has spent nothing.
        LogType::Result => body.contains(r#""sent_at":null"#),
        LogType::Followup => true,
        LogType::Decision => body.contains(r#""check":"awaiting_confirmation""#),
        LogType::Config | LogType::Annotation | LogType::Retention => false,
    }
}

fn is_waiting(record: &Record) -> bool {
    record.log_type == LogType::Decision && record.body.get("check").and_then(Value::as_str) == Some(AWAITING)
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

/// One for each live call that was announced and counts, unless it is known to have stayed here. Which counts, journals of
/// earlier versions do not say: there it was the first of a run.
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
        .filter(|intent| match intent.body.get("counts") {
            Some(counts) => *counts == Value::Bool(true),
            None => runs.insert(intent.entry_id.clone()),
        })
        .filter_map(spent_by)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_what_counts_and_nothing_that_an_alert_can_make_look_like_it() {
        let text = |body: Value| body.to_string();
        for (log_type, body, remembered) in [
            (LogType::Intent, json!({"dry_run": false}), true),
            (LogType::Intent, json!({"dry_run": true}), false),
            (LogType::Intent, json!({"dry_run": false, "action": lift::ACTION}), false),
            (LogType::Entry, json!({"dry_run": false, "falco_output": "\"dry_run\":true"}), true),
            (LogType::Entry, json!({"dry_run": true}), false),
            (LogType::Result, json!({"sent_at": null}), true),
            (LogType::Result, json!({"sent_at": "2026-01-01T00:00:00Z"}), false),
            (LogType::Decision, json!({"check": AWAITING}), true),
            (
                LogType::Decision,
                json!({"check": "stale", "falco_output": "\"check\":\"awaiting_confirmation\""}),
                false,
            ),
        ] {
            assert_eq!(is_remembered(log_type, &text(body.clone())), remembered, "{body}");
        }
    }

    #[test]
    fn every_call_that_counted_counts_again_and_in_older_journals_the_first_of_a_run() {
        let record = |log_type, entry: &str, body: Value| Record {
            log_type,
            event_id: "e".to_owned(),
            entry_id: Some(entry.to_owned()),
            body: body.as_object().expect("an object").clone(),
        };
        let intent = |entry: &str, call: u64, owner: &str, counts: Option<bool>| {
            let mut body = json!({"timestamp": "2026-11-24T12:00:00.000Z", "call": call, "verb": "evict", "dry_run": false,
                "path": "/api/v1/namespaces/production/pods/a/eviction", "owner_key": owner, "owner": owner,
                "controlled": true, "namespace": "production"});
            if let Some(counts) = counts {
                body["counts"] = json!(counts);
            }
            record(LogType::Intent, entry, body)
        };
        let recent = [
            intent("new", 0, "web", Some(true)),
            intent("new", 1, "web", Some(false)),
            intent("new", 2, "shop", Some(true)),
            intent("new", 3, "never-left", Some(true)),
            record(LogType::Result, "new", json!({"call": 3, "sent_at": null})),
            intent("old", 0, "debug", None),
            intent("old", 1, "debug", None),
        ];
        let owners: Vec<_> = spent(&recent).into_iter().map(|spent| spent.account.owner).collect();
        assert_eq!(owners, ["web", "shop", "debug"]);
    }
}
