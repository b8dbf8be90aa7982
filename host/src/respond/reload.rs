//! Another configuration, another plugin, or the brake: put on record first, and then in force.

use serde_json::{Map, Value, json};

use super::record::{OPERATOR, fields, seconds};
use super::rules::Rules;
use super::{Responder, pages};
use crate::journal::{JournalError, LogType, Record, Write};
use crate::ship::Page;
use crate::telemetry::log::Level;

/// Something about the configuration that belongs on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// `start`, `reload`, `rejected`, `widening`, `brake`, `brake_off`, `token`; `plugin`, `plugin_rejected`,
    /// `plugin_mended`.
    pub change: &'static str,
    /// One line.
    pub detail: String,
    /// Further fields, in their order.
    pub more: Vec<(&'static str, Value)>,
}

impl Notice {
    pub fn new(change: &'static str, detail: impl Into<String>) -> Self {
        Self { change, detail: detail.into(), more: Vec::new() }
    }

    #[must_use]
    pub fn with(mut self, key: &'static str, value: Value) -> Self {
        self.more.push((key, value));
        self
    }
}

impl Responder {
    /// The rules in force.
    pub fn rules(&self) -> std::sync::Arc<Rules> {
        self.inner.rules.load_full()
    }

    /// What starts from now on follows these; what runs ends under those it started with.
    pub fn install(&self, rules: Rules) {
        self.inner.metrics.rules_without_plugin(rules.without_plugin().len());
        self.inner.metrics.plugins_unusable(rules.unusable.len());
        self.inner.rules.store(std::sync::Arc::new(rules));
    }

    /// The configuration on disk is not the one in force, and why; shown by `/readyz`.
    pub fn config_problem(&self, problem: Option<String>) {
        self.inner.config_problem.store(problem.map(std::sync::Arc::new));
    }

    /// Stops live action, or lets go of what an earlier call stopped. A `stop` file is not touched by it.
    pub fn brake(&self, why: Option<String>) {
        self.inner.gate.brake(why);
        self.show_brake();
    }

    /// Why live action is stopped by a file, whatever the configuration says.
    pub fn stopped_by_file(&self) -> Option<String> {
        self.inner.gate.stopped_by_file()
    }

    /// Why live action is stopped; also tells the metrics.
    pub fn show_brake(&self) -> Option<String> {
        let braked = self.inner.gate.braked();
        self.inner.metrics.brake(braked.is_some());
        braked
    }

    /// Puts notices on record and queues pages, all or none.
    ///
    /// # Errors
    /// When the journal takes no writes.
    pub async fn notice(&self, notices: &[Notice], pages: &[Page]) -> Result<(), JournalError> {
        self.put(notices, pages, Vec::new()).await
    }

    /// As [`Self::notice`], together with what is in force from then on, which the next start asks the journal for.
    ///
    /// # Errors
    /// When the journal takes no writes.
    pub async fn configured(&self, notices: &[Notice], pages: &[Page], in_force: String) -> Result<(), JournalError> {
        self.put(notices, pages, vec![Write::Configure { in_force }]).await
    }

    /// A page about the controller itself; `kind` tells one incident from another.
    pub fn about_ourselves(&self, kind: &str, summary: String, detail: &str, resolved: bool) -> Page {
        let (rules, now) = (self.inner.rules.load(), self.inner.ambient.now());
        Page { resolved, ..pages::about_ourselves(&rules.cluster_name, kind, summary, detail, now) }
    }

    async fn put(&self, notices: &[Notice], pages: &[Page], mut writes: Vec<Write>) -> Result<(), JournalError> {
        let inner = &self.inner;
        let rules = inner.rules.load();
        let (now, event_id) = (inner.ambient.now(), inner.ambient.uuid().to_string());
        let mut logged = Vec::new();
        for notice in notices {
            let mut body = fields([
                ("timestamp", json!(seconds(now))),
                ("operator", json!(OPERATOR)),
                ("event_id", json!(event_id)),
                ("change", json!(notice.change)),
                ("detail", json!(notice.detail)),
                ("cluster", json!(rules.cluster_name)),
            ]);
            body.extend(notice.more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
            logged.push(line(&body));
            let record = Record { log_type: LogType::Config, event_id: event_id.clone(), entry_id: None, body };
            writes.push(Write::Record(record));
            writes.extend(inner.ships());
        }
        writes.extend(pages.iter().flat_map(|page| inner.sends(page)));
        if writes.is_empty() {
            return Ok(());
        }
        inner.journal.commit(writes).await?;
        for (notice, fields) in notices.iter().zip(logged) {
            let level = match notice.change {
                "rejected" | "brake" => Level::Error,
                "start" | "reload" | "token" | "brake_off" | "plugin" | "plugin_mended" => Level::Info,
                _ => Level::Warn,
            };
            inner.log.line(level, &format!("configuration: {}: {}", notice.change, notice.detail), &fields);
        }
        Ok(())
    }
}

fn line(body: &Map<String, Value>) -> Map<String, Value> {
    let mut fields = fields([("log_type", LogType::Config.as_str().into())]);
    fields.extend(body.clone());
    for said in ["timestamp", "detail", "operator"] {
        fields.shift_remove(said);
    }
    fields
}
