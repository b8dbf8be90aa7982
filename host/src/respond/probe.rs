//! Whether the cluster answers: asked now and then, shown in `/readyz` and the metrics, and paged when it does not.

use std::sync::PoisonError;
use std::time::Duration;

use super::{Responder, pages};
use crate::telemetry::log::Level;

const EVERY: Duration = Duration::from_secs(10);
/// Silence that is worth a page.
const PAGE_AFTER: u32 = 3;

impl Responder {
    /// Asks for as long as it is polled.
    pub async fn probe(&self) {
        let mut failures = 0;
        loop {
            let reader = self.inner.gate.reader();
            // As many at once as an alert needs connections, so that they are open when it comes: its pod and its owners are read together.
            let (answer, ..) = tokio::join!(reader.reachable(), reader.keep_open(), reader.keep_open());
            let answer = answer.map_err(|error| error.to_string());
            failures = self.note_cluster(answer, failures).await;
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn note_cluster(&self, answer: Result<(), String>, failures: u32) -> u32 {
        let inner = &self.inner;
        let nothing = serde_json::Map::new();
        inner.metrics.cluster_reachable(answer.is_ok());
        inner.cluster.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&answer);
        let Err(error) = answer else {
            if failures > 0 {
                inner.log.line(Level::Info, "the cluster answers again", &nothing);
            }
            if failures >= PAGE_AFTER {
                self.page_about_cluster("the Kubernetes API answers again", "", true).await;
            }
            return 0;
        };
        if failures == 0 {
            inner.log.line(
                Level::Warn,
                &format!("the cluster does not answer; alerts wait in the inbox: {error}"),
                &nothing,
            );
        }
        if failures + 1 == PAGE_AFTER {
            let summary = "the Kubernetes API does not answer the response controller; alerts wait";
            self.page_about_cluster(summary, &error, false).await;
        }
        failures.saturating_add(1)
    }

    async fn page_about_cluster(&self, summary: &str, detail: &str, resolved: bool) {
        let inner = &self.inner;
        let rules = inner.rules.load();
        if rules.dryrun {
            return;
        }
        let now = inner.ambient.now();
        let page = pages::about_ourselves(&rules.cluster_name, "cluster_unreachable", summary.to_owned(), detail, now);
        if let Err(error) = self.page(&crate::ship::Page { resolved, ..page }).await {
            let message = format!("a page cannot be queued: {error}");
            inner.log.line(Level::Error, &message, &serde_json::Map::new());
        }
    }
}
