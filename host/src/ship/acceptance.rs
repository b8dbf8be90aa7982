//! Those who wait until a destination has accepted a certain record: with `audit.require: graylog`, an action waits for
//! its intent.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::{Notify, oneshot};

use crate::journal::{Content, LogType, Parcel};

/// An intent: its entry, and its number within the run.
type Key = (String, u64);

/// Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub struct Acceptance {
    waiting: Arc<Mutex<HashMap<Key, oneshot::Sender<()>>>>,
    wanted: Arc<Notify>,
}

/// Dropping it is to stop waiting.
pub struct Expected {
    acceptance: Acceptance,
    key: Key,
    accepted: oneshot::Receiver<()>,
}

impl Acceptance {
    /// To be called before the intent is committed: its acceptance may come before the commit's answer.
    pub fn expect(&self, entry_id: &str, call: usize) -> Expected {
        let key = (entry_id.to_owned(), call as u64);
        let (accept, accepted) = oneshot::channel();
        self.lock().insert(key.clone(), accept);
        Expected { acceptance: self.clone(), key, accepted }
    }

    /// The destination has taken `parcel`.
    pub fn note(&self, parcel: &Parcel) {
        let Some(key) = key(parcel) else { return };
        if let Some(accept) = self.lock().remove(&key) {
            // Whoever waited may have stopped.
            let _ = accept.send(());
        }
    }

    /// Woken when somebody begins to wait: a destination that was away is worth a try before its pause is over.
    pub fn wanted(&self) -> &Notify {
        &self.wanted
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, oneshot::Sender<()>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Expected {
    /// Whether it was accepted; false when that cannot come any more.
    pub async fn wait(mut self) -> bool {
        self.acceptance.wanted.notify_waiters();
        (&mut self.accepted).await.is_ok()
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.acceptance.lock().remove(&self.key);
    }
}

fn key(parcel: &Parcel) -> Option<Key> {
    match &parcel.content {
        Content::Record { record, .. } if record.log_type == LogType::Intent => {
            Some((record.entry_id.clone()?, record.body.get("call").and_then(Value::as_u64)?))
        }
        _ => None,
    }
}
