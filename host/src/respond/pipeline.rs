//! One alert, from the rule to the record.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::claims::{Claimed, RunningKey};
use super::outcome::{self, Derived, Outcome};
use super::record::{About, Ended};
use super::recorder::JournalRecorder;
use super::rules::{Match, Rule, Rules, Step};
use super::{Event, Inner, customers, pages, recorder};
use crate::cluster::names::{ApiResource, ObjectRef, Uid};
use crate::cluster::overlay::Overlay;
use crate::cluster::{Ahead, ApiError};
use crate::config::{Confirmation, OnFailure};
use crate::journal::{Record, Write};
use crate::plugins::manifest;
use crate::plugins::witness::Witness;
use crate::plugins::{Plugin, Report, Request};
use crate::safety::budget::{Account, Allowance, Trip};
use crate::safety::checks::Check;
use crate::safety::clearance::{Cleared, NotCleared, Question};
use crate::safety::identity::Subject;
use crate::safety::isolation::Marks;
use crate::safety::run::{Bounds, Effect, Identity, Purpose, Run};
use crate::ship::Page;
use crate::telemetry::log::Level;

/// An accepted alert on its way.
pub(super) struct Job {
    pub event: Event,
    /// What its first step was concluded under: a list of actions that has begun ends as it began.
    begun_under: Option<Arc<Rules>>,
    /// The first step that is not concluded.
    pub next_step: usize,
    /// How often the cluster gave no answer.
    pub attempts: u32,
    /// How often the action was started in vain: it could not send anything.
    runs: u32,
    /// The object that a repeated action must meet again.
    pub pinned: Option<Uid>,
    /// The step that other alerts have confirmed.
    confirmed: Option<usize>,
    /// What another alert was found at.
    behind: Option<RunningKey>,
    /// What the steps so far have rehearsed.
    rehearsed: Overlay,
    /// A place that was free when the alert came.
    pub place: Option<OwnedSemaphorePermit>,
    /// The read of its pod, begun while the alert was put on disk.
    ahead: Option<Ahead>,
}

impl Job {
    pub fn new(event: Event, next_step: usize) -> Self {
        Self {
            event,
            begun_under: None,
            next_step,
            attempts: 0,
            runs: 0,
            pinned: None,
            confirmed: None,
            behind: None,
            rehearsed: Overlay::default(),
            place: None,
            ahead: None,
        }
    }

    /// With what was begun for it before it was on disk.
    pub fn begun(self, begun: Option<(OwnedSemaphorePermit, Option<Ahead>)>) -> Self {
        let (place, ahead) = begun.map_or((None, None), |(place, ahead)| (Some(place), ahead));
        Self { place, ahead, ..self }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Handled {
    /// Out of the inbox.
    Finished,
    /// The cluster gave no answer, or the plugin is being fetched: again later.
    Later,
    /// Another alert is at the same action on the same object: again once it is known how that ended.
    Behind,
}

/// How one step ended.
enum Stepped {
    Well,
    Badly,
    Later,
    Behind,
}

/// What a run is let loose on.
struct Target<'a> {
    cleared: Option<Cleared>,
    allowance: Option<Allowance>,
    rehearsed: &'a Overlay,
}

/// What a concluded step leaves behind, in one transaction.
struct Conclusion {
    record: Record,
    pages: Vec<Page>,
    further: Vec<Write>,
}

impl Inner {
    pub(super) async fn handle(self: &Arc<Self>, job: &mut Job) -> Handled {
        let rules = job.begun_under.clone().unwrap_or_else(|| self.rules.load_full());
        let Match::Wanted(rule) = rules.find(&job.event.alert) else {
            return self.nothing_left(job, "is wanted by no rule any more").await;
        };
        if job.next_step >= rule.steps.len() {
            // The configuration had more actions for it when the last run ended.
            return self.nothing_left(job, "has no action left in its rule").await;
        }
        while let Some(step) = rule.steps.get(job.next_step) {
            if self.is_stopping() {
                return Handled::Later;
            }
            let last = job.next_step + 1 == rule.steps.len();
            let on_failure_stop = step.on_failure == OnFailure::Stop;
            match self.step(job, &rules, &rule, step, last, on_failure_stop).await {
                Stepped::Later => return Handled::Later,
                Stepped::Behind => return Handled::Behind,
                Stepped::Badly if on_failure_stop => return Handled::Finished,
                Stepped::Well | Stepped::Badly => {
                    job.next_step += 1;
                    job.begun_under = Some(Arc::clone(&rules));
                }
            }
        }
        Handled::Finished
    }

    /// Accepted under a configuration that had something to do about it; this one has not.
    async fn nothing_left(&self, job: &Job, why: &str) -> Handled {
        let fields = super::record::fields([("event_id", job.event.id.as_str().into())]);
        self.log.line(Level::Warn, &format!("an accepted alert {why}; nothing is done"), &fields);
        self.persist(vec![Write::Finish { event_id: job.event.id.clone() }]).await;
        Handled::Finished
    }

    async fn step(
        self: &Arc<Self>,
        job: &mut Job,
        rules: &Arc<Rules>,
        rule: &Arc<Rule>,
        step: &Step,
        last: bool,
        stops: bool,
    ) -> Stepped {
        let in_force = self.rules.load_full();
        let dry_run = rules.dryrun || rule.dryrun || in_force.is_dry(&job.event.alert) || self.gate.stopped();
        let about = About { event: &job.event, rules, rule, action: &step.action, dry_run };
        if self.journal.is_full() {
            return self.no_room(&about, last || stops).await;
        }
        let arrived = if step.awaited { in_force.arrived(&rule.name, step) } else { None };
        let step = arrived.as_ref().unwrap_or(step);
        let plugin = match &step.plugin {
            Ok(plugin) => Arc::clone(plugin),
            // Of an action that is being fetched nobody has said yet that there is none.
            Err(why) if step.awaited && self.waited(about.event) < rules.max_recovery_age => {
                self.log_waiting(&about, why);
                return Stepped::Later;
            }
            Err(why) => {
                let page = pages::plugin_unavailable(&about, why, self.ambient.now());
                self.decide(&about, "plugin_unavailable", "plugin", why, page, last || stops).await;
                return Stepped::Badly;
            }
        };
        if let Some(key) = job.behind.take() {
            match self.queue.claims.look(&key, job.event.received_at, self.ambient.now()) {
                Some(Claimed::Done) => return self.fold(&about, last).await,
                Some(_) => {
                    job.behind = Some(key);
                    return Stepped::Behind;
                }
                // It came to nothing there.
                None => {}
            }
        }
        if !dry_run {
            // Whatever was rehearsed before the switch was thrown is not what this step leaves behind.
            job.rehearsed = Overlay::default();
        }
        let rehearsed = dry_run.then_some(&job.rehearsed);
        let ahead = job.ahead.take();
        let cleared = match self.clear(&about, plugin.manifest.target, rehearsed, ahead).await {
            Ok(cleared) => cleared,
            Err(NotCleared::Refused(refusal)) => {
                self.decide(&about, "refused", refusal.check.id(), &refusal.detail, None, last || stops).await;
                return Stepped::Badly;
            }
            Err(NotCleared::NoAnswer(error)) => return self.no_answer(&about, &error, last || stops).await,
        };
        // A list that began under other rules ends as it began, but what is forbidden by now stays forbidden.
        let narrowed;
        let mut step = step;
        if !Arc::ptr_eq(&in_force, rules) {
            narrowed = in_force.narrowed(step);
            step = &narrowed;
        }
        let withdrawn = || in_force.withdrawn(&plugin);
        if !Arc::ptr_eq(&in_force, rules)
            && let Some(refusal) = in_force.forbids(&job.event.alert, cleared.as_ref()).or_else(withdrawn)
        {
            self.decide(&about, "refused", refusal.check.id(), &refusal.detail, None, last || stops).await;
            return Stepped::Badly;
        }
        if let (Some(pinned), Some(cleared)) = (job.pinned.take(), &cleared)
            && cleared.object.uid.as_ref().is_some_and(|uid| *uid != pinned)
        {
            let detail = "the object is another one than before the restart";
            let page = pages::gave_up(&about, detail, self.ambient.now());
            self.decide(&about, "refused", Check::Conflict.id(), detail, page, last || stops).await;
            return Stepped::Badly;
        }
        if let Some(confirm) = step.confirm.filter(|_| job.confirmed != Some(job.next_step)) {
            if let Err(waiting) = self.confirmations.see(about.group(), about.sighting(), &confirm) {
                let Confirmation { alerts, pods, within } = confirm;
                let detail = format!(
                    "waits for confirmation: {} of {alerts} alerts, {} of {pods} pods within {} s",
                    waiting.alerts,
                    waiting.pods,
                    within.as_secs()
                );
                self.decide(&about, "waiting", "awaiting_confirmation", &detail, None, last || stops).await;
                return Stepped::Badly;
            }
            job.confirmed = Some(job.next_step);
        }
        // Without an object, two alerts have nothing in common.
        let object = cleared
            .as_ref()
            .map_or_else(|| job.event.id.clone(), |cleared| format!("{} {:?}", cleared.object, cleared.object.uid));
        let key = (step.action.clone(), step.parameters.clone(), object, dry_run);
        let running = match self.queue.claims.claim(key.clone(), job.event.received_at, self.ambient.now()) {
            Claimed::Mine(running) => running,
            Claimed::Done => return self.fold(&about, last).await,
            Claimed::Busy => {
                job.behind = Some(key);
                return Stepped::Behind;
            }
        };
        let allowance = match self.allow(&about, cleared.as_ref()) {
            Ok(allowance) => allowance,
            Err(trip) => {
                let page = pages::budget_used_up(&about, &trip, self.ambient.now());
                let refusal = trip.refusal();
                self.decide(&about, "refused", refusal.check.id(), &refusal.detail, page, last || stops).await;
                return Stepped::Badly;
            }
        };
        let finishes = |outcome| last || (stops && is_bad(outcome));
        let target = Target { cleared, allowance, rehearsed: &job.rehearsed };
        let Some(outcome) = self.act(&about, &plugin, step, target, job.runs + 1, finishes).await else {
            job.runs += 1;
            return Stepped::Later;
        };
        if is_bad(outcome) {
            return Stepped::Badly;
        }
        running.done(self.ambient.now());
        Stepped::Well
    }

    /// The run's share of the budgets, which a dry run does not need.
    fn allow(&self, about: &About<'_>, cleared: Option<&Cleared>) -> Result<Option<Allowance>, Trip> {
        if about.dry_run {
            return Ok(None);
        }
        let account = Account::of(cleared, &about.namespace());
        self.budgets.reserve(&account, &about.rules.limits, self.ambient.now()).map(Some)
    }

    /// Another alert's run was about the same moment, and did what could be done.
    async fn fold(&self, about: &About<'_>, finishes: bool) -> Stepped {
        let detail = "the same action on the same object was under way for another alert when this one came";
        self.decide(about, "folded", "duplicate", detail, None, finishes).await;
        Stepped::Well
    }

    async fn clear(
        &self,
        about: &About<'_>,
        target: manifest::Target,
        rehearsed: Option<&Overlay>,
        ahead: Option<Ahead>,
    ) -> Result<Option<Cleared>, NotCleared> {
        let subject = Subject::of(&about.event.alert);
        let question = Question {
            subject: &subject,
            received_at: about.event.received_at,
            policy: &about.rules.policy,
            rule: &about.rule.scope,
        };
        match target {
            manifest::Target::Pods => {
                if rehearsed.is_none() && ahead.is_none() {
                    self.begin_owners(&question);
                }
                let cleared = question.pod(&self.gate.reader_over(rehearsed).with(ahead)).await?;
                self.guesses.learn(&cleared, &about.rules.policy);
                Ok(Some(cleared))
            }
            manifest::Target::Namespaces => Ok(Some(question.namespace()?)),
            // An action on the alert alone still acts for an alert of some namespace, and only where it may.
            manifest::Target::None => question.namespace().map(|_| None).map_err(NotCleared::from),
            manifest::Target::Nodes => question.node(&self.gate.reader_over(rehearsed)).await.map(Some),
        }
    }

    /// Begins to read what an alert's first action will ask for, while the alert is put on disk: reads alone, only what may be acted
    /// on, and only where the answers are used at once.
    pub(super) fn begin(&self, event: &Event, rules: &Rules, rule: &Rule) -> Option<Ahead> {
        let plugin = rule.steps.first()?.plugin.as_ref().ok()?;
        if plugin.manifest.target != manifest::Target::Pods {
            return None;
        }
        let subject = Subject::of(&event.alert);
        let (received_at, policy) = (event.received_at, &*rules.policy);
        let question = Question { subject: &subject, received_at, policy, rule: &rule.scope };
        let (namespace, name) = question.candidate().ok()?;
        let pod = ObjectRef { resource: ApiResource::pods(), namespace: Some(namespace), name, uid: None };
        let ahead = self.gate.reader().begin(&pod)?;
        // A dry run reads what was rehearsed before it, and begins no owner.
        if !(rules.dryrun || rule.dryrun) {
            self.begin_owners(&question);
        }
        Some(ahead)
    }

    /// The owners that the pod will probably turn out to have.
    fn begin_owners(&self, question: &Question<'_>) {
        let Ok((namespace, name)) = question.candidate() else { return };
        for owner in self.guesses.of(&namespace, &name) {
            self.gate.reader().begin_owner(owner);
        }
    }

    /// Runs the action, derives what it did, and puts it on record. None: it sent nothing, for want of an answer from the
    /// cluster or as it says itself, and is worth another try.
    async fn act(
        self: &Arc<Self>,
        about: &About<'_>,
        plugin: &Arc<Plugin>,
        step: &Step,
        target: Target<'_>,
        attempt: u32,
        finishes: impl Fn(Outcome) -> bool,
    ) -> Option<Outcome> {
        let identity = Identity {
            event_id: about.event.id.clone(),
            entry_id: self.ambient.uuid().to_string(),
            action: step.action.clone(),
            plugin_sha256: plugin.sha256.clone(),
        };
        let bounds = Bounds {
            policy: Arc::clone(&about.rules.policy),
            rule: about.rule.scope.clone(),
            permissions: step.permissions.clone(),
            web: step.web.clone(),
            cleared: target.cleared,
            dry_run: about.dry_run,
            deadline: Instant::now() + plugin.timeout(about.rule.timeout),
            allowance: target.allowance,
            purpose: Purpose::Answer(Marks { rule: about.rule.name.clone(), lasts: step.lasts }),
        };
        let recorder = JournalRecorder::new(self.journal.clone(), self.ambient.clone(), &self.destinations)
            .redacting(&about.rules.redaction);
        let run = Arc::new(Run::new(identity, bounds, Arc::new(recorder)).after(target.rehearsed));
        let request = Request {
            event_id: about.event.id.clone(),
            attempt,
            parameters: step.parameters.clone(),
            reason: about.rule.audit_reason.clone(),
            alert: Arc::clone(&about.event.alert),
            log: self.log.clone(),
            witness: self.observer.clone().map(|observer| observer as Arc<dyn Witness>),
        };
        let mut report = plugin.run(request, Arc::clone(&run), self.gate.clone(), about.rule.timeout).await;
        run.settle().await;
        let calls = run.calls();
        if about.dry_run && outcome::was_answered_by_nobody(&calls) {
            // What it noted and kept is no evidence.
            report.notes.clear();
            report.attachments.clear();
            drop(run.take_evidence());
        }
        let derived = outcome::derive(&calls, &report.end, report.attachments.len());
        if plugin.manifest.repeatable
            && outcome::is_worth_another_run(&calls, &report.end, &derived)
            && self.waited(about.event) < about.rules.max_recovery_age
        {
            let why = about.rules.redaction.text(&derived.detail);
            self.log_waiting(about, &format!("nothing was sent yet: {why}"));
            return None;
        }
        if let Some(observer) = &self.observer {
            observer.ran(&run, &report, &derived);
        }
        let outcome = derived.outcome;
        self.conclude_run(about, plugin, &run, &report, &derived, finishes(outcome)).await;
        Some(outcome)
    }

    async fn conclude_run(
        self: &Arc<Self>,
        about: &About<'_>,
        plugin: &Plugin,
        run: &Run,
        report: &Report,
        derived: &Derived,
        finishes: bool,
    ) {
        let calls = run.calls();
        let now = self.ambient.now();
        let record = about.entry(&run.identity, run.target(), &calls, derived, Ended { at: now, report: Some(report) });
        let entry = record.body.clone();
        let page = pages::for_entry(about, Some(&plugin.manifest), derived.outcome, &entry, &calls, now);
        let mut pages: Vec<_> = page.into_iter().collect();
        pages.extend(run.trips().iter().filter_map(|trip| pages::budget_used_up(about, trip, now)));
        // Also where no answer came: whether the pod goes is then the only answer there is.
        let kill = calls.iter().find(|call| {
            call.is_target
                && matches!(call.verb, "delete" | "evict")
                && matches!(call.effect, Effect::Changed | Effect::Unknown)
        });
        let kill = kill.filter(|kill| !about.dry_run && kill.resource.starts_with("pods"));
        if let Some(allowance) = run.bounds.allowance.as_ref().filter(|_| kill.is_some())
            && let Some(kills) = allowance.killed(&about.rules.limits, now)
        {
            pages.push(pages::killing_does_not_help(about, &allowance.account, kills, now));
        }
        // What was attached before a call went with its announcement.
        let further =
            run.take_evidence().into_iter().map(|evidence| recorder::attach(&run.identity.entry_id, evidence));
        let conclusion = Conclusion { record, pages, further: further.chain(customers::due(&entry)).collect() };
        self.conclude(about.event, conclusion, finishes).await;
        self.log.entry(&entry);
        if about.dry_run {
            self.log_dry_run(about, run, derived, &entry);
        }
        self.metrics.action(about.action, derived.outcome.as_str(), about.dry_run);
        if let Some(kill) = kill {
            self.follow(about, run.target(), kill, entry);
        }
    }

    /// The line that the runbook greps for.
    fn log_dry_run(&self, about: &About<'_>, run: &Run, derived: &Derived, entry: &Map<String, Value>) {
        // A command line is part of it.
        let detail = about.rules.redaction.text(&derived.detail);
        let would = match derived.outcome {
            Outcome::Done => format!("would {detail}"),
            Outcome::AlreadyGone | Outcome::Skipped => format!("would change nothing: {detail}"),
            Outcome::Failed(_) | Outcome::Unknown => format!("would have failed: {detail}"),
        };
        let pod = run.target().and_then(Cleared::alerts_pod);
        let owner = pod.and_then(|pod| pod.chain.top.clone());
        let owner = match (owner, pod.is_some()) {
            (Some(owner), _) => format!(", owner {owner}"),
            (None, true) => ", no owner".to_owned(),
            (None, false) => String::new(),
        };
        let fields = ["event_id", "entry_id", "outcome"]
            .iter()
            .filter_map(|key| Some(((*key).to_owned(), entry.get(*key)?.clone())))
            .collect();
        self.log.dry_run(Level::Info, &format!("{}: {would}{owner}", about.headline()), &fields);
    }

    /// The cluster did not answer before anything was sent: later, until it is too late.
    async fn no_answer(&self, about: &About<'_>, error: &ApiError, finishes: bool) -> Stepped {
        let waited = self.waited(about.event);
        if waited < about.rules.max_recovery_age {
            self.log_waiting(about, &format!("no answer from the cluster: {error}"));
            return Stepped::Later;
        }
        let detail = format!("the cluster gave no answer for {} s: {error}", waited.as_secs());
        let page = pages::gave_up(about, &detail, self.ambient.now());
        self.decide(about, "failed", "no_answer", &detail, page, finishes).await;
        Stepped::Badly
    }

    /// Nothing is begun that could not be recorded: later, until it is too late.
    async fn no_room(&self, about: &About<'_>, finishes: bool) -> Stepped {
        let waited = self.waited(about.event);
        if waited < about.rules.max_recovery_age {
            return Stepped::Later;
        }
        let detail = format!("the journal had no room for {} s: see audit.max_bytes", waited.as_secs());
        let page = pages::gave_up(about, &detail, self.ambient.now());
        self.decide(about, "failed", "journal_full", &detail, page, finishes).await;
        Stepped::Badly
    }

    /// Since the alert came; nothing when the clock was set back.
    pub(super) fn waited(&self, event: &Event) -> Duration {
        Duration::try_from(self.ambient.now().duration_since(event.received_at)).unwrap_or(Duration::ZERO)
    }

    fn log_waiting(&self, about: &About<'_>, why: &str) {
        let fields = super::record::fields([("event_id", about.event.id.as_str().into())]);
        let message = format!("{}: trying again: {why}", about.headline());
        self.log.line(Level::Warn, &message, &fields);
    }

    /// Puts a decision on record, in the log and in the metrics.
    pub(super) async fn decide(
        &self,
        about: &About<'_>,
        decision: &'static str,
        check: &'static str,
        detail: &str,
        page: Option<Page>,
        finishes: bool,
    ) {
        let record = about.decision(self.ambient.now(), decision, check, detail);
        let mut fields = record.body.clone();
        // What the log prints of a decision is the host's word: not what the attacker typed.
        for outside in ["falco_output", "timestamp"] {
            fields.shift_remove(outside);
        }
        let mut logged = super::record::fields([("log_type", record.log_type.as_str().into())]);
        logged.extend(fields);
        self.conclude(
            about.event,
            Conclusion { record, pages: page.into_iter().collect(), further: Vec::new() },
            finishes,
        )
        .await;
        let level = if decision == "folded" { Level::Info } else { Level::Warn };
        self.log.line(level, &format!("{decision} {}: {detail}", about.headline()), &logged);
        self.metrics.decision(decision, check);
    }

    async fn conclude(&self, event: &Event, conclusion: Conclusion, finishes: bool) {
        let observed = self.observer.as_ref().map(|observer| (observer, conclusion.record.clone()));
        let mut writes = vec![Write::Record(conclusion.record)];
        writes.extend(self.ships());
        writes.extend(conclusion.further);
        for page in &conclusion.pages {
            writes.extend(self.sends(page));
        }
        if finishes {
            writes.push(Write::Finish { event_id: event.id.clone() });
        }
        self.persist(writes).await;
        if let Some((observer, record)) = observed {
            observer.recorded(&record, &conclusion.pages);
        }
    }

    /// What happened must get on record: while the journal takes no writes, this waits and tries again.
    pub(super) async fn persist(&self, writes: Vec<Write>) {
        const LONGEST: Duration = Duration::from_secs(5);
        let mut wait = Duration::from_millis(100);
        let writes = Arc::new(writes);
        loop {
            let Err(error) = self.journal.commit(Arc::clone(&writes)).await else { return };
            self.log.line(Level::Error, &format!("a record waits for the journal: {error}"), &Map::new());
            if matches!(error, crate::journal::JournalError::Closed) {
                return;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST);
        }
    }
}

pub(super) fn is_bad(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Failed(_) | Outcome::Unknown)
}
