//! What a lift's entry and page say. The rule's name is read off the policy, where others may have written something: the
//! entry has it as an annotation's text, a page only where it is a rule's.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::super::outcome::{Derived, Outcome};
use super::super::record::{OPERATOR, action_id, fields, millis, seconds};
use super::{ACTION, Lifter, Subject, Why};
use crate::safety::isolation::Expiry;
use crate::safety::run::{CallRecord, Identity};
use crate::ship::{Page, Severity};

/// What is known before anything is done: the ten fields of the runbook and what follows from the policy. It stands in each
/// intent as well, so that a lift which is cut off can be told from the journal alone.
pub(super) fn base(
    lifter: &Lifter,
    subject: &Subject,
    why: &Why,
    (identity, dry_run, found_at): (&Identity, bool, Timestamp),
) -> Map<String, Value> {
    let isolation = subject.isolation();
    let reason = match (subject, why) {
        (Subject::Rest(_), _) => "labels that a lift which was cut off had left on pods".to_owned(),
        (_, Why::Expired { since, .. }) => format!("isolation expired: it was to last until {}", seconds(*since)),
        (_, Why::Asked { reason, .. }) => reason.clone(),
    };
    let (pod, policy, object) = match subject {
        Subject::Policy(isolation) | Subject::Rest(isolation) => {
            (None, Some(isolation.policy.name.to_string()), &isolation.policy)
        }
        Subject::Pod { pod, .. } => (Some(pod.name.to_string()), None, pod),
    };
    // Whoever may edit the policy may edit this. A rule's name is one of the host's fields only where it is one.
    let rule = isolation.rule.as_deref().filter(|rule| lifter.rules.contains(*rule));
    let uid = object.uid.as_ref().map_or_else(|| object.to_string(), ToString::to_string);
    let mut base = fields([
        ("timestamp", json!(seconds(found_at))),
        ("action", json!(ACTION)),
        ("namespace", json!(isolation.namespace.as_str())),
        ("pod", json!(pod.clone().unwrap_or_else(|| "-".to_owned()))),
        ("rule", json!(rule.unwrap_or("-"))),
        ("dry_run", json!(dry_run)),
        ("reason", json!(reason)),
        ("operator", json!(OPERATOR)),
        // No alert asks for it.
        ("falco_priority", json!("-")),
        ("falco_output", json!("-")),
        ("event_id", json!(identity.event_id)),
        ("alert_uuid", Value::Null),
        ("entry_id", json!(identity.entry_id)),
        ("action_id", json!(action_id(&lifter.cluster_name, ACTION, &uid))),
        ("outcome", Value::Null),
        ("failure", Value::Null),
        ("changed", Value::Null),
        ("detail", Value::Null),
        ("pod_uid", json!(pod.is_some().then_some(&uid))),
        ("owner", Value::Null),
        ("identity_proof", Value::Null),
        ("plugin_sha256", Value::Null),
        ("config_sha256", json!(lifter.config_sha256)),
        ("cluster", json!(lifter.cluster_name)),
        ("received_at", json!(millis(found_at))),
        ("sent_at", Value::Null),
        ("accepted_at", Value::Null),
        ("isolated_by", json!(isolation.action)),
    ]);
    let labels = subject.labels();
    if !labels.is_empty() {
        base.insert("labels".to_owned(), json!(labels));
    }
    base.extend(policy.map(|policy| ("policy".to_owned(), json!(policy))));
    if let Some(other) = isolation.rule.as_ref().filter(|_| rule.is_none()) {
        base.insert("note_rule".to_owned(), json!(other));
    }
    if let Expiry::At(at) = isolation.expiry {
        base.insert("expires_at".to_owned(), json!(seconds(at)));
    }
    if let Subject::Policy(isolation) = subject
        && !isolation.selects.is_empty()
    {
        let selects = isolation.selects.iter().map(|(label, value)| (label.clone(), json!(value))).collect();
        base.insert("selects".to_owned(), Value::Object(selects));
    }
    if let Why::Asked { by, .. } = why {
        base.insert("lifted_by".to_owned(), json!(by));
    }
    base
}

pub(super) fn entry(
    lifter: &Lifter,
    base: Map<String, Value>,
    calls: &[CallRecord],
    derived: &Derived,
    ended_at: Timestamp,
) -> Map<String, Value> {
    let sent = calls.iter().find_map(|call| call.sent_at);
    let accepted = calls.iter().filter_map(|call| call.accepted_at).next_back();
    let mut entry = base;
    entry.insert("timestamp".to_owned(), json!(seconds(sent.unwrap_or(ended_at))));
    entry.insert("sent_at".to_owned(), json!(sent.map(millis)));
    entry.insert("accepted_at".to_owned(), json!(accepted.map(millis)));
    ended(lifter, &mut entry, derived);
    entry
}

/// Puts in how it ended. A field that is there keeps its place.
pub(super) fn ended(lifter: &Lifter, entry: &mut Map<String, Value>, derived: &Derived) {
    entry.insert("outcome".to_owned(), json!(derived.outcome.as_str()));
    entry.insert("failure".to_owned(), json!(derived.outcome.failure()));
    entry.insert("changed".to_owned(), json!(derived.changed));
    entry.insert("detail".to_owned(), json!(derived.detail));
    // By the configuration that is in force now.
    entry.insert("config_sha256".to_owned(), json!(lifter.config_sha256));
}

/// The incident of the isolation is over; or it is not, and nobody has asked who would see that.
pub(super) fn pages(
    lifter: &Lifter,
    subject: &Subject,
    why: &Why,
    derived: &Derived,
    entry: &Map<String, Value>,
) -> Vec<Page> {
    let isolation = subject.isolation();
    let pod = match subject {
        Subject::Pod { pod, .. } => Some(pod.name.to_string()),
        Subject::Policy(_) | Subject::Rest(_) => None,
    };
    let selects_all = isolation.selects.is_empty();
    let told = Told { action: isolation.action.as_deref(), pod: pod.as_deref(), selects_all };
    let told_of_failure = matches!(why, Why::Expired { again: true, .. });
    pages_of(lifter, &told, (matches!(why, Why::Expired { .. }), told_of_failure), derived.outcome, entry)
}

/// What a page needs to know beside the entry.
pub(super) struct Told<'a> {
    pub action: Option<&'a str>,
    pub pod: Option<&'a str>,
    /// Whether it was of the whole namespace, and so the namespace's incident.
    pub selects_all: bool,
}

pub(super) fn pages_of(
    lifter: &Lifter,
    told: &Told<'_>,
    (expired, told_of_failure): (bool, bool),
    outcome: Outcome,
    entry: &Map<String, Value>,
) -> Vec<Page> {
    if entry.get("dry_run") != Some(&Value::Bool(false)) {
        return Vec::new();
    }
    let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or("-");
    let (namespace, cluster) = (text("namespace"), &lifter.cluster_name);
    let place = told.pod.map_or_else(|| namespace.to_owned(), |pod| format!("{namespace}/{pod}"));
    // The action is part of what Alertmanager knows an incident by.
    let mut details = fields([("action", json!(told.action.unwrap_or(ACTION)))]);
    if lifter.rules.contains(text("rule")) {
        details.insert("rule".to_owned(), entry.get("rule").cloned().unwrap_or_default());
    }
    for key in ["reason", "cluster", "namespace", "pod", "event_id", "entry_id", "outcome", "failure", "detail"] {
        // What a person wrote as a reason is on record, and no text for a page.
        let value = entry.get(key).filter(|value| !value.is_null() && (key != "reason" || expired));
        details.extend(value.map(|value| (key.to_owned(), value.clone())));
    }
    let page = |dedup_key, severity, summary: &str, resolved| Page {
        dedup_key,
        severity,
        summary: summary.to_owned(),
        timestamp: text("timestamp").to_owned(),
        details: details.clone(),
        resolved,
    };
    let failed = || format!("falco-response/{cluster}/{ACTION}/{namespace}/failed");
    match outcome {
        Outcome::Done | Outcome::AlreadyGone | Outcome::Skipped => {
            let how = if expired { "it has expired" } else { "by hand" };
            let summary = format!("the isolation of {place} is lifted: {how}");
            // Pods that a policy selects have an incident each, which ends with the pod's own labels.
            let kind = told.pod.map(|pod| format!("/pod/{pod}")).or_else(|| told.selects_all.then(String::new));
            let key = kind
                .zip(told.action)
                .map(|(kind, action)| format!("falco-response/{cluster}/{action}/{namespace}{kind}"));
            // As severe as what they end: that is part of the identity, too.
            let isolation = key.map(|key| page(key, Severity::Critical, &summary, true));
            let failure = told_of_failure.then(|| page(failed(), Severity::Error, &summary, true));
            isolation.into_iter().chain(failure).collect()
        }
        Outcome::Failed(_) | Outcome::Unknown if expired => {
            let failure = outcome.failure().unwrap_or("the result is not known");
            let summary = format!("the isolation of {place} has expired and was not lifted ({failure})");
            vec![page(failed(), Severity::Error, &summary, false)]
        }
        Outcome::Failed(_) | Outcome::Unknown => Vec::new(),
    }
}
