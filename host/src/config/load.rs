//! From the file's tree to a [`Config`]: defaults, and everything that can be wrong with the file by itself.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::section::{Problems, Section};
use super::tree::{Content, Node, excerpt};
use super::{Config, ConfigError, Identity, Location, Problem, Warning};
use super::{delivery, limits, owners, plugins, rules, suggest};
use crate::alert::Priority;
use crate::cluster::names::Namespace;
use crate::hex::hex;

const KEYS: &[&str] = &[
    "admin_listen",
    "allowed_namespaces",
    "audit",
    "cluster_name",
    "denied_namespaces",
    "dryrun",
    "identity",
    "journal",
    "limits",
    "listen",
    "max_alert_age",
    "max_recovery_age",
    "minimum_priority",
    "owner_kinds",
    "paging",
    "plugins",
    "protected_owners",
    "redaction",
    "required_tag",
    "rules",
    "shutdown_delay",
    "token_file",
];

/// Nobody reads more of them at once.
const MAX_PROBLEMS: usize = 50;
const KUBE_SYSTEM: &str = "kube-system";

impl Config {
    /// # Errors
    /// Every problem found, each with line, column and remedy.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let bytes = std::fs::read(path)
            .map_err(|error| ConfigError::Read { path: path.to_owned(), message: error.to_string() })?;
        Self::parse(path, &bytes)
    }

    /// As [`Self::load`], of bytes that were read already; `path` is for messages.
    ///
    /// # Errors
    /// Every problem found, each with line, column and remedy.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, ConfigError> {
        let invalid = |problems| ConfigError::Invalid { path: path.to_owned(), problems };
        let root = Node::parse(bytes).map_err(|problem| invalid(vec![problem]))?;
        Self::of_tree(path, bytes, &root).map_err(|problems| invalid(in_order(problems)))
    }

    /// As [`Self::parse`], of a tree that was put together otherwise; `bytes` are what the digest is of.
    ///
    /// # Errors
    /// Every problem found, at the places that the tree names.
    pub(crate) fn of_tree(path: &Path, bytes: &[u8], root: &Node) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::default();
        match resolve(path, bytes, root, &mut problems) {
            Some(mut config) if problems.0.is_empty() => {
                config.warnings.sort_by_key(|warning| (warning.location.line, warning.location.column));
                Ok(config)
            }
            _ => Err(problems.0),
        }
    }
}

/// By their places, and no more than anybody reads.
pub(crate) fn in_order(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_key(|problem| (problem.location.line, problem.location.column));
    if let Some(last) = problems.get(MAX_PROBLEMS).map(|problem| problem.location) {
        let message = format!("and {} more problems from here on", problems.len() - MAX_PROBLEMS);
        problems.truncate(MAX_PROBLEMS);
        problems.push(Problem { location: last, message });
    }
    problems
}

/// Why a file that cannot be used stops live action all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Brake {
    /// What it was meant to say is not known.
    Unparsable,
    /// It does not say `dryrun: false`.
    Dry,
}

/// Whether a file, sound or not, stops live action. Absent means true, and of a key that comes twice any counts.
pub fn brake(bytes: &[u8]) -> Option<Brake> {
    let Ok(Node { value: Content::Map(entries), .. }) = Node::parse(bytes) else { return Some(Brake::Unparsable) };
    let mut said = entries.iter().filter(|(key, _)| key.name == "dryrun").map(|(_, node)| &node.value).peekable();
    let live = said.peek().is_some() && said.all(|value| matches!(value, Content::Bool(false)));
    (!live).then_some(Brake::Dry)
}

/// Whether the admission policy reads `dryrun: false` in the text, as its expression in [`crate::access::admission`] does.
fn fence_reads_live(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.split('\n').collect();
    let blank = |c: char| c == ' ' || c == '\t';
    let quote = |c: char| c == '"' || c == '\'';
    let is_key = |line: &&&str| {
        let line: &str = line;
        let line = line.strip_prefix(quote).unwrap_or(line);
        let rest = line.strip_prefix("dryrun").map(|rest| rest.strip_prefix(quote).unwrap_or(rest));
        rest.is_some_and(|rest| rest.trim_start_matches(blank).starts_with(':'))
    };
    let says_false = |line: &&str| {
        let rest = line.strip_prefix("dryrun:").filter(|rest| rest.starts_with(blank));
        let rest = rest.and_then(|rest| rest.trim_start_matches(blank).strip_prefix("false"));
        let rest = rest.map(|rest| rest.strip_suffix('\r').unwrap_or(rest));
        rest.is_some_and(|rest| {
            let after = rest.trim_start_matches(blank);
            after.is_empty() || (after.starts_with('#') && after.len() < rest.len())
        })
    };
    let another_document = |line: &&str| line.starts_with("---") || line.starts_with("...");
    lines.iter().any(says_false)
        && lines.iter().filter(is_key).count() == 1
        && !lines.iter().skip(1).any(another_document)
}

/// Reads everything even after a problem, so that all of them are found; what it returns then is not used.
fn resolve(path: &Path, bytes: &[u8], root: &Node, problems: &mut Problems) -> Option<Config> {
    if root.is_null() {
        problems.add(
            Location { line: 1, column: 1 },
            "the file is empty, it needs at least `allowed_namespaces` and `rules`",
        );
        return None;
    }
    if let Some(location) = config_map(root) {
        problems
            .add(location, "this is a whole Kubernetes object; the file holds what stands under `data: config.yaml:`");
        return None;
    }
    let top = Section::open(root, "", KEYS, problems)?;
    let mut warnings = Vec::new();

    let dryrun = top.bool("dryrun", problems);
    let allowed = namespaces(&top, "allowed_namespaces", problems);
    let denied = namespaces(&top, "denied_namespaces", problems);
    warn_about_namespaces(&top, allowed.as_deref(), denied.as_deref().unwrap_or_default(), &mut warnings);
    if dryrun.is_none() {
        warn(&mut warnings, top.location, "`dryrun` is not set and counts as true; write `dryrun: false` to act");
    }
    if dryrun == Some(false) && !fence_reads_live(bytes) {
        let location = top.get("dryrun").map_or(top.location, |node| node.location);
        let remedy = "the admission policy of `rbac --admission` knows no other spelling than one line `dryrun: false` at the very \
                      left, in a file of one document; it takes this for a dry run, and would refuse every live change";
        warn(&mut warnings, location, remedy);
    }
    let only_names = |list: Vec<(Location, String)>| list.into_iter().map(|(_, name)| name).collect::<Vec<_>>();
    let allowed_namespaces = only_names(allowed.unwrap_or_default());
    let audit = delivery::audit(&top, &mut warnings, problems);
    let (limits, concurrency) = limits::read(&top, problems);
    let rules = rules::read(&top, &allowed_namespaces, &mut warnings, problems);

    Some(Config {
        path: path.to_owned(),
        sha256: hex(&Sha256::digest(bytes)),
        dryrun: dryrun.unwrap_or(true),
        denied_namespaces: denied.map_or_else(|| vec![KUBE_SYSTEM.to_owned()], only_names),
        allowed_namespaces,
        protected_owners: owners::protected(&top, problems),
        owner_kinds: owners::kinds(&top, problems),
        required_tag: top.text("required_tag", problems).map(str::to_owned),
        minimum_priority: top.parsed("minimum_priority", problems, priority).unwrap_or(Priority::Critical),
        identity: top
            .choice("identity", &[("name", Identity::Name), ("strict", Identity::Strict)], problems)
            .unwrap_or(Identity::Name),
        max_alert_age: top.span("max_alert_age", problems).unwrap_or(Duration::from_mins(5)),
        max_recovery_age: top.span("max_recovery_age", problems).unwrap_or(Duration::from_mins(10)),
        cluster_name: top.text("cluster_name", problems).unwrap_or_default().to_owned(),
        limits,
        concurrency,
        plugins: plugins::read(&top, problems),
        journal: top.text("journal", problems).unwrap_or("/var/lib/falco-response/journal.db").into(),
        token_file: top.text("token_file", problems).map(PathBuf::from),
        listen: top.parsed("listen", problems, address),
        admin_listen: top.parsed("admin_listen", problems, address),
        shutdown_delay: top.duration("shutdown_delay", problems).unwrap_or_default(),
        audit,
        paging: delivery::paging(&top, &rules, problems),
        redaction: delivery::redaction(&top, problems),
        rules,
        warnings,
    })
}

pub(super) fn warn(warnings: &mut Vec<Warning>, location: Location, message: impl Into<String>) {
    warnings.push(Warning { location, message: message.into() });
}

/// Whether somebody handed over the ConfigMap instead of what it holds.
fn config_map(root: &Node) -> Option<Location> {
    let Content::Map(entries) = &root.value else { return None };
    let key = |name: &str| entries.iter().find(|(key, _)| key.name == name);
    key("apiVersion").zip(key("kind")).map(|((key, _), _)| key.location)
}

/// Names of namespaces with their places. A pattern is refused: a list that grows by itself is no allow list.
pub(super) fn namespaces(section: &Section<'_>, key: &str, problems: &mut Problems) -> Option<Vec<(Location, String)>> {
    let mut names = Vec::new();
    for (location, text) in section.texts(key, problems)? {
        match Namespace::parse(text) {
            Ok(name) => names.push((location, name.as_str().to_owned())),
            Err(_) if text.contains('*') => {
                let name = section.name(key);
                problems
                    .add(location, format!("{name}: `{}` is a pattern, write each namespace's name", excerpt(text)));
            }
            Err(error) => problems.add(location, format!("{}: {error}", section.name(key))),
        }
    }
    Some(names)
}

fn warn_about_namespaces(
    top: &Section<'_>,
    allowed: Option<&[(Location, String)]>,
    denied: &[(Location, String)],
    warnings: &mut Vec<Warning>,
) {
    let Some(allowed) = allowed.filter(|allowed| !allowed.is_empty()) else {
        let location = top.get("allowed_namespaces").map_or(top.location, |node| node.location);
        let remedy = "`allowed_namespaces` names no namespace, so nothing will ever be acted on; list those to act in";
        return warn(warnings, location, remedy);
    };
    for (location, name) in allowed {
        if name == KUBE_SYSTEM {
            let remedy = "`allowed_namespaces` names kube-system, where nothing is ever acted on; take it out";
            warn(warnings, *location, remedy);
        } else if denied.iter().any(|(_, denied)| denied == name) {
            let message = format!("`{name}` is both allowed and denied; denied counts, take it out of one list");
            warn(warnings, *location, message);
        }
    }
}

fn priority(text: &str) -> Result<Priority, String> {
    Priority::parse(text).ok_or_else(|| {
        let names = Priority::ALL.map(|priority| priority.as_upper().to_lowercase());
        let known: Vec<_> = names.iter().map(String::as_str).collect();
        format!("`{}` is none of Falco's priorities{}", excerpt(text), suggest::phrase(text, &known))
    })
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("`{}` is no address to listen on, write one like `0.0.0.0:8080`", excerpt(text)))
}
