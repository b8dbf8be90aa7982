//! The configuration that an action is played under: one rule named as the alert's, with that action, in the alert's
//! namespace; everything else as the configuration's own defaults are, or as the author says.
//!
//! It is put together as a tree and read by the configuration's own loader, so that what an author writes is judged by
//! the same rules as an operator's file, and mistakes are named where they stand.

use std::path::Path;

use serde_json::{Value, json};

use crate::alert::Alert;
use crate::cluster::names::Namespace;
use crate::config::section::{Problems, Section};
use crate::config::tree::{Content, Key, Node};
use crate::config::{Config, Location, Problem};

/// What of a configuration bears on one action. The rest is about the controller around it.
pub const CONFIG: &[&str] = &[
    "allowed_namespaces",
    "cluster_name",
    "denied_namespaces",
    "identity",
    "limits",
    "max_alert_age",
    "minimum_priority",
    "owner_kinds",
    "plugins",
    "protected_owners",
    "required_tag",
];
/// Of the section `plugins`.
pub const PLUGINS: &[&str] = &["limits"];
/// Of a rule.
pub const RULE: &[&str] = &["audit_reason", "expires_after", "namespaces", "timeout"];

const REASON: &str = "played by the harness";

/// What the author says, each part where it stands; none of them needs to be there.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// A map of [`CONFIG`].
    pub config: Option<Node>,
    /// A map of [`RULE`].
    pub rule: Option<Node>,
    /// A map.
    pub parameters: Option<Node>,
    /// A list, as in `plugins.grants`.
    pub grants: Option<Node>,
    pub dry_run: bool,
}

impl Wishes {
    /// Only parameters, and a dry run.
    pub fn dry(parameters: &Value) -> Self {
        Self { parameters: Some(node(parameters)), dry_run: true, ..Self::default() }
    }
}

/// # Errors
/// Every problem found, at the places that the wishes name.
pub fn config(path: &Path, action: &str, alert: &Alert, wishes: &Wishes) -> Result<Config, Vec<Problem>> {
    let mut problems = Problems::default();
    check(wishes, &mut problems);
    let mut top = known(wishes.config.as_ref(), CONFIG);
    let namespace = alert.text("k8s.ns.name").filter(|name| Namespace::parse(name).is_ok());
    default(&mut top, "allowed_namespaces", json!(namespace.as_slice()));
    default(&mut top, "minimum_priority", json!("debug"));
    top.push((key("dryrun"), node(&json!(wishes.dry_run))));
    let mut plugins = top
        .iter()
        .position(|(key, _)| key.name == "plugins")
        .map(|at| known(Some(&top.remove(at).1), PLUGINS))
        .unwrap_or_default();
    if let Some(grants) = &wishes.grants {
        plugins.push((key("grants"), map(grants.location, vec![(key(action), grants.clone())])));
    }
    if !plugins.is_empty() {
        top.push((key("plugins"), map(Location::default(), plugins)));
    }
    let mut rule = known(wishes.rule.as_ref(), RULE);
    rule.push((key("name"), node(&json!(alert.rule))));
    rule.push((key("action"), node(&json!(action))));
    default(&mut rule, "audit_reason", json!(REASON));
    if let Some(parameters) = &wishes.parameters {
        rule.push((key("parameters"), parameters.clone()));
    }
    let place = wishes.rule.as_ref().map_or_else(Location::default, |rule| rule.location);
    let rules = Content::List(vec![map(place, rule)]);
    top.push((key("rules"), Node { location: place, value: rules }));
    let root = map(wishes.config.as_ref().map_or_else(Location::default, |config| config.location), top);
    let read = Config::of_tree(path, root.to_json().to_string().as_bytes(), &root);
    match read {
        Ok(config) if problems.0.is_empty() => Ok(config),
        Ok(_) => Err(problems.0),
        Err(further) => {
            // Of one place, what is said first is enough.
            let known: Vec<_> = problems.0.iter().map(|problem| problem.location).collect();
            problems.0.extend(further.into_iter().filter(|problem| !known.contains(&problem.location)));
            Err(problems.0)
        }
    }
}

/// That nothing is asked for which is not the author's to say here.
fn check(wishes: &Wishes, problems: &mut Problems) {
    if let Some(config) = &wishes.config
        && let Some(section) = Section::open(config, "config", CONFIG, problems)
    {
        section.section("plugins", PLUGINS, problems);
    }
    if let Some(rule) = &wishes.rule {
        Section::open(rule, "rule", RULE, problems);
    }
}

/// What is not known was named by [`check`].
fn known(node: Option<&Node>, known: &[&str]) -> Vec<(Key, Node)> {
    match node.map(|node| &node.value) {
        Some(Content::Map(entries)) => {
            entries.iter().filter(|(key, _)| known.contains(&key.name.as_str())).cloned().collect()
        }
        _ => Vec::new(),
    }
}

fn default(entries: &mut Vec<(Key, Node)>, name: &str, value: Value) {
    if !entries.iter().any(|(key, _)| key.name == name) {
        entries.push((key(name), node(&value)));
    }
}

fn key(name: &str) -> Key {
    Key { location: Location::default(), name: name.to_owned() }
}

fn map(location: Location, entries: Vec<(Key, Node)>) -> Node {
    Node { location, value: Content::Map(entries) }
}

/// A value that the author did not write.
fn node(value: &Value) -> Node {
    Node::of_json(value, Location::default())
}
