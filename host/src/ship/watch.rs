//! Looks at what waits in the outbox: how much, since when, and whether a page has waited too long.
//!
//! Apart from the couriers, so that one that hangs is seen, too.

use std::collections::HashMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, json};
use tokio::sync::watch;

use crate::ambient::Ambient;
use crate::journal::{Backlog, Journal};
use crate::telemetry::log::{Level, Log};
use crate::telemetry::metrics::Metrics;

/// Whoever is to be woken sleeps on: after this, a page that waits is an error.
const OVERDUE: SignedDuration = SignedDuration::from_mins(5);
/// How often that is said again.
const REMINDER: SignedDuration = SignedDuration::from_mins(1);

pub struct Watch {
    pub journal: Journal,
    pub ambient: Ambient,
    pub log: Log,
    pub metrics: Metrics,
    /// Each destination there is, and whether it takes pages.
    pub destinations: Vec<(&'static str, bool)>,
    pub every: Duration,
    pub said: Said,
}

/// What was said already.
#[derive(Default)]
pub struct Said {
    /// When a destination's overdue pages were last mentioned.
    overdue: HashMap<&'static str, Timestamp>,
    orphans: bool,
}

impl Watch {
    pub async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        loop {
            if *stopping.borrow_and_update() {
                return;
            }
            // A journal that cannot be read is the couriers' to report; they ask it, too.
            if let Ok(backlogs) = self.journal.backlogs().await {
                self.look(&backlogs);
            }
            tokio::select! {
                () = tokio::time::sleep(self.every) => {}
                changed = stopping.changed() => if changed.is_err() { return },
            }
        }
    }

    fn look(&mut self, backlogs: &[Backlog]) {
        let now = self.ambient.now();
        for (destination, pages) in self.destinations.clone() {
            let backlog = backlogs.iter().find(|backlog| backlog.destination == destination);
            let age = backlog.map_or(SignedDuration::ZERO, |backlog| now.duration_since(backlog.oldest));
            let age = age.max(SignedDuration::ZERO);
            self.metrics.outbox(destination, backlog.map_or(0, |backlog| backlog.waiting), age.as_secs_f64());
            if pages {
                self.overdue(destination, age, now);
            }
        }
        self.orphans(backlogs);
    }

    fn overdue(&mut self, destination: &'static str, age: SignedDuration, now: Timestamp) {
        let overdue = age >= OVERDUE;
        self.metrics.page_overdue(destination, overdue);
        if !overdue {
            self.said.overdue.remove(destination);
            return;
        }
        let before = self.said.overdue.get(destination);
        if before.is_some_and(|before| now.duration_since(*before) < REMINDER) {
            return;
        }
        self.said.overdue.insert(destination, now);
        let message = format!("a page has not been delivered for {} s; tell whoever is on call", age.as_secs());
        self.log.line(Level::Error, &message, &Map::from_iter([("destination".to_owned(), json!(destination))]));
    }

    /// Parcels for a destination that is not configured any more wait for ever, and somebody should know.
    fn orphans(&mut self, backlogs: &[Backlog]) {
        if std::mem::replace(&mut self.said.orphans, true) {
            return;
        }
        let known = |backlog: &&Backlog| self.destinations.iter().any(|(name, _)| *name == backlog.destination);
        for backlog in backlogs.iter().filter(|backlog| !known(backlog)) {
            let fields = Map::from_iter([
                ("destination".to_owned(), json!(backlog.destination)),
                ("waiting".to_owned(), json!(backlog.waiting)),
            ]);
            let message = "the outbox holds parcels for a destination that is not configured; they wait until it is";
            self.log.line(Level::Warn, message, &fields);
        }
    }
}
