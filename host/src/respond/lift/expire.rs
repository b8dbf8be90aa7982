//! In every replica: looks now and then which isolations are over, and lifts them. The first replica wins, and records it.
//!
//! It looks where rules may isolate, and where an isolation is known that was to end. In a namespace that is denied by now,
//! or not allowed any more, the controller does nothing: when the time has come, somebody is told ([`super::promised`]).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::super::record::fields;
use super::super::rules::Rules;
use super::super::{Inner, Responder, pages};
use super::cut_off::LOOK_BACK;
use super::promised::{Promised, is_promise};
use super::{ACTION, Lifted, Lifter, Subject, Why, find, is_bad};
use crate::cluster::names::Namespace;
use crate::safety::isolation::{Expiry, Isolation};
use crate::telemetry::log::Level;

const EVERY: Duration = Duration::from_secs(10);
/// Where no rule makes an isolation expire: one may have, before the configuration changed.
const SELDOM: Duration = Duration::from_secs(60);
/// Between two looks at least.
const PAUSE: Duration = Duration::from_millis(200);
/// After a failure, doubled with each.
const FIRST_RETRY: Duration = Duration::from_secs(60);
const LONGEST_RETRY: Duration = Duration::from_secs(3600);
/// A lift that a person announced and that has no entry is under way for so long at most.
const UNDER_WAY: Duration = Duration::from_secs(60);

/// What is known from one look to the next.
#[derive(Default)]
struct Known {
    /// Of policies, by UID.
    policies: HashMap<String, Seen>,
    promised: Promised,
    /// Whether it was said that something cannot be listed.
    silent: bool,
}

#[derive(Default, Clone)]
struct Seen {
    /// The version of it that was rehearsed, or of which it was told that its expiry cannot be read.
    told: Option<String>,
    failures: u32,
    not_before: Option<Timestamp>,
}

impl Responder {
    /// Looks for as long as it is polled. First of all it takes up what was cut off.
    pub async fn lift_expired(&self) {
        let inner = &self.inner;
        let started = inner.ambient.now();
        let mut taken_up = inner.take_up_lifts(UNDER_WAY).await;
        let mut known = Known { promised: inner.promised().await, ..Known::default() };
        loop {
            let rules = inner.rules.load_full();
            let next = inner.lift_what_is_over(&rules, &mut known).await;
            inner.tell_broken(&mut known.promised).await;
            let longest = if rules.expires() || next.is_some() { EVERY } else { SELDOM };
            let left = next.map(|at| at.duration_since(inner.ambient.now()));
            // What is over by now has none left.
            let wait = left.map_or(longest, |left| Duration::try_from(left).unwrap_or(PAUSE)).clamp(PAUSE, longest);
            tokio::time::sleep(wait).await;
            let age = Duration::try_from(inner.ambient.now().duration_since(started)).unwrap_or_default();
            if !taken_up && age > UNDER_WAY {
                taken_up = inner.take_up_lifts(UNDER_WAY).await;
            }
        }
    }
}

impl Inner {
    async fn promised(&self) -> Promised {
        let since = self.ambient.now().saturating_sub(LOOK_BACK).unwrap_or(Timestamp::MIN);
        match self.journal.recent(since, is_promise).await {
            Ok(recent) => Promised::of(&recent),
            Err(error) => {
                let message = format!("it is not known which isolations were to end: {error}");
                self.log.line(Level::Error, &message, &Map::new());
                Promised::default()
            }
        }
    }

    /// Answers with the next expiry, where there is one to come.
    async fn lift_what_is_over(self: &Arc<Self>, rules: &Rules, known: &mut Known) -> Option<Timestamp> {
        let mut next: Option<Timestamp> = None;
        let mut seen = HashMap::new();
        let mut quiet = true;
        let mut places = rules.isolating_in();
        places.extend(known.promised.may_be_looked_at(&rules.policy));
        for namespace in places {
            if self.is_stopping() {
                return None;
            }
            let found = match find(self.gate.reader(), &namespace).await {
                Ok(found) => found,
                Err(error) => {
                    quiet = false;
                    if !known.silent {
                        let message =
                            format!("isolations that are over stay in {namespace}: they cannot be listed: {error}");
                        self.log.line(Level::Warn, &message, &Map::new());
                    }
                    if !error.is_transient() {
                        known.promised.broken(&namespace, format!("the policies cannot be listed: {error}"));
                    }
                    continue;
                }
            };
            let found: Vec<_> = found.into_iter().filter_map(|(_, found)| found.ok()).collect();
            let ends = found.iter().filter_map(|isolation| match isolation.expiry {
                Expiry::At(at) => Some(at),
                Expiry::Never | Expiry::Unreadable(_) => None,
            });
            known.promised.looked(&namespace, ends.max());
            for isolation in found {
                let Some(uid) = isolation.uid().map(ToString::to_string) else { continue };
                let mut one = known.policies.remove(&uid).unwrap_or_default();
                let now = self.ambient.now();
                match (&isolation.expiry, isolation.expiry.over_since(now)) {
                    (_, Some(_)) if isolation.edited => self.tell_edited(&isolation, &mut one).await,
                    (_, Some(since)) => self.lift_one(&namespace, isolation, since, &mut one).await,
                    (Expiry::At(at), None) => next = Some(next.map_or(*at, |next| next.min(*at))),
                    (Expiry::Unreadable(text), None) => self.tell_unreadable(&isolation, text, &mut one),
                    (Expiry::Never, None) => {}
                }
                seen.insert(uid, one);
            }
        }
        known.policies = seen;
        known.silent = !quiet;
        next
    }

    /// Whoever edited what a policy forbids meant something by it: it is not ours alone any more.
    async fn tell_edited(&self, isolation: &Isolation, one: &mut Seen) {
        if one.told.as_deref() == Some(&isolation.resource_version) {
            return;
        }
        one.told = Some(isolation.resource_version.clone());
        let (namespace, name, rules) = (&isolation.namespace, &isolation.policy.name, self.rules.load_full());
        let summary =
            format!("the isolation of {namespace} has expired and was not lifted: somebody has edited {name}");
        self.log.line(Level::Warn, &summary, &Map::new());
        if !rules.dryrun {
            let detail = format!(
                "look at it, and lift it: falco-response-controller lift --namespace {namespace} --policy {name}"
            );
            let kind = format!("isolation_stays/{namespace}");
            let page = pages::about_ourselves(&rules.cluster_name, &kind, summary, &detail, self.ambient.now());
            let sends = self.sends(&page);
            if !sends.is_empty() {
                self.persist(sends).await;
            }
        }
    }

    async fn lift_one(self: &Arc<Self>, namespace: &Namespace, isolation: Isolation, since: Timestamp, one: &mut Seen) {
        let (now, version) = (self.ambient.now(), isolation.resource_version.clone());
        if one.not_before.is_some_and(|at| now < at) {
            return;
        }
        let rules = self.rules.load_full();
        let dry_run = rules.dryrun || self.gate.stopped();
        // Said once, and not with every look.
        if dry_run && one.told.as_ref() == Some(&version) {
            return;
        }
        let (inner, subject) = (Arc::clone(self), Subject::Policy(isolation));
        let why = Why::Expired { since, again: one.failures > 0 };
        let busy = self.busy();
        // In a task of its own: what has begun is recorded, also when the controller is asked to end meanwhile.
        let lifting = tokio::spawn(async move {
            let lifted = Lifter::of(&inner).lift(&subject, &why, dry_run).await;
            drop(busy);
            (lifted, subject)
        });
        let Ok((lifted, subject)) = lifting.await else { return };
        let name = &subject.isolation().policy.name;
        match lifted {
            Ok(Lifted::Recorded { outcome, detail, entry }) => {
                self.log.entry(&entry);
                self.metrics.action(ACTION, outcome.as_str(), dry_run);
                if dry_run {
                    one.told = Some(version);
                    self.log_would_lift(&entry, &detail);
                }
                if is_bad(outcome) {
                    one.fail(now);
                } else {
                    *one = Seen { told: one.told.take(), ..Seen::default() };
                }
            }
            Ok(Lifted::AnotherWasFirst(why)) => {
                let message = format!("{namespace}/{name} is over, and another was first: {why}");
                self.log.line(Level::Debug, &message, &Map::new());
            }
            Ok(Lifted::NotNow(why)) => {
                let message = format!("{namespace}/{name} is over and not lifted yet: {why}");
                self.log.line(Level::Warn, &message, &Map::new());
                one.fail(now);
            }
            Err(error) => {
                let message = format!("{namespace}/{name}: what was lifted cannot be recorded: {error}");
                self.log.line(Level::Error, &message, &Map::new());
                one.fail(now);
            }
        }
    }

    /// The line that the runbook greps for.
    fn log_would_lift(&self, entry: &Map<String, Value>, detail: &str) {
        let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or("-");
        let (namespace, policy, rule) = (text("namespace"), text("policy"), text("rule"));
        let message = format!("{ACTION} {namespace}/{policy} rule={rule:?}: would {detail}, {}", text("reason"));
        let ids = ["event_id", "entry_id", "outcome"];
        let fields = ids.iter().filter_map(|key| Some(((*key).to_owned(), entry.get(*key)?.clone()))).collect();
        self.log.dry_run(Level::Info, &message, &fields);
    }

    fn tell_unreadable(&self, isolation: &Isolation, text: &str, one: &mut Seen) {
        if one.told.as_deref() == Some(&isolation.resource_version) {
            return;
        }
        one.told = Some(isolation.resource_version.clone());
        let message = format!(
            "{}/{} never expires: its annotation falco-response/expires-at is no time (2026-11-24T12:00:00Z)",
            isolation.namespace, isolation.policy.name
        );
        self.log.line(Level::Warn, &message, &fields([("expires_at", json!(text))]));
    }
}

impl Seen {
    fn fail(&mut self, now: Timestamp) {
        let wait = FIRST_RETRY.saturating_mul(1 << self.failures.min(10)).min(LONGEST_RETRY);
        self.failures = self.failures.saturating_add(1);
        self.not_before = now.checked_add(wait).ok();
    }
}
