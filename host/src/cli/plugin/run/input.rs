//! What the command line says of the configuration, from up to three files.

use std::path::Path;

use crate::cli::{Failure, settings};
use crate::config::Location;
use crate::config::tree::{Content, Key, Node};
use crate::harness::setup::{CONFIG, PLUGINS, RULE, Wishes};

/// Where what an action is run with stands, beside the alert and the cluster.
pub struct Files<'a> {
    pub config: Option<&'a Path>,
    pub grants: Option<&'a Path>,
    /// As [`parameters`] reads them.
    pub parameters: Option<&'a str>,
}

pub fn wishes(files: &Files<'_>, action: &str, rule: &str) -> Result<Wishes, Failure> {
    let mut wishes = match files.config {
        Some(path) => {
            // As the controller would: what is wrong with it is told in full.
            settings::load(path)?;
            of_config(&read(path)?, action, rule)
        }
        None => Wishes::default(),
    };
    if let Some(text) = files.parameters {
        wishes.parameters = Some(parameters(text)?);
    }
    if let Some(path) = files.grants {
        let further = grants(read(path)?, action, path)?;
        wishes.grants = Some(joined(wishes.grants, further));
    }
    Ok(wishes)
}

fn read(path: &Path) -> Result<Node, Failure> {
    let bytes =
        std::fs::read(path).map_err(|error| Failure::Usage(format!("cannot read {}: {error}", path.display())))?;
    Node::parse(&bytes).map_err(|problem| {
        let Location { line, column } = problem.location;
        Failure::Usage(format!("{}:{line}:{column}: {}", path.display(), problem.message))
    })
}

/// From JSON, or a file with YAML after an `@`.
pub fn parameters(text: &str) -> Result<Node, Failure> {
    let node = match text.strip_prefix('@') {
        Some(path) => read(Path::new(path))?,
        None => Node::parse(text.as_bytes())
            .map_err(|problem| Failure::Usage(format!("--parameters: {}", problem.message)))?,
    };
    match node.value {
        Content::Map(_) => Ok(node),
        _ => Err(Failure::Usage(format!("--parameters expects a map, not {}", node.describe()))),
    }
}

/// A list of permissions, or the configuration's own form of it, as a denial proposes it.
fn grants(node: Node, action: &str, path: &Path) -> Result<Node, Failure> {
    let own = child(&node, "plugins").unwrap_or(&node);
    let own = child(own, "grants").unwrap_or(own);
    let own = child(own, action).unwrap_or(own);
    match own.value {
        Content::List(_) => Ok(own.clone()),
        _ => Err(Failure::Usage(format!(
            "{}: expects a list of permissions, or `plugins: {{grants: {{{action}: […]}}}}`, not {}",
            path.display(),
            own.describe()
        ))),
    }
}

fn joined(first: Option<Node>, second: Node) -> Node {
    match (first.map(|node| node.value), &second.value) {
        (Some(Content::List(mut all)), Content::List(further)) => {
            all.extend(further.iter().cloned());
            Node { location: second.location, value: Content::List(all) }
        }
        _ => second,
    }
}

/// What of a configuration bears on this action and this rule. The file is sound.
fn of_config(root: &Node, action: &str, rule: &str) -> Wishes {
    let plugins = child(root, "plugins");
    let mut config = picked(root, CONFIG);
    config.retain(|(key, _)| key.name != "plugins");
    let limits = plugins.map(|plugins| picked(plugins, PLUGINS)).unwrap_or_default();
    if !limits.is_empty() {
        let key = Key { location: Location::default(), name: "plugins".to_owned() };
        config.push((key, Node { location: Location::default(), value: Content::Map(limits) }));
    }
    let named = |node: &&Node, key: &str, value: &str| matches!(child(node, key), Some(Node { value: Content::Text(text), .. }) if text == value);
    let rule = items(root, "rules").iter().find(|node| named(node, "name", rule));
    let of_rule = rule.and_then(|rule| {
        let several = items(rule, "actions").iter().find(|one| named(one, "action", action));
        several.or_else(|| Some(rule).filter(|rule| named(rule, "action", action)))
    });
    Wishes {
        config: Some(Node { location: root.location, value: Content::Map(config) }),
        rule: rule.map(|rule| Node { location: rule.location, value: Content::Map(picked(rule, RULE)) }),
        parameters: of_rule.and_then(|one| child(one, "parameters")).cloned(),
        grants: plugins.and_then(|plugins| child(child(plugins, "grants")?, action)).cloned(),
        dry_run: false,
    }
}

fn child<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    let Content::Map(entries) = &node.value else { return None };
    entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
}

fn items<'a>(node: &'a Node, name: &str) -> &'a [Node] {
    match child(node, name).map(|node| &node.value) {
        Some(Content::List(items)) => items,
        _ => &[],
    }
}

fn picked(node: &Node, known: &[&str]) -> Vec<(Key, Node)> {
    let Content::Map(entries) = &node.value else { return Vec::new() };
    entries.iter().filter(|(key, _)| known.contains(&key.name.as_str())).cloned().collect()
}
