//! From a configuration to what runs: its rules, joined with the plugins they name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, json};

use crate::cli::{Failure, settings};
use crate::config::{Config, Problem, Warning};
use crate::plugins::engine::Engine;
use crate::plugins::{LoadError, Origin, Plugin, Plugins, Source};
use crate::respond::{record, rules::Rules};
use crate::telemetry::log::{Level, Log};

/// A configuration with its plugins.
pub struct Loaded {
    pub rules: Rules,
    /// What is wrong between the two: each such step is without a plugin.
    pub problems: Vec<Problem>,
    pub plugins: Arc<Plugins>,
    unpaged: Vec<Warning>,
    dir: PathBuf,
}

impl Loaded {
    /// Compiles what is not compiled yet, away from the threads that answer. Of what was in force until now, `before`, a
    /// version stays where what is there instead cannot be used, or is refused by the parameters of a rule. With `same`
    /// the configuration is the one in force: then a directory that cannot be read changes nothing.
    pub async fn load(
        engine: Engine,
        source: Source,
        config: &Config,
        cluster_name: String,
        before: Arc<Plugins>,
        same: bool,
    ) -> Result<Self, Failure> {
        let (known, looked_at) = (Arc::clone(&before), source.clone());
        let found = tokio::task::spawn_blocking(move || Plugins::renew(&engine, &looked_at, &known))
            .await
            .map_err(|error| Failure::Runtime(format!("loading plugins failed: {error}")))?;
        let mut plugins = match found {
            Err(error @ LoadError::Directory { .. }) if same => before.unseen(&source, &error),
            found => found.map_err(|error| Failure::Usage(error.to_string()))?,
        };
        let (mut rules, mut problems) = Rules::join(config, &plugins, cluster_name.clone()).await;
        let refused = refused(&rules, &plugins, &before).await;
        let mut taken_back = false;
        for (name, reason) in refused {
            taken_back |= plugins.take_back(&name, &reason, &before, &source);
        }
        if taken_back {
            (rules, problems) = Rules::join(config, &plugins, cluster_name).await;
        }
        let unpaged = settings::unpaged(config, &plugins);
        Ok(Self { rules, problems, plugins: Arc::new(plugins), unpaged, dir: source.dir })
    }

    /// Name → SHA-256.
    pub fn digests(&self) -> BTreeMap<String, String> {
        self.plugins.iter().map(|plugin| (plugin.manifest.name.clone(), plugin.sha256.clone())).collect()
    }

    /// The rules that have no plugin and did before, with the reason, where the configuration is to blame: not where a
    /// rule wants what it wanted before, and the file was removed.
    pub fn lost(&self, before: &Rules) -> Vec<String> {
        let known = before.without_plugin();
        let steps = self.rules.steps().into_iter();
        steps
            .filter_map(|(rule, step)| {
                let why = step.plugin.as_ref().err()?;
                // A rule that had no plugin before is no reason to refuse everything else.
                if known.iter().any(|(name, _)| name == rule) {
                    return None;
                }
                let wanted =
                    before.steps().into_iter().filter(|(name, old)| *name == rule && old.action == step.action);
                let mut wanted = wanted.filter_map(|(_, old)| old.plugin.as_ref().ok());
                (!wanted.any(|plugin| self.is_removed(plugin))).then(|| format!("rule {rule:?}: {why}"))
            })
            .collect()
    }

    /// Whether its file was in the directory, and is there no more.
    fn is_removed(&self, plugin: &Plugin) -> bool {
        let Origin::File(file) = &plugin.origin else { return false };
        let name = plugin.manifest.name.as_str();
        file.parent() == Some(&self.dir)
            && self.plugins.get(name).is_none()
            && !self.plugins.unusable.iter().any(|file| file.stands_for(name, &plugin.origin))
    }

    /// What there is to say of it beside what became another version than `before`.
    pub fn report(&self, path: &Path, config: &Config, before: &Plugins, log: &Log) {
        let place =
            |location: crate::config::Location| format!("{}:{}:{}", path.display(), location.line, location.column);
        for warning in config.warnings.iter().chain(&self.unpaged) {
            log.line(Level::Warn, &format!("{}: {}", place(warning.location), warning.message), &Map::new());
        }
        self.report_plugins(before, log);
        for problem in &self.problems {
            let message = format!("{}: {}; the rule will not act", place(problem.location), problem.message);
            log.line(Level::Error, &message, &Map::new());
        }
    }

    /// Says which plugins are loaded and were not before.
    pub fn report_plugins(&self, before: &Plugins, log: &Log) {
        for warning in &self.plugins.warnings {
            log.line(Level::Warn, warning, &Map::new());
        }
        let is_new = |name: &str, sha256: &str| before.get(name).is_none_or(|before| before.sha256 != sha256);
        for plugin in self.plugins.iter().filter(|plugin| is_new(&plugin.manifest.name, &plugin.sha256)) {
            let fields = record::fields([
                ("plugin", json!(plugin.manifest.name)),
                ("sha256", json!(plugin.sha256)),
                ("file", json!(plugin.origin.to_string())),
            ]);
            log.line(Level::Info, "plugin loaded", &fields);
        }
        for (rule, step) in self.rules.steps() {
            if let (Err(why), Some(lost)) = (&step.plugin, before.get(&step.action)) {
                let fields = record::fields([("rule", json!(rule)), ("plugin", json!(lost.manifest.name))]);
                log.line(Level::Warn, &format!("a rule does nothing from now on: {why}"), &fields);
            }
        }
    }
}

/// The actions of which a new version refuses parameters that the one before it takes, with what it says of them.
async fn refused(rules: &Rules, found: &Plugins, before: &Plugins) -> BTreeMap<String, String> {
    let mut refused = BTreeMap::<String, Vec<String>>::new();
    for (rule, step) in rules.steps() {
        let (Err(why), Some(new)) = (&step.plugin, found.get(&step.action)) else { continue };
        let Some(old) = before.get(&step.action).filter(|old| old.sha256 != new.sha256) else { continue };
        if old.validate(&step.parameters).await.is_ok() {
            refused.entry(step.action.clone()).or_default().push(format!("rule {rule:?}: {why}"));
        }
    }
    refused.into_iter().map(|(name, reasons)| (name, reasons.join("; "))).collect()
}

/// What records say: the simulation never passes for a cluster.
pub fn cluster_name(config: &Config, simulated: bool) -> String {
    if simulated { "simulated".to_owned() } else { config.cluster_name.clone() }
}

#[cfg(test)]
mod tests;
