//! `check`: validates the configuration and the plugins it needs.

use std::path::PathBuf;

use super::{Failure, settings};
use crate::config::{Location, Problem, Warning};
use crate::plugins::Plugins;
use crate::respond::rules::Rules;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The configuration to validate.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Where the plugins are; beats `plugins.dir`.
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let config = settings::load(&arguments.config)?;
    let path = arguments.config.display();
    let warn = |warning: &Warning| {
        println!("{path}:{}:{}: warning: {}", warning.location.line, warning.location.column, warning.message);
    };
    config.warnings.iter().for_each(warn);
    // A check must not leave compiled code behind: it may run elsewhere, as somebody else.
    let source =
        crate::plugins::Source { cache_dir: None, ..settings::plugins(arguments.plugins, &config, &config.journal) };
    let plugins = Plugins::load(&source).map_err(|error| Failure::Usage(error.to_string()))?;
    settings::unpaged(&config, &plugins).iter().for_each(warn);
    let (_, mut problems) = Rules::join(&config, &plugins, config.cluster_name.clone()).await;
    for unusable in &plugins.unusable {
        println!("warning: {}: {}", unusable.file.display(), unusable.reason);
    }
    for name in config.plugins.grants.keys().filter(|name| plugins.get(name).is_none()) {
        let message = format!("plugins.grants names `{name}`, but no plugin describes itself so");
        problems.push(Problem { location: Location { line: 1, column: 1 }, message });
    }
    if !problems.is_empty() {
        let error = crate::config::ConfigError::Invalid { path: arguments.config, problems };
        return Err(Failure::Usage(error.to_string()));
    }
    let rules = config.rules.len();
    let mode = if config.dryrun { "dry run" } else { "live" };
    println!("{path}: ok: {rules} rules, {mode}; acts in: {}", list(&config.allowed_namespaces));
    for plugin in plugins.iter() {
        println!("plugin {} from {} sha256:{}", plugin.manifest.name, plugin.file.display(), plugin.sha256);
    }
    Ok(())
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "no namespace".to_owned() } else { names.join(", ") }
}
