//! `check`: validates the configuration and the plugins it needs; with `--cluster`, also what the cluster has to say.

mod cluster;

use std::path::PathBuf;

use super::{Failure, settings};
use crate::access::{grants, outside, ungranted};
use crate::config::{Config, Location, Problem, Warning};
use crate::plugins::Plugins;
use crate::plugins::manifest::Target;
use crate::respond::rules::Rules;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The configuration to validate.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Where the plugins are; beats `plugins.dir`.
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
    /// Also ask the cluster: what the account may do, and what each rule can reach. simulated:DIR, kubeconfig[:FILE] or
    /// in-cluster; without a value, in-cluster where its files exist, else kubeconfig.
    #[arg(long, value_name = "SPEC", num_args = 0..=1)]
    cluster: Option<Option<String>>,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let spec = arguments.cluster.map(|spec| settings::cluster(spec.as_deref())).transpose()?;
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
    for note in notes(&config, &plugins) {
        println!("note: {note}");
    }
    let rules = config.rules.len();
    let mode = if config.dryrun { "dry run" } else { "live" };
    println!("{path}: ok: {rules} rules, {mode}; acts in: {}", list(&config.allowed_namespaces));
    for plugin in plugins.iter() {
        println!("plugin {} from {} sha256:{}", plugin.manifest.name, plugin.file.display(), plugin.sha256);
    }
    match spec {
        Some(spec) => cluster::run(&spec, &config, &plugins).await,
        None => Ok(()),
    }
}

/// What is sound, and an operator should have thought of.
fn notes(config: &Config, plugins: &Plugins) -> Vec<String> {
    let mut notes = grants::sentences(config, plugins);
    notes.extend(ungranted::sentences(config, plugins));
    notes.extend(outside::sentences(config, plugins));
    for rule in &config.rules {
        // A dry run cuts nothing off, and with `confirm` one alert is not enough.
        let wide = |action: &&crate::config::ActionRef| {
            !rule.dryrun
                && action.confirm.is_none()
                && plugins.get(&action.action).is_some_and(|plugin| plugin.manifest.target == Target::Namespaces)
        };
        if let Some(action) = rule.actions.iter().find(wide) {
            notes.push(format!(
                "`{}` acts on a whole namespace, and one alert is enough: whoever can make Falco raise `{}` in any pod \
                 there, also from outside (a URL that a service fetches, a DNS name that it looks up), or knows the \
                 token, decides when; narrow the rule with `namespaces`, or choose an action on the pod alone",
                action.action, rule.name
            ));
        }
    }
    notes.push(format!(
        "`limits` hold for each replica by itself: with two replicas, {} actions may run at once, not {}",
        2 * config.concurrency,
        config.concurrency
    ));
    notes
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "no namespace".to_owned() } else { names.join(", ") }
}
