//! The pages: when somebody must be woken, and what they need to know. The host's words only, none of the alert's
//! text; a dry run pages nobody.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::outcome::Outcome;
use super::record::{About, fields, seconds};
use crate::plugins::manifest::{Manifest, Target};
use crate::safety::budget::{Account, Budget, Trip};
use crate::safety::run::{CallRecord, Effect};
use crate::safety::undo;
use crate::ship::{Page, Severity};

/// One incident for each kind of trouble, action and namespace.
fn key(about: &About, kind: &str) -> String {
    let mut key = format!("falco-response/{}/{}/{}", about.rules.cluster_name, about.action, about.namespace());
    if !kind.is_empty() {
        key.push('/');
        key.push_str(kind);
    }
    key
}

fn page(
    about: &About,
    kind: &str,
    severity: Severity,
    at: Timestamp,
    summary: String,
    further: Map<String, Value>,
) -> Page {
    let mut details = fields([
        ("action", json!(about.action)),
        ("rule", json!(about.rule.name)),
        ("reason", json!(about.rule.audit_reason)),
        ("cluster", json!(about.rules.cluster_name)),
        ("namespace", json!(about.namespace())),
        ("pod", json!(about.pod())),
        ("event_id", json!(about.event.id)),
    ]);
    details.extend(further);
    Page { dedup_key: key(about, kind), severity, summary, timestamp: seconds(at), details, resolved: false }
}

/// The page for an entry, if it deserves one: an action that pages and changed something; a failure; an unknown
/// result. Without a manifest, of an action that the configuration no longer has, it may be one that pages: somebody is
/// told rather than nobody.
pub fn for_entry(
    about: &About,
    manifest: Option<&Manifest>,
    outcome: Outcome,
    entry: &Map<String, Value>,
    calls: &[CallRecord],
    at: Timestamp,
) -> Option<Page> {
    if about.dry_run {
        return None;
    }
    let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or("").to_owned();
    // A plugin that gave up may have quoted the alert, and so an attacker: its words stay in the record.
    let gave_up = outcome.failure() == Some("plugin");
    let detail = if gave_up { "the plugin gave up; its words are in the record".to_owned() } else { text("detail") };
    let mut further = fields([
        ("entry_id", json!(text("entry_id"))),
        ("outcome", json!(outcome.as_str())),
        ("detail", json!(detail)),
    ]);
    for key in
        ["failure", "owner", "isolation", "expires_at", "note_isolation_partial_because", "note_isolation_unverified"]
    {
        if let Some(value) = entry.get(key).filter(|value| !value.is_null()) {
            further.insert(key.to_owned(), value.clone());
        }
    }
    let changed = || calls.iter().filter(|call| call.effect == Effect::Changed).filter_map(|call| call.undo.as_ref());
    if let Some(undo) = undo::line(changed()) {
        further.insert("undo".to_owned(), json!(undo));
    }
    if let Some(lift) = undo::lift(changed()) {
        further.insert("lift".to_owned(), json!(lift));
    }
    let namespace_alone = manifest.is_some_and(|manifest| manifest.target == Target::Namespaces);
    let (place, kind) = if namespace_alone {
        (about.namespace(), String::new())
    } else {
        // What was done to one pod is undone at that pod.
        (format!("{}/{}", about.namespace(), about.pod()), format!("pod/{}", about.pod()))
    };
    match outcome {
        Outcome::Done if manifest.is_none_or(|manifest| manifest.pages) => {
            let how = match entry.get("isolation").and_then(Value::as_str) {
                Some("partial") => " (partial: see details)",
                _ if entry.contains_key("note_isolation_unverified") => {
                    " (whether it is whole is not known: see details)"
                }
                _ => "",
            };
            Some(page(about, &kind, Severity::Critical, at, format!("{} {place}{how}", about.action), further))
        }
        Outcome::Failed(_) => {
            let failure = outcome.failure().unwrap_or("failed");
            let changed =
                if entry.get("changed") == Some(&Value::Bool(true)) { ", after it changed something" } else { "" };
            Some(page(
                about,
                "failed",
                Severity::Error,
                at,
                format!("{} {place} failed ({failure}{changed})", about.action),
                further,
            ))
        }
        Outcome::Unknown => Some(page(
            about,
            "unknown",
            Severity::Error,
            at,
            format!("{} {place}: the result of a call is not known; look at the object", about.action),
            further,
        )),
        Outcome::Done | Outcome::AlreadyGone | Outcome::Skipped => None,
    }
}

/// A budget is used up; once in its span. `None` where it was told already.
pub fn budget_used_up(about: &About, trip: &Trip, at: Timestamp) -> Option<Page> {
    let (owner, count) = &trip.used_up_by;
    let (budget, whose) = match trip.budget {
        Budget::Owner => ("owner", owner.clone()),
        // An action on a node may have come to an end in another namespace than its alert's.
        Budget::Namespace => ("namespace", trip.namespace.clone()),
        Budget::Cluster => ("cluster", "all".to_owned()),
    };
    let per = trip.limit.per.as_secs();
    let summary = format!(
        "the {budget}'s budget of {} live actions in {per} s is used up, {count} of them by {owner}: further alerts are not acted on",
        trip.most
    );
    let further = fields([
        ("check", json!(trip.budget.check().id())),
        ("used_up_by", json!(owner)),
        ("used", json!(count)),
        ("actions", json!(trip.most)),
        ("per_seconds", json!(per)),
        ("free_at", json!(seconds(trip.free_at))),
    ]);
    let mut page = page(about, "", Severity::Error, at, summary, further);
    page.dedup_key = format!("falco-response/{}/budget/{budget}/{whose}", about.rules.cluster_name);
    trip.first.then_some(page)
}

/// One owner's pods were killed again and again.
pub fn killing_does_not_help(about: &About, account: &Account, kills: usize, at: Timestamp) -> Page {
    let (owner, namespace) = (&account.described, &account.namespace);
    let per = about.rules.limits.owner.per.as_secs();
    let summary = format!(
        "killing does not help: {kills} pods of {owner} in {namespace} were killed within {per} s, and it starts new ones"
    );
    let advice = "look at the owner's image and who changes it; scale it down or isolate the namespace";
    let further = fields([("owner", json!(owner)), ("kills", json!(kills)), ("advice", json!(advice))]);
    let mut page = page(about, "", Severity::Critical, at, summary, further);
    page.dedup_key = format!("falco-response/{}/killing_does_not_help/{namespace}/{owner}", about.rules.cluster_name);
    page
}

/// A rule wanted an action that no plugin offers.
pub fn plugin_unavailable(about: &About, why: &str, at: Timestamp) -> Option<Page> {
    let summary = format!("rule {:?}: no plugin for {}, so the alert was not acted on", about.rule.name, about.action);
    (!about.dry_run)
        .then(|| page(about, "plugin_unavailable", Severity::Error, at, summary, fields([("detail", json!(why))])))
}

/// Not tried, or not any more: the cluster did not answer until `max_recovery_age` had passed, or the controller itself
/// was away or failed.
pub fn gave_up(about: &About, why: &str, at: Timestamp) -> Option<Page> {
    let summary = format!("{} {}/{} was not done: see details", about.action, about.namespace(), about.pod());
    (!about.dry_run).then(|| page(about, "failed", Severity::Error, at, summary, fields([("detail", json!(why))])))
}

/// A pod whose DELETE was accepted is still there.
pub fn not_confirmed(about: &About, node: Option<&str>, detail: &str, at: Timestamp) -> Page {
    let summary = format!(
        "pod {}/{} is not confirmed dead on node {}",
        about.namespace(),
        about.pod(),
        node.unwrap_or("unknown")
    );
    page(
        about,
        "not_confirmed",
        Severity::Error,
        at,
        summary,
        fields([("node", json!(node)), ("detail", json!(detail))]),
    )
}

/// An action that customers noticed, and that nobody has explained in time. `entry` is the host's record of it.
pub fn annotation_overdue(
    cluster_name: &str,
    entry_id: &str,
    by: Timestamp,
    entry: &Map<String, Value>,
    at: Timestamp,
) -> Page {
    let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or("-");
    let (action, namespace, pod) = (text("action"), text("namespace"), text("pod"));
    let mut details = fields([
        ("entry_id", json!(entry_id)),
        ("annotate_by", json!(seconds(by))),
        ("cluster", json!(cluster_name)),
        ("remedy", json!(format!("falco-response-controller audit annotate {entry_id} TEXT"))),
    ]);
    for key in ["action", "rule", "namespace", "pod", "outcome", "event_id"] {
        details.extend(entry.get(key).map(|value| (key.to_owned(), value.clone())));
    }
    Page {
        dedup_key: format!("falco-response/{cluster_name}/annotation_overdue/{entry_id}"),
        severity: Severity::Warning,
        summary: format!("{action} {namespace}/{pod} is customer-facing and was not annotated in time"),
        timestamp: seconds(at),
        details,
        resolved: false,
    }
}

/// Something about the controller itself, not about an alert. `kind` is part of the key.
pub fn about_ourselves(cluster_name: &str, kind: &str, summary: String, detail: &str, at: Timestamp) -> Page {
    Page {
        dedup_key: format!("falco-response/{cluster_name}/controller/{kind}"),
        severity: Severity::Error,
        summary,
        timestamp: seconds(at),
        details: fields([("cluster", json!(cluster_name)), ("detail", json!(detail))]),
        resolved: false,
    }
}
