//! After a kill: a DELETE that was accepted is not yet a pod that is gone.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::record::About;
use super::rules::{Rule, Rules};
use super::{Event, Inner, pages};
use crate::cluster::names::ObjectRef;
use crate::cluster::uid_str;
use crate::journal::Write;
use crate::safety::clearance::Cleared;
use crate::safety::run::CallRecord;
use crate::telemetry::log::Level;

/// A pod that is still there after this is reported and paged.
const GONE_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// While every place is taken, kills come first and looks wait: up to this long after the kill.
const GIVES_WAY: Duration = Duration::from_secs(2);

/// At least this long is looked, also when a restart has used up the time.
const LOOK_AT_LEAST: Duration = Duration::from_secs(5);

/// What the follower keeps of the run.
pub(super) struct Followed {
    pub event: Event,
    pub rules: Arc<Rules>,
    pub rule: Arc<Rule>,
    pub action: String,
    /// With the UID of what was killed.
    pub pod: ObjectRef,
    pub node: Option<String>,
    pub entry: Map<String, Value>,
    /// When the kill was sent, as far as that is known.
    pub since: Timestamp,
}

impl Inner {
    /// Follows the pod in the background; [`super::Responder::drain`] waits for it.
    pub(super) fn follow(
        self: &Arc<Self>,
        about: &About<'_>,
        target: Option<&Cleared>,
        kill: &CallRecord,
        entry: Map<String, Value>,
    ) {
        let Some(target) = target else { return };
        let followed = Followed {
            event: about.event.clone(),
            rules: Arc::clone(about.rules),
            rule: Arc::clone(about.rule),
            action: about.action.to_owned(),
            pod: ObjectRef { uid: kill.uid.clone(), ..target.object.clone() },
            node: target.manifest.pointer("/spec/nodeName").and_then(Value::as_str).map(str::to_owned),
            entry,
            since: self.ambient.now(),
        };
        self.follow_on(followed);
    }

    pub(super) fn follow_on(self: &Arc<Self>, followed: Followed) {
        let inner = Arc::clone(self);
        let busy = self.busy();
        tokio::spawn(async move {
            inner.follow_to_the_end(&followed).await;
            drop(busy);
        });
    }

    async fn follow_to_the_end(&self, followed: &Followed) {
        let used_up = Duration::try_from(self.ambient.now().duration_since(followed.since)).unwrap_or_default();
        let begun = tokio::time::Instant::now();
        let deadline = begun + GONE_WITHIN.saturating_sub(used_up).max(LOOK_AT_LEAST);
        let mut last_error = None;
        let mut wait = LOOK_EVERY / 5;
        let gone = loop {
            tokio::time::sleep(wait).await;
            while self.queue.is_full() && begun.elapsed() < GIVES_WAY {
                tokio::time::sleep(LOOK_EVERY / 5).await;
            }
            wait = LOOK_EVERY;
            let look = self.queue.looks.acquire().await;
            let found = self.gate.reader().get(&followed.pod).await;
            drop(look);
            match found {
                Err(error) if error.is_not_found() => break true,
                Ok(found) if uid_str(&found) != followed.pod.uid.as_ref().map(AsRef::<str>::as_ref) => break true,
                Ok(_) => last_error = None,
                Err(error) => last_error = Some(error.to_string()),
            }
            if tokio::time::Instant::now() >= deadline {
                break false;
            }
        };
        let waited = self.ambient.now().duration_since(followed.since);
        let about = About {
            event: &followed.event,
            rules: &followed.rules,
            rule: &followed.rule,
            action: &followed.action,
            dry_run: false,
        };
        self.record_end(&about, followed, gone, waited, last_error).await;
    }

    async fn record_end(
        &self,
        about: &About<'_>,
        followed: &Followed,
        gone: bool,
        waited: SignedDuration,
        last_error: Option<String>,
    ) {
        let node = followed.node.as_deref();
        let detail = match (gone, last_error) {
            (true, _) => "the pod is gone".to_owned(),
            (false, None) => {
                format!("still there {} s after the DELETE was sent: the process may be alive", waited.as_secs())
            }
            (false, Some(error)) => format!("cannot be looked up: {error}"),
        };
        let now = self.ambient.now();
        let record =
            about.followup(&followed.entry, now, if gone { "gone" } else { "not_confirmed" }, waited, node, &detail);
        let mut fields = super::record::fields([("log_type", record.log_type.as_str().into())]);
        fields.extend(record.body.clone());
        fields.shift_remove("timestamp");
        let mut writes = vec![Write::Record(record)];
        writes.extend(self.ships());
        if !gone {
            writes.extend(self.sends(&pages::not_confirmed(about, node, &detail, now)));
        }
        self.persist(writes).await;
        let level = if gone { Level::Info } else { Level::Error };
        self.log.line(level, &format!("{}: {detail}", about.headline()), &fields);
    }
}
