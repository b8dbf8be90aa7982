//! Many alerts at once: accepted ones wait for a free place, and for the cluster when it does not answer.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore, watch};

use super::claims::Claims;
use super::pipeline::{Handled, Job};
use super::rules::Match;
use super::{Event, Inner, Responder, duplicates};
use crate::alert::Alert;
use crate::faults;
use crate::intake::{Inlet, Turned};
use crate::journal::{NewAlert, Write};
use crate::plugins::Unusable;
use crate::ship::Crowded;

/// Beyond this many alerts that wait, or this many bytes of memory for them, new ones are turned away; all are on disk as
/// well. An alert is 2 KiB as a rule, and may be 1 MiB, which takes much more once it is read.
const MOST_WAITING: usize = 10_000;
const MOST_BYTES: usize = 64 << 20;

/// How soon an alert looks again that is behind another one with the same action on the same object.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How many pods are looked at at once, after they were killed. A burst would else open a connection for each.
const LOOKS: usize = 2;

pub(super) struct Queue {
    places: Arc<Semaphore>,
    pub looks: Semaphore,
    /// Alerts and followers that are not done.
    open: AtomicUsize,
    /// What those alerts weigh.
    bytes: AtomicUsize,
    changed: Notify,
    stopping: watch::Sender<bool>,
    pub claims: Claims,
}

impl Queue {
    pub fn new(concurrency: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(concurrency.max(1))),
            looks: Semaphore::new(LOOKS),
            open: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            changed: Notify::new(),
            stopping: watch::Sender::new(false),
            claims: Claims::default(),
        }
    }

    /// Whether an alert that comes now has to wait for a place.
    pub fn is_full(&self) -> bool {
        self.places.available_permits() == 0
    }

    /// Set once nothing new is to be started.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }
}

/// Counts as work under way until dropped.
pub(super) struct Busy(Arc<Inner>, usize);

impl Drop for Busy {
    fn drop(&mut self) {
        let open = self.0.queue.open.fetch_sub(1, Ordering::AcqRel);
        self.0.metrics.queue(open.saturating_sub(1));
        self.0.queue.bytes.fetch_sub(self.1, Ordering::AcqRel);
        self.0.queue.changed.notify_waiters();
    }
}

impl Inner {
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        self.busy_with(0)
    }

    fn busy_with(self: &Arc<Self>, bytes: usize) -> Busy {
        let open = self.queue.open.fetch_add(1, Ordering::AcqRel);
        self.queue.bytes.fetch_add(bytes, Ordering::AcqRel);
        self.metrics.queue(open + 1);
        Busy(Arc::clone(self), bytes)
    }

    /// Runs an accepted alert in the background, as soon as there is a place.
    pub(super) fn enqueue(self: &Arc<Self>, mut job: Job) {
        let inner = Arc::clone(self);
        let busy = self.busy_with(job.event.alert.weight());
        tokio::spawn(async move {
            loop {
                let place = match job.place.take() {
                    Some(place) => place,
                    None => match Arc::clone(&inner.queue.places).acquire_owned().await {
                        Ok(place) => place,
                        Err(_closed) => break,
                    },
                };
                if inner.is_stopping() {
                    // It stays in the inbox, and the next start finds it there.
                    break;
                }
                let event = job.event.clone();
                // In a task of its own, so that a panic ends one alert's turn and leaves us here to say so.
                let turn = tokio::spawn({
                    let inner = Arc::clone(&inner);
                    async move {
                        let handled = inner.handle(&mut job).await;
                        (job, handled)
                    }
                });
                let turn = turn.await;
                drop(place);
                let wait = match turn {
                    Ok((_, Handled::Finished)) => {
                        if let Some(observer) = &inner.observer {
                            observer.finished();
                        }
                        break;
                    }
                    Ok((back, Handled::Later)) => {
                        job = back;
                        job.attempts += 1;
                        backoff(job.attempts)
                    }
                    Ok((back, Handled::Behind)) => {
                        job = back;
                        LOOK_AGAIN
                    }
                    Err(error) => {
                        // Else the program is on its way out, and the alert stays in the inbox.
                        if error.is_panic() {
                            inner.give_up_after_panic(event).await;
                        }
                        break;
                    }
                };
                let mut stopping = inner.queue.stopping.subscribe();
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    _ = stopping.wait_for(|stopping| *stopping) => break,
                }
            }
            drop(busy);
        });
    }

    /// Whether nothing new may be started.
    pub(super) fn is_stopping(&self) -> bool {
        *self.queue.stopping.borrow()
    }
}

/// 1, 2, 4 … 30 s.
fn backoff(attempts: u32) -> Duration {
    const LONGEST: u64 = 30;
    Duration::from_secs(1_u64.checked_shl(attempts.saturating_sub(1)).map_or(LONGEST, |seconds| seconds.min(LONGEST)))
}

impl Responder {
    /// Starts nothing new, and waits for what runs; what has not started stays in the inbox. False when `within` was
    /// not enough.
    pub async fn drain(&self, within: Duration) -> bool {
        let queue = &self.inner.queue;
        queue.stopping.send_replace(true);
        queue.places.close();
        tokio::time::timeout(within, self.idle()).await.is_ok()
    }

    /// Tells what can wait whether alerts do.
    pub fn crowded(&self) -> Crowded {
        let inner = Arc::clone(&self.inner);
        Arc::new(move || inner.queue.is_full())
    }

    /// Waits until nothing is under way any more.
    pub async fn idle(&self) {
        let queue = &self.inner.queue;
        loop {
            let changed = queue.changed.notified();
            if queue.open.load(Ordering::Acquire) == 0 {
                return;
            }
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(Duration::from_millis(50)) => {}
            }
        }
    }

    /// What would become of an alert now.
    pub fn find(&self, alert: &Alert) -> Match {
        self.inner.rules.load().find(alert)
    }

    async fn accept(&self, alert: Alert, received_at: Timestamp) -> Result<(), Turned> {
        let inner = &self.inner;
        let rules = inner.rules.load_full();
        let rule = match rules.find(&alert) {
            Match::Wanted(rule) => rule,
            Match::Unwanted(why) => {
                inner.metrics.alert(why);
                return Ok(());
            }
        };
        if inner.duplicates.knows(&alert, received_at) {
            inner.metrics.alert("duplicate");
            return Ok(());
        }
        if inner.queue.open.load(Ordering::Acquire) >= MOST_WAITING
            || inner.queue.bytes.load(Ordering::Acquire) >= MOST_BYTES
        {
            inner.metrics.alert("overloaded");
            return Err(Turned("too many alerts are waiting".to_owned()));
        }
        let event = Event { id: inner.ambient.uuid().to_string(), alert: Arc::new(alert), received_at };
        let new = NewAlert {
            event_id: event.id.clone(),
            alert_uuid: event.alert.uuid.clone(),
            fingerprint: duplicates::fingerprint(&event.alert),
            received_at,
            body: Arc::clone(event.alert.raw()),
        };
        if faults::is("answer_before_commit") {
            let (inner, event) = (Arc::clone(inner), event.clone());
            tokio::spawn(async move {
                if inner.journal.commit(vec![Write::Accept(new)]).await.is_ok() {
                    inner.enqueue(Job::new(event, 0));
                }
            });
            return Ok(());
        }
        // Where there is a place for it now. Nothing comes of what is read unless the alert is taken.
        let place = Arc::clone(&inner.queue.places).try_acquire_owned().ok();
        let begun = place.map(|place| (place, inner.begin(&event, &rules, &rule)));
        match inner.journal.commit(vec![Write::Accept(new)]).await {
            Ok(committed) if committed.duplicates > 0 => {
                inner.metrics.alert("duplicate");
                Ok(())
            }
            Ok(_) => {
                inner.duplicates.took(&event.alert, received_at);
                inner.metrics.alert("accepted");
                inner.enqueue(Job::new(event, 0).begun(begun));
                Ok(())
            }
            Err(error) => {
                inner.metrics.alert("journal_error");
                Err(Turned(error.to_string()))
            }
        }
    }
}

impl Inlet for Responder {
    fn offer(
        &self,
        alert: Alert,
        received_at: Timestamp,
    ) -> Pin<Box<dyn Future<Output = Result<(), Turned>> + Send + '_>> {
        Box::pin(self.accept(alert, received_at))
    }

    fn readiness(&self) -> (bool, Value) {
        let inner = &self.inner;
        let writes = inner.journal.takes_writes();
        let without: Vec<_> = inner
            .rules
            .load()
            .without_plugin()
            .into_iter()
            .map(|(rule, reason)| json!({"rule": rule, "reason": reason}))
            .collect();
        let unusable: Vec<_> = inner.rules.load().unusable.iter().map(unusable).collect();
        let cluster = match inner.cluster.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Ok(()) => json!("reachable"),
            Err(error) => json!(format!("unreachable: {error}")),
        };
        let access = inner.access.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let journal = match (writes, inner.journal.is_full()) {
            (true, _) => "takes writes",
            (false, true) => "is full and takes no new alerts",
            (false, false) => "takes no writes",
        };
        let config = json!({
            "sha256": inner.rules.load().config_sha256,
            "problem": inner.config_problem.load().as_deref(),
        });
        let body = json!({
            "ready": writes,
            "journal": journal,
            "rules_without_plugin": without,
            "plugins_unusable": unusable,
            "cluster": cluster,
            "config": config,
            "brake": inner.gate.braked(),
            "access": access,
        });
        (writes, body)
    }
}

fn unusable(file: &Unusable) -> Value {
    let Unusable { origin, name, reason, in_force, .. } = file;
    json!({"file": origin.to_string(), "plugin": name, "problem": reason, "in_force": in_force})
}
