//! Intents and results of mutating calls, as records in the journal.

use serde_json::json;

use super::record::{fields, millis};
use crate::ambient::Ambient;
use crate::journal::{Journal, LogType, Record, Write};
use crate::safety::run::{CallRecord, Identity, Intent, Recorded, Recorder};

pub struct JournalRecorder {
    pub journal: Journal,
    pub ambient: Ambient,
}

impl JournalRecorder {
    async fn write(
        &self,
        log_type: LogType,
        identity: &Identity,
        body: serde_json::Map<String, serde_json::Value>,
    ) -> Result<(), String> {
        let record =
            Record { log_type, event_id: identity.event_id.clone(), entry_id: Some(identity.entry_id.clone()), body };
        self.journal.commit(vec![Write::Record(record)]).await.map(|_| ()).map_err(|error| error.to_string())
    }
}

impl Recorder for JournalRecorder {
    fn intent<'a>(&'a self, identity: &'a Identity, intent: &'a Intent) -> Recorded<'a> {
        let body = fields([
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
        ]);
        Box::pin(self.write(LogType::Intent, identity, body))
    }

    fn result<'a>(&'a self, identity: &'a Identity, intent: &'a Intent, call: &'a CallRecord) -> Recorded<'a> {
        let body = fields([
            ("timestamp", json!(millis(self.ambient.now()))),
            ("event_id", json!(identity.event_id)),
            ("entry_id", json!(identity.entry_id)),
            ("action", json!(identity.action)),
            ("call", json!(intent.call)),
            ("effect", json!(call.effect.as_str())),
            ("detail", json!(call.detail)),
            ("attempts", json!(call.attempts)),
            ("sent_at", json!(call.sent_at.map(millis))),
        ]);
        Box::pin(self.write(LogType::Result, identity, body))
    }
}
