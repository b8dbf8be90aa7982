//! The pipeline of production around a journal in a temporary file and a clock that the alerts set.
//!
//! That nothing live is sent is seen to twice: the configuration is dry before it is joined with the plugins, and the
//! writer refuses to send what is not.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use crate::alert::Alert;
use crate::ambient::{Ambient, Clock};
use crate::cli::Failure;
use crate::cluster::{Reader, Writer};
use crate::config::Config;
use crate::intake::Inlet as _;
use crate::journal::{Content, Journal, Record};
use crate::respond::rules::{Match, Rules};
use crate::respond::{Destinations, Parts, Responder};
use crate::safety::gate::Gate;
use crate::telemetry::log::{Format, Log};
use crate::telemetry::metrics::Metrics;

/// Where the records go that elsewhere go to Graylog.
const DESTINATION: &str = "replay";
/// More than one alert can leave.
const MOST_RECORDS: usize = 1000;

/// The time of the alert that is played.
pub struct ReplayClock(Mutex<Timestamp>);

impl ReplayClock {
    pub fn at(first: Timestamp) -> Arc<Self> {
        Arc::new(Self(Mutex::new(first)))
    }

    pub fn ambient(self: &Arc<Self>) -> Ambient {
        Ambient::with_clock(Arc::clone(self) as Arc<dyn Clock>)
    }

    fn set(&self, now: Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

impl Clock for ReplayClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The configuration as it is rehearsed.
pub fn dry(config: Config) -> Config {
    // The clock stands still while an alert is played, so waiting for a cluster that is away would never end.
    Config { dryrun: true, max_recovery_age: Duration::ZERO, ..config }
}

/// What became of one alert.
pub enum Played {
    /// The text is the metric's label.
    Unwanted(&'static str),
    /// An alert with its UUID came before.
    Duplicate,
    /// One for each action, in order.
    Records(Vec<Record>),
}

pub struct Rehearsal {
    responder: Responder,
    journal: Journal,
    clock: Arc<ReplayClock>,
    /// Removed with it.
    _directory: tempfile::TempDir,
}

impl Rehearsal {
    /// `rules` come from a configuration that is [`dry`].
    pub fn new(rules: Rules, (reader, writer): (Reader, Writer), clock: Arc<ReplayClock>) -> Result<Self, Failure> {
        let failed = |error: String| Failure::Runtime(format!("cannot set up a journal for the replay: {error}"));
        let directory = tempfile::tempdir().map_err(|error| failed(error.to_string()))?;
        let ambient = clock.ambient();
        let journal =
            Journal::open(&directory.path().join("journal.db"), &ambient).map_err(|error| failed(error.to_string()))?;
        let responder = Responder::new(Parts {
            rules,
            gate: Gate::new(reader, writer.only_dry_runs(), ambient.clone(), None),
            journal: journal.clone(),
            ambient: ambient.clone(),
            // What it says line by line is said here in other words.
            log: Log::to(&ambient, Format::Json, std::io::sink()),
            metrics: Metrics::new(),
            destinations: Destinations { records: vec![DESTINATION.to_owned()], ..Destinations::default() },
            concurrency: 1,
        });
        Ok(Self { responder, journal, clock, _directory: directory })
    }

    /// Plays one alert to its end, at its own time.
    pub async fn play(&self, alert: Alert) -> Result<Played, Failure> {
        if let Match::Unwanted(why) = self.responder.find(&alert) {
            return Ok(Played::Unwanted(why));
        }
        let time = alert.time;
        self.clock.set(time);
        self.responder.offer(alert, time).await.map_err(|turned| Failure::Runtime(turned.0))?;
        self.responder.idle().await;
        let failed = |error: crate::journal::JournalError| Failure::Runtime(error.to_string());
        let parcels = self.journal.parcels(DESTINATION, MOST_RECORDS).await.map_err(failed)?;
        let mut records = Vec::new();
        for parcel in parcels {
            self.journal.settle(parcel.id, None).await.map_err(failed)?;
            if let Content::Record { record, .. } = parcel.content {
                records.push(record);
            }
        }
        Ok(if records.is_empty() { Played::Duplicate } else { Played::Records(records) })
    }

    pub async fn end(self) {
        self.journal.close().await;
    }
}
