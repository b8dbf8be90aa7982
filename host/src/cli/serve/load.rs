//! From a configuration to what runs: its rules, joined with the plugins they name.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, json};

use crate::cli::{Failure, settings};
use crate::config::{Config, Problem, Warning};
use crate::plugins::engine::Engine;
use crate::plugins::{Plugins, Source};
use crate::respond::{record, rules::Rules};
use crate::telemetry::log::{Level, Log};

/// A configuration with its plugins.
pub struct Loaded {
    pub rules: Rules,
    /// What is wrong between the two: each such step is without a plugin.
    pub problems: Vec<Problem>,
    pub plugins: Plugins,
    unpaged: Vec<Warning>,
}

impl Loaded {
    /// Compiles what is not compiled yet, away from the threads that answer.
    pub async fn load(engine: Engine, source: Source, config: &Config, cluster_name: String) -> Result<Self, Failure> {
        let plugins = tokio::task::spawn_blocking(move || Plugins::load_with(&engine, &source))
            .await
            .map_err(|error| Failure::Runtime(format!("loading plugins failed: {error}")))?
            .map_err(|error| Failure::Usage(error.to_string()))?;
        let (rules, problems) = Rules::join(config, &plugins, cluster_name).await;
        let unpaged = settings::unpaged(config, &plugins);
        Ok(Self { rules, problems, plugins, unpaged })
    }

    /// Name → SHA-256.
    pub fn digests(&self) -> BTreeMap<String, String> {
        self.plugins.iter().map(|plugin| (plugin.manifest.name.clone(), plugin.sha256.clone())).collect()
    }

    pub fn report(&self, path: &Path, config: &Config, log: &Log) {
        let place =
            |location: crate::config::Location| format!("{}:{}:{}", path.display(), location.line, location.column);
        for warning in config.warnings.iter().chain(&self.unpaged) {
            log.line(Level::Warn, &format!("{}: {}", place(warning.location), warning.message), &Map::new());
        }
        for warning in &self.plugins.warnings {
            log.line(Level::Warn, warning, &Map::new());
        }
        for unusable in &self.plugins.unusable {
            let fields =
                record::fields([("file", json!(unusable.origin.to_string())), ("plugin", json!(unusable.name))]);
            log.line(Level::Error, &format!("a plugin cannot be used: {}", unusable.reason), &fields);
        }
        for plugin in self.plugins.iter() {
            let fields = record::fields([
                ("plugin", json!(plugin.manifest.name)),
                ("sha256", json!(plugin.sha256)),
                ("file", json!(plugin.origin.to_string())),
            ]);
            log.line(Level::Info, "plugin loaded", &fields);
        }
        for problem in &self.problems {
            let message = format!("{}: {}; the rule will not act", place(problem.location), problem.message);
            log.line(Level::Error, &message, &Map::new());
        }
    }
}

/// What records say: the simulation never passes for a cluster.
pub fn cluster_name(config: &Config, simulated: bool) -> String {
    if simulated { "simulated".to_owned() } else { config.cluster_name.clone() }
}
