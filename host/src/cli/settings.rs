//! Flags over file over defaults: what a subcommand works with once all three are merged.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Failure;
use crate::ambient::Ambient;
use crate::cluster::ClusterSpec;
use crate::cluster::names::Namespace;
use crate::config::{ActionRef, Config, Warning};
use crate::intake::token::Tokens;
use crate::journal::Bounds;
use crate::plugins::registry::signature::Keys;
use crate::plugins::{Plugins, Source};
use crate::redact::Key;
use crate::ship;

pub const DEFAULT_LISTEN: &str = "0.0.0.0:8080";
pub const DEFAULT_ADMIN_LISTEN: &str = "127.0.0.1:9090";
const DEFAULT_TOKEN_FILE: &str = "/etc/falco-response/token";
const TOKEN_VARIABLE: &str = "FALCO_TOKEN";
const OWN_NAMESPACE: &str = "falco";
const OWN_NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

pub fn load(path: &Path) -> Result<Config, Failure> {
    Config::load(path).map_err(|error| Failure::Usage(error.to_string()))
}

pub fn cluster(flag: Option<&str>) -> Result<ClusterSpec, Failure> {
    match flag {
        Some(text) => ClusterSpec::parse(text).map_err(|error| Failure::Usage(error.to_string())),
        None => Ok(ClusterSpec::detect()),
    }
}

pub fn plugins(flag: Option<PathBuf>, config: &Config, journal: &Path) -> Source {
    let beside = || journal.parent().map(|directory| directory.join("plugin-cache"));
    Source {
        dir: flag.unwrap_or_else(|| config.plugins.dir.clone()),
        files: Vec::new(),
        keys: Keys::default(),
        cache_dir: config.plugins.cache_dir.clone().or_else(beside),
        pins: config.plugins.pins.clone(),
        limits: config.plugins.limits.into(),
    }
}

/// How long a finished alert is known again, at least.
const KNOWN_FOR: Duration = Duration::from_secs(86_400);

/// An alert that comes again after it is forgotten must be too old to be acted on.
pub fn bounds(config: &Config) -> Bounds {
    let keeping = &config.audit.keeping;
    Bounds {
        max_bytes: Some(keeping.max_bytes),
        keep: Some(keeping.keep),
        keep_alerts: Some(KNOWN_FOR.max(config.max_alert_age.saturating_mul(2))),
        destinations: records(config),
    }
}

/// Where records are shipped.
pub fn records(config: &Config) -> Vec<String> {
    config.audit.graylog.iter().map(|_| ship::graylog::DESTINATION.to_owned()).collect()
}

pub fn address(flag: Option<SocketAddr>, file: Option<SocketAddr>, default: &str) -> SocketAddr {
    flag.or(file).unwrap_or_else(|| default.parse().expect("the default is a valid address"))
}

/// The file that holds the token; none where the environment does.
pub fn token_file(flag: Option<&Path>, config: &Config) -> Option<PathBuf> {
    match flag.or(config.token_file.as_deref()) {
        Some(path) => Some(path.to_owned()),
        None if std::env::var_os(TOKEN_VARIABLE).is_some() => None,
        None => Some(DEFAULT_TOKEN_FILE.into()),
    }
}

/// Flag or explicit key, then `FALCO_TOKEN`, then the default path. Never without.
pub fn tokens(flag: Option<&Path>, config: &Config) -> Result<Tokens, Failure> {
    if let Some(path) = flag.or(config.token_file.as_deref()) {
        return from_file(path);
    }
    match std::env::var(TOKEN_VARIABLE) {
        Ok(text) => Tokens::parse(&text)
            .map_err(|error| Failure::Usage(format!("the token in {TOKEN_VARIABLE} cannot be used: {error}"))),
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(Failure::Usage(format!("the token in {TOKEN_VARIABLE} is not text")))
        }
        Err(std::env::VarError::NotPresent) => from_file(Path::new(DEFAULT_TOKEN_FILE)),
    }
}

fn from_file(path: &Path) -> Result<Tokens, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::Usage(format!(
            "no token: cannot read {}: {error}; give --token-file FILE or {TOKEN_VARIABLE}, with at least 16 bytes",
            path.display()
        ))
    })?;
    Tokens::parse(&text)
        .map_err(|error| Failure::Usage(format!("the token in {} cannot be used: {error}", path.display())))
}

/// The key of the configuration, or our own beside the journal.
pub fn redaction_key(config: &Config, journal: &Path, ambient: &Ambient) -> Result<Key, Failure> {
    let key = match &config.redaction.key_file {
        Some(file) => Key::load(file),
        None => Key::load_or_create(&journal.with_file_name("redaction.key"), ambient),
    };
    key.map_err(|error| Failure::Usage(error.to_string()))
}

/// Actions that page, where nobody is there to be paged.
pub fn unpaged(config: &Config, plugins: &Plugins) -> Vec<Warning> {
    if config.paging.pagerduty.is_some() || config.paging.alertmanager_url.is_some() || config.paging.webhook.is_some()
    {
        return Vec::new();
    }
    let actions = config.rules.iter().flat_map(|rule| &rule.actions);
    let paging = actions.filter(|action| plugins.get(&action.action).is_some_and(|plugin| plugin.manifest.pages));
    let warning = |action: &ActionRef| Warning {
        location: action.location,
        message: format!(
            "`{}` pages, and nobody is set to be paged; add `paging: {{alertmanager: {{url: …}}}}` or `pagerduty`",
            action.action
        ),
    };
    paging.map(warning).collect()
}

/// The namespace that this program runs in; where there is no telling, the runbook's.
pub fn own_namespace() -> Namespace {
    let mounted = std::fs::read_to_string(OWN_NAMESPACE_FILE).ok();
    mounted
        .and_then(|text| Namespace::parse(text.trim()).ok())
        .unwrap_or_else(|| Namespace::parse(OWN_NAMESPACE).expect("the runbook's namespace is a valid name"))
}

/// The stop file lies beside the configuration: one key of the same ConfigMap.
pub fn stop_file(config: &Path) -> PathBuf {
    config.parent().unwrap_or(Path::new(".")).join("stop")
}
