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
            let answer = self.inner.gate.reader().reachable().await.map_err(|error| error.to_string());
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
            return 0;
        };
        if failures == 0 {
            inner.log.line(
                Level::Warn,
                &format!("the cluster does not answer; alerts wait in the inbox: {error}"),
                &nothing,
            );
        }
        let rules = inner.rules.load();
        if failures + 1 == PAGE_AFTER && !rules.dryrun {
            let summary = "the Kubernetes API does not answer the response controller; alerts wait".to_owned();
            let page = pages::about_ourselves(
                &rules.cluster_name,
                "cluster_unreachable",
                summary,
                &error,
                inner.ambient.now(),
            );
            if let Err(error) = self.page(&page).await {
                inner.log.line(Level::Error, &format!("a page cannot be queued: {error}"), &nothing);
            }
        }
        failures.saturating_add(1)
    }
}
