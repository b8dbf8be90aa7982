//! Recorded alerts on a [`Stage`], one after the other, each at its own time.
//!
//! That nothing live is sent is seen to twice: the configuration is dry before it is joined with the plugins, and the
//! writer refuses to send what is not.

use std::sync::Arc;

use crate::alert::Alert;
use crate::cli::Failure;
use crate::cluster::{Reader, Writer};
use crate::config::Config;
use crate::harness::stage::{Stage, StageClock, StageError, Staged, standing_still};
use crate::journal::Record;
use crate::respond::rules::Rules;

/// The configuration as it is rehearsed.
pub fn dry(config: Config) -> Config {
    Config { dryrun: true, ..standing_still(config) }
}

/// What became of one alert.
pub enum Played {
    /// The text is the metric's label.
    Unwanted(&'static str),
    /// An alert with its UUID came before.
    Duplicate,
    /// One for each action, in order.
    Records(Vec<Record>),
}

pub struct Rehearsal(Stage);

impl Rehearsal {
    /// `rules` come from a configuration that is [`dry`].
    pub fn new(rules: Rules, (reader, writer): (Reader, Writer), clock: Arc<StageClock>) -> Result<Self, Failure> {
        Ok(Self(Stage::new(rules, (reader, writer.only_dry_runs()), clock)?))
    }

    /// Plays one alert to its end, at its own time.
    pub async fn play(&self, alert: Alert) -> Result<Played, Failure> {
        let time = alert.time;
        Ok(match self.0.play(alert, time).await? {
            Staged::Unwanted(why) => Played::Unwanted(why),
            Staged::Duplicate => Played::Duplicate,
            Staged::Seen(collected) => Played::Records(collected.records),
        })
    }

    pub async fn end(self) {
        self.0.end().await;
    }
}

impl From<StageError> for Failure {
    fn from(error: StageError) -> Self {
        Self::Runtime(error.to_string())
    }
}
