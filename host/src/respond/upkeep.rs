//! What the controller looks after besides alerts: whether its journal has room, and annotations that are overdue.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::record::fields;
use super::{Inner, Responder, pages};
use crate::journal::{Due, JournalError, Write};
use crate::telemetry::log::Level;

const EVERY: Duration = Duration::from_secs(5);
/// How many overdue annotations are paged at once; the rest a moment later.
const PAGES: usize = 16;

impl Responder {
    /// Looks now and then, for as long as it is polled.
    pub async fn upkeep(&self) {
        let mut full = false;
        loop {
            full = self.inner.note_room(full).await;
            self.inner.note_overdue().await;
            tokio::time::sleep(EVERY).await;
        }
    }
}

impl Inner {
    /// Says once that the journal is full, and once that it has room again.
    async fn note_room(&self, before: bool) -> bool {
        let full = self.journal.is_full();
        let used = self.journal.used_bytes();
        self.metrics.journal(used, full);
        let figures = fields([("used_bytes", json!(used))]);
        if full && !before {
            let summary = "the response controller's journal is full: nothing is acted on until there is room";
            let detail = "raise audit.max_bytes, lower audit.keep, or let Graylog take what waits";
            self.log.line(Level::Error, &format!("{summary}; {detail}"), &figures);
            let rules = self.rules.load_full();
            if !rules.dryrun {
                let now = self.ambient.now();
                let page = pages::about_ourselves(&rules.cluster_name, "journal_full", summary.to_owned(), detail, now);
                self.queue_or_say(self.sends(&page)).await;
            }
        } else if before && !full {
            self.log.line(Level::Info, "the journal has room again; alerts are taken", &figures);
        }
        full
    }

    /// Pages each entry once that was not annotated in time.
    async fn note_overdue(&self) {
        let now = self.ambient.now();
        let (late, count) = match self.journal.overdue(now, PAGES).await {
            Ok(found) => found,
            Err(JournalError::Closed) => return,
            Err(error) => {
                let message = format!("it is not known which annotations are overdue: {error}");
                return self.log.line(Level::Error, &message, &Map::new());
            }
        };
        self.metrics.annotations_overdue(count);
        for due in late {
            self.page_overdue(&due, now).await;
        }
    }

    async fn page_overdue(&self, due: &Due, now: Timestamp) {
        let entry = match self.journal.entry(&due.entry_id).await {
            Ok(entry) => entry.unwrap_or_default(),
            Err(error) => {
                let message = format!("an overdue annotation cannot be paged: {error}");
                return self.log.line(Level::Error, &message, &Map::new());
            }
        };
        let rules = self.rules.load_full();
        let page = pages::annotation_overdue(&rules.cluster_name, &due.entry_id, due.by, &entry, now);
        let mut writes = self.sends(&page);
        writes.push(Write::Reminded { entry_id: due.entry_id.clone() });
        if self.queue_or_say(writes).await {
            let fields = ["event_id", "entry_id"]
                .into_iter()
                .filter_map(|key| Some((key.to_owned(), entry.get(key)?.clone())))
                .collect::<Map<String, Value>>();
            self.log.line(Level::Warn, &page.summary, &fields);
        }
    }

    async fn queue_or_say(&self, writes: Vec<Write>) -> bool {
        if writes.is_empty() {
            return true;
        }
        let queued = self.journal.commit(writes).await;
        if let Err(error) = &queued {
            self.log.line(Level::Error, &format!("a page cannot be queued: {error}"), &Map::new());
        }
        queued.is_ok()
    }
}
