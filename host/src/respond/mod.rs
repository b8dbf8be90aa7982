//! The pipeline of one alert, and the queue that runs many.
//!
//! It decides which rule an alert belongs to, has the target cleared, runs the actions, and turns what they did into
//! records and pages. It knows no SQL, no HTTP and no WebAssembly.

mod begun;
mod claims;
mod confirm;
mod customers;
mod duplicates;
mod follow;
mod guess;
pub mod lift;
mod lookup;
pub mod observe;
pub mod outcome;
pub mod pages;
mod pipeline;
mod probe;
mod queue;
pub mod record;
mod recorder;
mod recover;
mod reload;
mod restore;
pub mod rules;
#[cfg(test)]
pub(crate) mod tests;
mod upkeep;

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use jiff::Timestamp;
use serde_json::Value;

use crate::alert::Alert;
use crate::ambient::Ambient;
use crate::config::Route;
use crate::journal::{Journal, JournalError, Write};
use crate::safety::budget::Budgets;
use crate::safety::gate::Gate;
use crate::ship::Page;
use crate::ship::acceptance::Acceptance;
use crate::telemetry::log::Log;
use crate::telemetry::metrics::Metrics;
use confirm::Confirmations;
use duplicates::Duplicates;
use guess::Guesses;
use observe::Observer;
use queue::Queue;
pub use recover::RecoverError;
pub use reload::Notice;
use rules::Rules;

/// An accepted alert.
#[derive(Debug, Clone)]
pub struct Event {
    /// Ours: a UUIDv7, one an alert.
    pub id: String,
    pub alert: Arc<Alert>,
    /// What freshness is judged by, also after a restart.
    pub received_at: Timestamp,
}

/// Where records and pages go, by the names of the shippers' destinations.
#[derive(Clone, Default)]
pub struct Destinations {
    pub records: Vec<String>,
    pub pages: Vec<String>,
    /// Narrow where a page goes: the first that fits.
    pub routes: Vec<Route>,
    /// Who tells that a record was accepted, where a change waits for that.
    pub required: Option<Acceptance>,
}

impl Destinations {
    /// What hands a page to where it goes.
    fn sends(&self, page: &Page) -> Vec<Write> {
        let payload = serde_json::to_value(page).expect("a page is plain data with text keys");
        self.of_page(page)
            .iter()
            .map(|destination| Write::Send { destination: destination.clone(), payload: payload.clone() })
            .collect()
    }

    /// What hands the latest record to where records go.
    fn ships(&self) -> impl Iterator<Item = Write> {
        self.records.iter().map(|destination| Write::Ship { destination: destination.clone() })
    }

    /// Where a page goes. One about the controller itself has no action and no rule, and goes everywhere.
    fn of_page(&self, page: &Page) -> &[String] {
        let detail = |key: &str| page.details.get(key).and_then(Value::as_str);
        let fits = |wanted: &Option<String>, key: &str| wanted.as_deref().is_none_or(|text| detail(key) == Some(text));
        let route = self.routes.iter().find(|route| fits(&route.action, "action") && fits(&route.rule, "rule"));
        route.map_or(&self.pages, |route| &route.to)
    }
}

/// Everything the pipeline works with; handed in whole.
pub struct Parts {
    pub rules: Rules,
    pub gate: Gate,
    pub journal: Journal,
    pub ambient: Ambient,
    pub log: Log,
    pub metrics: Metrics,
    pub destinations: Destinations,
    /// How many alerts are worked on at once.
    pub concurrency: usize,
    /// Who is told what is done; nobody in production.
    pub observer: Option<Arc<dyn Observer>>,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Responder {
    inner: Arc<Inner>,
}

struct Inner {
    rules: ArcSwap<Rules>,
    gate: Gate,
    journal: Journal,
    ambient: Ambient,
    log: Log,
    metrics: Metrics,
    destinations: Destinations,
    observer: Option<Arc<dyn Observer>>,
    queue: Queue,
    budgets: Budgets,
    confirmations: Confirmations,
    duplicates: Duplicates,
    guesses: Guesses,
    /// Why the configuration on disk is not the one in force.
    config_problem: ArcSwapOption<String>,
    /// The last word on whether the cluster answers.
    cluster: Mutex<Result<(), String>>,
    /// The last word on what the cluster allows, as `/readyz` shows it.
    access: Mutex<Value>,
}

impl Responder {
    pub fn new(parts: Parts) -> Self {
        let Parts { rules, gate, journal, ambient, log, metrics, destinations, concurrency, observer } = parts;
        let (rules, queue) = (ArcSwap::from_pointee(rules), Queue::new(concurrency));
        Self {
            inner: Arc::new(Inner {
                rules,
                gate,
                journal,
                ambient,
                log,
                metrics,
                destinations,
                observer,
                queue,
                budgets: Budgets::default(),
                confirmations: Confirmations::default(),
                duplicates: Duplicates::default(),
                guesses: Guesses::default(),
                config_problem: ArcSwapOption::empty(),
                cluster: Mutex::new(Ok(())),
                access: Mutex::new("not asked yet".into()),
            }),
        }
    }

    /// What `/readyz` says of the permissions in the cluster from now on.
    pub fn note_access(&self, access: Value) {
        *self.inner.access.lock().unwrap_or_else(PoisonError::into_inner) = access;
    }

    /// Queues a page about the controller itself.
    ///
    /// # Errors
    /// When the journal takes no writes.
    pub async fn page(&self, page: &Page) -> Result<(), JournalError> {
        let sends = self.inner.sends(page);
        if sends.is_empty() { Ok(()) } else { self.inner.journal.commit(sends).await.map(|_| ()) }
    }
}

impl Inner {
    fn sends(&self, page: &Page) -> Vec<Write> {
        self.destinations.sends(page)
    }

    fn ships(&self) -> impl Iterator<Item = Write> {
        self.destinations.ships()
    }
}
