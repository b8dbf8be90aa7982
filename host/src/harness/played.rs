//! What became of an alert that was played, as data for whoever shows or judges it.

use serde_json::Value;

use super::difference::Difference;
use super::seen::{Collected, Exchange, Observed, Staged};
use crate::cluster::exec::Command;
use crate::cluster::names::ObjectRef;
use crate::cluster::{PatchDocument, Propagation};
use crate::journal::{LogType, Record};
use crate::plugins::witness::Asked;
use crate::plugins::{ParameterProblem, Report};
use crate::respond::outcome::Derived;
use crate::safety::clearance::Cleared;
use crate::safety::effective::{Basis, Effective};
use crate::safety::gate::Change;
use crate::safety::permissions::Verb;
use crate::safety::run::{CallRecord, Effect};
use crate::ship::Page;
use crate::telemetry::log::Level;

pub struct Played {
    pub verdict: Verdict,
    pub dry_run: bool,
    /// The entry or the decision; empty where there is none.
    pub records: Vec<Record>,
    /// Those that would go out; a dry run has none.
    pub pages: Vec<Page>,
    pub log: Vec<Line>,
    /// What the run changed, or, dry, what the API server said that it would change.
    pub difference: Difference,
    /// A simulation that a dry run changed all the same: a mistake of the controller's.
    pub changed_although_dry: bool,
}

pub enum Verdict {
    /// No rule takes the alert; the text says for which reason.
    Unwanted(&'static str),
    /// The action does not take its parameters, so a configuration with them would not load.
    InvalidParameters(Vec<ParameterProblem>),
    /// A check or a budget said no, or the cluster gave no answer: the action was not started.
    Decided {
        decision: String,
        check: String,
        detail: String,
    },
    Ran(Box<Ran>),
}

pub struct Ran {
    pub cleared: Option<Cleared>,
    pub derived: Derived,
    pub report: Report,
    pub calls: Vec<Call>,
    pub event_id: String,
}

/// One call of the action.
#[derive(Debug, Clone)]
pub struct Call {
    pub record: CallRecord,
    /// None for a call whose names could not be parsed.
    pub asked: Option<Asked>,
    /// The object that a change was answered with.
    pub answer: Option<Value>,
    /// Whose grants cover a call of that kind. Where there are several, any may be what the gate went by.
    pub granted_by: Vec<GrantedBy>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantedBy {
    Default,
    Operator,
}

/// A line of the action's in the controller's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub level: Level,
    pub message: String,
}

impl Played {
    pub(super) fn of(verdict: Verdict, dry_run: bool) -> Self {
        let (records, pages, log) = (Vec::new(), Vec::new(), Vec::new());
        let difference = Difference::default();
        Self { verdict, dry_run, records, pages, log, difference, changed_although_dry: false }
    }

    pub(super) fn staged(staged: Staged, dry_run: bool) -> Self {
        let Collected { records, pages, runs, lines, .. } = match staged {
            Staged::Unwanted(why) => return Self::of(Verdict::Unwanted(why), dry_run),
            Staged::Duplicate => return Self::of(Verdict::Unwanted("duplicate"), dry_run),
            Staged::Seen(collected) => collected,
        };
        let event_id = records.first().map(|record| record.event_id.clone()).unwrap_or_default();
        let verdict = match runs.into_iter().next() {
            Some(run) => Verdict::Ran(Box::new(Ran::observed(run, event_id))),
            None => decided(&records),
        };
        let log = lines.into_iter().map(|(level, message)| Line { level, message }).collect();
        Self { records, pages, log, ..Self::of(verdict, dry_run) }
    }

    pub fn ran(&self) -> Option<&Ran> {
        if let Verdict::Ran(ran) = &self.verdict { Some(ran) } else { None }
    }

    pub fn calls(&self) -> &[Call] {
        self.ran().map(|ran| ran.calls.as_slice()).unwrap_or_default()
    }
}

fn decided(records: &[Record]) -> Verdict {
    let record = records.iter().find(|record| record.log_type == LogType::Decision);
    let text = |key: &str| {
        let value = record.and_then(|record| record.body.get(key)).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    Verdict::Decided { decision: text("decision"), check: text("check"), detail: text("detail") }
}

impl Ran {
    fn observed(run: Observed, event_id: String) -> Self {
        let Observed { cleared, calls, effective, report, derived } = run;
        let calls = calls.into_iter().map(|(record, exchange)| Call::of(record, exchange, &effective)).collect();
        Self { cleared, derived, report, calls, event_id }
    }
}

impl Call {
    fn of(record: CallRecord, Exchange { asked, answer }: Exchange, effective: &[Effective]) -> Self {
        let granted_by = asked.as_ref().map(|asked| granted_by(asked, effective)).unwrap_or_default();
        Self { record, asked, answer, granted_by }
    }

    /// `delete pods production/checkout-1`
    pub fn headline(&self) -> String {
        format!("{} {}", self.record.verb, self.record.object())
    }

    /// What of a call stands in no document: how a pod is to end, whether an apply takes fields from others.
    pub fn options(&self) -> Value {
        if let Some(Asked::Web(request)) = &self.asked {
            let headers: serde_json::Map<_, _> =
                request.headers.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
            return if headers.is_empty() { Value::Null } else { serde_json::json!({"headers": headers}) };
        }
        let Some(Asked::Change(change)) = &self.asked else { return Value::Null };
        let mut options = serde_json::Map::new();
        match change {
            Change::Delete { grace_period_seconds, propagation, .. } => {
                if let Some(seconds) = grace_period_seconds {
                    options.insert("gracePeriodSeconds".to_owned(), (*seconds).into());
                }
                if let Some(propagation) = propagation {
                    options.insert("propagationPolicy".to_owned(), policy(*propagation).into());
                }
            }
            Change::Evict { grace_period_seconds: Some(seconds), .. } => {
                options.insert("gracePeriodSeconds".to_owned(), (*seconds).into());
            }
            Change::Apply { force: true, .. } => drop(options.insert("force".to_owned(), true.into())),
            Change::Evict { .. } | Change::Apply { .. } | Change::Create { .. } | Change::Patch { .. } => {}
        }
        if options.is_empty() { Value::Null } else { Value::Object(options) }
    }

    /// The document that the action wrote, where it wrote one.
    pub fn document(&self) -> Option<Value> {
        let change = match &self.asked {
            Some(Asked::Change(change)) => change,
            Some(Asked::Web(request)) => return request.body.as_deref().map(read),
            Some(Asked::Exec(command)) => return Some(written(command)),
            _ => return None,
        };
        let document = match change {
            Change::Create { manifest, .. } | Change::Apply { manifest, .. } => Some(manifest),
            Change::Patch {
                document:
                    PatchDocument::Merge(document)
                    | PatchDocument::Operations(document)
                    | PatchDocument::Strategic(document),
                ..
            } => Some(document),
            Change::Delete { .. } | Change::Evict { .. } => None,
        };
        document.cloned()
    }

    /// The object that a change was about, as far as the call names one.
    pub fn object(&self) -> Option<ObjectRef> {
        let Some(Asked::Change(change)) = &self.asked else { return None };
        match change {
            Change::Apply { object, .. } | Change::Patch { object, .. } | Change::Delete { object, .. } => {
                Some(object.clone())
            }
            Change::Evict { pod, .. } => Some(pod.clone()),
            Change::Create { resource, namespace, .. } => Some(ObjectRef {
                resource: resource.clone(),
                namespace: namespace.clone(),
                name: self.record.name.clone()?,
                uid: None,
            }),
        }
    }

    pub fn is_denied(&self) -> bool {
        matches!(self.record.effect, Effect::Denied(_))
    }
}

/// What was sent to a server: JSON, else text.
fn read(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_else(|_| String::from_utf8_lossy(body).into())
}

fn written(command: &Command) -> Value {
    let mut whole = serde_json::Map::new();
    if let Some(container) = &command.container {
        whole.insert("container".to_owned(), container.as_str().into());
    }
    whole.insert("command".to_owned(), command.command.clone().into());
    if let Some(stdin) = &command.stdin {
        whole.insert("stdin".to_owned(), read(stdin));
    }
    Value::Object(whole)
}

fn policy(propagation: Propagation) -> &'static str {
    match propagation {
        Propagation::Background => "Background",
        Propagation::Foreground => "Foreground",
        Propagation::Orphan => "Orphan",
    }
}

/// Who grants calls of that kind: the gate itself says only that it let a call pass.
fn granted_by(asked: &Asked, effective: &[Effective]) -> Vec<GrantedBy> {
    let (verb, resource, name) = match asked {
        Asked::Get(object) => (Verb::Get, &object.resource, Some(&object.name)),
        Asked::List(resource) => (Verb::List, resource, None),
        Asked::Logs(pod) => (Verb::Get, &pod.resource, Some(&pod.name)),
        Asked::Change(Change::Create { resource, .. }) => (Verb::Create, resource, None),
        Asked::Change(Change::Apply { object, .. } | Change::Patch { object, .. }) => {
            (Verb::Patch, &object.resource, Some(&object.name))
        }
        Asked::Change(Change::Delete { object, .. }) => (Verb::Delete, &object.resource, Some(&object.name)),
        Asked::Change(Change::Evict { pod, .. }) => (Verb::Create, &pod.resource, Some(&pod.name)),
        Asked::Exec(command) => (Verb::Create, &command.pod.resource, Some(&command.pod.name)),
        // Nothing is by default.
        Asked::Web(_) => return vec![GrantedBy::Operator],
    };
    let rbac = match asked {
        Asked::Logs(_) => format!("{}/log", resource.plural()),
        Asked::Change(Change::Evict { .. }) => format!("{}/eviction", resource.plural()),
        Asked::Exec(_) => format!("{}/exec", resource.plural()),
        _ => resource.rbac_name(),
    };
    let covers = |one: &&Effective| {
        one.verb == verb
            && one.group == resource.group()
            && one.resource == rbac
            && (one.names.is_empty() || name.is_none_or(|name| one.names.iter().any(|own| own == name.as_str())))
    };
    let mut found = Vec::new();
    for one in effective.iter().filter(covers) {
        let by = match one.basis {
            Basis::Default => GrantedBy::Default,
            Basis::Granted { .. } => GrantedBy::Operator,
        };
        if !found.contains(&by) {
            found.push(by);
        }
    }
    found
}
