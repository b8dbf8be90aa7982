//! The rules: which of Falco's rules is answered by which actions.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Map, Value};

use super::load::{namespaces, warn};
use super::section::{Problems, Section, report_repeated_keys_below};
use super::tree::{Content, Node, excerpt};
use super::{ActionRef, Confirmation, ExpiresAfter, Location, OnFailure, Places, Rule, Warning};

const RULE: &[&str] = &[
    "action",
    "actions",
    "audit_reason",
    "confirm",
    "dryrun",
    "expires_after",
    "name",
    "namespaces",
    "parameters",
    "timeout",
];
const ACTION: &[&str] = &["action", "confirm", "expires_after", "on_failure", "parameters"];

/// Who looks whether an isolation is over looks every few seconds, and a person needs a moment to see it.
const SHORTEST_ISOLATION: Duration = Duration::from_mins(1);
/// What is to last for longer than that is to last: leave the key out.
const LONGEST_ISOLATION: Duration = Duration::from_hours(365 * 24);

/// Nobody waits for more, and what is waited for is remembered.
const MOST_CONFIRMING: u64 = 100;
const LONGEST_CONFIRMING: Duration = Duration::from_hours(24);

pub fn read(top: &Section<'_>, allowed: &[String], warnings: &mut Vec<Warning>, problems: &mut Problems) -> Vec<Rule> {
    let nodes = top.list("rules", problems).unwrap_or_default();
    if nodes.is_empty() {
        let location = top.get("rules").map_or(top.location, |node| node.location);
        warn(warnings, location, "there are no `rules`, so no alert is answered");
    }
    let mut rules: Vec<Rule> = Vec::new();
    let mut lines = HashMap::new();
    for node in nodes {
        let Some(rule) = rule(node, allowed, warnings, problems) else { continue };
        match lines.get(&rule.name) {
            Some(&(line, index)) => {
                let first: &Rule = &rules[index];
                problems.add(rule.location, two_of_one_name(line, first, &rule));
            }
            None => drop(lines.insert(rule.name.clone(), (rule.location.line, rules.len()))),
        }
        rules.push(rule);
    }
    rules
}

/// Names the first rule's line, and proposes one rule with the actions of both.
fn two_of_one_name(line: u64, first: &Rule, second: &Rule) -> String {
    let actions: Vec<_> =
        first.actions.iter().chain(&second.actions).map(|action| format!("{{action: {}}}", action.action)).collect();
    format!(
        "a rule named \"{}\" stands in line {line} already; one rule can take several actions: `actions: [{}]`",
        excerpt(&second.name),
        actions.join(", ")
    )
}

fn rule(node: &Node, allowed: &[String], warnings: &mut Vec<Warning>, problems: &mut Problems) -> Option<Rule> {
    if node.is_null() {
        problems.add(node.location, "`rules[]` is empty, write a map with `name`, `action` and `audit_reason`");
        return None;
    }
    let section = Section::open(node, "rules[]", RULE, problems)?;
    if section.get("name").is_none() {
        section.missing("name", "the name of Falco's rule", problems);
    }
    if section.get("audit_reason").is_none() {
        section.missing("audit_reason", "the sentence that auditors will read", problems);
    }
    let name = section.text("name", problems).unwrap_or_default().to_owned();
    let audit_reason = section.text("audit_reason", problems).unwrap_or_default().to_owned();
    let mut actions = actions(&section, problems);
    let (confirm, expires_after) = (confirm(&section, problems), expires_after(&section, true, problems));
    for action in &mut actions {
        action.confirm = action.confirm.or(confirm);
        action.expires_after = action.expires_after.or(expires_after);
    }
    let narrowed = narrowed(&section, allowed, warnings, problems);
    let rule = Rule {
        location: node.location,
        name,
        audit_reason,
        actions,
        dryrun: section.bool("dryrun", problems).unwrap_or(false),
        namespaces: narrowed,
        timeout: section.span("timeout", problems),
    };
    (!rule.name.is_empty()).then_some(rule)
}

fn narrowed(
    section: &Section<'_>,
    allowed: &[String],
    warnings: &mut Vec<Warning>,
    problems: &mut Problems,
) -> Option<Vec<String>> {
    let names = namespaces(section, "namespaces", problems)?;
    if section.list("namespaces", problems).is_some_and(<[Node]>::is_empty) {
        let location = section.get("namespaces").map_or(section.location, |node| node.location);
        problems.add(location, "`rules[].namespaces` is empty, take it out to mean all of `allowed_namespaces`");
    }
    for (location, name) in &names {
        if !allowed.contains(name) {
            let message = format!("`{name}` is not in `allowed_namespaces`, so the rule does nothing there");
            warn(warnings, *location, message);
        }
    }
    Some(names.into_iter().map(|(_, name)| name).collect())
}

fn actions(section: &Section<'_>, problems: &mut Problems) -> Vec<ActionRef> {
    let (one, several) = (section.get("action"), section.get("actions"));
    match (one, several) {
        (Some(_), Some(several)) => {
            problems.add(several.location, "`rules[]` has both `action` and `actions`, keep one of them");
            Vec::new()
        }
        (None, None) => {
            section.missing("action", "`action: kill_pod`", problems);
            Vec::new()
        }
        (Some(node), None) => action(section, node.location, problems).into_iter().collect(),
        (None, Some(node)) => {
            if let Some(parameters) = section.get("parameters") {
                let message = "`rules[].parameters` goes with `action`, put it into the entries of `actions`";
                problems.add(parameters.location, message);
            }
            let items = section.list("actions", problems).unwrap_or_default();
            if items.is_empty() && matches!(node.value, Content::List(_)) {
                problems.add(node.location, "`rules[].actions` is empty, write `[{action: kill_pod}]`");
            }
            items.iter().filter_map(|item| one_of_several(item, problems)).collect()
        }
    }
}

fn one_of_several(node: &Node, problems: &mut Problems) -> Option<ActionRef> {
    if let Content::Text(text) = &node.value {
        let text = excerpt(text);
        problems.add(node.location, format!("`rules[].actions[]` is a map, did you mean `{{action: {text}}}`?"));
        return None;
    }
    let section = Section::open(node, "rules[].actions[]", ACTION, problems)?;
    if section.get("action").is_none() {
        section.missing("action", "`action: kill_pod`", problems);
    }
    let mut action = action(&section, node.location, problems)?;
    let choices = [("stop", OnFailure::Stop), ("continue", OnFailure::Continue)];
    action.confirm = confirm(&section, problems);
    action.expires_after = expires_after(&section, false, problems);
    action.on_failure = section.choice("on_failure", &choices, problems).unwrap_or(OnFailure::Stop);
    Some(action)
}

/// `action` and `parameters` of a section.
fn action(section: &Section<'_>, location: Location, problems: &mut Problems) -> Option<ActionRef> {
    let parameters = section.get("parameters");
    if let Some(node) = parameters {
        if matches!(node.value, Content::Map(_)) {
            report_repeated_keys_below(node, problems);
        } else {
            let message = format!("{} expects a map, not {}", section.name("parameters"), node.describe());
            problems.add(node.location, message);
        }
    }
    Some(ActionRef {
        location: section.get("action").map_or(location, |node| node.location),
        parameters_location: parameters.map_or(location, |node| node.location),
        places: parameters.map(Places::of).unwrap_or_default(),
        action: section.text("action", problems)?.to_owned(),
        parameters: parameters.map_or_else(|| Value::Object(Map::new()), Node::to_json),
        on_failure: OnFailure::Stop,
        confirm: None,
        expires_after: None,
    })
}

fn expires_after(section: &Section<'_>, of_rule: bool, problems: &mut Problems) -> Option<ExpiresAfter> {
    let location = section.get("expires_after")?.location;
    let lasts = section.span("expires_after", problems)?;
    if lasts < SHORTEST_ISOLATION {
        problems.add(location, format!("{} is shorter than 1m", section.name("expires_after")));
    } else if lasts > LONGEST_ISOLATION {
        let message = format!(
            "{} is longer than 365d, take it out to isolate until somebody lifts it",
            section.name("expires_after")
        );
        problems.add(location, message);
    }
    Some(ExpiresAfter { lasts, location, of_rule })
}

fn confirm(section: &Section<'_>, problems: &mut Problems) -> Option<Confirmation> {
    let section = section.section("confirm", &["alerts", "pods", "within"], problems)?;
    let count = |key: &str, problems: &mut Problems| {
        let count = section.number(key, 1..=MOST_CONFIRMING, problems)?;
        usize::try_from(count).ok()
    };
    let (alerts, pods) = (count("alerts", problems), count("pods", problems));
    let within = section.span("within", problems).unwrap_or(Duration::from_mins(5));
    let at = |key: &str| section.get(key).map_or(section.location, |node| node.location);
    if within > LONGEST_CONFIRMING {
        problems.add(at("within"), format!("{} is longer than 24h", section.name("within")));
    }
    let confirm = Confirmation { alerts: alerts.or(pods).unwrap_or(1), pods: pods.unwrap_or(1), within };
    if confirm.alerts < confirm.pods {
        let (alerts, pods) = (section.name("alerts"), section.name("pods"));
        problems.add(at("alerts"), format!("{alerts} is less than {pods}: each pod takes an alert of its own"));
    } else if confirm.alerts < 2 && (alerts.is_some() || section.get("alerts").is_none()) {
        problems.add(section.location, format!("{} waits for nothing, write at least 2", section.name("alerts")));
    }
    Some(confirm)
}
