//! After a kill: a DELETE that was accepted is not yet a pod that is gone.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use super::record::About;
use super::recover::no_longer;
use super::rules::{Match, Rule, Rules};
use super::{Event, Inner, pages};
use crate::alert::Alert;
use crate::cluster::names::{ApiResource, Namespace, ObjectName, ObjectRef, Uid};
use crate::journal::{JournalError, UnfinishedIntent, Unfollowed, Write};
use crate::safety::clearance::Cleared;
use crate::safety::run::CallRecord;
use crate::telemetry::log::Level;

/// A pod that is still there after this is reported and paged.
const GONE_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What the follower keeps of the run.
struct Followed {
    event: Event,
    rules: Arc<Rules>,
    rule: Arc<Rule>,
    action: String,
    pod: ObjectRef,
    node: Option<String>,
    entry: Map<String, Value>,
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
        };
        self.look_after(followed);
    }

    /// The kills that an earlier run did not look after to the end: it stopped, or it was cut off in the kill itself.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub(super) async fn follow_what_was_left(self: &Arc<Self>) -> Result<(), JournalError> {
        for left in self.journal.unfollowed().await? {
            if let Some(followed) = self.left_over(left) {
                self.look_after(followed);
            }
        }
        Ok(())
    }

    /// What is on record of a kill is enough to follow it: the alert itself is no longer kept.
    fn left_over(&self, left: Unfollowed) -> Option<Followed> {
        let Unfollowed { event_id, entry, intents } = left;
        let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or("");
        let pod = ObjectRef {
            resource: ApiResource::pods(),
            namespace: Some(Namespace::parse(text("namespace")).ok()?),
            name: ObjectName::parse(text("pod")).ok()?,
            uid: None,
        };
        let path = pod.path();
        let is_kill = |intent: &&UnfinishedIntent| {
            let of_intent = |key: &str| intent.intent.get(key).and_then(Value::as_str).unwrap_or("");
            let answered = intent.result.as_ref().and_then(|result| result.get("effect")).and_then(Value::as_str);
            matches!(of_intent("verb"), "delete" | "evict")
                && of_intent("path").strip_suffix("/eviction").unwrap_or(of_intent("path")) == path
                && matches!(answered, None | Some("changed" | "unknown"))
                && intent.intent.get("dry_run") == Some(&Value::Bool(false))
        };
        let uid = intents.iter().find(is_kill)?.intent.get("uid").and_then(Value::as_str)?;
        let pod = ObjectRef { uid: Some(Uid::parse(uid).ok()?), ..pod };
        let alert = json!({"rule": text("rule"), "priority": text("falco_priority"), "time": text("timestamp"),
            "output_fields": {"k8s.ns.name": text("namespace"), "k8s.pod.name": text("pod")}});
        let alert = Arc::new(Alert::parse(alert.to_string().as_bytes()).ok()?);
        let received_at = text("received_at").parse().ok()?;
        let rules = self.rules.load_full();
        let rule = match rules.find(&alert) {
            Match::Wanted(rule) => rule,
            Match::Unwanted(_) => Arc::new(no_longer(text("rule"))),
        };
        let event = Event { id: event_id, alert, received_at };
        Some(Followed { event, rules, rule, action: text("action").to_owned(), pod, node: None, entry })
    }

    fn look_after(self: &Arc<Self>, followed: Followed) {
        let inner = Arc::clone(self);
        let busy = self.busy();
        tokio::spawn(async move {
            inner.follow_to_the_end(followed).await;
            drop(busy);
        });
    }

    async fn follow_to_the_end(&self, mut followed: Followed) {
        let started = self.ambient.now();
        let deadline = tokio::time::Instant::now() + GONE_WITHIN;
        let mut last_error = None;
        let mut wait = LOOK_EVERY / 5;
        let gone = loop {
            tokio::time::sleep(wait).await;
            wait = LOOK_EVERY;
            match self.gate.reader().get(&followed.pod).await {
                Err(error) if error.is_not_found() => break true,
                Ok(found)
                    if found.pointer("/metadata/uid").and_then(Value::as_str)
                        != followed.pod.uid.as_ref().map(AsRef::<str>::as_ref) =>
                {
                    break true;
                }
                Ok(found) => {
                    last_error = None;
                    let node = found.pointer("/spec/nodeName").and_then(Value::as_str);
                    followed.node = followed.node.or_else(|| node.map(str::to_owned));
                }
                Err(error) => last_error = Some(error.to_string()),
            }
            if tokio::time::Instant::now() >= deadline {
                break false;
            }
        };
        let waited = self.ambient.now().duration_since(started);
        let about = About {
            event: &followed.event,
            rules: &followed.rules,
            rule: &followed.rule,
            action: &followed.action,
            dry_run: false,
        };
        self.record_end(&about, &followed, gone, waited, last_error).await;
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
