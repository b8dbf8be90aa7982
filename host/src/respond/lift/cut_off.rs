//! After a crash: lifts that were announced and have no entry, by the controller or by a person's command.
//!
//! What their intents say is enough for the entry; what became of an open call is asked of the cluster, as for any action
//! ([`super::super::lookup`]). An expired isolation of which nothing was sent needs no entry: it is lifted anew.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::super::Inner;
use super::super::lookup::{self, Finding};
use super::super::outcome::{Failure, Outcome};
use super::super::record::{millis, seconds};
use super::super::recover::{derive, effect, is_open};
use super::words::{self, Told};
use super::{ACTION, Lifted, Lifter, MARK, Subject, Why};
use crate::cluster::names::{ObjectRef, Uid};
use crate::journal::{LogType, Record, UnfinishedIntent, Write};
use crate::safety::isolation::{Expiry, Isolation};
use crate::safety::run::Identity;
use crate::telemetry::log::Level;

/// Older ones were looked at by an earlier start.
pub(super) const LOOK_BACK: SignedDuration = SignedDuration::from_hours(7 * 24);

impl Inner {
    /// False: some may still be under way, and are to be looked at again.
    pub(super) async fn take_up_lifts(self: &Arc<Self>, under_way: Duration) -> bool {
        let now = self.ambient.now();
        let since = now.saturating_sub(LOOK_BACK).unwrap_or(Timestamp::MIN);
        let recent = match self.journal.recent(since, |_, body| body.contains(MARK)).await {
            Ok(recent) => recent,
            Err(error) => {
                let message = format!("it is not known whether a lift was cut off: {error}");
                self.log.line(Level::Error, &message, &Map::new());
                return false;
            }
        };
        let mut all = true;
        for (entry_id, intents) in cut_off(&recent) {
            let latest = intents.iter().filter_map(|intent| at(&intent.intent)).max();
            // This journal has one controller, and its last one is no more. A command may be at it still.
            let by_hand = intents.iter().any(|intent| is_by_hand(&intent.intent));
            let age = latest.and_then(|at| Duration::try_from(now.duration_since(at)).ok()).unwrap_or_default();
            if by_hand && age < under_way {
                all = false;
            } else {
                self.finish_lift(entry_id, intents).await;
            }
        }
        all
    }

    async fn finish_lift(self: &Arc<Self>, entry_id: String, mut intents: Vec<UnfinishedIntent>) {
        let Some(first) = intents.first() else { return };
        let text = |map: &Map<String, Value>, key: &str| {
            map.get(key).and_then(Value::as_str).map(str::to_owned).unwrap_or_default()
        };
        let Some(base) = first.intent.get("lift").and_then(Value::as_object).cloned() else { return };
        let (announced, event_id) = (at(&first.intent), text(&first.intent, "event_id"));
        let by_hand = is_by_hand(&first.intent);
        let mut writes = Vec::new();
        for intent in intents.iter_mut().filter(|intent| is_open(intent)) {
            // The next start asks.
            let Some(finding) = self.look_up_lift(&intent.intent, &base).await else { return };
            let body = finding.result(&intent.intent, millis(self.ambient.now()));
            let (log_type, entry_id) = (LogType::Result, Some(entry_id.clone()));
            writes.push(Write::Record(Record { log_type, event_id: event_id.clone(), entry_id, body: body.clone() }));
            intent.result = Some(body);
        }
        let done = intents.iter().any(|intent| matches!(effect(intent), Some("changed" | "unknown") | None));
        let lifter = Lifter::of(self);
        if !writes.is_empty() {
            self.persist(writes).await;
        }
        if !done && !by_hand {
            return;
        }
        let derived = derive(&intents.iter().collect::<Vec<_>>());
        let mut entry = base;
        words::ended(&lifter, &mut entry, &derived);
        let sent = derived.outcome != Outcome::Failed(Failure::NotSent);
        if let Some(at) = announced.filter(|_| sent) {
            entry.insert("timestamp".to_owned(), json!(seconds(at)));
            entry.insert("sent_at".to_owned(), json!(millis(at)));
        }
        let identity = Identity { event_id, entry_id, action: ACTION.to_owned(), plugin_sha256: String::new() };
        let (action, pod) = (text(&entry, "isolated_by"), text(&entry, "pod"));
        let told = Told {
            action: Some(action.as_str()).filter(|action| !action.is_empty()),
            pod: Some(pod.as_str()).filter(|pod| *pod != "-"),
            selects_all: !entry.contains_key("labels"),
        };
        let pages = words::pages_of(&lifter, &told, (!by_hand, false), derived.outcome, &entry);
        if let Err(error) = lifter.conclude(&identity, entry.clone(), &pages).await {
            let message = format!("a lift that was cut off waits for the next start: {error}");
            self.log.line(Level::Error, &message, &Map::new());
            return;
        }
        self.log.entry(&entry);
        let policy_gone = effect(&intents[0]) == Some("changed");
        if let Some(rest) = rest_of(&intents[0].intent, &entry).filter(|_| policy_gone) {
            self.free_the_rest(&lifter, rest).await;
        }
    }

    /// The policy is gone, and whether all its labels are was cut off: they would widen the next isolation.
    async fn free_the_rest(&self, lifter: &Lifter, rest: Isolation) {
        let rules = self.rules.load_full();
        let dry_run = rules.dryrun || self.gate.stopped();
        let why = Why::Expired { since: self.ambient.now(), again: false };
        match lifter.lift(&Subject::Rest(rest), &why, dry_run).await {
            Ok(Lifted::Recorded { entry, .. }) => self.log.entry(&entry),
            Ok(Lifted::AnotherWasFirst(_) | Lifted::NotNow(_)) => {}
            Err(error) => {
                let message = format!("what was taken off pods cannot be recorded: {error}");
                self.log.line(Level::Error, &message, &Map::new());
            }
        }
    }

    /// Labels that are gone leave no mark behind, so they are looked for.
    async fn look_up_lift(&self, intent: &Map<String, Value>, base: &Map<String, Value>) -> Option<Finding> {
        let live = intent.get("dry_run") == Some(&Value::Bool(false));
        let patched =
            lookup::object_of(intent).filter(|_| live && intent.get("verb").and_then(Value::as_str) == Some("patch"));
        let Some(pod) = patched else { return self.look_up(intent).await };
        let labels: Vec<_> = base.get("labels").and_then(Value::as_array).into_iter().flatten().collect();
        let bears = |pod: &Value| {
            let borne = pod.pointer("/metadata/labels").and_then(Value::as_object);
            borne.is_some_and(|borne| labels.iter().filter_map(|label| label.as_str()).any(|it| borne.contains_key(it)))
        };
        Some(match self.gate.reader().get(&pod).await {
            Ok(found) if bears(&found) => {
                lookup::finding("not_sent", "looked up after a restart: the pod bears the labels")
            }
            Ok(_) => lookup::finding("changed", "found without the labels after a restart"),
            Err(error) if error.is_not_found() => lookup::finding("changed", "the pod was found gone after a restart"),
            Err(error) => lookup::finding("unknown", format!("looked up after a restart, without an answer: {error}")),
        })
    }
}

/// The isolation whose policy is gone, from what its intent and entry say of it.
fn rest_of(intent: &Map<String, Value>, entry: &Map<String, Value>) -> Option<Isolation> {
    let text = |key: &str| entry.get(key).and_then(Value::as_str).map(str::to_owned);
    let selects = entry.get("selects")?.as_object()?;
    let uid = Uid::parse(intent.get("uid")?.as_str()?).ok()?;
    let policy = ObjectRef { uid: Some(uid), ..lookup::object_of(intent)? };
    Some(Isolation {
        namespace: policy.namespace.clone()?,
        policy,
        resource_version: String::new(),
        event_id: text("event_id"),
        rule: text("rule"),
        expiry: Expiry::Never,
        selects: selects.iter().filter_map(|(label, on)| Some((label.clone(), on.as_str()?.to_owned()))).collect(),
        action: text("isolated_by"),
        edited: false,
    })
}

fn is_by_hand(intent: &Map<String, Value>) -> bool {
    intent.get("lift").is_some_and(|lift| lift.get("lifted_by").is_some())
}

fn at(intent: &Map<String, Value>) -> Option<Timestamp> {
    intent.get("timestamp")?.as_str()?.parse().ok()
}

/// Intents by their entry, where there is none, with their results.
fn cut_off(recent: &[Record]) -> BTreeMap<String, Vec<UnfinishedIntent>> {
    let of_type = |log_type| recent.iter().filter(move |record| record.log_type == log_type);
    let entered: HashSet<_> = of_type(LogType::Entry).filter_map(|entry| entry.entry_id.as_ref()).collect();
    let mut found: BTreeMap<String, Vec<UnfinishedIntent>> = BTreeMap::new();
    for intent in of_type(LogType::Intent) {
        let Some(entry_id) = intent.entry_id.as_ref().filter(|id| !entered.contains(id)) else { continue };
        let result = of_type(LogType::Result)
            .filter(|result| result.entry_id.as_ref() == Some(entry_id))
            .rfind(|result| result.body.get("call") == intent.body.get("call"));
        found.entry(entry_id.clone()).or_default().push(UnfinishedIntent {
            entry_id: entry_id.clone(),
            intent: intent.body.clone(),
            result: result.map(|result| result.body.clone()),
        });
    }
    found
}
