//! What was changed: once, by a call that was announced, where it is allowed, and as the records say.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::{Checker, text};
use crate::alert::Alert;
use crate::cluster::names::Namespace;
use crate::journal::LogType;
use crate::simulation::api::Sent;
use crate::simulation::scenario::is_dry;
use crate::simulation::truth::{Diff, is_deleted};

impl Checker<'_> {
    /// 3.
    pub(super) fn nothing_is_done_twice(&mut self) {
        let mut wrong = Vec::new();
        let mut deleted = BTreeMap::new();
        for (sent, diff) in self.changes() {
            if is_deleted(diff) {
                let uid = diff.object().pointer("/metadata/uid").and_then(Value::as_str).unwrap_or("").to_owned();
                if let Some(before) = deleted.insert(uid.clone(), &sent.event_id) {
                    wrong.push(format!("{uid} was deleted for {before} and for {}", sent.event_id));
                }
            }
        }
        for (entry_id, entries) in self.journal.entries_by_id() {
            if entries.len() != 1 {
                wrong.push(format!("there are {} entries {entry_id}", entries.len()));
            }
        }
        // As often as the gate's own attempts allow, and no more.
        let mut attempts: BTreeMap<(&str, &str, &str), u64> = BTreeMap::new();
        for sent in &self.notes.sent {
            let key = (sent.entry_id.as_deref().unwrap_or(""), sent.method.as_str(), sent.path.as_str());
            *attempts.entry(key).or_default() += 1;
        }
        let mut allowed: BTreeMap<(&str, &str, &str), u64> = BTreeMap::new();
        for (row, intent) in self.journal.of(LogType::Intent) {
            let (method, times) = match text(intent, "verb") {
                "delete" => (Method::DELETE, 3),
                "apply" => (Method::PATCH, 3),
                "patch" => (Method::PATCH, 1),
                _ => (Method::POST, 1),
            };
            let method = if method == Method::DELETE {
                "DELETE"
            } else if method == Method::PATCH {
                "PATCH"
            } else {
                "POST"
            };
            *allowed.entry((row.entry_id.as_deref().unwrap_or(""), method, text(intent, "path"))).or_default() += times;
        }
        for (key, count) in attempts {
            let most = allowed.get(&key).copied().unwrap_or(0);
            if count > most {
                wrong.push(format!("{} {} of {} was sent {count} times, {most} are allowed", key.1, key.2, key.0));
            }
        }
        self.wrong.append(&mut wrong);
    }

    fn changes(&self) -> impl Iterator<Item = (&Sent, &Diff)> {
        let done = self.notes.sent.iter().filter_map(|sent| Some((sent, sent.truth.as_ref()?)));
        done.flat_map(|(sent, truth)| truth.diffs.iter().map(move |diff| (sent, diff)))
    }

    /// 4 and 5.
    pub(super) fn every_change_is_allowed(&mut self) {
        let mut wrong = Vec::new();
        for (sent, diff) in self.changes() {
            let what = format!("{} {} for {}", sent.method, sent.path, sent.event_id);
            let mut says = |why: &str| wrong.push(format!("{what}: {why}"));
            let Some(alert) = self.alerts.get(&sent.event_id) else {
                says("for no alert");
                continue;
            };
            if sent.dry_by_configuration || is_dry(&alert.rule) {
                says("a dry run changed something");
            }
            let object = diff.object();
            let at = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or("");
            let (namespace, name) = (at("/metadata/namespace"), at("/metadata/name"));
            if !sent.path.contains(&format!("/namespaces/{namespace}/"))
                || !(sent.path.contains(name) || diff.before.is_none())
            {
                says(&format!("it changed {namespace}/{name}"));
            }
            if !matches!(namespace, "production" | "staging") {
                says("out of reach");
            }
            if at("/kind") == "DaemonSet" {
                says("a DaemonSet");
            }
            // What was made after an apply had found nothing has no UID that it could be pinned to: that it was changed
            // must be on record, and is looked at with the outcomes.
            let made_meanwhile = sent.method == Method::PATCH && sent.announced_uid.is_none();
            if diff.before.is_some() && !made_meanwhile && sent.announced_uid.as_deref() != Some(at("/metadata/uid")) {
                says("not the object that was checked");
            }
            let Some(before) = sent.truth.as_ref().map(|truth| &truth.before) else { continue };
            for kind in owners(object, before) {
                let protected =
                    kind == "DaemonSet" || (kind == "StatefulSet" && self.world.scenario.protects_stateful_sets);
                if protected {
                    says(&format!("owned by a {kind}"));
                }
            }
            if object.pointer("/metadata/annotations/kubernetes.io~1config.mirror").is_some() {
                says("a mirror pod");
            }
            if is_target(alert, namespace, name) && at("/kind") == "Pod" && is_deleted(diff) && alert.rule != "chaos" {
                self.is_the_alerts_pod(alert, object, &mut says);
            }
        }
        self.wrong.append(&mut wrong);
    }

    fn is_the_alerts_pod(&self, alert: &Alert, pod: &Value, says: &mut dyn FnMut(&str)) {
        let at = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or("");
        if let Some(uid) = alert.text("k8s.pod.uid") {
            if uid != at("/metadata/uid") {
                says("not the pod whose UID the alert gave");
            }
            return;
        }
        if let Some(id) = alert.text("container.id") {
            let id = format!("containerd://{id}");
            if !at("/status/containerStatuses/0/containerID").starts_with(&id) {
                says("not the pod whose container the alert gave");
            }
            return;
        }
        let created: Timestamp = at("/metadata/creationTimestamp").parse().unwrap_or(Timestamp::MAX);
        if created + SignedDuration::from_secs(1) > alert.time {
            says("a pod that is younger than the alert");
        }
    }

    /// 6.
    pub(super) fn outcomes_are_true(&mut self) {
        let mut wrong = Vec::new();
        // What was found after a crash shows that it happened, and not who did it; the entry says so.
        let looked_up = |body: &Map<String, Value>| {
            body.get("looked_up") == Some(&Value::Bool(true)) && text(body, "effect") == "changed"
        };
        let found: BTreeSet<_> = self
            .journal
            .of(LogType::Result)
            .filter(|(_, body)| looked_up(body))
            .filter_map(|(row, _)| row.entry_id.as_deref())
            .collect();
        for (row, entry) in self.journal.of(LogType::Entry) {
            let entry_id = row.entry_id.as_deref();
            let mine: Vec<_> = self.notes.sent.iter().filter(|sent| sent.entry_id.as_deref() == entry_id).collect();
            let truths: Vec<_> = mine.iter().filter_map(|sent| sent.truth.as_ref()).collect();
            let accepted = truths.iter().any(|truth| truth.accepted);
            let changed = truths.iter().any(|truth| !truth.diffs.is_empty());
            let (outcome, says_changed) = (text(entry, "outcome"), entry.get("changed") == Some(&Value::Bool(true)));
            let dry = entry.get("dry_run") == Some(&Value::Bool(true));
            let what =
                format!("entry {} says {outcome} (changed {says_changed}, {})", row.event_id, text(entry, "detail"));
            let found = entry_id.is_some_and(|id| found.contains(id));
            if (outcome == "done" || says_changed) && !accepted && !found {
                wrong.push(format!("{what}, and the API server accepted nothing"));
            }
            if !dry && !says_changed && outcome != "unknown" && changed {
                wrong.push(format!("{what}, and something changed"));
            }
        }
        self.wrong.append(&mut wrong);
    }
}

fn is_target(alert: &Alert, namespace: &str, name: &str) -> bool {
    Namespace::parse(namespace).is_ok()
        && alert.text("k8s.ns.name").as_deref() == Some(namespace)
        && alert.text("k8s.pod.name").as_deref() == Some(name)
}

/// The kinds of an object's controllers, by the cluster as it was.
fn owners(object: &Value, cluster: &[Value]) -> Vec<String> {
    let mut kinds = Vec::new();
    let mut at = Some(object);
    while let Some(object) = at.filter(|_| kinds.len() < 10) {
        let Some(owner) = object.pointer("/metadata/ownerReferences/0") else { break };
        kinds.push(owner["kind"].as_str().unwrap_or("").to_owned());
        at = cluster.iter().find(|other| other["metadata"]["uid"] == owner["uid"]);
    }
    kinds
}
