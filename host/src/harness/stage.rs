//! The pipeline of production around a journal in a temporary directory and a clock that the alerts set. The harness
//! for authors plays one alert on a stage; the rehearsal of recorded alerts plays many on one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::seen::Seen;
pub use super::seen::Staged;
use crate::alert::Alert;
use crate::ambient::{Ambient, Clock};
use crate::cluster::{Reader, Writer};
use crate::config::Config;
use crate::intake::Inlet as _;
use crate::journal::Journal;
use crate::respond::rules::{Match, Rules};
use crate::respond::{Destinations, Parts, Responder};
use crate::safety::gate::Gate;
use crate::telemetry::log::{Format, Log};
use crate::telemetry::metrics::Metrics;

/// The time of the alert that is played; it stands still meanwhile.
pub struct StageClock(Mutex<Timestamp>);

impl StageClock {
    pub fn at(first: Timestamp) -> Arc<Self> {
        Arc::new(Self(Mutex::new(first)))
    }

    pub fn ambient(self: &Arc<Self>) -> Ambient {
        Ambient::with_clock(Arc::clone(self) as Arc<dyn Clock>)
    }

    pub fn set(&self, now: Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

impl Clock for StageClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A configuration as it can be played: the clock stands still, so waiting for a cluster that is away would never end.
pub fn standing_still(config: Config) -> Config {
    Config { max_recovery_age: Duration::ZERO, ..config }
}

#[derive(Debug, thiserror::Error)]
pub enum StageError {
    #[error("cannot set up a journal in a temporary directory: {0}")]
    Journal(String),
    #[error("the alert was not taken: {0}")]
    Turned(String),
}

pub struct Stage {
    responder: Responder,
    journal: Journal,
    clock: Arc<StageClock>,
    seen: Arc<Seen>,
    /// Removed with it.
    _directory: tempfile::TempDir,
}

impl Stage {
    /// `rules` come from a configuration that [stands still](standing_still).
    ///
    /// # Errors
    /// The temporary directory takes no journal.
    pub fn new(rules: Rules, (reader, writer): (Reader, Writer), clock: Arc<StageClock>) -> Result<Self, StageError> {
        let directory = tempfile::tempdir().map_err(|error| StageError::Journal(error.to_string()))?;
        let ambient = clock.ambient();
        let journal = Journal::open_scratch(&directory.path().join("journal.db"), &ambient)
            .map_err(|error| StageError::Journal(error.to_string()))?;
        let seen = Arc::new(Seen::default());
        let responder = Responder::new(Parts {
            rules,
            gate: Gate::new(reader, writer, ambient.clone(), None),
            journal: journal.clone(),
            ambient: ambient.clone(),
            // What it says line by line is said elsewhere in other words.
            log: Log::to(&ambient, Format::Json, std::io::sink()),
            metrics: Metrics::new(),
            destinations: Destinations::default(),
            concurrency: 1,
            observer: Some(Arc::clone(&seen) as _),
        });
        Ok(Self { responder, journal, clock, seen, _directory: directory })
    }

    /// Plays one alert until nothing more is begun for it. What was killed is not followed to its end.
    ///
    /// # Errors
    /// The journal did not take it.
    pub async fn play(&self, alert: Alert, received_at: Timestamp) -> Result<Staged, StageError> {
        if let Match::Unwanted(why) = self.responder.find(&alert) {
            return Ok(Staged::Unwanted(why));
        }
        self.clock.set(received_at);
        let finished = self.seen.begin();
        self.responder.offer(alert, received_at).await.map_err(|turned| StageError::Turned(turned.0))?;
        tokio::select! {
            () = finished.notified() => {}
            // An alert that is known already is never begun.
            () = self.responder.idle() => {}
        }
        Ok(self.seen.end())
    }

    pub async fn end(self) {
        self.journal.close().await;
    }
}
