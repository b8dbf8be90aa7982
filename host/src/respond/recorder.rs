//! Intents and results of mutating calls, as records in the journal.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::Destinations;
use super::record::{fields, millis};
use crate::ambient::Ambient;
use crate::journal::{Journal, LogType, Record, Write};
use crate::redact::Redaction;
use crate::safety::run::{CallRecord, Identity, Intent, Recorded, Recorder};
use crate::ship::acceptance::{Acceptance, Expected};

pub struct JournalRecorder {
    journal: Journal,
    ambient: Ambient,
    /// Where records go, and who tells when they were accepted; none where the journal's word is enough.
    required: Option<(Vec<String>, Acceptance)>,
    /// What commands and the words of servers are kept as.
    redaction: Option<Redaction>,
    /// Live intents by their number, from before they are committed.
    expected: Mutex<HashMap<usize, Expected>>,
    /// What each intent says beside what it is.
    further: Map<String, Value>,
}

pub(super) fn intent_body(identity: &Identity, intent: &Intent) -> Map<String, Value> {
    fields([
        ("timestamp", json!(millis(intent.at))),
        ("event_id", json!(identity.event_id)),
        ("entry_id", json!(identity.entry_id)),
        ("action", json!(identity.action)),
        ("call", json!(intent.call)),
        ("verb", json!(intent.verb)),
        ("path", json!(intent.path)),
        ("uid", json!(intent.uid.as_ref().map(AsRef::<str>::as_ref))),
        ("name", json!(intent.name.as_ref().map(AsRef::<str>::as_ref))),
        ("dry_run", json!(intent.dry_run)),
        ("plugin_sha256", json!(identity.plugin_sha256)),
        ("owner", json!(intent.account.as_ref().map(|account| &account.described))),
        ("owner_key", json!(intent.account.as_ref().map(|account| &account.owner))),
        ("controlled", json!(intent.account.as_ref().map(|account| account.controlled))),
        ("namespace", json!(intent.account.as_ref().map(|account| &account.namespace))),
        ("counts", json!(intent.counts)),
    ])
}

pub(super) fn result_body(
    identity: &Identity,
    intent: &Intent,
    call: &CallRecord,
    now: Timestamp,
) -> Map<String, Value> {
    fields([
        ("timestamp", json!(millis(now))),
        ("event_id", json!(identity.event_id)),
        ("entry_id", json!(identity.entry_id)),
        ("action", json!(identity.action)),
        ("call", json!(intent.call)),
        ("effect", json!(call.effect.as_str())),
        ("detail", json!(call.detail)),
        ("attempts", json!(call.attempts)),
        ("sent_at", json!(call.sent_at.map(millis))),
    ])
}

impl JournalRecorder {
    pub fn new(journal: Journal, ambient: Ambient, destinations: &Destinations) -> Self {
        let required = destinations.required.clone().map(|acceptance| (destinations.records.clone(), acceptance));
        Self { journal, ambient, required, redaction: None, expected: Mutex::default(), further: Map::new() }
    }

    /// With this in every intent: what whoever takes up a run that was cut off has to know of it.
    #[must_use]
    pub fn telling(self, further: Map<String, Value>) -> Self {
        Self { further, ..self }
    }

    /// From now on secrets are taken out of commands and of what is said about calls.
    #[must_use]
    pub fn redacting(self, redaction: &Redaction) -> Self {
        Self { redaction: Some(redaction.clone()), ..self }
    }

    fn plain(&self, text: &str) -> String {
        self.redaction.as_ref().map_or_else(|| text.to_owned(), |redaction| redaction.text(text))
    }

    async fn write(
        &self,
        log_type: LogType,
        identity: &Identity,
        body: Map<String, Value>,
        to: &[String],
    ) -> Result<(), String> {
        let record =
            Record { log_type, event_id: identity.event_id.clone(), entry_id: Some(identity.entry_id.clone()), body };
        let mut writes = vec![Write::Record(record)];
        writes.extend(to.iter().map(|destination| Write::Ship { destination: destination.clone() }));
        self.journal.commit(writes).await.map(|_| ()).map_err(|error| error.to_string())
    }
}

impl Recorder for JournalRecorder {
    fn intent<'a>(&'a self, identity: &'a Identity, intent: &'a Intent) -> Recorded<'a> {
        let mut body = intent_body(identity, intent);
        body.extend(self.further.clone());
        if intent.verb == "http" {
            body.insert("path".to_owned(), json!(self.plain(&intent.path)));
        }
        if let Some(says) = &intent.says {
            body.insert("command".to_owned(), json!(self.plain(says)));
        }
        let to = match &self.required {
            Some((to, acceptance)) if !intent.dry_run => {
                let expected = acceptance.expect(&identity.entry_id, intent.call);
                self.expected.lock().unwrap_or_else(PoisonError::into_inner).insert(intent.call, expected);
                to.as_slice()
            }
            _ => &[],
        };
        Box::pin(self.write(LogType::Intent, identity, body, to))
    }

    fn accepted<'a>(&'a self, _identity: &'a Identity, intent: &'a Intent) -> Recorded<'a> {
        let expected = self.expected.lock().unwrap_or_else(PoisonError::into_inner).remove(&intent.call);
        Box::pin(async move {
            match expected {
                None => Ok(()),
                Some(expected) => {
                    expected.wait().await.then_some(()).ok_or_else(|| "nobody delivers any more".to_owned())
                }
            }
        })
    }

    fn result<'a>(&'a self, identity: &'a Identity, intent: &'a Intent, call: &'a CallRecord) -> Recorded<'a> {
        let mut body = result_body(identity, intent, call, self.ambient.now());
        body.insert("detail".to_owned(), json!(self.plain(&call.detail)));
        Box::pin(self.write(LogType::Result, identity, body, &[]))
    }

    fn has_room_for_evidence(&self, bytes: u64) -> bool {
        self.journal.has_room_for_evidence(bytes)
    }
}
