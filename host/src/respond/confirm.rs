//! Actions that wait for several alerts: a single one can be caused from outside, and may be a false alarm.
//!
//! Alerts of one rule about one namespace confirm one another. The ones that wait are decisions in the journal, and are
//! counted again after a restart. Replicas count apart.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::config::Confirmation;

/// Kept of a group at most; the oldest go first.
const MOST: usize = 1024;

/// What alerts have in common that confirm one another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Group {
    pub rule: String,
    pub action: String,
    pub namespace: String,
}

/// One alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    pub event_id: String,
    pub pod: Option<String>,
    /// As the alert has it.
    pub pod_uid: Option<String>,
    pub received_at: Timestamp,
}

/// How far a group has come that is not complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    pub alerts: usize,
    pub pods: usize,
}

#[derive(Default)]
pub struct Confirmations(Mutex<HashMap<Group, Vec<Sighting>>>);

impl Confirmations {
    /// Counts an alert, each one once, and says whether it completes what is waited for.
    ///
    /// # Errors
    /// What there is so far.
    pub fn see(&self, group: Group, sighting: Sighting, confirm: &Confirmation) -> Result<(), Waiting> {
        let mut groups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = groups.entry(group).or_default();
        insert(seen, sighting.clone());
        let latest = seen.iter().map(|one| one.received_at).max().unwrap_or(sighting.received_at);
        let within = SignedDuration::try_from(confirm.within).unwrap_or(SignedDuration::MAX);
        seen.retain(|one| latest.duration_since(one.received_at) < within);
        let waiting = Waiting { alerts: seen.len(), pods: different_pods(seen) };
        // One that came so late that it no longer counts confirms nothing.
        let counts = seen.iter().any(|one| one.event_id == sighting.event_id);
        if counts && waiting.alerts >= confirm.alerts && waiting.pods >= confirm.pods { Ok(()) } else { Err(waiting) }
    }

    /// Puts back what was counted before a restart.
    pub fn restore(&self, seen: impl IntoIterator<Item = (Group, Sighting)>) {
        let mut groups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (group, sighting) in seen {
            insert(groups.entry(group).or_default(), sighting);
        }
    }
}

fn insert(seen: &mut Vec<Sighting>, sighting: Sighting) {
    if seen.iter().any(|one| one.event_id == sighting.event_id) {
        return;
    }
    if seen.len() >= MOST {
        seen.remove(0);
    }
    seen.push(sighting);
}

/// By name, and where the name is the same by UID: a StatefulSet gives a new pod the old name.
fn different_pods(seen: &[Sighting]) -> usize {
    let mut different: Vec<&Sighting> = Vec::new();
    for one in seen.iter().filter(|one| one.pod.is_some()) {
        let same = |other: &&Sighting| {
            let other_uid = one.pod_uid.is_some() && other.pod_uid.is_some() && one.pod_uid != other.pod_uid;
            one.pod == other.pod && !other_uid
        };
        if !different.iter().any(same) {
            different.push(one);
        }
    }
    different.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn group(namespace: &str) -> Group {
        Group { rule: "r".to_owned(), action: "isolate".to_owned(), namespace: namespace.to_owned() }
    }

    fn sighting(event: &str, pod: &str, uid: Option<&str>, second: i64) -> Sighting {
        Sighting {
            event_id: event.to_owned(),
            pod: (pod != "-").then(|| pod.to_owned()),
            pod_uid: uid.map(str::to_owned),
            received_at: Timestamp::from_second(second).expect("valid"),
        }
    }

    const TWO: Confirmation = Confirmation { alerts: 2, pods: 2, within: Duration::from_secs(300) };

    #[test]
    fn two_pods_within_the_time_and_no_less() {
        let see = |list: &[Sighting]| {
            let confirmations = Confirmations::default();
            list.iter().map(|one| confirmations.see(group("production"), one.clone(), &TWO).is_ok()).collect::<Vec<_>>()
        };
        let first = sighting("1", "a", None, 0);
        assert_eq!(see(&[first.clone(), sighting("2", "b", None, 299)]), [false, true]);
        assert_eq!(see(&[first.clone(), sighting("2", "b", None, 300)]), [false, false], "too late");
        assert_eq!(see(&[first.clone(), sighting("2", "a", None, 1)]), [false, false], "the same pod");
        assert_eq!(see(&[first.clone(), sighting("1", "b", None, 1)]), [false, false], "the same alert");
        assert_eq!(see(&[first, sighting("2", "-", None, 1)]), [false, false], "no pod at all");
        let (one, other) = (sighting("1", "db-0", Some("u1"), 0), sighting("2", "db-0", Some("u2"), 1));
        assert_eq!(see(&[one.clone(), other]), [false, true], "another pod of that name");
        assert_eq!(see(&[one, sighting("2", "db-0", None, 1)]), [false, false], "perhaps the same");
    }

    #[test]
    fn an_alert_that_is_worked_off_late_confirms_nothing_by_itself() {
        let confirmations = Confirmations::default();
        confirmations.see(group("production"), sighting("2", "b", None, 1000), &TWO).unwrap_err();
        let waiting = confirmations.see(group("production"), sighting("1", "a", None, 0), &TWO).unwrap_err();
        assert_eq!(waiting, Waiting { alerts: 1, pods: 1 });
    }

    #[test]
    fn namespaces_are_apart_and_a_restart_forgets_nothing() {
        let confirmations = Confirmations::default();
        confirmations.restore([(group("production"), sighting("1", "a", None, 0))]);
        assert!(confirmations.see(group("staging"), sighting("2", "b", None, 1), &TWO).is_err());
        assert!(confirmations.see(group("production"), sighting("3", "b", None, 1), &TWO).is_ok());
    }
}
