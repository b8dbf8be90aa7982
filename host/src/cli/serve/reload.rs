//! A configuration, a token file, a directory of plugins or a `stop` file that is another one than before.
//!
//! A new configuration is validated whole, put on record, and swapped in at once. One that cannot be used changes
//! nothing, except that live action stops unless it says `dryrun: false`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, json};
use sha2::{Digest, Sha256};

use super::fetch::Fetcher;
use super::last;
use super::load::Loaded;
use crate::cli::{artifacts, settings};
use crate::config::diff::{self, Change};
use crate::config::watch::{Seen, Watched};
use crate::config::{self, Brake, Config};
use crate::intake::Intake;
use crate::journal::JournalError;
use crate::plugins::engine::Engine;
use crate::redact::Key;
use crate::respond::{Notice, Responder, record};
use crate::telemetry::log::{Level, Log};
use crate::telemetry::metrics::Metrics;

const EVERY: Duration = Duration::from_secs(1);
/// What is being written is looked at again before it is believed.
const SETTLES: Duration = Duration::from_millis(200);
const SETTLES_WITHIN: usize = 25;

/// Why live action is stopped while the configuration in force says so.
pub const DRY: &str = "the configuration says dryrun: true";

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
    /// What is in force.
    pub config: Config,
    /// Of the plugins: name → SHA-256.
    pub digests: BTreeMap<String, String>,
    /// The one that the program started with.
    pub redaction_key: Key,
    /// What that was made of.
    pub seen: Seen,
}

impl Reloader {
    /// Looks for as long as it is polled.
    pub async fn run(mut self) {
        // What changed while the program started.
        if self.seen.config.as_ref().is_ok_and(|bytes| crate::hex::hex(&Sha256::digest(bytes)) != self.config.sha256) {
            self.seen.config = Err(String::new());
        }
        if self.seen.stop {
            self.seen.stop = false;
        }
        loop {
            if let Some(seen) = self.look().await.filter(|seen| *seen != self.seen) {
                let settled = self.settled(seen).await;
                self.react(settled).await;
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn look(&self) -> Option<Seen> {
        let watched = self.flags.watched(&self.config);
        tokio::task::spawn_blocking(move || watched.look()).await.ok()
    }

    /// The same twice in a row. The file `stop` counts at every call anyway.
    async fn settled(&self, mut seen: Seen) -> Seen {
        for _ in 0..SETTLES_WITHIN {
            tokio::time::sleep(SETTLES).await;
            match self.look().await {
                Some(again) if again != seen => seen = again,
                _ => break,
            }
        }
        seen
    }

    /// What could not be put on record stays to be seen, and is tried again with the next look.
    async fn react(&mut self, seen: Seen) {
        if seen.stop != self.seen.stop {
            let why = self.responder.show_brake();
            let notice = match &why {
                Some(why) => Notice::new("brake", why.clone()),
                None => Notice::new("brake_off", "live action goes on"),
            };
            if self.recorded(&[notice], None).await {
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
        match settings::tokens(self.flags.token_file.as_deref(), &self.config) {
            Ok(tokens) => {
                self.intake.exchange_tokens(tokens.clone());
                self.recorded(&[Notice::new("token", format!("{tokens:?} count from now on"))], None).await
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
        let bytes = match &seen.config {
            Ok(bytes) => bytes,
            Err(why) => return self.reject(why, Some(Brake::Unparsable)).await,
        };
        let config = match Config::parse(&self.flags.config, bytes) {
            Ok(config) => config,
            Err(error) => return self.reject(&error.to_string(), config::brake(bytes)).await,
        };
        let brake = config.dryrun.then_some(Brake::Dry);
        let source = settings::plugins(self.flags.plugins.clone(), &config, &self.flags.journal);
        let mut source = match self.fetcher.source(source, &config).await {
            Ok(source) => source,
            Err(error) => return self.reject(&error.to_string(), brake).await,
        };
        // The engine's pool was made for it.
        source.limits.memory = usize::try_from(self.config.plugins.limits.memory).unwrap_or(usize::MAX);
        let rules = self.responder.rules();
        match Loaded::load(self.engine.clone(), source, &config, rules.cluster_name.clone()).await {
            Err(error) => self.reject(&error.to_string(), brake).await,
            Ok(loaded) => {
                let known = rules.without_plugin();
                let lost = loaded.rules.without_plugin();
                // A rule that had no plugin before is no reason to refuse everything else.
                let lost: Vec<_> =
                    lost.iter().filter(|(name, _)| !known.iter().any(|(rule, _)| rule == name)).collect();
                if lost.is_empty() {
                    return self.accept(config, bytes, loaded).await;
                }
                let words: Vec<_> = lost.iter().map(|(rule, why)| format!("rule {rule:?}: {why}")).collect();
                self.reject(&words.join("; "), brake).await
            }
        }
    }

    async fn accept(&mut self, config: Config, bytes: &[u8], loaded: Loaded) -> bool {
        let digests = loaded.digests();
        let mut changes = diff::changes(&self.config, &config);
        changes.extend(changed_plugins(&self.digests, &digests));
        let restart = diff::needs_restart(&self.config, &config);
        let dry = config.dryrun.then(|| DRY.to_owned());
        if dry.is_some() {
            // Not to wait for the record of it.
            self.responder.brake(dry.clone());
        }
        let notices = notices("reload", &self.config, &config, &changes, &restart);
        let recorded = self.responder.configured(&notices, last::in_force(bytes, &digests)).await;
        if !self.said(&notices, recorded) {
            return false;
        }
        loaded.report(&self.flags.config, &config, &self.log);
        let mut rules = loaded.rules;
        rules.redaction = rules.redaction.keyed(self.redaction_key.clone());
        self.responder.install(rules);
        self.responder.brake(dry);
        self.metrics.config_reload("accepted");
        if !restart.is_empty() {
            let message = format!("these keys count from the next start on: {}", restart.join(", "));
            self.log.line(Level::Warn, &message, &Map::new());
        }
        self.digests = digests;
        // What needs a restart is as it was.
        self.config =
            Config { plugins: config::Plugins { limits: self.limits_with(&config), ..config.plugins }, ..config };
        true
    }

    fn limits_with(&self, config: &Config) -> config::PluginLimits {
        config::PluginLimits { memory: self.config.plugins.limits.memory, ..config.plugins.limits }
    }

    async fn reject(&mut self, problem: &str, brake: Option<Brake>) -> bool {
        let problem = problem.lines().collect::<Vec<_>>().join("; ");
        let stops = match brake {
            Some(Brake::Unparsable) => Some(format!("the configuration cannot be read: {problem}")),
            Some(Brake::Dry) => Some("a configuration that was not taken does not say dryrun: false".to_owned()),
            None => None,
        };
        if stops.is_some() {
            self.responder.brake(stops.clone());
        }
        self.responder.config_problem(Some(problem.clone()));
        let summary = match &stops {
            Some(_) => "a changed configuration cannot be used, and live action is stopped until it can",
            None => "a changed configuration cannot be used; the one before it stays in force",
        };
        let mut notices = vec![Notice::new("rejected", problem).with("config_sha256", json!(self.config.sha256))];
        notices.extend(stops.map(|why| Notice::new("brake", why)));
        let page = (!self.config.dryrun).then(|| ("config_rejected", summary.to_owned()));
        let recorded = self.recorded(&notices, page).await;
        if recorded {
            self.metrics.config_reload("rejected");
        }
        recorded
    }

    async fn recorded(&self, notices: &[Notice], page: Option<(&str, String)>) -> bool {
        self.said(notices, self.responder.notice(notices, page).await)
    }

    fn said(&self, notices: &[Notice], result: Result<(), JournalError>) -> bool {
        if let Err(error) = &result {
            let changes: Vec<_> = notices.iter().map(|notice| notice.change).collect();
            let fields = record::fields([("changes", json!(changes))]);
            self.log.line(Level::Error, &format!("a change waits for the journal: {error}"), &fields);
        }
        result.is_ok()
    }
}

/// One for the change as a whole, and one for each thing that it widens.
pub(super) fn notices(
    change: &'static str,
    old: &Config,
    new: &Config,
    changes: &[Change],
    restart: &[&str],
) -> Vec<Notice> {
    let texts: Vec<_> = changes.iter().map(|change| change.text.as_str()).collect();
    let detail = if texts.is_empty() { "nothing that counts now".to_owned() } else { texts.join("; ") };
    let whole = Notice::new(change, detail)
        .with("config_sha256", json!(new.sha256))
        .with("config_sha256_before", json!(old.sha256))
        .with("needs_restart", json!(restart));
    let widening = changes.iter().filter_map(|change| {
        let notice = Notice::new("widening", change.text.clone()).with("widens", json!(change.widens?));
        Some(notice.with("config_sha256", json!(new.sha256)))
    });
    std::iter::once(whole).chain(widening).collect()
}

pub(super) fn changed_plugins(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Vec<Change> {
    let gone = old.keys().filter(|name| !new.contains_key(*name));
    let gone = gone.map(|name| Change { text: format!("plugins: - {name}"), widens: None });
    let changed = new.iter().filter_map(|(name, digest)| match old.get(name) {
        Some(before) if before == digest => None,
        Some(before) => {
            let text = format!("plugin {name}: {before} -> {digest}");
            Some(Change { text, widens: Some("plugin_changed") })
        }
        None => Some(Change { text: format!("plugins: + {name} {digest}"), widens: Some("plugin_added") }),
    });
    gone.chain(changed).collect()
}
