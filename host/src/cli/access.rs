//! While the controller runs: whether the cluster allows what the configuration needs, and no more.
//!
//! Asked once it is ready, again when other plugins need other permissions, and now and then, since Roles change. It keeps nothing from starting: what the cluster
//! refuses is recorded with each action, too.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::settings;
use crate::access::needs::Need;
use crate::access::review::{self, Review};
use crate::cluster::Reader;
use crate::respond::Responder;
use crate::respond::record::fields;
use crate::safety::policy::Policy;
use crate::telemetry::log::{Level, Log};
use crate::telemetry::metrics::Metrics;

const AGAIN: Duration = Duration::from_secs(600);
const AFTER_SILENCE: Duration = Duration::from_secs(30);

/// What the configuration and the plugins in force need.
pub struct Wanted {
    pub needs: Vec<Need>,
    pub policy: Arc<Policy>,
}

pub struct Watch {
    pub wanted: watch::Receiver<Wanted>,
    pub reader: Reader,
    pub log: Log,
    pub metrics: Metrics,
}

impl Watch {
    /// Asks for as long as it is polled, and tells what changed.
    pub async fn run(&self, responder: &Responder) {
        let own = settings::own_namespace();
        let mut known: Option<Review> = None;
        let mut silent = false;
        let mut wanted = self.wanted.clone();
        loop {
            let (needs, policy) = {
                let wanted = wanted.borrow_and_update();
                (wanted.needs.clone(), Arc::clone(&wanted.policy))
            };
            let wait = match review::review(&needs, &policy, &own, &self.reader.reviewer()).await {
                Ok(review) => {
                    silent = false;
                    if known.as_ref() != Some(&review) {
                        self.tell(&review, needs.len(), responder);
                        known = Some(review);
                    }
                    AGAIN
                }
                Err(error) => {
                    if !silent {
                        let message = format!("the cluster does not say what the controller may do: {error}");
                        self.log.line(Level::Warn, &message, &Map::new());
                        if known.is_none() {
                            responder.note_access(json!(format!("not answered: {error}")));
                        }
                    }
                    silent = true;
                    AFTER_SILENCE
                }
            };
            // Other plugins need other permissions. Nobody is left to say so while the program ends.
            let changed = async {
                if wanted.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = changed => {}
            }
        }
    }

    fn tell(&self, review: &Review, needed: usize, responder: &Responder) {
        self.metrics.permissions_missing(review.missing.len());
        responder.note_access(summary(review));
        for missing in &review.missing {
            let access = json!(missing.access.to_string());
            self.log.line(Level::Warn, &format!("the controller {missing}"), &fields([("missing", access)]));
        }
        for excess in &review.excess {
            self.log.line(Level::Warn, &format!("the controller {excess}"), &fields([("excess", json!(excess.what))]));
        }
        let (missing, excess) = (review.missing.len(), review.excess.len());
        let level = if missing == 0 { Level::Info } else { Level::Warn };
        let counts = fields([("needed", json!(needed)), ("missing", json!(missing)), ("excess", json!(excess))]);
        self.log.line(level, "permissions reviewed", &counts);
    }
}

/// What is too much is counted only: whoever reaches `/readyz` need not know what a break-in would be worth.
fn summary(review: &Review) -> Value {
    let missing: Vec<_> = review.missing.iter().map(|missing| missing.access.to_string()).collect();
    json!({"missing": missing, "excess": review.excess.len()})
}
