//! The configuration: `config.yaml`, its defaults, and errors that name the place and the remedy. Knows nothing of the
//! rest of the program.
//!
//! The file is read into a tree that knows places (`tree`), whose maps are walked key by key while problems pile up
//! (`section`); `load` and its neighbours turn the tree into a [`Config`].

mod delivery;
pub mod diff;
mod durations;
mod keeping;
mod limits;
mod load;
mod owners;
mod places;
mod plugins;
mod registry;
mod rules;
pub(crate) mod section;
pub(crate) mod suggest;
pub(crate) mod tree;
pub mod watch;
mod web_grants;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

pub use durations::parse_duration;
pub use keeping::{CustomerFacing, Keeping};

use crate::alert::Priority;
use crate::plugins::registry::reference::Pinned;
use crate::safety::budget::Limits;
use crate::safety::permissions::Permission;
use crate::safety::web::WebGrant;

pub(crate) use load::in_order;
pub use load::{Brake, brake};
pub use places::Places;
pub use registry::Registry;

/// A place in the file, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Location {
    pub line: u64,
    pub column: u64,
}

/// A configuration that was read and is sound in itself. Whether its plugins exist and take their parameters is
/// checked by those who know plugins.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub path: PathBuf,
    /// Of the file's bytes; lower-case hex.
    pub sha256: String,
    pub dryrun: bool,
    pub allowed_namespaces: Vec<String>,
    pub denied_namespaces: Vec<String>,
    /// Kinds.
    pub protected_owners: Vec<String>,
    /// The built-in kinds and the configured ones.
    pub owner_kinds: Vec<OwnerKind>,
    pub required_tag: Option<String>,
    pub minimum_priority: Priority,
    pub identity: Identity,
    pub max_alert_age: Duration,
    pub max_recovery_age: Duration,
    pub cluster_name: String,
    /// The budgets of `limits`.
    pub limits: Limits,
    /// `limits.concurrency`
    pub concurrency: usize,
    pub plugins: Plugins,
    pub journal: PathBuf,
    /// None when the file does not say; the command line and `FALCO_TOKEN` come into it then.
    pub token_file: Option<PathBuf>,
    pub listen: Option<SocketAddr>,
    pub admin_listen: Option<SocketAddr>,
    pub shutdown_delay: Duration,
    pub audit: Audit,
    pub paging: Paging,
    pub redaction: Redaction,
    pub rules: Vec<Rule>,
    /// What loads but deserves a word: kube-system among the allowed, no Graylog, …
    pub warnings: Vec<Warning>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    pub location: Location,
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// Pod UID, container id, or name and time.
    Name,
    /// Pod UID or container id.
    Strict,
}

/// A kind of controller that may be read on the way to the top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerKind {
    /// `apps/v1`
    pub api_version: String,
    pub kind: String,
    pub plural: String,
    /// Not read: the walk ends here.
    pub top_level: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Plugins {
    pub dir: PathBuf,
    /// None: beside the journal.
    pub cache_dir: Option<PathBuf>,
    /// Artifacts beside what is in the directory.
    pub oci: Vec<Pinned>,
    pub registry: Registry,
    /// Public keys, of which one has to have signed each plugin; none: nobody needs to.
    pub signed_by: Vec<PathBuf>,
    /// Name → lower-case hex.
    pub pins: BTreeMap<String, String>,
    /// Name → further permissions.
    pub grants: BTreeMap<String, Vec<Permission>>,
    /// Name → servers outside of the cluster that it may send to.
    pub web_grants: BTreeMap<String, Vec<WebGrant>>,
    pub limits: PluginLimits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PluginLimits {
    pub timeout: Duration,
    pub memory: u64,
    pub calls: u32,
    pub log: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Audit {
    pub graylog: Option<Graylog>,
    pub require: Require,
    pub keeping: Keeping,
}

/// Whose word an action waits for before it sends a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Require {
    /// The journal's: the intent is on disk.
    #[default]
    Journal,
    /// Graylog's as well: it has accepted the intent.
    Graylog,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graylog {
    /// `http://graylog:12201/gelf`, or `gelf+tcp://`, `gelf+tls://`, `gelf+udp://` with host and port.
    pub url: String,
    /// Trusted alone; none: the machine's own roots.
    pub ca_file: Option<PathBuf>,
    pub login: Option<Login>,
    /// Lines `Name: value`.
    pub headers_file: Option<PathBuf>,
    pub confirm: Option<Confirm>,
}

impl Graylog {
    /// Whether its input answers at all.
    pub fn acknowledges(&self) -> bool {
        self.url.starts_with("http")
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    pub username: String,
    pub password_file: PathBuf,
}

/// Graylog's own API, asked whether what it took is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirm {
    /// `https://graylog:9000/api`; `/search/messages` is appended.
    pub url: String,
    pub token_file: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Paging {
    pub pagerduty: Option<PagerDuty>,
    /// Base URL; `/api/v2/alerts` is appended.
    pub alertmanager_url: Option<String>,
    pub webhook: Option<Webhook>,
    /// The first that fits decides; a page that fits none goes everywhere.
    pub routes: Vec<Route>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PagerDuty {
    pub url: String,
    pub routing_key_file: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    pub url: String,
    /// Lines `Name: value`.
    pub headers_file: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub action: Option<String>,
    pub rule: Option<String>,
    /// At least one of `alertmanager`, `pagerduty`, `webhook`.
    pub to: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redaction {
    /// Whether the shipped patterns count.
    pub builtin: bool,
    /// Regular expressions that compile.
    pub patterns: Vec<String>,
    /// None: `redaction.key` beside the journal, made at the first start.
    pub key_file: Option<PathBuf>,
}

impl Default for Redaction {
    fn default() -> Self {
        Self { builtin: true, patterns: Vec::new(), key_file: None }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    pub location: Location,
    pub name: String,
    pub audit_reason: String,
    /// At least one; in order.
    pub actions: Vec<ActionRef>,
    pub dryrun: bool,
    /// Narrows `allowed_namespaces`.
    pub namespaces: Option<Vec<String>>,
    pub timeout: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ActionRef {
    pub location: Location,
    /// Where `parameters` stand, or the action where there are none.
    pub parameters_location: Location,
    /// Where each of them stands; empty where there are none.
    pub places: Places,
    pub action: String,
    /// An object; `{}` when absent.
    pub parameters: Value,
    pub on_failure: OnFailure,
    /// The action's own, else the rule's.
    pub confirm: Option<Confirmation>,
    /// When an isolation ends by itself.
    pub expires_after: Option<ExpiresAfter>,
}

/// How long what an action isolates stays so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpiresAfter {
    pub lasts: Duration,
    pub location: Location,
    /// Whether it stands at the rule, for all of its actions that isolate.
    pub of_rule: bool,
}

/// What an action waits for: so many alerts, about so many pods, within a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confirmation {
    pub alerts: usize,
    pub pods: usize,
    pub within: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    Stop,
    Continue,
}

/// One thing that is wrong with the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub location: Location,
    /// What is wrong and what to do.
    pub message: String,
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {}: {message}", path.display())]
    Read { path: PathBuf, message: String },
    /// Displays one line for each problem: `config.yaml:3:1: unknown key …`.
    #[error("{}", display_problems(path, problems))]
    Invalid { path: PathBuf, problems: Vec<Problem> },
}

fn display_problems(path: &std::path::Path, problems: &[Problem]) -> String {
    let lines = problems.iter().map(|problem| {
        format!("{}:{}:{}: {}", path.display(), problem.location.line, problem.location.column, problem.message)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Whether an alert's tag is the required one. Falco's tags are plain words; `autoresponse:true` is how people write
/// the one of the runbook, in the configuration or as a tag, and both forms mean the same.
pub fn tag_matches(required: &str, tag: &str) -> bool {
    fn plain(text: &str) -> &str {
        match text.split_once(':') {
            Some((key, value)) if value.trim().eq_ignore_ascii_case("true") => key.trim(),
            _ => text.trim(),
        }
    }
    !plain(required).is_empty() && plain(required) == plain(tag)
}

#[cfg(test)]
mod tests;
