//! The invariants, checked when all is done: from the journal, from what really happened in the cluster ([`changes`]), and
//! from what the destinations took ([`delivery`]).

mod changes;
mod delivery;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::scenario::steps;
use super::world::{Notes, World};
use crate::alert::Alert;
use crate::journal::chain::Row;
use crate::journal::{LogType, Store};

/// The journal, read back.
struct Journal {
    rows: Vec<(Row, LogType, Map<String, Value>)>,
}

pub struct Checker<'a> {
    world: &'a World,
    notes: &'a Notes,
    journal: Journal,
    /// By event.
    alerts: BTreeMap<String, Alert>,
    wrong: Vec<String>,
}

/// What is wrong, if anything.
pub fn check(world: &World, notes: &Notes) -> Vec<String> {
    let store = Store::open(&world.directory.path().join("journal.db"), &world.ambient).expect("opens");
    let mut wrong = notes.wrong.clone();
    match store.verify().expect("readable") {
        Ok(_) => {}
        Err(broken) => wrong.push(format!("the chain is broken: {broken:?}")),
    }
    let rows = store.rows_after(0, i64::MAX).expect("readable");
    let rows = rows.into_iter().map(|row| {
        let log_type = LogType::parse(&row.log_type).expect("a known type");
        let body = serde_json::from_str(&row.body).expect("JSON");
        (row, log_type, body)
    });
    let journal = Journal { rows: rows.collect() };
    let left = store.unfinished().expect("readable").len();
    if left > 0 {
        wrong.push(format!("{left} alerts are left in the inbox"));
    }
    let alerts = notes
        .accepted
        .iter()
        .map(|new| (new.event_id.clone(), Alert::parse(new.body.as_bytes()).expect("an alert that was accepted")));
    let alerts = alerts.collect();
    let mut checker = Checker { world, notes, journal, alerts, wrong };
    checker.every_answered_alert_is_accepted();
    checker.every_alert_has_one_outcome_a_step();
    checker.every_intent_has_a_result_or_an_entry();
    checker.nothing_is_done_twice();
    checker.every_change_is_allowed();
    checker.outcomes_are_true();
    checker.copies_are_complete_and_in_order();
    checker.pages_are_sent();
    checker.kills_are_followed();
    checker.wrong
}

/// What came of it, for people who ask what the seeds cover.
pub fn words(world: &World, notes: &Notes) -> Vec<String> {
    let store = Store::open(&world.directory.path().join("journal.db"), &world.ambient).expect("opens");
    let mut words = vec![format!("lives {}", notes.lives)];
    for row in store.rows_after(0, i64::MAX).expect("readable") {
        let body: Map<String, Value> = serde_json::from_str(&row.body).expect("JSON");
        let keys: &[&str] = match LogType::parse(&row.log_type) {
            Some(LogType::Entry) => &["action", "outcome", "failure"],
            Some(LogType::Decision) => &["decision", "check"],
            Some(LogType::Followup) => &["followup"],
            Some(LogType::Intent) => &["verb"],
            _ => &["effect"],
        };
        let said: Vec<_> = keys.iter().map(|key| text(&body, key)).filter(|word| !word.is_empty()).collect();
        words.push(format!("{}: {}", row.log_type, said.join(" ")));
    }
    words
}

fn text<'a>(body: &'a Map<String, Value>, key: &str) -> &'a str {
    body.get(key).and_then(Value::as_str).unwrap_or("")
}

impl Journal {
    fn of(&self, wanted: LogType) -> impl Iterator<Item = (&Row, &Map<String, Value>)> {
        self.rows.iter().filter(move |(_, log_type, _)| *log_type == wanted).map(|(row, _, body)| (row, body))
    }

    /// Entries and decisions of an event, in order.
    fn outcomes<'a>(&'a self, event_id: &'a str) -> impl Iterator<Item = &'a Map<String, Value>> {
        self.rows
            .iter()
            .filter(move |(row, log_type, _)| {
                row.event_id == event_id && matches!(log_type, LogType::Entry | LogType::Decision)
            })
            .map(|(_, _, body)| body)
    }

    fn entries_by_id(&self) -> BTreeMap<&str, Vec<&Map<String, Value>>> {
        let mut all: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        for (row, body) in self.of(LogType::Entry) {
            all.entry(row.entry_id.as_deref().unwrap_or("")).or_default().push(body);
        }
        all
    }

    /// By entry and call.
    fn results(&self) -> BTreeMap<(&str, u64), &Map<String, Value>> {
        self.of(LogType::Result)
            .map(|(_, body)| ((text(body, "entry_id"), body.get("call").and_then(Value::as_u64).unwrap_or(99)), body))
            .collect()
    }
}

/// Whether what follows in a rule is only taken up by `on_failure: continue`.
fn is_bad(outcome: &Map<String, Value>) -> bool {
    matches!(text(outcome, "outcome"), "failed" | "unknown") || !matches!(text(outcome, "decision"), "" | "folded")
}

impl Checker<'_> {
    fn says(&mut self, what: String) {
        self.wrong.push(what);
    }

    /// 1, first half: what was answered with 2xx, and what a rule wants, is in the journal.
    fn every_answered_alert_is_accepted(&mut self) {
        for (body, life) in &self.notes.answered {
            let alert = Alert::parse(body.as_bytes()).expect("an alert that was answered");
            let configured = self.world.scenario.config(*life).0.contains(&format!("name: {}", alert.rule));
            let wanted = configured && alert.priority <= crate::alert::Priority::Critical;
            let is_it = |other: &Alert| {
                other.raw() == alert.raw()
                    || (alert.uuid.is_some() && other.uuid == alert.uuid)
                    || (alert.field("k8s.pod.uid").is_some()
                        && (&other.rule, other.time, other.field("k8s.pod.uid"))
                            == (&alert.rule, alert.time, alert.field("k8s.pod.uid")))
            };
            let known = self.alerts.values().any(is_it);
            if wanted && !known {
                self.wrong.push(format!("an alert was answered and is lost: {body}"));
            }
        }
    }

    /// 1, second half, and 9: one record for each step, in order, and no more.
    fn every_alert_has_one_outcome_a_step(&mut self) {
        let mut wrong = Vec::new();
        for (event_id, alert) in &self.alerts {
            let steps = steps(&alert.rule);
            if self.world.scenario.is_reconfigured(self.notes.lives) {
                // Which rule it was worked on by depends on when; nothing is concluded more often than it could be.
                let (count, most) = (self.journal.outcomes(event_id).count(), steps.len());
                if count > most {
                    wrong.push(format!("{event_id} ({}) has {count} outcomes, {most} are possible", alert.rule));
                }
                continue;
            }
            let outcomes: Vec<_> = self.journal.outcomes(event_id).collect();
            let actions: Vec<_> = outcomes.iter().map(|outcome| text(outcome, "action")).collect();
            let expected: Vec<_> = steps.iter().take(outcomes.len()).map(|(action, _)| *action).collect();
            if actions != expected {
                wrong.push(format!("{event_id} ({}) has the outcomes {actions:?}", alert.rule));
                continue;
            }
            for (index, outcome) in outcomes.iter().enumerate() {
                let (last, ended) = (index + 1 == steps.len(), index + 1 == outcomes.len());
                // Too late for one is too late for those that follow.
                let ends = matches!(text(outcome, "check"), "too_late" | "internal");
                let may_end = last || ends || (is_bad(outcome) && !steps[index].1);
                if may_end != ended {
                    let word = format!("{}{}", text(outcome, "outcome"), text(outcome, "decision"));
                    wrong.push(format!(
                        "{event_id} ({}) goes {} after step {index}, {word}",
                        alert.rule,
                        if ended { "no further" } else { "on" }
                    ));
                }
            }
            if outcomes.is_empty() {
                wrong.push(format!("{event_id} ({}) has no outcome", alert.rule));
            }
        }
        let started: BTreeSet<_> = self.notes.started.iter().map(|(event_id, _, action)| (event_id, action)).collect();
        for (row, body) in self.journal.of(LogType::Entry) {
            if !started.contains(&(&row.event_id, &text(body, "action").to_owned())) {
                wrong.push(format!(
                    "{} has an entry for {}, which was not started",
                    row.event_id,
                    text(body, "action")
                ));
            }
        }
        self.wrong.append(&mut wrong);
    }

    /// 2, second half; the first is looked at when a change is sent.
    fn every_intent_has_a_result_or_an_entry(&mut self) {
        let (entries, results) = (self.journal.entries_by_id(), self.journal.results());
        let mut wrong = Vec::new();
        for (row, intent) in self.journal.of(LogType::Intent) {
            let entry_id = row.entry_id.as_deref().unwrap_or("");
            let call = intent.get("call").and_then(Value::as_u64).unwrap_or(99);
            let what = format!("call {call} of {entry_id} ({} {})", text(intent, "verb"), text(intent, "path"));
            let outcome = entries.get(entry_id).map(|entries| text(entries[0], "outcome"));
            let lost = self.notes.lost_results.iter().any(|(entry, number)| entry == entry_id && *number == call);
            match (results.get(&(entry_id, call)), outcome) {
                (None, Some("unknown")) => {}
                (None, Some(_)) if lost => {}
                (None, outcome) => wrong.push(format!("{what} has no result, and its entry says {outcome:?}")),
                (Some(result), None) if !matches!(text(result, "effect"), "not_sent" | "denied") => {
                    wrong.push(format!("{what} was {}, and there is no entry", text(result, "effect")));
                }
                (Some(_), _) => {}
            }
        }
        self.wrong.append(&mut wrong);
    }
}
