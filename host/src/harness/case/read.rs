//! A case file, read to the point where it can be played: everything that is wrong with it is found before anything is.

use std::path::{Path, PathBuf};

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{expect, servers};
use crate::alert::Alert;
use crate::cluster::simulated::{Fault, FaultKind, LoadError, Simulation, Source};
use crate::cluster::web::script::Script;
use crate::config::section::{Problems, Section};
use crate::config::tree::{Content, Node, excerpt};
use crate::config::{Config, ConfigError, Location, Problem};
use crate::harness::setup::{self, Wishes};
use crate::harness::stage::StageClock;

pub const CASE: &[&str] = &[
    "age",
    "alert",
    "cluster",
    "config",
    "dryrun",
    "expect",
    "faults",
    "grants",
    "http",
    "name",
    "parameters",
    "rule",
];
pub const FAULT: &[&str] = &["answer", "object", "path", "times", "verb"];
pub const VERBS: &[&str] = &["get", "list", "logs", "create", "apply", "patch", "delete", "evict", "exec"];

/// What every alert of Falco's has; a case says only what matters to it.
const TIME: &str = "2026-01-01T12:00:00Z";
const RULE: &str = "Case";

pub struct Case {
    pub file: PathBuf,
    pub name: String,
    pub alert: Alert,
    pub received_at: Timestamp,
    pub config: Config,
    pub simulation: Simulation,
    pub servers: Script,
    /// In the form in which it is compared; none where the file expects nothing.
    pub expect: Option<Value>,
    pub(super) text: String,
    pub(super) expect_at: Option<Location>,
}

impl Case {
    /// # Errors
    /// Every problem of the file, with line, column and remedy.
    pub fn read(file: &Path, action: &str) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file)
            .map_err(|error| ConfigError::Read { path: file.to_owned(), message: error.to_string() })?;
        Self::parse(file, action, text)
    }

    /// As [`Self::read`], of text that was read already; what it refers to is found beside `file`.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(file: &Path, action: &str, text: String) -> Result<Self, ConfigError> {
        let invalid =
            |problems| ConfigError::Invalid { path: file.to_owned(), problems: crate::config::in_order(problems) };
        let root = Node::parse(text.as_bytes()).map_err(|problem| invalid(vec![problem]))?;
        let mut problems = Problems::default();
        let case = resolve(file, action, text, &root, &mut problems);
        match case {
            Some(case) if problems.0.is_empty() => Ok(case),
            _ => Err(invalid(problems.0)),
        }
    }
}

fn resolve(file: &Path, action: &str, text: String, root: &Node, problems: &mut Problems) -> Option<Case> {
    if root.is_null() {
        problems.add(Location { line: 1, column: 1 }, "the file is empty, a case needs at least `alert`");
        return None;
    }
    let top = Section::open(root, "", CASE, problems)?;
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let name = top.text("name", problems).map_or(stem, str::to_owned);
    let age = top.duration("age", problems).unwrap_or_default();
    let dry_run = top.bool("dryrun", problems).unwrap_or(false);
    let expect = top.get("expect").and_then(|node| expect::read(node, problems));
    let expect_at = key_location(root, "expect");
    let alert = alert(file, &top, problems)?;
    let received_at = alert.time.saturating_add(age).unwrap_or(Timestamp::MAX);
    let own = |key: &str| top.get(key).cloned();
    let wishes = Wishes {
        config: own("config"),
        rule: own("rule"),
        parameters: own("parameters"),
        grants: own("grants"),
        dry_run,
    };
    let config = setup::config(file, action, &alert, &wishes).map_err(|further| problems.0.extend(further)).ok();
    let simulation = cluster(file, &top, received_at, problems)?;
    let servers = servers::read(&top, problems);
    for fault in top.list("faults", problems).unwrap_or_default() {
        match read_fault(fault, &simulation, problems) {
            Some((fault, Place::Object)) => simulation.inject_at(fault),
            Some((fault, Place::Below)) => simulation.inject(fault),
            None => {}
        }
    }
    Some(Case {
        file: file.to_owned(),
        name,
        alert,
        received_at,
        config: config?,
        simulation,
        servers,
        expect,
        text,
        expect_at,
    })
}

fn key_location(root: &Node, name: &str) -> Option<Location> {
    let Content::Map(entries) = &root.value else { return None };
    entries.iter().find(|(key, _)| key.name == name).map(|(key, _)| key.location)
}

/// Beside the case, unless it is absolute.
fn beside(file: &Path, text: &str) -> PathBuf {
    file.parent().unwrap_or(Path::new(".")).join(text)
}

fn alert(file: &Path, top: &Section<'_>, problems: &mut Problems) -> Option<Alert> {
    let Some(node) = top.get("alert") else {
        top.missing("alert", "a map, or the name of a file with Falco's JSON", problems);
        return None;
    };
    let parsed = match &node.value {
        Content::Map(_) => complete(node.to_json(), TIME),
        Content::Text(path) => read_alert(&beside(file, path), TIME),
        _ => Err(format!("expects a map or the name of a file, not {}", node.describe())),
    };
    parsed.map_err(|message| problems.add(node.location, format!("`alert`: {message}"))).ok()
}

/// An alert in a file: Falco's JSON, or YAML; what Falco always sends is filled in, `time` as the time.
///
/// # Errors
/// Why it is none.
pub fn read_alert(file: &Path, time: &str) -> Result<Alert, String> {
    let bytes = std::fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    // As it came, if it is one: nothing of it is read twice then.
    if let Ok(alert) = Alert::parse(&bytes) {
        return Ok(alert);
    }
    let root = Node::parse(&bytes).map_err(|Problem { location, message }| {
        format!("{}:{}:{}: {message}", file.display(), location.line, location.column)
    })?;
    complete(root.to_json(), time).map_err(|message| format!("{}: {message}", file.display()))
}

fn complete(alert: Value, time: &str) -> Result<Alert, String> {
    let Value::Object(own) = alert else { return Err("an alert is a map".to_owned()) };
    let rule = own.get("rule").cloned().unwrap_or_else(|| RULE.into());
    let mut whole = Map::new();
    for (key, value) in [
        ("output", rule.clone()),
        ("priority", json!("Critical")),
        ("rule", rule),
        ("time", json!(time)),
        ("source", json!("syscall")),
        ("tags", json!([])),
        ("output_fields", json!({})),
    ] {
        whole.insert(key.to_owned(), value);
    }
    whole.extend(own);
    Alert::parse(Value::Object(whole).to_string().as_bytes()).map_err(|error| error.to_string())
}

fn cluster(file: &Path, top: &Section<'_>, now: Timestamp, problems: &mut Problems) -> Option<Simulation> {
    let nodes = top.list("cluster", problems).unwrap_or_default();
    let shown = file.display().to_string();
    let mut paths = Vec::new();
    for node in nodes {
        match &node.value {
            Content::Text(path) => paths.push(Some(beside(file, path))),
            Content::Map(_) => paths.push(None),
            _ => {
                let message = format!("`cluster[]` is a file of manifests or an object, not {}", node.describe());
                problems.add(node.location, message);
                return None;
            }
        }
    }
    let sources: Vec<_> = nodes
        .iter()
        .zip(&paths)
        .map(|(node, path)| match path {
            Some(path) => Source::Path(path),
            None => Source::Object { file: &shown, line: node.location.line, object: node.to_json() },
        })
        .collect();
    match Simulation::gather(&sources, &StageClock::at(now).ambient()) {
        Ok(simulation) => Some(simulation),
        Err(LoadError::Document { file, line, message }) if file == shown => {
            problems.add(Location { line, column: 1 }, message);
            None
        }
        Err(error) => {
            let location = top.get("cluster").map_or(top.location, |node| node.location);
            problems.add(location, format!("`cluster`: {error}"));
            None
        }
    }
}

/// Which requests a fault meets.
#[derive(Clone, Copy)]
enum Place {
    /// Those for what the case names, and nothing else.
    Object,
    /// All whose path begins so.
    Below,
}

fn read_fault(node: &Node, simulation: &Simulation, problems: &mut Problems) -> Option<(Fault, Place)> {
    let section = Section::open(node, "faults[]", FAULT, problems)?;
    if section.get("verb").is_none() {
        section.missing("verb", "`verb: delete`", problems);
    }
    let choices: Vec<_> = VERBS.iter().map(|verb| (*verb, *verb)).collect();
    let verb = section.choice("verb", &choices, problems);
    let path = match (section.text("object", problems), section.text("path", problems)) {
        (Some(object), None) => {
            let path = simulation.path_of(object);
            if path.is_none() {
                let message = format!(
                    "`{}` names nothing that the cluster has; write `pods production/checkout-1` or `pods in production`",
                    excerpt(object)
                );
                problems.add(section.get("object").map_or(section.location, |node| node.location), message);
            }
            path.map(|path| (path, Place::Object))
        }
        (None, Some(path)) => Some((path.to_owned(), Place::Below)),
        (Some(_), Some(_)) => {
            problems.add(section.location, "`faults[]` has both `object` and `path`, keep one of them");
            None
        }
        (None, None) => {
            section.missing("object", "`object: pods production/checkout-1`, or `path`", problems);
            None
        }
    };
    let times = section.number("times", 1..=u64::from(u32::MAX), problems);
    let kind = answer(&section, problems)?;
    let (verb, (path, place)) = (verb?, path?);
    let below = match verb {
        "evict" => "/eviction",
        "exec" => "/exec",
        "logs" => "/log",
        _ => "",
    };
    let path_prefix = if path.ends_with(below) { path } else { path + below };
    let times = times.and_then(|times| u32::try_from(times).ok()).unwrap_or(u32::MAX);
    Some((Fault { method: method(verb), path_prefix, times, kind }, place))
}

fn method(verb: &str) -> Method {
    match verb {
        "create" | "evict" => Method::POST,
        "apply" | "patch" => Method::PATCH,
        "delete" => Method::DELETE,
        _ => Method::GET,
    }
}

fn answer(section: &Section<'_>, problems: &mut Problems) -> Option<FaultKind> {
    let Some(node) = section.get("answer") else {
        section.missing("answer", "`answer: 503`, `lost` or `hang`", problems);
        return None;
    };
    let kind = match &node.value {
        Content::Text(text) if text == "lost" => Some(FaultKind::LoseAnswer),
        Content::Text(text) if text == "hang" => Some(FaultKind::Hang),
        Content::Number(number) => number
            .as_u64()
            .filter(|code| (400..600).contains(code))
            .and_then(|code| StatusCode::from_u16(u16::try_from(code).ok()?).ok())
            .map(FaultKind::Refuse),
        _ => None,
    };
    if kind.is_none() {
        let message =
            format!("`faults[].answer` is a status from 400 to 599, `lost` or `hang`, not {}", node.describe());
        problems.add(node.location, message);
    }
    kind
}
