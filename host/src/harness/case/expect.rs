//! `expect` of a case, read strictly and brought into the form in which it is compared: keys in a fixed order, lists that
//! are empty left out.

use serde_json::{Map, Value};

use crate::config::section::{Problems, Section, report_repeated_keys_below};
use crate::config::tree::{Content, Node};
use crate::harness::yaml;
use crate::respond::outcome::{Failure, Outcome};

pub const EXPECT: &[&str] = &[
    "attachments",
    "calls",
    "check",
    "cluster",
    "decision",
    "detail",
    "failure",
    "invalid_parameters",
    "log",
    "notes",
    "outcome",
    "pages",
    "says",
    "unwanted",
];
pub const CALL: &[&str] = &["attempts", "call", "check", "detail", "document", "effect", "options"];
pub const OPTIONS: &[&str] = &["force", "gracePeriodSeconds", "headers", "propagationPolicy"];
pub const CHANGE: &[&str] = &["changed", "created", "deleted", "fields", "object"];
pub const ATTACHMENT: &[&str] = &["media_type", "name", "text"];
pub const LINE: &[&str] = &["level", "message"];
pub const PARAMETER: &[&str] = &["at", "message"];

pub const OUTCOMES: &[&str] = &["done", "already_gone", "skipped", "failed", "unknown"];
pub const FAILURES: &[&str] =
    &["trap", "timeout", "memory", "call_limit", "denied", "conflict", "api", "plugin", "not_sent"];
pub const EFFECTS: &[&str] =
    &["changed", "unchanged", "gone", "denied", "conflict", "api", "not_sent", "no_answer", "unknown"];
pub const DECISIONS: &[&str] = &["refused", "failed", "folded", "waiting"];
pub const LEVELS: &[&str] = &["error", "warn", "info", "debug"];

/// Keys of which a case has exactly one: what kind of end it expects.
const ENDS: [&str; 4] = ["outcome", "decision", "invalid_parameters", "unwanted"];

pub fn read(node: &Node, problems: &mut Problems) -> Option<Value> {
    let section = Section::open(node, "expect", EXPECT, problems)?;
    let mut found = Map::new();
    ends(&section, problems);
    put(&mut found, "outcome", word(&section, "outcome", OUTCOMES, problems));
    put(&mut found, "failure", word(&section, "failure", FAILURES, problems));
    put(&mut found, "decision", word(&section, "decision", DECISIONS, problems));
    for key in ["check", "unwanted"] {
        put(&mut found, key, section.text(key, problems).map(Value::from));
    }
    put_list(&mut found, "invalid_parameters", items(&section, "invalid_parameters", PARAMETER, problems, parameter));
    for key in ["detail", "says"] {
        put(&mut found, key, section.text(key, problems).map(Value::from));
    }
    put_list(&mut found, "calls", items(&section, "calls", CALL, problems, call));
    put_list(&mut found, "cluster", items(&section, "cluster", CHANGE, problems, change));
    let pages = section.texts("pages", problems).unwrap_or_default();
    put_list(&mut found, "pages", pages.into_iter().map(|(_, text)| text.into()).collect());
    put(&mut found, "notes", notes(&section, problems));
    put_list(&mut found, "attachments", items(&section, "attachments", ATTACHMENT, problems, attachment));
    // An empty one says that there are none; an absent one, that nobody asks.
    if section.get("log").is_some() {
        put(&mut found, "log", Some(Value::Array(items(&section, "log", LINE, problems, line))));
    }
    Some(Value::Object(found))
}

fn ends(section: &Section<'_>, problems: &mut Problems) {
    let said: Vec<_> = ENDS.iter().filter(|key| section.get(key).is_some()).collect();
    match said.as_slice() {
        [] => {
            let message = "`expect` says nothing of how it ends, add `outcome: done`, or `decision` and `check`, \
                           `invalid_parameters` or `unwanted`";
            problems.add(section.location, message);
        }
        [_] => {}
        [_, second, ..] => {
            let location = section.get(second).map_or(section.location, |node| node.location);
            problems.add(location, format!("`expect` has both `{}` and `{second}`, keep one of them", said[0]));
        }
    }
    for (key, wanted, with, example) in [
        ("failure", "outcome", "failed", "why: `failure: denied`"),
        ("check", "decision", "refused", "whose decision: `check: namespace_denied`"),
    ] {
        let (has, beside) = (section.get(key), section.get(wanted));
        let fits = match (key, beside.map(|node| &node.value)) {
            ("failure", Some(Content::Text(outcome))) => outcome == Outcome::Failed(Failure::Api).as_str(),
            (_, beside) => beside.is_some(),
        };
        match has {
            Some(node) if !fits => {
                problems.add(node.location, format!("`expect.{key}` goes with `{wanted}: {with}`"));
            }
            None if fits => section.missing(key, example, problems),
            _ => {}
        }
    }
}

/// The items of a list, each a map of `known` keys.
fn items(
    section: &Section<'_>,
    key: &str,
    known: &[&str],
    problems: &mut Problems,
    read: fn(&Section<'_>, &mut Problems) -> Map<String, Value>,
) -> Vec<Value> {
    let nodes = section.list(key, problems).unwrap_or_default();
    let path = format!("expect.{key}[]");
    let mut found = Vec::new();
    for node in nodes {
        if node.is_null() {
            problems.add(node.location, format!("`{path}` is empty"));
        } else if let Some(item) = Section::open(node, &path, known, problems) {
            found.push(Value::Object(read(&item, problems)));
        }
    }
    found
}

fn call(item: &Section<'_>, problems: &mut Problems) -> Map<String, Value> {
    let mut found = Map::new();
    required(item, &mut found, "call", "`call: delete pods production/checkout-1`", problems);
    if item.get("effect").is_none() {
        item.missing("effect", "`effect: changed`", problems);
    }
    put(&mut found, "effect", word(item, "effect", EFFECTS, problems));
    put(&mut found, "check", item.text("check", problems).map(Value::from));
    if let Some(options) = item.section("options", OPTIONS, problems) {
        let whole = item.get("options").map(Node::to_json).unwrap_or_default();
        let (seconds, force) =
            (options.number("gracePeriodSeconds", 0..=u64::MAX, problems), options.bool("force", problems));
        let policy = word(&options, "propagationPolicy", &["Background", "Foreground", "Orphan"], problems);
        let headers = options.entries("headers", problems);
        if seconds.is_some() || force.is_some() || policy.is_some() || headers.is_some() {
            found.insert("options".to_owned(), yaml::in_order(&whole));
        }
    }
    put(&mut found, "document", free(item, "document", problems));
    put(&mut found, "attempts", item.number("attempts", 0..=1000, problems).map(Value::from));
    put(&mut found, "detail", item.text("detail", problems).map(Value::from));
    found
}

fn change(item: &Section<'_>, problems: &mut Problems) -> Map<String, Value> {
    let mut found = Map::new();
    let kinds = [("created", Some("object")), ("changed", Some("fields")), ("deleted", None)];
    let said: Vec<_> = kinds.iter().filter(|(kind, _)| item.get(kind).is_some()).collect();
    let [(kind, with)] = said.as_slice() else {
        let path = item.path_of("");
        let path = path.trim_end_matches('.');
        problems.add(item.location, format!("`{path}` has one of `created`, `changed` and `deleted`"));
        return found;
    };
    put(&mut found, kind, item.text(kind, problems).map(Value::from));
    for key in ["object", "fields"] {
        match item.get(key) {
            Some(_) if Some(key) == *with => put(&mut found, key, free(item, key, problems)),
            Some(node) => problems.add(node.location, format!("{} does not go with `{kind}`", item.name(key))),
            None if Some(key) == *with => item.missing(key, &format!("what is {kind}"), problems),
            None => {}
        }
    }
    found
}

fn attachment(item: &Section<'_>, problems: &mut Problems) -> Map<String, Value> {
    let mut found = Map::new();
    required(item, &mut found, "name", "`name: pod.yaml`", problems);
    required(item, &mut found, "media_type", "`media_type: application/yaml`", problems);
    put(&mut found, "text", item.text("text", problems).map(Value::from));
    found
}

fn line(item: &Section<'_>, problems: &mut Problems) -> Map<String, Value> {
    let mut found = Map::new();
    put(&mut found, "level", word(item, "level", LEVELS, problems));
    required(item, &mut found, "message", "what it says", problems);
    found
}

fn parameter(item: &Section<'_>, problems: &mut Problems) -> Map<String, Value> {
    let mut found = Map::new();
    match item.get("at").map(|node| &node.value) {
        // The whole of the parameters.
        Some(Content::Text(text)) if text.is_empty() => put(&mut found, "at", Some("".into())),
        _ => required(item, &mut found, "at", "`at: /key`", problems),
    }
    put(&mut found, "message", item.text("message", problems).map(Value::from));
    found
}

/// By name, since nobody knows in which order an action writes them.
fn notes(section: &Section<'_>, problems: &mut Problems) -> Option<Value> {
    let entries = section.entries("notes", problems)?;
    if let Some(node) = section.get("notes") {
        report_repeated_keys_below(node, problems);
    }
    let mut notes: Vec<(String, Value)> = Vec::new();
    for (key, node) in entries {
        match &node.value {
            Content::Text(text) => notes.push((key.name.clone(), text.as_str().into())),
            _ => {
                let message = format!("`expect.notes.{}` expects text in quotes, not {}", key.name, node.describe());
                problems.add(node.location, message);
            }
        }
    }
    notes.sort_by(|(a, _), (b, _)| a.cmp(b));
    (!notes.is_empty()).then(|| Value::Object(notes.into_iter().collect()))
}

/// A value whose keys are not ours to know.
fn free(section: &Section<'_>, key: &str, problems: &mut Problems) -> Option<Value> {
    let node = section.get(key)?;
    report_repeated_keys_below(node, problems);
    Some(yaml::in_order(&node.to_json()))
}

fn word(section: &Section<'_>, key: &str, known: &[&'static str], problems: &mut Problems) -> Option<Value> {
    let choices: Vec<_> = known.iter().map(|word| (*word, *word)).collect();
    section.choice(key, &choices, problems).map(Value::from)
}

fn required(section: &Section<'_>, found: &mut Map<String, Value>, key: &str, example: &str, problems: &mut Problems) {
    if section.get(key).is_none() {
        section.missing(key, example, problems);
    }
    put(found, key, section.text(key, problems).map(Value::from));
}

fn put(found: &mut Map<String, Value>, key: &str, value: Option<Value>) {
    if let Some(value) = value {
        found.insert(key.to_owned(), value);
    }
}

fn put_list(found: &mut Map<String, Value>, key: &str, list: Vec<Value>) {
    if !list.is_empty() {
        found.insert(key.to_owned(), Value::Array(list));
    }
}
