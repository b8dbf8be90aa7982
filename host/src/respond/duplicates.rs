//! The same alert delivered again: Falcosidekick mints a `uuid` for each delivery, but the same rule about the same pod
//! at the same nanosecond is the same event of Falco's.
//!
//! The journal knows both, and is the one that decides. What is remembered here spares it a flood of repetitions, which
//! then neither wait nor count among what waits.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use crate::alert::Alert;
use crate::hex::hex;

/// Longer than an alert is fresh.
const REMEMBERED: SignedDuration = SignedDuration::from_mins(10);
/// Some 32 bytes each.
const MOST: usize = 50_000;

type Key = [u8; 16];

#[derive(Default)]
pub(super) struct Duplicates(Mutex<HashMap<Key, Timestamp>>);

impl Duplicates {
    /// Whether it was taken already.
    pub fn knows(&self, alert: &Alert, now: Timestamp) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken_at = key(alert).and_then(|key| known.get(&key).copied());
        taken_at.is_some_and(|at| now.duration_since(at).abs() < REMEMBERED)
    }

    /// It is on disk: whoever sends it again need not have it stored again.
    pub fn took(&self, alert: &Alert, now: Timestamp) {
        let Some(key) = key(alert) else { return };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|_, at| now.duration_since(*at).abs() < REMEMBERED);
        }
        // A flood of alerts is not to fill the memory; what it drives out is still known to the journal.
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(key, now);
    }
}

/// By which the journal knows the alert.
pub(super) fn fingerprint(alert: &Alert) -> Option<String> {
    key(alert).map(|key| hex(&key))
}

/// None for an alert without the pod's UID: a name proves little, and the queue folds what comes together anyway.
fn key(alert: &Alert) -> Option<Key> {
    let pod = alert.text("k8s.pod.uid")?;
    let time = alert.time.as_nanosecond().to_be_bytes();
    let mut hash = Sha256::new();
    for part in [alert.rule.as_bytes(), pod.as_bytes(), &time] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut key = Key::default();
    key.copy_from_slice(&hash.finalize()[..16]);
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn alert(change: impl Fn(&mut Value)) -> Alert {
        let mut body = json!({"uuid": "u", "priority": "Critical", "rule": "r", "time": "2026-11-24T12:00:00.100Z",
            "output_fields": {"k8s.ns.name": "production", "k8s.pod.name": "a", "k8s.pod.uid": "x"}});
        change(&mut body);
        Alert::parse(body.to_string().as_bytes()).expect("an alert")
    }

    #[test]
    fn the_same_rule_pod_and_time_are_the_same_alert() {
        let duplicates = Duplicates::default();
        let now: Timestamp = "2026-11-24T12:00:01Z".parse().expect("valid");
        let first = alert(|_| {});
        assert!(!duplicates.knows(&first, now));
        duplicates.took(&first, now);
        let again = alert(|body| {
            body["uuid"] = json!("another");
            body["time"] = json!("2026-11-24T12:00:00.100000000Z");
        });
        assert!(duplicates.knows(&again, now));
        for (key, value) in [("rule", "s"), ("time", "2026-11-24T12:00:00.100000001Z")] {
            assert!(!duplicates.knows(&alert(|body| body[key] = json!(value)), now), "{key}");
        }
        for uid in [json!("y"), Value::Null] {
            assert!(!duplicates.knows(&alert(|body| body["output_fields"]["k8s.pod.uid"] = uid.clone()), now), "{uid}");
        }
        let later = now.checked_add(REMEMBERED).expect("in range");
        assert!(!duplicates.knows(&first, later));
    }
}
