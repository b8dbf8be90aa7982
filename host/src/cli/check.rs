//! `check`: validates the configuration and the plugins it needs; with `--cluster`, also what the cluster has to say.

mod cluster;

use std::path::{Path, PathBuf};

use super::artifacts::{self, Once};
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
    let source = settings::plugins(arguments.plugins, &config, &config.journal);
    let Once { source, unanswered, _kept } = artifacts::once(source, &config).await?;
    let plugins = Plugins::load(&source).map_err(|error| Failure::Usage(error.to_string()))?;
    settings::unpaged(&config, &plugins).iter().for_each(warn);
    outside::not_granted(&config, &plugins).iter().for_each(warn);
    let (_, mut problems) = Rules::join(&config, &plugins, config.cluster_name.clone()).await;
    for unusable in &plugins.unusable {
        println!("warning: {}: {}", unusable.origin, unusable.reason);
    }
    let at_the_top = |message| Problem { location: Location { line: 1, column: 1 }, message };
    problems.extend(artifacts::problems(&config).into_iter().map(at_the_top));
    if unanswered {
        let (undecided, found) = problems.into_iter().partition(|problem| is_undecided(problem, &config, &plugins));
        problems = found;
        for Problem { location, message } in undecided {
            warn(&Warning { location, message: format!("{message}; it is taken for one that a registry will give") });
        }
    }
    let without = config.plugins.grants.keys().filter(|name| plugins.get(name).is_none());
    for name in without.filter(|_| !unanswered) {
        let message = format!("plugins.grants names `{name}`, but no plugin describes itself so");
        problems.push(at_the_top(message));
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
        println!("plugin {} from {} sha256:{}", plugin.manifest.name, plugin.origin, plugin.sha256);
    }
    match spec {
        Some(spec) => cluster::run(&spec, &config, &plugins).await,
        None => Ok(()),
    }
}

/// Whether a registry that does not answer now may have the plugin: nothing that keeps a replica from starting.
fn is_undecided(problem: &Problem, config: &Config, plugins: &Plugins) -> bool {
    let unknown = |name: &str| {
        plugins.get(name).is_none() && plugins.unusable.iter().all(|unusable| unusable.name.as_deref() != Some(name))
    };
    let mut actions = config.rules.iter().flat_map(|rule| &rule.actions);
    actions.any(|action| action.location == problem.location && unknown(&action.action))
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
    notes.extend(unread(config));
    notes.push(format!(
        "`limits` hold for each replica by itself: with two replicas, {} actions may run at once, not {}",
        2 * config.concurrency,
        config.concurrency
    ));
    notes
}

/// Files that the configuration names and that are not here. A check may run elsewhere than the controller will.
fn unread(config: &Config) -> Vec<String> {
    let (graylog, paging) = (config.audit.graylog.as_ref(), &config.paging);
    let login = graylog.and_then(|graylog| graylog.login.as_ref());
    let confirm = graylog.and_then(|graylog| graylog.confirm.as_ref());
    let files: [(&str, Option<&Path>); 8] = [
        ("token_file", config.token_file.as_deref()),
        ("audit.graylog.ca_file", graylog.and_then(|graylog| graylog.ca_file.as_deref())),
        ("audit.graylog.headers_file", graylog.and_then(|graylog| graylog.headers_file.as_deref())),
        ("audit.graylog.password_file", login.map(|login| login.password_file.as_path())),
        ("audit.graylog.confirm.token_file", confirm.map(|confirm| confirm.token_file.as_path())),
        ("paging.pagerduty.routing_key_file", paging.pagerduty.as_ref().map(|to| to.routing_key_file.as_path())),
        ("paging.webhook.headers_file", paging.webhook.as_ref().and_then(|to| to.headers_file.as_deref())),
        ("redaction.key_file", config.redaction.key_file.as_deref()),
    ];
    let unread = files.into_iter().filter_map(|(key, file)| {
        let (file, error) = file.and_then(|file| std::fs::read(file).err().map(|error| (file, error)))?;
        Some(format!("`{key}` cannot be read here, and the controller needs it: {}: {error}", file.display()))
    });
    let grants =
        config.plugins.web_grants.iter().flat_map(|(name, grants)| grants.iter().map(move |grant| (name, grant)));
    let of_grants = grants.flat_map(|(name, grant)| {
        let key = format!("plugins.grants.{name}");
        let headers = grant.trust.headers_from.values().filter_map(|file| {
            let error = std::fs::read(file).err()?;
            Some(format!(
                "`{key}` names a file that cannot be read here, and the controller needs it: {}: {error}",
                file.display()
            ))
        });
        let roots = grant.trust.ca_file.iter().filter_map(|file| {
            let why = crate::ship::http::trusting(file).err()?;
            Some(format!("`{key}` has a `ca_file` that is of no use here, and the controller needs it: {why}"))
        });
        headers.chain(roots).collect::<Vec<_>>()
    });
    unread.chain(of_grants).collect()
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "no namespace".to_owned() } else { names.join(", ") }
}
