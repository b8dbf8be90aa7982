//! Actions that are functions of this program, for a simulation. They stand where a component would: beyond the host
//! functions, under the same timeout and limit of calls, with nothing but [`Outside`] to reach.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::manifest::Manifest;
use super::outside::{Gated, Outside};
use super::registry::signature::Keys;
use super::sandbox::Asked;
use super::{Code, End, Limits, Origin, Plugin, Plugins, Report};
use crate::cluster::Selection;
use crate::cluster::names::{ApiResource, ObjectRef};
use crate::safety::CallError;
use crate::safety::clearance::Cleared;
use crate::safety::gate::Change;

pub type Ending<'a> = Pin<Box<dyn Future<Output = End> + Send + 'a>>;

pub trait Action: Send + Sync {
    fn act<'a>(&'a self, host: &'a Host) -> Ending<'a>;
}

/// What the host functions offer, for one run.
pub struct Host {
    outside: Gated,
    pub event_id: String,
    pub rule: String,
    calls_left: AtomicU32,
    too_many: Notify,
    notes: Mutex<Vec<(String, String)>>,
}

impl Host {
    pub fn target(&self) -> Option<&Cleared> {
        self.outside.target()
    }

    pub async fn get(&self, object: &ObjectRef) -> Result<Value, CallError> {
        self.count().await;
        self.outside.get(object).await
    }

    pub async fn query(&self, resource: &ApiResource, selection: &Selection) -> Result<Vec<Value>, CallError> {
        self.count().await;
        self.outside.query(resource, selection).await
    }

    pub async fn change(&self, change: Change) -> Result<Value, CallError> {
        self.count().await;
        self.outside.change(change).await
    }

    pub fn note(&self, key: &str, value: &str) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.push((key.to_owned(), value.to_owned()));
    }

    /// The call that is one too many is never made, as if the guest had trapped in it.
    async fn count(&self) {
        if self.calls_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err() {
            self.too_many.notify_one();
            std::future::pending().await
        }
    }
}

pub(super) async fn run(
    plugin: &Plugin,
    action: &dyn Action,
    asked: Asked,
    outside: Gated,
    narrower: Option<Duration>,
) -> Report {
    let started = Instant::now();
    let host = Host {
        outside,
        event_id: asked.event_id,
        rule: asked.alert.rule.clone(),
        calls_left: AtomicU32::new(plugin.limits.calls),
        too_many: Notify::new(),
        notes: Mutex::default(),
    };
    let acting = async {
        tokio::select! {
            biased;
            end = action.act(&host) => end,
            () = host.too_many.notified() => End::CallLimit,
        }
    };
    let end = timeout(plugin.timeout(narrower), acting).await.unwrap_or(End::Timeout);
    let notes = host.notes.into_inner().unwrap_or_else(PoisonError::into_inner);
    Report { end, notes, attachments: Vec::new(), duration: started.elapsed(), peak_memory: 0 }
}

impl Plugins {
    /// Without files.
    pub fn native(actions: Vec<(Manifest, Arc<dyn Action>)>, limits: Limits) -> Self {
        let plugin = |(manifest, action): (Manifest, Arc<dyn Action>)| {
            let (origin, sha256) = (Origin::Elsewhere("this program".to_owned()), "0".repeat(64));
            (
                manifest.name.clone(),
                Arc::new(Plugin {
                    manifest,
                    origin,
                    sha256,
                    limits,
                    keys: Keys::default(),
                    code: Code::Native(action),
                }),
            )
        };
        Self { by_name: actions.into_iter().map(plugin).collect(), ..Self::default() }
    }
}
