//! Running an action as the controller would, for its author: the pipeline, gate, journal and sandbox of production
//! around one action, with everything that it did told afterwards.
//!
//! [`Harness`] holds one compiled action and plays alerts with it, each on a stage of its own ([`stage`]): a journal in
//! a temporary directory, a clock that the alert sets, and an observer that collects. What was played is data
//! ([`Played`]); how it is shown to a person is [`crate::cli`]'s, and how it is compared with what a case file expects
//! [`case`]'s. Against a simulated cluster an action acts live on the simulation, unless it is asked not to; against any
//! other, [`Cluster`] hands out a writer that sends nothing but dry runs.

pub mod bench;
pub mod case;
pub mod difference;
pub mod merged;
pub mod played;
pub mod seen;
pub mod session;
pub mod setup;
pub mod stage;
#[cfg(test)]
mod tests;
pub mod yaml;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::alert::Alert;
use crate::cluster::connect::{ConnectError, connect, connect_simulated};
use crate::cluster::simulated::Simulation;
use crate::cluster::web::script::Script;
use crate::cluster::{ClusterSpec, Reader, Writer};
use crate::config::Config;
use crate::plugins::engine::Engine;
use crate::plugins::{Limits, LoadError, Plugin, Plugins};
use crate::respond::rules::Rules;
use difference::Difference;
pub use played::{Call, Line, Played, Ran, Verdict};
use stage::{Stage, StageClock, StageError};

/// Instances at once. Cases run one after the other; each takes one for its parameters and one for its run.
pub(crate) const SLOTS: u32 = 4;
/// What `plugins.limits.memory` can be in a case.
pub const MOST_MEMORY: usize = 1 << 30;
/// Longer than any grace period: what a run has deleted is gone by then.
const AFTERWARDS: SignedDuration = SignedDuration::from_hours(24);

#[derive(Debug, thiserror::Error)]
pub enum HarnessError {
    #[error(transparent)]
    Engine(#[from] LoadError),
    #[error("{}: {reason}", file.display())]
    Unusable { file: PathBuf, reason: String },
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The synthesized configuration and the action do not go together.
    #[error("{0}")]
    Rules(String),
}

/// One action, compiled.
pub struct Harness {
    plugins: Plugins,
    action: Arc<Plugin>,
}

/// The cluster that an action is let loose on: a simulation, or anything else, where nothing live is sent.
pub struct Cluster {
    reader: Reader,
    writer: Writer,
    simulation: Option<Simulation>,
    web: Script,
}

/// One alert and all that decides what becomes of it.
pub struct Setup {
    /// With one rule, named as the alert's; see [`setup::config`].
    pub config: Config,
    pub alert: Alert,
    /// What the clock shows while the action runs.
    pub received_at: Timestamp,
    pub cluster: Cluster,
}

impl Cluster {
    /// # Errors
    /// What describes the cluster cannot be read.
    pub async fn open(spec: &ClusterSpec, clock: &Arc<StageClock>) -> Result<Self, ConnectError> {
        if let ClusterSpec::Simulated(dir) = spec {
            let simulation = Simulation::load(dir, &clock.ambient())
                .map_err(|error| ConnectError::Simulated { dir: dir.clone(), message: error.to_string() })?;
            return Ok(Self::simulated(simulation));
        }
        Ok(Self::real(connect(spec, &clock.ambient()).await?))
    }

    pub fn simulated(simulation: Simulation) -> Self {
        Self::answered(simulation, Script::default())
    }

    /// As [`Self::simulated`], and servers outside answer as the script says.
    pub fn answered(simulation: Simulation, web: Script) -> Self {
        let (reader, writer) = connect_simulated(simulation.clone());
        Self { reader, writer: writer.web_scripted(web.clone()), simulation: Some(simulation), web }
    }

    /// A cluster that somebody uses, or the recording of one: from here on, only dry runs are sent to it.
    pub fn real((reader, writer): (Reader, Writer)) -> Self {
        let web = Script::default();
        Self { reader, writer: writer.only_dry_runs().web_scripted(web.clone()), simulation: None, web }
    }

    /// Whether an action may act live on it.
    pub fn is_simulated(&self) -> bool {
        self.simulation.is_some()
    }

    pub fn reader(&self) -> &Reader {
        &self.reader
    }
}

impl Harness {
    /// Compiles the component in `file`.
    ///
    /// # Errors
    /// It is no action that this controller could run, and why.
    pub fn load(file: &Path) -> Result<Self, HarnessError> {
        let limits = Limits { memory: MOST_MEMORY, ..Limits::default() };
        let plugins = Plugins::load_file(&Engine::new(SLOTS, MOST_MEMORY)?, file, limits)?;
        if let Some(unusable) = plugins.unusable.first() {
            return Err(HarnessError::Unusable { file: file.to_owned(), reason: unusable.reason.clone() });
        }
        let action = plugins.iter().next().map(Arc::clone);
        let action = action.expect("a file that is not unusable is an action");
        Ok(Self { plugins, action })
    }

    pub fn action(&self) -> &Plugin {
        &self.action
    }

    /// Plays one alert to its end, on a stage of its own.
    ///
    /// # Errors
    /// Nothing could be played; what goes wrong with the action itself is part of [`Played`].
    pub async fn play(&self, setup: Setup) -> Result<Played, HarnessError> {
        let Setup { config, alert, received_at, cluster } = setup;
        let Cluster { reader, writer, simulation, web } = cluster;
        let dry_run = config.dryrun || simulation.is_none();
        let config = Config { dryrun: dry_run, ..stage::standing_still(config) };
        let plugins = self.plugins.within(config.plugins.limits.into());
        // Within the limits that the run has: an action that cannot even check its parameters in them does not load.
        let action = plugins.get(&self.action.manifest.name).unwrap_or(&self.action);
        let parameters = config.rules.iter().flat_map(|rule| &rule.actions).map(|action| action.parameters.to_string());
        for parameters in parameters {
            if let Err(problems) = action.validate(&parameters).await {
                return Ok(Played::of(Verdict::InvalidParameters(problems), dry_run));
            }
        }
        let (rules, problems) = Rules::join(&config, &plugins, config.cluster_name.clone()).await;
        if let Some(problem) = problems.first() {
            return Err(HarnessError::Rules(problem.message.clone()));
        }
        let before = simulation.as_ref().map(Simulation::snapshot);
        let clock = StageClock::at(received_at);
        let stage = Stage::new(rules, (reader.clone(), writer), clock)?;
        let staged = stage.play(alert, received_at).await?;
        let mut played = Played::staged(staged, dry_run);
        if let Some(simulation) = &simulation {
            simulation.forget_faults();
        }
        let truly = before.zip(simulation).map(|(before, simulation)| {
            simulation.pass_time(AFTERWARDS);
            Difference::between(&before, &simulation.snapshot())
        });
        played.difference = match truly {
            Some(truly) if !dry_run => truly,
            truly => {
                played.changed_although_dry = truly.is_some_and(|truly| !truly.is_empty()) || !web.sent().is_empty();
                Difference::of_answers(played.calls(), &reader).await
            }
        };
        stage.end().await;
        Ok(played)
    }
}
