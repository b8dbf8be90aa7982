//! Where a lift is recorded: by the controller's own journal, or by a command beside it on the same file.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};

use super::super::Destinations;
use super::super::recorder::{JournalRecorder, intent_body, result_body};
use crate::ambient::Ambient;
use crate::journal::{Content, Journal, JournalError, LogType, Record, Store, Write};
use crate::safety::run::{CallRecord, Identity, Intent, Recorded, Recorder};

/// How often it is looked whether Graylog has taken an intent.
const LOOK: Duration = Duration::from_millis(50);
/// With so much before it an intent is not accepted in any case.
const MOST_WAITING: usize = 1000;

#[derive(Clone)]
pub enum Ledger {
    Journal(Journal),
    /// Of a command; every write is a transaction of its own.
    Store(Arc<Mutex<Store>>),
}

impl Ledger {
    pub fn store(store: Store) -> Self {
        Self::Store(Arc::new(Mutex::new(store)))
    }

    pub(super) async fn commit(&self, writes: Vec<Write>) -> Result<(), JournalError> {
        match self {
            Self::Journal(journal) => journal.commit(writes).await.map(|_| ()),
            Self::Store(store) => lock(store).commit(&[writes]).into_iter().try_for_each(|answer| answer.map(drop)),
        }
    }

    pub(super) fn recorder(
        &self,
        ambient: &Ambient,
        destinations: &Destinations,
        base: &Map<String, Value>,
    ) -> Arc<dyn Recorder> {
        let further = Map::from_iter([("lift".to_owned(), Value::Object(base.clone()))]);
        match self {
            Self::Journal(journal) => {
                Arc::new(JournalRecorder::new(journal.clone(), ambient.clone(), destinations).telling(further))
            }
            Self::Store(_) => Arc::new(Beside {
                ledger: self.clone(),
                ambient: ambient.clone(),
                required: if destinations.required.is_some() { destinations.records.clone() } else { Vec::new() },
                further,
            }),
        }
    }
}

/// A store is whole after a panic: what it had begun was rolled back.
fn lock(store: &Mutex<Store>) -> MutexGuard<'_, Store> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Records beside a running controller, which delivers what waits.
struct Beside {
    ledger: Ledger,
    ambient: Ambient,
    /// Who must have accepted an intent before its call is sent.
    required: Vec<String>,
    further: Map<String, Value>,
}

impl Beside {
    async fn write(&self, log_type: LogType, identity: &Identity, body: Map<String, Value>) -> Result<(), String> {
        let (event_id, entry_id) = (identity.event_id.clone(), Some(identity.entry_id.clone()));
        let mut writes = vec![Write::Record(Record { log_type, event_id, entry_id, body })];
        if log_type == LogType::Intent {
            writes.extend(self.required.iter().map(|to| Write::Ship { destination: to.clone() }));
        }
        self.ledger.commit(writes).await.map_err(|error| error.to_string())
    }

    fn waits(&self, destination: &str, entry_id: &str) -> Result<bool, String> {
        let Ledger::Store(store) = &self.ledger else { return Ok(false) };
        let waiting = lock(store).parcels(destination, MOST_WAITING).map_err(|error| error.to_string())?;
        let ours = |content: &Content| matches!(content, Content::Record { record, .. } if record.entry_id.as_deref() == Some(entry_id));
        Ok(waiting.len() == MOST_WAITING || waiting.iter().any(|parcel| ours(&parcel.content)))
    }
}

impl Recorder for Beside {
    fn intent<'a>(&'a self, identity: &'a Identity, intent: &'a Intent) -> Recorded<'a> {
        let mut body = intent_body(identity, intent);
        body.extend(self.further.clone());
        Box::pin(self.write(LogType::Intent, identity, body))
    }

    fn accepted<'a>(&'a self, identity: &'a Identity, _intent: &'a Intent) -> Recorded<'a> {
        Box::pin(async move {
            for destination in &self.required {
                while self.waits(destination, &identity.entry_id)? {
                    tokio::time::sleep(LOOK).await;
                }
            }
            Ok(())
        })
    }

    fn result<'a>(&'a self, identity: &'a Identity, intent: &'a Intent, call: &'a CallRecord) -> Recorded<'a> {
        Box::pin(self.write(LogType::Result, identity, result_body(identity, intent, call, self.ambient.now())))
    }
}
