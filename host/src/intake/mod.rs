//! The HTTP side: who may post an alert, what counts as one, and whether this replica is ready. Knows no rules and no
//! plugins: it hands alerts to an [`Inlet`].
//!
//! Falcosidekick never sends an alert again, whatever the answer, and sends one at a time unless told otherwise. So an
//! answer comes soon, and only after the alert is safe: 2xx means that the inlet has it.

mod connection;
mod routes;
pub mod server;
mod throttle;
pub mod token;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::alert::Alert;
use crate::ambient::Ambient;
use crate::telemetry::log::Log;
use crate::telemetry::metrics::Metrics;

pub use routes::{admin, alerts};

/// Takes the alerts in.
pub trait Inlet: Send + Sync {
    /// Returns once the alert is on disk, or turned out to be wanted by no rule.
    fn offer(
        &self,
        alert: Alert,
        received_at: Timestamp,
    ) -> Pin<Box<dyn Future<Output = Result<(), Turned>> + Send + '_>>;

    /// Whether the journal takes writes and so on, and the JSON body of `/readyz`.
    fn readiness(&self) -> (bool, Value);
}

/// Why an alert could not be taken: 503.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turned(pub String);

pub type SharedInlet = Arc<dyn Inlet>;

/// What the routes share; cheap to clone.
#[derive(Clone)]
pub struct Intake {
    inner: Arc<Inner>,
}

struct Inner {
    inlet: SharedInlet,
    tokens: ArcSwap<token::Tokens>,
    ambient: Ambient,
    metrics: Metrics,
    refusals: throttle::Refusals,
    /// Alerts that the inlet has and has not answered for, also those whose sender was told 503 meanwhile.
    offers: Arc<Semaphore>,
    /// KiB of memory for what is being read, parsed and taken in.
    room: Arc<Semaphore>,
    stopping: AtomicBool,
}

impl Intake {
    /// Counts what never reaches the inlet (`unauthorized`, `too_large`, `malformed`) and an inlet that does not answer
    /// (`overloaded`); everything that it is offered, the inlet counts.
    pub fn new(inlet: SharedInlet, tokens: token::Tokens, ambient: &Ambient, log: &Log, metrics: &Metrics) -> Self {
        let inner = Inner {
            inlet,
            tokens: ArcSwap::from_pointee(tokens),
            ambient: ambient.clone(),
            metrics: metrics.clone(),
            refusals: throttle::Refusals::new(ambient, log),
            offers: Arc::new(Semaphore::new(routes::MAX_OFFERS)),
            room: Arc::new(Semaphore::new(routes::ROOM / routes::UNIT)),
            stopping: AtomicBool::new(false),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The tokens that count from now on.
    pub fn exchange_tokens(&self, tokens: token::Tokens) {
        self.inner.tokens.store(Arc::new(tokens));
    }

    /// From now on `/readyz` says 503, so that the Service sends no new connections here; alerts are still taken.
    pub fn begin_shutdown(&self) {
        self.inner.stopping.store(true, Ordering::Relaxed);
    }

    fn is_stopping(&self) -> bool {
        self.inner.stopping.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
