//! Isolations are taken back: those that are over ([`expire`]), and those that a person lifts (`lift`).
//!
//! It goes through the gate and into the journal as an action does: the intent before, the result after, one entry. A policy
//! for a whole namespace is deleted. With one that selects pods by labels, the labels go that no other policy of ours selects
//! by, or the next isolation there would hold the pods again.

mod cut_off;
mod expire;
mod ledger;
mod promised;
mod words;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::outcome::{self, Derived, Failure, Outcome};
use super::{Destinations, Inner};
use crate::ambient::Ambient;
use crate::cluster::names::{ApiResource, Namespace, ObjectName, ObjectRef};
use crate::cluster::{ApiError, Reader, Selection, uid_str};
use crate::journal::{JournalError, LogType, Record, Write};
use crate::plugins::End;
use crate::safety::checks::Check;
use crate::safety::clearance::{self, Cleared};
use crate::safety::gate::Gate;
use crate::safety::isolation::{self, Isolation, MANAGED_BY};
pub use crate::safety::lifting::ACTION;
use crate::safety::lifting::{self, Lift};
use crate::safety::owners::Chain;
use crate::safety::policy::{Policy, RuleScope};
use crate::safety::run::{Bounds, CallRecord, Effect, Identity, Purpose, Run};
use crate::safety::web::WebPermissions;
use crate::ship::Page;
pub use ledger::Ledger;

/// How an intent or entry of ours looks in compact JSON, where quotes within a text are escaped.
pub(super) const MARK: &str = r#""action":"lift_isolation""#;

/// All calls of one lift together.
const WITHIN: Duration = Duration::from_secs(20);
/// Labels are taken off so many pods; more than run in most namespaces.
const MOST_PODS: usize = 500;

/// Everything that lifting works with.
pub struct Lifter {
    pub gate: Gate,
    pub ledger: Ledger,
    pub ambient: Ambient,
    pub destinations: Destinations,
    pub policy: Arc<Policy>,
    pub cluster_name: String,
    pub config_sha256: Option<String>,
    /// The names of the configuration's rules. An annotation that is none of them is no text for a page.
    pub rules: BTreeSet<String>,
}

/// Why an isolation is lifted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    Expired {
        since: Timestamp,
        /// It was tried before, and somebody was told that it failed.
        again: bool,
    },
    Asked {
        by: String,
        reason: String,
    },
}

/// One thing to lift.
#[derive(Debug, Clone)]
pub enum Subject {
    Policy(Isolation),
    /// One pod of those that policies of ours select.
    Pod {
        pod: ObjectRef,
        labels: Vec<String>,
        /// Of the policies that hold it.
        isolation: Isolation,
    },
    /// What a lift that was cut off has left of a policy that is gone: labels on pods.
    Rest(Isolation),
}

/// What is not as it should be after a lift.
enum Left {
    /// With the reason.
    Labels(String),
    IsolatedAgain,
}

/// What came of it.
#[derive(Debug)]
pub enum Lifted {
    /// One entry says so.
    Recorded { outcome: Outcome, detail: String, entry: Map<String, Value> },
    /// Somebody else deleted or changed the policy first. It is theirs to tell.
    AnotherWasFirst(String),
    /// Nothing was sent, and it is worth another try.
    NotNow(String),
}

impl Lifter {
    pub(super) fn of(inner: &Inner) -> Self {
        let rules = inner.rules.load_full();
        Self {
            gate: inner.gate.clone(),
            ledger: Ledger::Journal(inner.journal.clone()),
            ambient: inner.ambient.clone(),
            destinations: inner.destinations.clone(),
            policy: Arc::clone(&rules.policy),
            cluster_name: rules.cluster_name.clone(),
            config_sha256: Some(rules.config_sha256.clone()),
            rules: rules.names(),
        }
    }

    /// Lifts one, and puts it on record.
    ///
    /// # Errors
    /// What was done cannot be recorded.
    pub async fn lift(&self, subject: &Subject, why: &Why, dry_run: bool) -> Result<Lifted, JournalError> {
        let found_at = self.ambient.now();
        let isolation = subject.isolation();
        let identity = Identity {
            event_id: isolation.event_id.clone().unwrap_or_else(|| self.ambient.uuid().to_string()),
            entry_id: self.ambient.uuid().to_string(),
            action: ACTION.to_owned(),
            plugin_sha256: String::new(),
        };
        let base = words::base(self, subject, why, (&identity, dry_run, found_at));
        let recorder = self.ledger.recorder(&self.ambient, &self.destinations, &base);
        let bounds = Bounds {
            policy: Arc::clone(&self.policy),
            rule: RuleScope::default(),
            permissions: lifting::permissions(),
            web: WebPermissions::default(),
            cleared: cleared(&isolation.namespace),
            dry_run,
            deadline: Instant::now() + WITHIN,
            allowance: None,
            purpose: Purpose::Lift,
        };
        let run = Arc::new(Run::new(identity.clone(), bounds, recorder));
        let left = self.change(&run, subject, why).await;
        run.settle().await;
        let calls = run.calls();
        if calls.is_empty() && matches!(subject, Subject::Rest(_)) {
            return Ok(Lifted::AnotherWasFirst("no pod bears the labels any more".to_owned()));
        }
        if let Some(answer) = without_entry(&calls, why) {
            return Ok(answer);
        }
        let mut derived = outcome::derive(&calls, &End::Acted(String::new()), 0);
        match left {
            Some(Left::Labels(why)) => {
                derived.detail.push_str(&format!("; labels of the isolation stay on pods: {why}"));
            }
            Some(Left::IsolatedAgain) => {
                derived.outcome = Outcome::Failed(Failure::Conflict);
                derived
                    .detail
                    .push_str("; pods were isolated again meanwhile, and may have lost their labels: look at them");
            }
            None => {}
        }
        let entry = words::entry(self, base, &calls, &derived, self.ambient.now());
        let pages = words::pages(self, subject, why, &derived, &entry);
        self.conclude(&identity, entry.clone(), &pages).await?;
        let Derived { outcome, detail, .. } = derived;
        Ok(Lifted::Recorded { outcome, detail, entry })
    }

    /// Makes the calls. Answers with what stays behind.
    async fn change(&self, run: &Arc<Run>, subject: &Subject, why: &Why) -> Option<Left> {
        match subject {
            Subject::Pod { pod, labels, .. } => {
                let lift = Lift::Labels { pod: pod.clone(), labels: labels.clone() };
                // What came of a call is in the run's record.
                let _ = self.gate.lift(run, lift).await;
                None
            }
            Subject::Rest(isolation) => self.free_pods(run, isolation).await,
            Subject::Policy(isolation) => {
                let (policy, resource_version) = (isolation.policy.clone(), isolation.resource_version.clone());
                let edited = matches!(why, Why::Asked { .. });
                let lifted = self.gate.lift(run, Lift::Policy { policy, resource_version, edited }).await;
                if lifted.is_err() || isolation.selects.is_empty() {
                    return None;
                }
                self.free_pods(run, isolation).await
            }
        }
    }

    /// Once the policy is gone: takes its labels off the pods, those apart that another one selects by. An alert may
    /// isolate a pod again meanwhile, which then bears the label for that: it is asked before each, and after the last.
    async fn free_pods(&self, run: &Arc<Run>, isolation: &Isolation) -> Option<Left> {
        let labels = match self.unheld(run, isolation).await {
            Ok(labels) => labels,
            Err(error) => return Some(Left::Labels(error.to_string())),
        };
        let first = labels.first()?;
        let selection = Selection {
            namespace: Some(isolation.namespace.clone()),
            labels: Some(format!("{}={}", first.0, first.1)),
            metadata_only: true,
            ..Selection::default()
        };
        let pods = match self.gate.reader().list(&ApiResource::pods(), &selection).await {
            Ok(pods) => pods,
            Err(error) => return Some(Left::Labels(error.to_string())),
        };
        let mut freed = false;
        for pod in pods.iter().take(MOST_PODS) {
            let going = pod.pointer("/metadata/deletionTimestamp").is_some();
            let Some(object) = pod_of(pod, &isolation.namespace).filter(|_| !going) else { continue };
            let bears = |label: &str| pod.pointer("/metadata/labels").is_some_and(|all| all.get(label).is_some());
            let now = match self.unheld(run, isolation).await {
                Ok(now) => now,
                Err(error) => return Some(Left::Labels(error.to_string())),
            };
            let off: Vec<_> =
                now.into_iter().filter(|one| labels.contains(one) && bears(&one.0)).map(|(label, _)| label).collect();
            if !off.is_empty() {
                freed = true;
                let _ = self.gate.lift(run, Lift::Labels { pod: object, labels: off }).await;
            }
        }
        match self.unheld(run, isolation).await {
            Ok(now) if freed && labels.iter().any(|label| !now.contains(label)) => Some(Left::IsolatedAgain),
            Ok(_) if pods.len() > MOST_PODS => {
                Some(Left::Labels(format!("there are {} further pods", pods.len() - MOST_PODS)))
            }
            Ok(_) => None,
            Err(error) => Some(Left::Labels(error.to_string())),
        }
    }

    /// The labels that no policy of ours selects by at the moment. A rehearsed deletion counts as one.
    async fn unheld(&self, run: &Arc<Run>, isolation: &Isolation) -> Result<Vec<(String, String)>, ApiError> {
        let found = find(self.gate.reader(), &isolation.namespace).await?;
        let same = |other: &Isolation| run.bounds.dry_run && other.uid() == isolation.uid();
        let others = found.iter().filter_map(|(_, found)| found.as_ref().ok()).filter(|other| !same(other));
        let held: BTreeSet<_> = others.flat_map(|other| other.selects.iter().map(|(label, _)| label)).collect();
        Ok(isolation.selects.iter().filter(|(label, _)| !held.contains(label)).cloned().collect())
    }

    /// The entry, where records go, and the page.
    pub(super) async fn conclude(
        &self,
        identity: &Identity,
        body: Map<String, Value>,
        pages: &[Page],
    ) -> Result<(), JournalError> {
        let entry_id = Some(identity.entry_id.clone());
        let mut writes = vec![Write::Record(Record {
            log_type: LogType::Entry,
            event_id: identity.event_id.clone(),
            entry_id,
            body,
        })];
        writes.extend(self.destinations.ships());
        writes.extend(pages.iter().flat_map(|page| self.destinations.sends(page)));
        self.ledger.commit(writes).await
    }
}

/// The policies with our label, by name; what is no isolation that could be lifted has its reason.
///
/// # Errors
/// As [`Reader::list`].
pub async fn find(
    reader: &Reader,
    namespace: &Namespace,
) -> Result<Vec<(String, Result<Isolation, String>)>, ApiError> {
    let labels = Some(format!("{}={}", MANAGED_BY.0, MANAGED_BY.1));
    let selection = Selection { namespace: Some(namespace.clone()), labels, ..Selection::default() };
    let found = reader.beside().list(&isolation::policies(), &selection).await?;
    let name = |policy: &Value| policy.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("?").to_owned();
    Ok(found.iter().map(|policy| (name(policy), Isolation::read(policy))).collect())
}

impl Subject {
    pub fn isolation(&self) -> &Isolation {
        let (Self::Policy(isolation) | Self::Pod { isolation, .. } | Self::Rest(isolation)) = self;
        isolation
    }

    /// Those that come off pods.
    fn labels(&self) -> Vec<&str> {
        match self {
            Self::Policy(isolation) | Self::Rest(isolation) => {
                isolation.selects.iter().map(|(label, _)| label.as_str()).collect()
            }
            Self::Pod { labels, .. } => labels.iter().map(String::as_str).collect(),
        }
    }
}

fn pod_of(pod: &Value, namespace: &Namespace) -> Option<ObjectRef> {
    let name = ObjectName::parse(pod.pointer("/metadata/name")?.as_str()?).ok()?;
    uid_str(pod)?;
    let uid = Some(clearance::uid_of(pod).ok()?);
    Some(ObjectRef { resource: ApiResource::pods(), namespace: Some(namespace.clone()), name, uid })
}

/// The namespace is what a lift is about.
fn cleared(namespace: &Namespace) -> Option<Cleared> {
    let name = ObjectName::parse(namespace.as_str()).ok()?;
    let object = ObjectRef { resource: ApiResource::namespaces(), namespace: None, name, uid: None };
    Some(Cleared { object, manifest: Value::Null, chain: Chain::default(), proof: None, pod: None })
}

/// Where no entry says what happened: another was first, or nothing was sent and it will be tried again. Whoever asks for
/// it by hand gets an entry all the same, since he goes away with the answer.
fn without_entry(calls: &[CallRecord], why: &Why) -> Option<Lifted> {
    let Why::Expired { .. } = why else { return None };
    let first = calls.first()?;
    let detail = || first.detail.clone();
    match first.effect {
        Effect::Gone | Effect::Conflict => Some(Lifted::AnotherWasFirst(detail())),
        // The object was read before anything else, and was gone by then.
        Effect::NotSent | Effect::NoAnswer => Some(Lifted::NotNow(detail())),
        Effect::Denied(Some(Check::Journal | Check::NotAccepted | Check::Stopped)) => Some(Lifted::NotNow(detail())),
        _ => None,
    }
}

/// Whether somebody has to look at it.
pub fn is_bad(outcome: Outcome) -> bool {
    super::pipeline::is_bad(outcome) && outcome != Outcome::Failed(Failure::NotSent)
}
