//! The records that an auditor reads: entries, decisions and follow-ups, field by field in their fixed order.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp, TimestampRound, Unit};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::confirm::{Group, Sighting};
use super::outcome::Derived;
use super::rules::{Rule, Rules};
use super::{Event, customers};
use crate::cluster::names::{Namespace, ObjectName, Uid};
use crate::hex::hex;
use crate::journal::{LogType, Record};
use crate::plugins::Report;
use crate::redact::{Redacted, Redaction};
use crate::safety::clearance::Cleared;
use crate::safety::run::{CallRecord, Effect, Identity};

pub const OPERATOR: &str = "falco-response-controller";
/// What of Falco's sentence is kept verbatim.
const MOST_OUTPUT: usize = 8 << 10;
const CUT_MARK: &str = "… [cut]";
/// What of a plugin's sentence is kept.
const MOST_SAID: usize = 1 << 10;
/// Of the host's own words about a run, of which a line for `plugins.grants` has to be whole.
const MOST_TOLD: usize = 4 << 10;

/// RFC 3339 UTC in whole seconds, as the runbook has it.
pub fn seconds(at: Timestamp) -> String {
    rounded(at, Unit::Second)
}

/// RFC 3339 UTC in milliseconds.
pub fn millis(at: Timestamp) -> String {
    rounded(at, Unit::Millisecond)
}

fn rounded(at: Timestamp, unit: Unit) -> String {
    let cut = at.round(TimestampRound::new().smallest(unit).mode(jiff::RoundMode::Trunc)).unwrap_or(at);
    let digits = if unit == Unit::Second { 0 } else { 3 };
    format!("{cut:.digits$}")
}

/// Cut at a character's end, with a mark.
pub fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let mut end = most;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{CUT_MARK}", &text[..end])
}

/// The same for the same change on every replica: cluster, action, and the UID of the object changed.
pub fn action_id(cluster_name: &str, action: &str, object: &str) -> String {
    let mut hash = Sha256::new();
    for part in [cluster_name, action, object] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex(&hash.finalize()[..16])
}

/// What every record about an alert says of it.
pub struct About<'a> {
    pub event: &'a Event,
    pub rules: &'a Arc<Rules>,
    pub rule: &'a Arc<Rule>,
    pub action: &'a str,
    pub dry_run: bool,
}

impl About<'_> {
    /// The alert's namespace, when it is a valid name.
    pub fn namespace(&self) -> String {
        let text = self.event.alert.text("k8s.ns.name").and_then(|text| Namespace::parse(&text).ok());
        text.map_or_else(|| "-".to_owned(), |name| name.to_string())
    }

    /// The alert's pod, when it is a valid name.
    pub fn pod(&self) -> String {
        let text = self.event.alert.text("k8s.pod.name").and_then(|text| ObjectName::parse(&text).ok());
        text.map_or_else(|| "-".to_owned(), |name| name.to_string())
    }

    /// `kill_pod production/checkout-1 rule="…"`, the same in every line.
    pub fn headline(&self) -> String {
        format!("{} {}/{} rule={:?}", self.action, self.namespace(), self.pod(), self.rule.name)
    }

    /// The pod's UID as the alert has it, when it is a valid one.
    pub fn alert_pod_uid(&self) -> Option<String> {
        let uid = self.event.alert.text("k8s.pod.uid").and_then(|text| Uid::parse(&text).ok());
        uid.map(|uid| uid.to_string())
    }

    /// Which alerts confirm this one.
    pub fn group(&self) -> Group {
        Group { rule: self.rule.name.clone(), action: self.action.to_owned(), namespace: self.namespace() }
    }

    pub fn sighting(&self) -> Sighting {
        Sighting {
            event_id: self.event.id.clone(),
            pod: Some(self.pod()).filter(|pod| pod != "-"),
            pod_uid: self.alert_pod_uid(),
            received_at: self.event.received_at,
        }
    }

    /// What Falco wrote, without what is nobody's business.
    fn output(&self) -> Redacted {
        self.rules.redaction.apply(&self.event.alert.output)
    }

    /// The ten fields of the runbook.
    fn ten(&self, timestamp: Timestamp, output: &Redacted) -> Map<String, Value> {
        fields([
            ("timestamp", json!(seconds(timestamp))),
            ("action", json!(self.action)),
            ("namespace", json!(self.namespace())),
            ("pod", json!(self.pod())),
            ("rule", json!(self.rule.name)),
            ("dry_run", json!(self.dry_run)),
            ("reason", json!(self.rule.audit_reason)),
            ("operator", json!(OPERATOR)),
            ("falco_priority", json!(self.event.alert.priority.as_upper())),
            ("falco_output", json!(cut(&output.text, MOST_OUTPUT))),
        ])
    }

    /// A decision not to act, or not now.
    pub fn decision(&self, now: Timestamp, decision: &str, check: &str, detail: &str) -> Record {
        let output = self.output();
        let mut body = self.ten(now, &output);
        body.extend(fields([
            ("event_id", json!(self.event.id)),
            ("alert_uuid", json!(self.event.alert.uuid)),
            ("decision", json!(decision)),
            ("check", json!(check)),
            ("detail", json!(detail)),
            ("config_sha256", json!(self.rules.config_sha256)),
            ("cluster", json!(self.rules.cluster_name)),
            ("received_at", json!(millis(self.event.received_at))),
            ("alert_pod_uid", json!(self.alert_pod_uid())),
        ]));
        tell_redacted(&mut body, output.count, output.hmac);
        Record { log_type: LogType::Decision, event_id: self.event.id.clone(), entry_id: None, body }
    }

    /// The one entry of an action that was started.
    pub fn entry(
        &self,
        identity: &Identity,
        cleared: Option<&Cleared>,
        calls: &[CallRecord],
        derived: &Derived,
        ended: Ended,
    ) -> Record {
        let first_sent = calls.iter().find_map(|call| call.sent_at);
        let accepted = calls.iter().filter_map(|call| call.accepted_at).next_back();
        let pod = cleared.and_then(Cleared::alerts_pod);
        let output = self.output();
        let mut body = self.ten(first_sent.unwrap_or(ended.at), &output);
        // A plugin that gave up may have quoted the alert.
        let detail = self.rules.redaction.apply(&derived.detail);
        body.extend(fields([
            ("event_id", json!(self.event.id)),
            ("alert_uuid", json!(self.event.alert.uuid)),
            ("entry_id", json!(identity.entry_id)),
            ("action_id", json!(action_id(&self.rules.cluster_name, self.action, &self.object_of(calls, cleared)))),
            ("outcome", json!(derived.outcome.as_str())),
            ("failure", json!(derived.outcome.failure())),
            ("changed", json!(derived.changed)),
            ("detail", json!(cut(&detail.text, MOST_TOLD))),
            ("pod_uid", json!(pod.and_then(|pod| pod.object.uid.as_ref()).map(AsRef::<str>::as_ref))),
            ("owner", json!(pod.and_then(|pod| pod.chain.top.clone()))),
            ("identity_proof", json!(pod.and_then(|pod| pod.proof).map(|proof| proof.as_str()))),
            ("plugin_sha256", json!(identity.plugin_sha256)),
            ("config_sha256", json!(self.rules.config_sha256)),
            ("cluster", json!(self.rules.cluster_name)),
            ("received_at", json!(millis(self.event.received_at))),
            ("sent_at", json!(first_sent.map(millis))),
            ("accepted_at", json!(accepted.map(millis))),
        ]));
        if let Some(at) = ends_at(calls) {
            body.insert("expires_at".to_owned(), json!(seconds(at)));
        }
        customers::mark(self, cleared, derived, ended.at, &mut body);
        let (said, redacted) = match ended.report {
            Some(report) => annotations(report, &self.rules.redaction),
            None => (Map::new(), 0),
        };
        tell_redacted(&mut body, output.count + detail.count + redacted, output.hmac);
        body.extend(said);
        Record {
            log_type: LogType::Entry,
            event_id: self.event.id.clone(),
            entry_id: Some(identity.entry_id.clone()),
            body,
        }
    }

    /// What the action was about: an object, or else the alert, so that two alerts without one are two actions.
    fn object_of(&self, calls: &[CallRecord], cleared: Option<&Cleared>) -> String {
        changed_object(calls, cleared).unwrap_or_else(|| self.event.id.clone())
    }

    /// How a kill ended, after its entry.
    pub fn followup(
        &self,
        entry: &Map<String, Value>,
        at: Timestamp,
        followup: &str,
        waited: SignedDuration,
        node: Option<&str>,
        detail: &str,
    ) -> Record {
        let copy = |key: &str| entry.get(key).cloned().unwrap_or(Value::Null);
        let body = fields([
            ("timestamp", json!(seconds(at))),
            ("action", json!(self.action)),
            ("namespace", copy("namespace")),
            ("pod", copy("pod")),
            ("rule", json!(self.rule.name)),
            ("event_id", json!(self.event.id)),
            ("entry_id", copy("entry_id")),
            ("action_id", copy("action_id")),
            ("followup", json!(followup)),
            ("detail", json!(detail)),
            ("pod_uid", copy("pod_uid")),
            ("node", json!(node)),
            ("waited_ms", json!(i64::try_from(waited.as_millis()).unwrap_or(i64::MAX))),
            ("cluster", json!(self.rules.cluster_name)),
        ]);
        let entry_id = entry.get("entry_id").and_then(Value::as_str).map(str::to_owned);
        Record { log_type: LogType::Followup, event_id: self.event.id.clone(), entry_id, body }
    }
}

/// How a run ended. No report: the run was cut off by a crash.
#[derive(Clone, Copy)]
pub struct Ended<'a> {
    pub at: Timestamp,
    pub report: Option<&'a Report>,
}

/// When what the calls isolate ends by itself; the latest of them.
pub fn ends_at(calls: &[CallRecord]) -> Option<Timestamp> {
    let holds =
        calls.iter().filter(|call| matches!(call.effect, Effect::Changed | Effect::Unchanged | Effect::Unknown));
    holds.filter_map(|call| call.undo.as_ref()?.expires_at).max()
}

/// How many secrets were taken out, and the proof of what `falco_output` was; nothing where there were none.
fn tell_redacted(body: &mut Map<String, Value>, count: usize, hmac: Option<String>) {
    if count > 0 {
        body.insert("redacted".to_owned(), json!(count));
    }
    if let Some(hmac) = hmac {
        body.insert("redacted_hmac".to_owned(), json!(hmac));
    }
}

/// What the action says of itself, after everything that the host says, under names that no field of the host has.
/// With it, how many secrets were taken out.
fn annotations(report: &Report, redaction: &Redaction) -> (Map<String, Value>, usize) {
    use crate::plugins::End;
    let mut body = Map::new();
    let mut redacted = 0;
    let mut plain = |text: &str| {
        let said = redaction.apply(text);
        redacted += said.count;
        cut(&said.text, MOST_SAID)
    };
    for (key, value) in &report.notes {
        // The two notes that the host understands are its own fields, and take only the host's own words.
        match (key.as_str(), value.as_str()) {
            ("isolation", "full" | "partial") => {
                body.insert("isolation".to_owned(), json!(value));
            }
            _ => {
                body.insert(format!("note_{key}"), json!(plain(value)));
            }
        }
    }
    let said = match &report.end {
        End::Acted(said) | End::Skipped(said) | End::Failed { message: said, .. } => said.as_str(),
        End::Trap(_) | End::Timeout | End::Memory | End::CallLimit => "",
    };
    if !said.is_empty() {
        body.insert("plugin_says".to_owned(), json!(plain(said)));
    }
    if !report.attachments.is_empty() {
        let all = report.attachments.iter().map(|one| (one.name.as_str(), one.sha256.as_str(), one.content.len()));
        body.insert("attachments".to_owned(), super::recorder::attached(all));
    }
    (body, redacted)
}

/// The UID of the target, where that changed; else of the first object that did; else of the first that was to be, and
/// was as wished already; else the target's; else its name. So two replicas of which one comes too late say the same.
fn changed_object(calls: &[CallRecord], cleared: Option<&Cleared>) -> Option<String> {
    let changed = || calls.iter().filter(|call| matches!(call.effect, Effect::Changed | Effect::Unknown));
    let changed = changed().filter(|call| call.is_target).chain(changed()).find_map(|call| call.uid.as_ref());
    let other = || {
        let wanted = calls.iter().filter(|call| call.mutating).find_map(|call| call.uid.as_ref());
        wanted.or_else(|| calls.iter().filter(|call| !call.mutating).find_map(|call| call.uid.as_ref()))
    };
    let target = || {
        cleared
            .map(|cleared| cleared.object.uid.as_ref().map_or_else(|| cleared.object.to_string(), ToString::to_string))
    };
    changed.or_else(other).map(ToString::to_string).or_else(target)
}

pub fn fields<const N: usize>(list: [(&str, Value); N]) -> Map<String, Value> {
    list.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_times_as_the_runbook_has_them() {
        let at: Timestamp = "2026-11-24T12:00:00.987654321Z".parse().expect("valid");
        assert_eq!(seconds(at), "2026-11-24T12:00:00Z");
        assert_eq!(millis(at), "2026-11-24T12:00:00.987Z");
        assert_eq!(millis("2026-11-24T12:00:00Z".parse().expect("valid")), "2026-11-24T12:00:00.000Z");
    }

    #[test]
    fn cuts_between_characters() {
        assert_eq!(cut("ab", 2), "ab");
        assert_eq!(cut("aéb", 2), "a… [cut]");
    }

    #[test]
    fn an_action_id_depends_on_every_part_and_not_on_where_they_meet() {
        assert_eq!(action_id("c", "kill_pod", "u"), action_id("c", "kill_pod", "u"));
        assert_ne!(action_id("c", "kill_pod", "u"), action_id("ck", "ill_pod", "u"));
        assert_eq!(action_id("", "", "").len(), 32);
    }
}
