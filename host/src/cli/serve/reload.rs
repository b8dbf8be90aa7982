//! A configuration, a token file, a directory of plugins or a `stop` file that is another one than before.
//!
//! A new configuration is validated whole, put on record, and swapped in at once. One that cannot be used changes
//! nothing, except that live action stops unless it says `dryrun: false`. Plugins come and go by themselves, under
//! whatever configuration is in force.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Map;
use sha2::{Digest, Sha256};

use super::fetch::{Fetch, Fetcher};
use super::force::braked;
use super::load::Loaded;
use super::plugins::Paged;
use crate::cli::access::Wanted;
use crate::cli::{Failure, artifacts, settings};
use crate::config::watch::{Seen, Watched};
use crate::config::{self, Brake, Config};
use crate::hex::hex;
use crate::intake::Intake;
use crate::plugins::Plugins;
use crate::plugins::engine::Engine;
use crate::redact::Key;
use crate::respond::{Notice, Responder};
use crate::telemetry::log::{Level, Log};
use crate::telemetry::metrics::Metrics;

const EVERY: Duration = Duration::from_secs(1);
/// What is being written is looked at again before it is believed.
const SETTLES: Duration = Duration::from_millis(200);
const SETTLES_WITHIN: usize = 25;

/// How many looks in a row must see the same plugins: a copy over a network pauses.
const PLUGINS_REST: usize = 5;
/// After how many rounds without rest somebody is told.
const RESTLESS: usize = 10;

/// Why live action is stopped until a configuration is loaded.
const TO_COME: &str = "a configuration that is about to be loaded does not say dryrun: false";

/// What the command line said, which beats every configuration.
#[derive(Clone)]
pub struct Flags {
    pub config: PathBuf,
    pub plugins: Option<PathBuf>,
    pub token_file: Option<PathBuf>,
    /// The one in use.
    pub journal: PathBuf,
}

impl Flags {
    pub fn watched(&self, config: &Config) -> Watched {
        let source = settings::plugins(self.plugins.clone(), config, &self.journal);
        Watched {
            config: self.config.clone(),
            token: settings::token_file(self.token_file.as_deref(), config),
            plugins: source.dir,
            fetched: source.cache_dir.map(|dir| artifacts::blobs(&dir)),
            keys: config.plugins.signed_by.clone(),
            stop: settings::stop_file(&self.config),
        }
    }
}

pub struct Reloader {
    pub flags: Flags,
    pub fetcher: Fetcher,
    pub responder: Responder,
    pub intake: Intake,
    pub engine: Engine,
    pub log: Log,
    pub metrics: Metrics,
    pub in_force: InForce,
    /// The one that the program started with.
    pub redaction_key: Key,
    /// What that was made of.
    pub seen: Seen,
    pub paged: Paged,
    /// Who asks the cluster for what is needed.
    pub wanted: tokio::sync::watch::Sender<Wanted>,
    pub refused: Refused,
    /// Live action is stopped for a configuration that was seen, and neither taken nor refused yet.
    pub brakes_early: bool,
}

/// What counts now.
pub struct InForce {
    pub config: Config,
    /// Its file; none where it is not known, since it was another one by then.
    pub bytes: Option<Vec<u8>>,
    pub plugins: Arc<Plugins>,
}

/// A configuration on disk that is not in force.
#[derive(Default)]
pub struct Refused {
    pub problem: Option<String>,
    /// It stops live action, and that is on record.
    pub brakes: bool,
}

impl Reloader {
    /// Looks for as long as it is polled.
    pub async fn run(mut self) {
        // What changed while the program started.
        if self.seen.config.as_ref().is_ok_and(|bytes| hex(&Sha256::digest(bytes)) != self.in_force.config.sha256) {
            self.forget_config();
        }
        if self.seen.stop {
            self.seen.stop = false;
        }
        let mut restless = 0;
        loop {
            if let Some(seen) = self.look().await.filter(|seen| *seen != self.seen) {
                let settled = self.settled(seen).await;
                restless = if settled.plugins_rest { 0 } else { restless + 1 };
                if restless == RESTLESS {
                    let dir = self.flags.watched(&self.in_force.config).plugins;
                    let message = format!("{} changes all the time, and is read once it rests", dir.display());
                    self.log.line(Level::Warn, &message, &Map::new());
                }
                self.react(settled.seen).await;
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Whatever is there is another configuration from now on.
    fn forget_config(&mut self) {
        self.seen.config = Err(String::new());
    }

    async fn look(&self) -> Option<Seen> {
        let watched = self.flags.watched(&self.in_force.config);
        tokio::task::spawn_blocking(move || watched.look()).await.ok()
    }

    /// The same for a while: what is being copied is not believed. The file `stop` counts at every call anyway, and a
    /// configuration that stops live action does so before the plugins are at rest.
    async fn settled(&mut self, mut seen: Seen) -> Settled {
        let (mut config_rests, mut plugins_rest) = (0, 0);
        for _ in 0..SETTLES_WITHIN {
            tokio::time::sleep(SETTLES).await;
            let Some(again) = self.look().await else { break };
            plugins_rest = if again.plugins == seen.plugins { plugins_rest + 1 } else { 0 };
            let same = (&again.config, &again.token, again.stop) == (&seen.config, &seen.token, seen.stop);
            config_rests = if same { config_rests + 1 } else { 0 };
            seen = again;
            if config_rests > 0 && (seen.plugins == self.seen.plugins || plugins_rest >= PLUGINS_REST) {
                return Settled { seen, plugins_rest: true };
            }
            if config_rests > 0 && seen.config != self.seen.config {
                self.brake_early(&seen);
            }
        }
        // A configuration does not wait for them longer.
        if seen.config == self.seen.config {
            seen.plugins.clone_from(&self.seen.plugins);
        }
        Settled { seen, plugins_rest: false }
    }

    /// Stops live action where this configuration will: it may take long until it is loaded.
    fn brake_early(&mut self, seen: &Seen) {
        let stops = seen.config.as_ref().map_or(Some(Brake::Unparsable), |bytes| config::brake(bytes));
        if stops.is_some() && !self.in_force.config.dryrun && !self.refused.brakes {
            self.responder.brake(Some(TO_COME.to_owned()));
            self.brakes_early = true;
            // Whatever it is by then, it is taken or refused, and the brake with it.
            self.forget_config();
        }
    }

    /// What could not be put on record stays to be seen, and is tried again with the next look.
    async fn react(&mut self, seen: Seen) {
        if seen.stop != self.seen.stop {
            let why = self.responder.show_brake();
            if self.recorded(&[braked(why)], &[]).await {
                self.seen.stop = seen.stop;
            }
        }
        if seen.token != self.seen.token && self.exchange_token().await {
            self.seen.token.clone_from(&seen.token);
        }
        if (seen.config != self.seen.config || seen.plugins != self.seen.plugins) && self.reload(&seen).await {
            self.seen.config = seen.config;
            self.seen.plugins = seen.plugins;
        }
    }

    async fn exchange_token(&self) -> bool {
        match settings::tokens(self.flags.token_file.as_deref(), &self.in_force.config) {
            Ok(tokens) => {
                self.intake.exchange_tokens(tokens.clone());
                self.recorded(&[Notice::new("token", format!("{tokens:?} count from now on"))], &[]).await
            }
            Err(error) => {
                let message = format!("the tokens stay as they were: {error}");
                self.log.line(Level::Error, &message, &Map::new());
                true
            }
        }
    }

    /// False: it is to be tried again.
    async fn reload(&mut self, seen: &Seen) -> bool {
        let is_new = seen.config != self.seen.config;
        let (problem, brake) = match self.attempt(seen, is_new).await {
            Attempt::Ended { recorded } => return recorded,
            Attempt::Refused { problem, brake } => (problem, brake),
        };
        let known = !is_new && self.refused.problem.as_deref() == Some(&problem);
        if !known && !self.reject(problem, brake).await {
            return false;
        }
        seen.plugins == self.seen.plugins || self.renew(&seen.config).await
    }

    /// Takes what is on disk, if it can be used.
    async fn attempt(&mut self, seen: &Seen, is_new: bool) -> Attempt {
        let refused = |problem: &str, brake| {
            let problem = problem.lines().collect::<Vec<_>>().join("; ");
            Attempt::Refused { problem, brake }
        };
        let bytes = match &seen.config {
            Ok(bytes) => bytes,
            Err(why) => return refused(why, Some(Brake::Unparsable)),
        };
        let config = match Config::parse(&self.flags.config, bytes) {
            Ok(config) => config,
            Err(error) => return refused(&error.to_string(), config::brake(bytes)),
        };
        let brake = config.dryrun.then_some(Brake::Dry);
        let same = config.sha256 == self.in_force.config.sha256;
        let loaded = match self.load(&config, same, Fetch::Start, &seen.config).await {
            Loading::Overtaken => return Attempt::Ended { recorded: false },
            Loading::Failed(error) => return refused(&error.to_string(), brake),
            Loading::Done(loaded) => *loaded,
        };
        // What the configuration in force takes away, since a key is another one by now, it does not leave in force.
        // Nor does another list of keys: who takes one away means that nothing signed by it acts any more.
        let revokes = config.plugins.signed_by != self.in_force.config.plugins.signed_by;
        let lost = if same || revokes { Vec::new() } else { loaded.lost(&self.responder.rules()) };
        if !lost.is_empty() {
            return refused(&lost.join("; "), brake);
        }
        let recorded = if same && !is_new { self.swap(loaded).await } else { self.accept(config, bytes, loaded).await };
        Attempt::Ended { recorded }
    }

    /// Another look at the plugins, under the configuration in force while the one on disk is refused.
    async fn renew(&mut self, on_disk: &Result<Vec<u8>, String>) -> bool {
        let config = self.in_force.config.clone();
        // What the other one lacks goes on being fetched.
        match self.load(&config, true, Fetch::Nothing, on_disk).await {
            Loading::Overtaken => false,
            Loading::Done(loaded) => self.swap(*loaded).await,
            Loading::Failed(error) => {
                self.log.line(Level::Error, &format!("the plugins stay as they are: {error}"), &Map::new());
                true
            }
        }
    }

    /// Fetching and compiling may take long: meanwhile it goes on looking whether the configuration on disk stops live
    /// action.
    async fn load(&mut self, config: &Config, same: bool, fetch: Fetch, on_disk: &Result<Vec<u8>, String>) -> Loading {
        let mut source = settings::plugins(self.flags.plugins.clone(), config, &self.flags.journal);
        // The engine's pool was made for it.
        source.limits.memory = usize::try_from(self.in_force.config.plugins.limits.memory).unwrap_or(usize::MAX);
        let (engine, before) = (self.engine.clone(), Arc::clone(&self.in_force.plugins));
        let (fetcher, cluster_name) = (self.fetcher.clone(), self.responder.rules().cluster_name.clone());
        let mut load = std::pin::pin!(async {
            let source = fetcher.source(source, config, fetch).await?;
            Loaded::load(engine, source, config, cluster_name, before, same).await
        });
        let mut stopped = false;
        loop {
            tokio::select! {
                loaded = &mut load => {
                    // What was loaded for a configuration that is no more must not let go what the next one stops.
                    let overtaken = stopped || self.look().await.is_none_or(|now| now.config != *on_disk);
                    return match loaded {
                        _ if overtaken => Loading::Overtaken,
                        Ok(loaded) => Loading::Done(Box::new(loaded)),
                        Err(error) => Loading::Failed(error),
                    };
                }
                () = tokio::time::sleep(EVERY) => {}
            }
            if let Some(now) = self.look().await.filter(|now| now.config != *on_disk) {
                tokio::time::sleep(SETTLES).await;
                if self.look().await.is_some_and(|again| again.config == now.config) {
                    self.brake_early(&now);
                    stopped |= self.brakes_early;
                }
            }
        }
    }
}

/// What was seen at last.
struct Settled {
    seen: Seen,
    plugins_rest: bool,
}

enum Attempt {
    /// It is in force if it was recorded; else it is to be tried again.
    Ended {
        recorded: bool,
    },
    Refused {
        problem: String,
        brake: Option<Brake>,
    },
}

enum Loading {
    Done(Box<Loaded>),
    Failed(Failure),
    /// The configuration on disk is another one by now.
    Overtaken,
}
