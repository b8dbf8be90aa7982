//! The journal's disk: slow at times, full at times, and a place to die before and after each commit.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::pump;
use super::world::World;
use crate::journal::{Disk, JournalError, LogType, Write};

pub struct Slow {
    world: Arc<World>,
    /// Of the group that is being written.
    group: Mutex<Vec<Write>>,
}

impl Slow {
    pub fn new(world: &Arc<World>) -> Arc<Self> {
        Arc::new(Self { world: Arc::clone(world), group: Mutex::default() })
    }

    async fn write(&self, group: &[&Write]) -> Result<(), JournalError> {
        let world = &self.world;
        world.step(|| format!("disk < {}", words(group))).await;
        if world.is_rough() && world.dice.chance(world.scenario.weather.slow_disk) {
            tokio::time::sleep(world.dice.millis(1, 400)).await;
        } else {
            tokio::time::sleep(Duration::from_millis(world.dice.below(3))).await;
        }
        if world.is_rough() && world.dice.chance(world.scenario.weather.full_disk) {
            world.note(|| "disk: full".to_owned());
            self.lose(group);
            return Err(JournalError::Write("database or disk is full".to_owned()));
        }
        *self.group.lock().unwrap_or_else(PoisonError::into_inner) =
            group.iter().map(|write| (*write).clone()).collect();
        Ok(())
    }

    fn lose(&self, group: &[&Write]) {
        for write in group {
            if let Write::Record(record) = write
                && record.log_type == LogType::Result
            {
                let call = record.body.get("call").and_then(Value::as_u64).unwrap_or(u64::MAX);
                let entry = record.entry_id.clone().unwrap_or_default();
                self.world.state().notes.lost_results.push((entry, call));
            }
        }
    }

    async fn written(&self) {
        let mut announced = Vec::new();
        {
            let mut state = self.world.state();
            for write in self.group.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
                match write {
                    Write::Accept(alert) => {
                        let known = |other: &crate::journal::NewAlert| {
                            (alert.alert_uuid.is_some() && other.alert_uuid == alert.alert_uuid)
                                || (alert.fingerprint.is_some() && other.fingerprint == alert.fingerprint)
                        };
                        if !state.notes.accepted.iter().any(known) {
                            state.notes.accepted.push(alert);
                        }
                    }
                    Write::Record(record) if record.log_type == LogType::Intent => {
                        announced.extend(record.body.get("path").and_then(Value::as_str).map(str::to_owned));
                        state.notes.intents.push(record.body);
                    }
                    Write::Send { payload, .. } => state.notes.pages.push(payload),
                    _ => {}
                }
            }
        }
        for path in announced {
            pump::meddle(&self.world, &path);
        }
        self.world.step(|| "disk >".to_owned()).await;
    }
}

impl Disk for Slow {
    fn before<'a>(
        &'a self,
        group: &'a [&'a Write],
    ) -> Pin<Box<dyn Future<Output = Result<(), JournalError>> + Send + 'a>> {
        Box::pin(self.write(group))
    }

    fn after(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.written())
    }
}

fn words(group: &[&Write]) -> String {
    let word = |write: &&Write| match write {
        Write::Accept(alert) => format!("accept {}", alert.event_id),
        Write::Record(record) => {
            let text = |key: &str| record.body.get(key).and_then(Value::as_str).unwrap_or("").to_owned();
            let said = ["action", "verb", "effect", "outcome", "decision", "check", "followup", "path"].map(text);
            let said = said.iter().filter(|word| !word.is_empty()).cloned().collect::<Vec<_>>().join(" ");
            format!("{} of {}: {said}", record.log_type.as_str(), record.event_id)
        }
        Write::Ship { .. } => "ship".to_owned(),
        Write::Send { payload, .. } => format!("page {}", payload["dedup_key"].as_str().unwrap_or("")),
        Write::Attach { .. } => "attach".to_owned(),
        Write::Configure { .. } => "configure".to_owned(),
        Write::Due { entry_id, .. } => format!("due {entry_id}"),
        Write::Reminded { entry_id } => format!("reminded {entry_id}"),
        Write::Finish { event_id } => format!("finish {event_id}"),
    };
    if group.is_empty() { "settle".to_owned() } else { group.iter().map(word).collect::<Vec<_>>().join(", ") }
}
