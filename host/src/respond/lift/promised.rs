//! Ends of isolations that were promised, in an entry and a page, and that cannot be kept: the rule has gone or was narrowed
//! since, the namespace is denied, or the Roles are others. Somebody is told when the time has come.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::super::{Inner, pages};
use super::MARK;
use crate::cluster::names::Namespace;
use crate::journal::{LogType, Record};
use crate::safety::policy::{Policy, RuleScope};
use crate::telemetry::log::Level;

/// By namespace: until when its isolations were to last, and why that cannot be looked after, as somebody was told.
#[derive(Default)]
pub(super) struct Promised(BTreeMap<Namespace, Promise>);

struct Promise {
    until: Timestamp,
    /// None while it can be kept.
    broken: Option<String>,
    told: bool,
}

impl Promised {
    /// What the journal says was promised lately.
    pub fn of(recent: &[Record]) -> Self {
        let mut all = Self::default();
        for entry in recent.iter().filter(|record| record.log_type == LogType::Entry) {
            let text = |key: &str| entry.body.get(key).and_then(Value::as_str).unwrap_or_default();
            let held = matches!(text("outcome"), "done" | "skipped" | "unknown");
            let live = entry.body.get("dry_run") == Some(&Value::Bool(false));
            let (namespace, until) = (Namespace::parse(text("namespace")), text("expires_at").parse());
            if let (Ok(namespace), Ok(until), true) = (namespace, until, held && live) {
                all.expect(namespace, until);
            }
        }
        all
    }

    fn expect(&mut self, namespace: Namespace, until: Timestamp) {
        let promise = self.0.entry(namespace).or_insert(Promise { until, broken: None, told: false });
        promise.until = promise.until.max(until);
    }

    /// Where something may be left to lift, whatever the rules say by now; what may not be lifted is noted.
    pub fn may_be_looked_at(&mut self, policy: &Policy) -> Vec<Namespace> {
        let mut found = Vec::new();
        for (namespace, promise) in &mut self.0 {
            match crate::safety::checks::namespace(namespace, policy, &RuleScope::default()) {
                Ok(()) => found.push(namespace.clone()),
                Err(refusal) => promise.broken = Some(refusal.detail),
            }
        }
        found
    }

    /// What is there, as it was just read: the latest end.
    pub fn looked(&mut self, namespace: &Namespace, until: Option<Timestamp>) {
        self.0.remove(namespace);
        if let Some(until) = until {
            self.expect(namespace.clone(), until);
        }
    }

    pub fn broken(&mut self, namespace: &Namespace, why: String) {
        if let Some(promise) = self.0.get_mut(namespace) {
            promise.broken = Some(why);
        }
    }

    /// Those whose time has come and that were not told yet.
    fn due(&mut self, now: Timestamp) -> Vec<(Namespace, Timestamp, String)> {
        let due = self.0.iter_mut().filter(|(_, promise)| promise.until <= now && !promise.told);
        due.filter_map(|(namespace, promise)| {
            let why = promise.broken.clone()?;
            promise.told = true;
            Some((namespace.clone(), promise.until, why))
        })
        .collect()
    }
}

/// Entries that promise an end; for [`crate::journal::Journal::recent`].
pub(super) fn is_promise(log_type: LogType, body: &str) -> bool {
    log_type == LogType::Entry && body.contains(r#""expires_at":""#) && !body.contains(MARK)
}

impl Inner {
    /// Pages each broken promise once.
    pub(super) async fn tell_broken(&self, promised: &mut Promised) {
        let (now, rules) = (self.ambient.now(), self.rules.load_full());
        for (namespace, until, why) in promised.due(now) {
            let until = super::super::record::seconds(until);
            let summary =
                format!("an isolation of {namespace} was to end at {until}, and the controller may not lift it");
            let fields =
                super::super::record::fields([("namespace", namespace.as_str().into()), ("why", why.as_str().into())]);
            self.log.line(Level::Error, &summary, &fields);
            if !rules.dryrun {
                let kind = format!("isolation_stays/{namespace}");
                let page = pages::about_ourselves(&rules.cluster_name, &kind, summary, &why, now);
                let sends = self.sends(&page);
                if !sends.is_empty() {
                    self.persist(sends).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry(namespace: &str, expires_at: &str, outcome: &str) -> Record {
        let body = json!({"namespace": namespace, "expires_at": expires_at, "outcome": outcome, "dry_run": false});
        let body = body.as_object().expect("an object").clone();
        Record { log_type: LogType::Entry, event_id: "e".to_owned(), entry_id: None, body }
    }

    #[test]
    fn what_was_promised_and_may_not_be_kept_is_told_once_when_the_time_has_come() {
        let at = |text: &str| text.parse::<Timestamp>().expect("RFC 3339");
        let shop = Namespace::parse("shop").expect("valid");
        let records = [
            entry("shop", "2026-11-24T13:00:00Z", "done"),
            entry("shop", "2026-11-24T12:30:00Z", "skipped"),
            entry("other", "2026-11-24T12:00:00Z", "failed"),
        ];
        let mut promised = Promised::of(&records);
        promised.broken(&shop, "namespace shop is in denied_namespaces".to_owned());
        assert!(promised.due(at("2026-11-24T12:59:59Z")).is_empty());
        let due = promised.due(at("2026-11-24T13:00:00Z"));
        assert_eq!(due.len(), 1, "{due:?}");
        assert!(promised.due(at("2026-11-24T14:00:00Z")).is_empty(), "once");
        promised.looked(&shop, None);
        promised.broken(&shop, "no".to_owned());
        assert!(promised.due(at("2027-11-24T14:00:00Z")).is_empty(), "what is not there any more is kept");
    }

    #[test]
    fn only_entries_that_are_no_lifts_promise_anything() {
        let text = |action: &str| json!({"action": action, "expires_at": "2026-11-24T13:00:00Z"}).to_string();
        assert!(is_promise(LogType::Entry, &text("isolate_namespace")));
        assert!(!is_promise(LogType::Entry, &text(super::super::ACTION)));
        assert!(!is_promise(LogType::Intent, &text("isolate_namespace")));
        assert!(!is_promise(LogType::Entry, &json!({"falco_output": "\"expires_at\":\"x"}).to_string()));
    }
}
