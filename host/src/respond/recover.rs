//! At start: what a previous run accepted and did not finish.
//!
//! What had no intent runs as if it had just come, unless `max_recovery_age` has passed. A call whose intent is on disk
//! without a result may have been made: the cluster is asked ([`super::lookup`]), and what it shows goes on record. The
//! action is started again only if nothing of it was done and its manifest says that it is repeatable; a kill that was
//! done is followed to its end.

use std::sync::Arc;

use serde_json::{Value, json};

use super::outcome::{Derived, Failure, Outcome};
use super::pipeline::{Job, is_bad};
use super::record::{About, Ended, millis, seconds};
use super::rules::{Match, Rule, Rules};
use super::{Event, Inner, Responder, customers, lift, lookup, pages};
use crate::alert::Alert;
use crate::cluster::names::{ApiResource, Uid};
use crate::config::OnFailure;
use crate::faults;
use crate::journal::{JournalError, LogType, Record, Unfinished, UnfinishedIntent, Write};
use crate::plugins::manifest::Target;
use crate::safety::policy::RuleScope;
use crate::safety::run::Identity;
use crate::telemetry::log::Level;

/// How many alerts are read at once.
const PAGE: usize = 256;

#[derive(Debug, thiserror::Error)]
#[error("cannot take up what the last run left: {0}")]
pub struct RecoverError(#[from] JournalError);

impl Responder {
    /// Puts back into memory what must outlive a restart, takes up the inbox, and answers with how many alerts that
    /// were.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn recover(&self) -> Result<usize, RecoverError> {
        self.inner.restore().await?;
        let (mut count, mut after) = (0, 0);
        loop {
            let page = self.inner.journal.unfinished_after(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.position;
            count += page.len();
            for one in page {
                self.inner.take_up(one).await;
            }
        }
        Ok(count)
    }
}

impl Inner {
    async fn take_up(self: &Arc<Self>, unfinished: Unfinished) {
        let unfinished = without_lifts(unfinished);
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
        self.duplicates.took(&event.alert, event.received_at);
        let rules = self.rules.load_full();
        let rule = match rules.find(&event.alert) {
            Match::Wanted(rule) => rule,
            Match::Unwanted(_) => Arc::new(no_longer(&event.alert.rule)),
        };
        // Each step leaves one entry or decision, in order; an action may come twice.
        let concluded = rule.steps.iter().zip(&unfinished.concluded).take_while(|(step, done)| step.action == **done);
        let next_step = concluded.count();
        let intents: Vec<_> = unfinished.intents.iter().filter(|intent| may_have_been_sent(intent)).collect();
        if let Some(first) = intents.first() {
            if intents.iter().any(|intent| is_open(intent)) {
                let intents = intents.into_iter().cloned().collect();
                self.find_out(Open { event, rules, rule, next_step, intents });
                return;
            }
            let cut_off = CutOff { event: &event, rules: &rules, rule: &rule, next_step, first, intents: &intents };
            let Some(next_step) = self.record_cut_off(cut_off, Vec::new()).await else { return };
            self.enqueue(Job::new(event, next_step));
        } else if let Some(step) = rule.steps.get(next_step).filter(|_| self.waited(&event) >= rules.max_recovery_age) {
            let dry_run = rules.dryrun || rule.dryrun || self.gate.stopped();
            let about = About { event: &event, rules: &rules, rule: &rule, action: &step.action, dry_run };
            let detail =
                format!("taken up {} s after it came, later than max_recovery_age", self.waited(&event).as_secs());
            let page = pages::gave_up(&about, &detail, self.ambient.now());
            self.decide(&about, "failed", "too_late", &detail, page, true).await;
        } else {
            // Wanted by no rule any more: the pipeline says so, and takes it out of the inbox.
            self.enqueue(Job::new(event, next_step));
        }
    }

    /// Asks the cluster what became of the calls, in the background: a start does not wait for it.
    fn find_out(self: &Arc<Self>, open: Open) {
        let inner = Arc::clone(self);
        let busy = self.busy();
        tokio::spawn(async move {
            inner.find_out_to_the_end(open).await;
            drop(busy);
        });
    }

    async fn find_out_to_the_end(self: &Arc<Self>, mut open: Open) {
        let mut results = Vec::new();
        for intent in open.intents.iter_mut().filter(|intent| is_open(intent)) {
            // It stays in the inbox, and the next start asks.
            let Some(finding) = self.look_up(&intent.intent).await else { return };
            let result = finding.result(&intent.intent, millis(self.ambient.now()));
            let (log_type, entry_id) = (LogType::Result, Some(intent.entry_id.clone()));
            let record = Record { log_type, event_id: open.event.id.clone(), entry_id, body: result.clone() };
            results.push(Write::Record(record));
            intent.result = Some(result);
        }
        let Open { event, rules, rule, next_step, intents } = &open;
        let nothing_done = intents.iter().all(|intent| effect(intent) == Some("not_sent"));
        let manifest =
            rule.steps.get(*next_step).and_then(|step| step.plugin.as_ref().ok()).map(|plugin| &plugin.manifest);
        if let Some(manifest) = manifest
            && nothing_done
            && manifest.repeatable
            && self.waited(event) < rules.max_recovery_age
        {
            self.persist(results).await;
            // What else was about to be changed says nothing about the target.
            let of_target = intents.iter().filter(|intent| target_of(intent, &event.alert) == Some(manifest.target));
            let pinned = of_target.filter_map(|intent| Uid::parse(&text(intent, "uid")).ok()).next();
            let mut job = Job::new(event.clone(), *next_step);
            job.pinned = pinned;
            self.enqueue(job);
            return;
        }
        let intents: Vec<_> = intents.iter().collect();
        let Some(first) = intents.first() else { return };
        let cut_off = CutOff { event, rules, rule, next_step: *next_step, first, intents: &intents };
        if let Some(next_step) = self.record_cut_off(cut_off, results).await {
            self.enqueue(Job::new(event.clone(), next_step));
        }
    }

    /// A run that was cut off after it had announced calls: one entry, from the journal alone. Answers with the step
    /// that is next, where there is one.
    async fn record_cut_off(self: &Arc<Self>, cut_off: CutOff<'_>, results: Vec<Write>) -> Option<usize> {
        let CutOff { event, rules, rule, next_step, first, intents } = cut_off;
        let action = text(first, "action");
        let dry_run = first.intent.get("dry_run") == Some(&Value::Bool(true));
        let about = About { event, rules, rule, action: &action, dry_run };
        let plugin = rule.steps.get(next_step).and_then(|step| step.plugin.as_ref().ok());
        let target = plugin.map(|plugin| plugin.manifest.target);
        let derived = of_run(derive(intents), intents, &event.alert, target);
        let identity = Identity {
            event_id: event.id.clone(),
            entry_id: first.entry_id.clone(),
            action: action.clone(),
            plugin_sha256: text(first, "plugin_sha256"),
        };
        let now = self.ambient.now();
        let mut record = about.entry(&identity, None, &[], &derived, Ended { at: now, report: None });
        let sent = derived.outcome != Outcome::Failed(Failure::NotSent);
        if let Some(sent_at) = text(first, "timestamp").parse().ok().filter(|_| sent) {
            record.body.insert("timestamp".to_owned(), json!(seconds(sent_at)));
            record.body.insert("sent_at".to_owned(), json!(millis(sent_at)));
        }
        // What was attached is on disk as far as a call was announced after it.
        let attached = intents.iter().filter_map(|intent| intent.intent.get("attachments")?.as_array());
        let attached: Vec<_> = attached.flatten().cloned().collect();
        if !attached.is_empty() {
            record.body.insert("attachments".to_owned(), json!(attached));
        }
        // As an entry of a whole run has it: of the target, where that was to be changed.
        let of_target = intents.iter().find(|intent| target_of(intent, &event.alert).is_some());
        if let Some(uid) = of_target.unwrap_or(&first).intent.get("uid").and_then(Value::as_str) {
            let id = super::record::action_id(&rules.cluster_name, &action, uid);
            record.body.insert("action_id".to_owned(), json!(id));
        }
        // The step that was cut off, unless the configuration says otherwise by now: then nothing follows.
        let step = rule.steps.get(next_step).filter(|step| step.action == action);
        let further = step.is_some_and(|step| {
            next_step + 1 < rule.steps.len() && !(is_bad(derived.outcome) && step.on_failure == OnFailure::Stop)
        });
        let manifest = step.and_then(|step| step.plugin.as_ref().ok()).map(|plugin| &plugin.manifest);
        let page = pages::for_entry(&about, manifest, derived.outcome, &record.body, &[], now);
        let entry = record.body.clone();
        let mut writes = results;
        writes.push(Write::Record(record));
        writes.extend(self.ships());
        writes.extend(page.iter().flat_map(|page| self.sends(page)));
        writes.extend(customers::due(&entry));
        if !further {
            writes.push(Write::Finish { event_id: event.id.clone() });
        }
        self.persist(writes).await;
        self.log.entry(&entry);
        if let Some(followed) = self.killed_before(&entry, intents.iter().map(|intent| &intent.intent)) {
            self.follow_on(followed);
        }
        further.then_some(next_step + 1)
    }

    /// The controller itself failed while it worked on an alert: what is known of it goes on record, and it is not
    /// tried again.
    pub(super) async fn give_up_after_panic(self: &Arc<Self>, event: Event) {
        let fields = super::record::fields([("event_id", event.id.as_str().into())]);
        self.log.line(
            Level::Error,
            "the controller failed while it worked on an alert; this is a fault of it",
            &fields,
        );
        let unfinished = match self.journal.unfinished_one(&event.id).await {
            Ok(found) => found,
            // It stays in the inbox, for the next start.
            Err(error) => {
                self.log.line(Level::Error, &format!("the alert waits for the next start: {error}"), &fields);
                return;
            }
        };
        let Some(unfinished) = unfinished.map(without_lifts) else { return };
        let rules = self.rules.load_full();
        let rule = match rules.find(&event.alert) {
            Match::Wanted(rule) => rule,
            Match::Unwanted(_) => Arc::new(no_longer(&event.alert.rule)),
        };
        let intents: Vec<_> = unfinished.intents.iter().filter(|intent| may_have_been_sent(intent)).collect();
        if let Some(first) = intents.first() {
            // No step is given: nothing follows.
            let next_step = rule.steps.len();
            let cut_off = CutOff { event: &event, rules: &rules, rule: &rule, next_step, first, intents: &intents };
            self.record_cut_off(cut_off, Vec::new()).await;
            return;
        }
        let step = rule.steps.get(unfinished.concluded.len());
        let action = step.map_or("-", |step| step.action.as_str());
        let dry_run = rules.dryrun || rule.dryrun || self.gate.stopped();
        let about = About { event: &event, rules: &rules, rule: &rule, action, dry_run };
        let detail = "the controller failed while it worked on the alert, before anything was sent";
        let page = pages::gave_up(&about, detail, self.ambient.now());
        self.decide(&about, "failed", "internal", detail, page, true).await;
    }
}

/// A lift bears the event of the isolation that it takes back, and is none of the alert's actions.
fn without_lifts(mut unfinished: Unfinished) -> Unfinished {
    unfinished.intents.retain(|intent| text(intent, "action") != lift::ACTION);
    unfinished.concluded.retain(|action| action != lift::ACTION);
    unfinished
}

/// A run whose calls have yet to be looked up.
struct Open {
    event: Event,
    rules: Arc<Rules>,
    rule: Arc<Rule>,
    next_step: usize,
    intents: Vec<UnfinishedIntent>,
}

/// A run without an entry, as the journal has it.
struct CutOff<'a> {
    event: &'a Event,
    rules: &'a Arc<Rules>,
    rule: &'a Arc<Rule>,
    /// The step that the run was of.
    next_step: usize,
    first: &'a UnfinishedIntent,
    intents: &'a [&'a UnfinishedIntent],
}

fn text(intent: &UnfinishedIntent, key: &str) -> String {
    intent.intent.get(key).and_then(Value::as_str).unwrap_or("").to_owned()
}

/// What the result says beside the effect.
fn detail(intent: &UnfinishedIntent) -> Option<&str> {
    intent.result.as_ref()?.get("detail")?.as_str().filter(|detail| !detail.is_empty())
}

pub(super) fn effect(intent: &UnfinishedIntent) -> Option<&str> {
    intent.result.as_ref()?.get("effect")?.as_str()
}

/// Whether it is not known what became of it.
pub(super) fn is_open(intent: &UnfinishedIntent) -> bool {
    matches!(effect(intent), None | Some("unknown"))
}

/// What is known never to have left does not keep an alert from being worked on again.
fn may_have_been_sent(intent: &UnfinishedIntent) -> bool {
    if faults::is("repeat_unknown") {
        return false;
    }
    !matches!(effect(intent), Some("not_sent" | "denied"))
}

/// As what the call's object would be a target: the alert's pod or its node, which is the only one that is ever changed.
fn target_of(intent: &UnfinishedIntent, alert: &Alert) -> Option<Target> {
    let object = lookup::object_of(&intent.intent)?;
    if object.resource == ApiResource::nodes() {
        return Some(Target::Nodes);
    }
    let named = |key: &str| alert.text(key).unwrap_or_default();
    let is_pod = object.resource == ApiResource::pods()
        && object.namespace.is_some_and(|namespace| namespace.as_str() == named("k8s.ns.name"))
        && object.name.as_str() == named("k8s.pod.name");
    is_pod.then_some(Target::Pods)
}

/// Whether more was to come is not known of a run that changes other objects, one after another: a drain, or what is done
/// to several owners. A NetworkPolicy is what its action is for.
fn of_run(derived: Derived, intents: &[&UnfinishedIntent], alert: &Alert, target: Option<Target>) -> Derived {
    let is_policy = |intent: &UnfinishedIntent| {
        let object = lookup::object_of(&intent.intent);
        object.is_some_and(|object| object.resource.is("networking.k8s.io", "networkpolicies"))
    };
    // The alert's pod is no target of an action on its node: it is the first of those that are evicted.
    let is_target = |intent: &UnfinishedIntent| {
        target_of(intent, alert).is_some_and(|found| found == Target::Nodes || target != Some(Target::Nodes))
    };
    let goes_on = intents.iter().any(|intent| !is_target(intent) && !is_policy(intent));
    if derived.outcome != Outcome::Done || !goes_on {
        return derived;
    }
    let detail = format!("{}; whether all was done that was to be is not known", derived.detail);
    Derived { outcome: Outcome::Unknown, detail, ..derived }
}

/// The same words as for a run that ended, from intents and results alone.
pub(super) fn derive(intents: &[&UnfinishedIntent]) -> Derived {
    let changed = intents.iter().any(|intent| effect(intent) == Some("changed"));
    let open: Vec<_> = intents
        .iter()
        .filter(|intent| is_open(intent))
        .map(|intent| {
            let why = detail(intent).map(|detail| format!(" ({detail})")).unwrap_or_default();
            format!("{} {}{why}", text(intent, "verb"), text(intent, "path"))
        })
        .collect();
    if !open.is_empty() {
        let detail = format!("the controller stopped before an answer was recorded to: {}", open.join(", "));
        return Derived { outcome: Outcome::Unknown, changed, detail };
    }
    let said: Vec<_> = intents
        .iter()
        .filter_map(|intent| Some(format!("{} {}: {}", text(intent, "verb"), text(intent, "path"), detail(intent)?)))
        .collect();
    let detail = match said.join("; ") {
        said if said.is_empty() => {
            "the controller stopped in the middle of the run; the calls it had announced were answered".to_owned()
        }
        said => format!("the controller stopped in the middle of the run; {said}"),
    };
    let has =
        |words: &[&str]| intents.iter().any(|intent| effect(intent).is_some_and(|effect| words.contains(&effect)));
    let outcome = if has(&["conflict"]) {
        Outcome::Failed(Failure::Conflict)
    } else if has(&["api"]) {
        Outcome::Failed(Failure::Api)
    } else if has(&["not_sent"]) {
        Outcome::Failed(Failure::NotSent)
    } else if changed {
        Outcome::Done
    } else if has(&["gone"]) {
        Outcome::AlreadyGone
    } else {
        Outcome::Skipped
    };
    Derived { outcome, changed, detail }
}

/// Stands for a rule that an alert was accepted by and that the configuration no longer has.
pub(super) fn no_longer(name: &str) -> Rule {
    Rule {
        name: name.to_owned(),
        audit_reason: "the rule is not in the configuration any more".to_owned(),
        dryrun: false,
        scope: RuleScope::default(),
        timeout: None,
        steps: Vec::new(),
    }
}
