//! Carries the outbox to its destinations: a task for each, so that one that is away holds back nobody else, and within
//! it strictly in order.
//!
//! A parcel leaves the outbox once its destination has taken it, or has refused it for good. It may arrive twice (the
//! program can stop between the answer and the note of it); it does not get lost.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower::ServiceExt;

use super::acceptance::Acceptance;
use super::channel::{Channel, EncodeError, Verdict};
use super::http::HttpClient;
use super::watch::{Said, Watch};
use crate::ambient::Ambient;
use crate::faults;
use crate::journal::{Journal, JournalError, Parcel, Settled};
use crate::telemetry::log::{Level, Log};
use crate::telemetry::metrics::Metrics;

/// How many parcels are read at once.
const LOAD: usize = 32;

/// How long records that were delivered wait for others before the journal notes it. What is delivered and not noted when the
/// program is killed is delivered again.
const NOTED_WITHIN: Duration = Duration::from_millis(100);

/// How often one parcel is written smaller and sent again at once.
const MOST_SHRUNK: u32 = 8;

/// How often a destination that stays away is mentioned.
const REMINDER: SignedDuration = SignedDuration::from_mins(5);

/// How soon it is looked again whether there is a place for an action.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

pub struct Shipper;

/// Everything deliveries work with; handed in whole.
pub struct Parts {
    pub journal: Journal,
    pub ambient: Ambient,
    /// For channels that have no client of their own.
    pub http: HttpClient,
    pub channels: Vec<Box<dyn Channel>>,
    pub log: Log,
    pub metrics: Metrics,
    pub crowded: Crowded,
}

/// Whether every place for an action is taken at the moment.
pub type Crowded = Arc<dyn Fn() -> bool + Send + Sync>;

/// The waiting times, apart from what a destination asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    shortest: Duration,
    longest: Duration,
    /// Between two rounds while more and more comes: a burst is work enough without its records being fetched one by one.
    /// The first one of a quiet time leaves at once, and so does a page.
    gather: Duration,
    /// How long records wait in all while every place for an action is taken: they are on disk, and kills come first.
    gives_way: Duration,
    /// In case a wake-up was missed, or another process wrote.
    poll: Duration,
    /// Between two questions what is stored.
    pub(super) ask: Duration,
    /// What was accepted and is not stored after this is sent again.
    pub(super) resend: Duration,
}

impl Pace {
    /// Doubles with each failure, half of it by chance, so that replicas do not come back all at once.
    fn pause(self, failures: u32, chance: u8) -> Duration {
        let doubled = self.shortest.saturating_mul(1 << failures.min(16));
        doubled.min(self.longest).mul_f64(0.5 + f64::from(chance) / 512.0).max(self.shortest)
    }
}

/// Graylog writes to its index every second or so, and after trouble of its own within minutes.
const PACE: Pace = Pace {
    shortest: Duration::from_secs(1),
    longest: Duration::from_secs(60),
    gather: Duration::from_millis(100),
    gives_way: Duration::from_secs(1),
    poll: Duration::from_secs(5),
    ask: Duration::from_secs(3),
    resend: Duration::from_secs(120),
};

impl Shipper {
    /// Starts a task for each channel.
    pub fn start(parts: Parts) -> ShipperHandle {
        Self::start_at(PACE, parts)
    }

    fn start_at(pace: Pace, parts: Parts) -> ShipperHandle {
        let Parts { journal, ambient, http, channels, log, metrics, crowded } = parts;
        let (stop, stopping) = watch::channel(false);
        let mut couriers = JoinSet::new();
        let watch = Watch {
            journal: journal.clone(),
            ambient: ambient.clone(),
            log: log.clone(),
            metrics: metrics.clone(),
            destinations: channels.iter().map(|channel| (channel.destination(), channel.pages())).collect(),
            every: pace.poll,
            said: Said::default(),
        };
        couriers.spawn(watch.run(stopping.clone()));
        for channel in channels {
            let searcher = channel.read_back().and_then(super::channel::ReadBack::client);
            let courier = Courier {
                pace,
                journal: journal.clone(),
                ambient: ambient.clone(),
                http: channel.client().unwrap_or_else(|| http.clone()),
                channel: Arc::from(channel),
                log: log.clone(),
                metrics: metrics.clone(),
                crowded: Arc::clone(&crowded),
                failures: 0,
                mentioned: None,
                searcher: searcher.unwrap_or_else(|| http.clone()),
                last: false,
                accepted: HashMap::new(),
                asked: None,
            };
            couriers.spawn(courier.run(stopping.clone()));
        }
        ShipperHandle { stop, couriers }
    }
}

/// Dropping it stops all deliveries at once; what was not delivered waits in the journal.
pub struct ShipperHandle {
    stop: watch::Sender<bool>,
    couriers: JoinSet<()>,
}

impl ShipperHandle {
    /// Tries everything that waits once more, however recently it failed, and stops; after `within` in any case.
    pub async fn flush_and_stop(mut self, within: Duration) {
        self.stop.send_replace(true);
        let all = async { while self.couriers.join_next().await.is_some() {} };
        // What is left over waits in the journal.
        let _ = tokio::time::timeout(within, all).await;
        self.couriers.shutdown().await;
    }
}

pub(super) struct Courier {
    pub(super) pace: Pace,
    pub(super) journal: Journal,
    pub(super) ambient: Ambient,
    pub(super) http: HttpClient,
    pub(super) channel: Arc<dyn Channel>,
    log: Log,
    pub(super) metrics: Metrics,
    crowded: Crowded,
    /// In a row.
    failures: u32,
    /// When the destination's trouble was last logged; none while there is none.
    mentioned: Option<Timestamp>,
    /// For questions what is stored.
    pub(super) searcher: HttpClient,
    /// Whether this is the last round.
    pub(super) last: bool,
    /// Parcels that were accepted and are not known to be stored, with the time of it.
    pub(super) accepted: HashMap<i64, Instant>,
    /// When the destination was last asked what it has stored.
    pub(super) asked: Option<Instant>,
}

/// What became of one parcel.
pub(super) enum Sent {
    Accepted,
    GivenUp,
    Failed(Round),
}

/// Why a round ended.
pub(super) enum Round {
    Empty,
    /// All is sent, and not all is known to be stored.
    Unconfirmed {
        ask_in: Duration,
    },
    Failed {
        after: Option<Duration>,
    },
    Closed,
}

impl Courier {
    async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        let shipped = self.journal.shipped();
        let (channel, nobody) = (Arc::clone(&self.channel), Notify::new());
        loop {
            // Listening before looking: what is committed in between wakes us.
            let woken = shipped.notified();
            tokio::pin!(woken);
            woken.as_mut().enable();
            let wanted = channel.acceptance().map_or(&nobody, Acceptance::wanted).notified();
            tokio::pin!(wanted);
            wanted.as_mut().enable();
            // Read before the round, which thus is the last one's first try after the order to stop.
            self.last = *stopping.borrow_and_update();
            let begun = Instant::now();
            let round = self.round().await;
            let (pause, new_work_wakes) = match round {
                Round::Closed => return,
                _ if self.last => return,
                Round::Empty => (self.pace.poll, true),
                Round::Unconfirmed { ask_in } => (ask_in, true),
                Round::Failed { after } => (self.pause(after), false),
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = woken, if new_work_wakes => {
                    tokio::select! {
                        () = self.gather(begun) => {}
                        _ = stopping.changed() => {}
                    }
                }
                // An action waits for this destination: it is worth a try before its time.
                () = wanted, if !new_work_wakes => {}
                // A handle that is gone has taken this task with it.
                _ = stopping.changed() => {}
            }
        }
    }

    /// Delivers until nothing waits or something fails.
    async fn round(&mut self) -> Round {
        let channel = Arc::clone(&self.channel);
        if let Some(read_back) = channel.read_back() {
            return self.confirmed_round(read_back).await;
        }
        loop {
            let parcels = match self.journal.parcels(self.channel.destination(), LOAD).await {
                Ok(parcels) => parcels,
                Err(error) => return self.journal_failed(&error),
            };
            if parcels.is_empty() {
                return Round::Empty;
            }
            let all = parcels.len() < LOAD;
            if let Err(round) = self.send_all(parcels).await {
                return round;
            }
            // What came since then has woken us. In the last round nobody would.
            if all && !self.last {
                return Round::Empty;
            }
        }
    }

    /// Sends them in their order, and notes the delivered ones together; a page at once, since nobody wants to be called twice.
    async fn send_all(&mut self, parcels: Vec<Parcel>) -> Result<(), Round> {
        let noted_within = if self.channel.pages() { Duration::ZERO } else { NOTED_WITHIN };
        let (mut delivered, mut since) = (Vec::new(), Instant::now());
        for parcel in parcels {
            let verdict = self.deliver(&parcel).await;
            if verdict != Verdict::Delivered {
                self.delivered(std::mem::take(&mut delivered)).await?;
            }
            match self.take(&parcel, verdict).await {
                Sent::Accepted => delivered.push(parcel.id),
                Sent::GivenUp => {}
                Sent::Failed(round) => return Err(round),
            }
            if since.elapsed() >= noted_within {
                self.delivered(std::mem::take(&mut delivered)).await?;
                since = Instant::now();
            }
        }
        self.delivered(delivered).await
    }

    /// Waits until a round that follows on the one that was begun then is worth it. Nobody waits for a record; but an action may,
    /// and a person for a page.
    async fn gather(&self, begun: Instant) {
        if self.channel.pages() || self.channel.acceptance().is_some() {
            return;
        }
        tokio::time::sleep_until(begun + self.pace.gather).await;
        while (self.crowded)() && begun.elapsed() < self.pace.gives_way {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Sends a parcel, and settles it only where the destination will never have it.
    pub(super) async fn send(&mut self, parcel: &Parcel) -> Sent {
        let verdict = self.deliver(parcel).await;
        self.take(parcel, verdict).await
    }

    async fn take(&mut self, parcel: &Parcel, verdict: Verdict) -> Sent {
        match verdict {
            Verdict::Delivered => {
                if let Some(acceptance) = self.channel.acceptance() {
                    acceptance.note(parcel);
                }
                Sent::Accepted
            }
            Verdict::Never { why } => match self.given_up(parcel.id, why).await {
                Ok(()) => Sent::GivenUp,
                Err(round) => Sent::Failed(round),
            },
            Verdict::Retry { after, why } => Sent::Failed(self.failed(after, &why)),
            // As of `deliver`; a channel that never stops shrinking is retried like any other.
            Verdict::Smaller { why } => Sent::Failed(self.failed(None, &why)),
        }
    }

    async fn deliver(&self, parcel: &Parcel) -> Verdict {
        let mut shrunk = 0;
        loop {
            let verdict = self.exchange(parcel).await;
            match &verdict {
                Verdict::Smaller { why } if shrunk < MOST_SHRUNK => {
                    shrunk += 1;
                    self.say(Level::Warn, why, &[]);
                }
                _ => return verdict,
            }
        }
    }

    async fn exchange(&self, parcel: &Parcel) -> Verdict {
        let request = match self.channel.encode(parcel) {
            Ok(request) => request,
            Err(EncodeError::Retry(why)) => return Verdict::Retry { after: None, why },
            Err(EncodeError::Never(why)) => return Verdict::Never { why },
        };
        faults::point("before:deliver");
        let answer = self.http.clone().oneshot(request).await;
        faults::point("after:deliver");
        match answer {
            Ok(response) => self.channel.judge(&response),
            Err(error) => Verdict::Retry { after: None, why: error.to_string() },
        }
    }

    /// Notes which parcels were delivered.
    pub(super) async fn delivered(&mut self, ids: Vec<i64>) -> Result<(), Round> {
        if ids.is_empty() {
            return Ok(());
        }
        let count = ids.len() as u64;
        let settled = ids.into_iter().map(|id| Settled { id, given_up: None }).collect();
        if let Err(error) = self.journal.settle(settled).await {
            return Err(self.journal_failed(&error));
        }
        self.metrics.deliveries(self.channel.destination(), "delivered", count);
        self.works();
        Ok(())
    }

    /// Notes that a parcel will never be delivered.
    async fn given_up(&mut self, id: i64, why: String) -> Result<(), Round> {
        let settled = Settled { id, given_up: Some(why.clone()) };
        if let Err(error) = self.journal.settle(vec![settled]).await {
            return Err(self.journal_failed(&error));
        }
        self.metrics.delivery(self.channel.destination(), "given_up");
        let fields = [("parcel", id.into()), ("error", why.into())];
        self.say(Level::Error, "delivery given up: the destination will not take it", &fields);
        self.works();
        Ok(())
    }

    pub(super) fn failed(&mut self, after: Option<Duration>, why: &str) -> Round {
        self.metrics.delivery(self.channel.destination(), "retried");
        self.trouble(why);
        Round::Failed { after }
    }

    fn works(&mut self) {
        self.failures = 0;
        if self.mentioned.take().is_some() {
            self.say(Level::Info, "delivery works again", &[]);
        }
    }

    pub(super) fn journal_failed(&mut self, error: &JournalError) -> Round {
        if matches!(error, JournalError::Closed) {
            return Round::Closed;
        }
        self.trouble(&error.to_string());
        Round::Failed { after: None }
    }

    fn trouble(&mut self, why: &str) {
        self.failures = self.failures.saturating_add(1);
        let now = self.ambient.now();
        if self.mentioned.is_none_or(|before| now.duration_since(before) >= REMINDER) {
            self.mentioned = Some(now);
            self.say(Level::Warn, "delivery fails; what waits is kept and tried again", &[("error", why.into())]);
        }
    }

    pub(super) fn say(&self, level: Level, message: &str, more: &[(&str, Value)]) {
        let mut fields = Map::new();
        fields.insert("destination".to_owned(), self.channel.destination().into());
        fields.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        self.log.line(level, message, &fields);
    }

    fn pause(&self, asked_for: Option<Duration>) -> Duration {
        let mut chance = [0; 1];
        self.ambient.fill(&mut chance);
        let pause = self.pace.pause(self.failures, chance[0]);
        asked_for.map_or(pause, |asked_for| asked_for.max(pause))
    }
}

#[cfg(test)]
mod tests;
