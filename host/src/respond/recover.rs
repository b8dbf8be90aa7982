//! At start: what a previous run accepted and did not finish.
//!
//! What had no intent runs as if it had just come. A call whose intent is on disk without a result may have been made:
//! it is recorded as unknown, paged, and not repeated.

use std::sync::Arc;

use serde_json::{Value, json};

use super::outcome::{Derived, Outcome};
use super::pipeline::Job;
use super::record::{About, Ended};
use super::rules::{Match, Rule, Rules};
use super::{Event, Inner, Responder, pages};
use crate::alert::Alert;
use crate::journal::{JournalError, Unfinished, UnfinishedIntent, Write};
use crate::safety::run::Identity;
use crate::telemetry::log::Level;

#[derive(Debug, thiserror::Error)]
#[error("cannot take up what the last run left: {0}")]
pub struct RecoverError(#[from] JournalError);

impl Responder {
    /// Takes up the inbox; answers with how many alerts that were.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn recover(&self) -> Result<usize, RecoverError> {
        let unfinished = self.inner.journal.unfinished().await?;
        let count = unfinished.len();
        for one in unfinished {
            self.inner.take_up(one).await;
        }
        Ok(count)
    }
}

impl Inner {
    async fn take_up(self: &Arc<Self>, unfinished: Unfinished) {
        let alert = match Alert::parse(unfinished.alert.body.as_bytes()) {
            Ok(alert) => Arc::new(alert),
            Err(error) => {
                let fields = super::record::fields([("event_id", unfinished.alert.event_id.as_str().into())]);
                self.log.line(
                    Level::Error,
                    &format!("an alert in the inbox cannot be read any more: {error}"),
                    &fields,
                );
                self.persist(vec![Write::Finish { event_id: unfinished.alert.event_id }]).await;
                return;
            }
        };
        let event = Event { id: unfinished.alert.event_id.clone(), alert, received_at: unfinished.alert.received_at };
        let rules = self.rules.load_full();
        let Match::Wanted(rule) = rules.find(&event.alert) else {
            // The pipeline says so, and takes it out of the inbox.
            self.enqueue(Job { event, next_step: 0, attempts: 0 });
            return;
        };
        let concluded = rule.steps.iter().take_while(|step| unfinished.concluded.contains(&step.action)).count();
        let cut_off = cut_off_run(&unfinished, &rule, concluded);
        match cut_off {
            Some(intents) => self.record_cut_off(&event, &rules, &rule, concluded, &intents).await,
            None => self.enqueue(Job { event, next_step: concluded, attempts: 0 }),
        }
    }

    /// A run that was cut off after it had announced calls: one entry, from the journal alone.
    async fn record_cut_off(
        &self,
        event: &Event,
        rules: &Rules,
        rule: &Rule,
        step: usize,
        intents: &[&UnfinishedIntent],
    ) {
        let Some(first) = intents.first() else { return };
        let text = |intent: &UnfinishedIntent, key: &str| {
            intent.intent.get(key).and_then(Value::as_str).unwrap_or("").to_owned()
        };
        let action = text(first, "action");
        let dry_run = first.intent.get("dry_run") == Some(&Value::Bool(true));
        let about = About { event, rules, rule, action: &action, dry_run };
        let open: Vec<_> = intents.iter().filter(|intent| intent.result.is_none()).collect();
        let changed = intents
            .iter()
            .any(|intent| intent.result.as_ref().and_then(|result| result.get("effect")) == Some(&json!("changed")));
        let calls: Vec<_> =
            open.iter().map(|intent| format!("{} {}", text(intent, "verb"), text(intent, "path"))).collect();
        let detail = if open.is_empty() {
            "the controller stopped in the middle of the run; the calls it had announced were answered".to_owned()
        } else {
            format!("the controller stopped before an answer was recorded to: {}", calls.join(", "))
        };
        let outcome = match (open.is_empty(), changed) {
            (true, true) => Outcome::Done,
            (true, false) => Outcome::Failed(super::outcome::Failure::Plugin),
            (false, _) => Outcome::Unknown,
        };
        let derived = Derived { outcome, changed, detail };
        let identity = Identity {
            event_id: event.id.clone(),
            entry_id: first.entry_id.clone(),
            action: action.clone(),
            plugin_sha256: text(first, "plugin_sha256"),
        };
        let now = self.ambient.now();
        let mut record = about.entry(&identity, None, &[], &derived, Ended { at: now, report: None });
        if let Some(uid) = first.intent.get("uid").and_then(Value::as_str) {
            let id = super::record::action_id(&rules.cluster_name, &action, uid);
            record.body.insert("action_id".to_owned(), json!(id));
        }
        let pages =
            rule.steps.get(step).and_then(|step| step.plugin.as_ref().ok()).is_some_and(|plugin| plugin.manifest.pages);
        let page = pages::for_entry(&about, pages, outcome, &record.body, &[], now);
        self.log.entry(&record.body);
        let mut writes = vec![Write::Record(record)];
        writes.extend(self.ships());
        writes.extend(page.iter().flat_map(|page| self.sends(page)));
        writes.push(Write::Finish { event_id: event.id.clone() });
        self.persist(writes).await;
    }
}

/// The intents of the run that has no entry yet.
fn cut_off_run<'a>(unfinished: &'a Unfinished, rule: &Rule, concluded: usize) -> Option<Vec<&'a UnfinishedIntent>> {
    let action = &rule.steps.get(concluded)?.action;
    let intents: Vec<_> = unfinished
        .intents
        .iter()
        .filter(|intent| intent.intent.get("action").and_then(Value::as_str) == Some(action))
        .collect();
    (!intents.is_empty()).then_some(intents)
}
