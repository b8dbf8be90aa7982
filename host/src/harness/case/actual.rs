//! What happened, in the form of `expect`.

use serde_json::{Map, Value, json};

use crate::harness::Line;
use crate::harness::difference::Changed;
use crate::harness::played::{Call, Played, Ran, Verdict};
use crate::harness::seen::sentence;
use crate::harness::yaml;
use crate::plugins::ParameterProblem;
use crate::safety::run::Effect;

/// Stands for the event's id, which is another one each time.
pub const EVENT_ID: &str = "EVENT_ID";

/// What a case file would have to expect. Of what only some cases ask for, as much as `expected` asks for; a text that
/// is to be contained, and is, is told as it was asked for.
pub fn told(played: &Played, expected: Option<&Value>) -> Value {
    let asked = |key: &str| expected.and_then(|expected| expected.get(key));
    let mut told = Map::new();
    match &played.verdict {
        Verdict::Unwanted(why) => put(&mut told, "unwanted", *why),
        Verdict::InvalidParameters(problems) => {
            put(&mut told, "invalid_parameters", parameters(problems, asked("invalid_parameters")));
        }
        Verdict::Decided { decision, check, detail } => {
            put(&mut told, "decision", decision.as_str());
            put(&mut told, "check", check.as_str());
            put_contained(&mut told, "detail", detail, asked("detail"));
        }
        Verdict::Ran(ran) => run(&mut told, ran, expected),
    }
    if played.changed_although_dry {
        put(&mut told, "changed_although_dry", true);
    }
    put_list(&mut told, "cluster", played.difference.0.iter().map(Changed::told).collect());
    put_list(&mut told, "pages", played.pages.iter().map(|page| page.summary.as_str().into()).collect());
    if let Some(ran) = played.ran() {
        said(&mut told, ran, asked("attachments"));
    }
    if asked("log").is_some() {
        let line = |line: &Line| json!({"level": line.level.word(), "message": line.message});
        put(&mut told, "log", played.log.iter().map(line).collect::<Value>());
    }
    let mut told = Value::Object(told);
    if let Some(ran) = played.ran().filter(|ran| !ran.event_id.is_empty()) {
        replace(&mut told, &ran.event_id);
    }
    told
}

fn run(told: &mut Map<String, Value>, ran: &Ran, expected: Option<&Value>) {
    let asked = |key: &str| expected.and_then(|expected| expected.get(key));
    put(told, "outcome", ran.derived.outcome.as_str());
    if let Some(failure) = ran.derived.outcome.failure() {
        put(told, "failure", failure);
    }
    put_contained(told, "detail", &ran.derived.detail, asked("detail"));
    if asked("says").is_some() {
        put(told, "says", sentence(&ran.report.end).unwrap_or_default());
    }
    let calls =
        ran.calls.iter().enumerate().map(|(at, call)| one_call(call, asked("calls").and_then(|calls| calls.get(at))));
    put_list(told, "calls", calls.collect());
}

fn one_call(call: &Call, expected: Option<&Value>) -> Value {
    let headline = call.headline();
    // Of another call nothing is asked.
    let expected = expected.filter(|expected| expected.get("call").and_then(Value::as_str) == Some(headline.as_str()));
    let asked = |key: &str| expected.and_then(|expected| expected.get(key));
    let mut told = Map::new();
    put(&mut told, "call", headline);
    put(&mut told, "effect", call.record.effect.as_str());
    if let Effect::Denied(Some(check)) = call.record.effect {
        put(&mut told, "check", check.id());
    }
    let options = call.options();
    if !options.is_null() {
        put(&mut told, "options", yaml::in_order(&options));
    }
    if asked("document").is_some() {
        put(&mut told, "document", call.document().map_or(Value::Null, |document| yaml::in_order(&document)));
    }
    if asked("attempts").is_some() {
        put(&mut told, "attempts", call.record.attempts);
    }
    put_contained(&mut told, "detail", &call.record.detail, asked("detail"));
    Value::Object(told)
}

/// Notes and attachments.
fn said(told: &mut Map<String, Value>, ran: &Ran, expected: Option<&Value>) {
    let mut notes: Vec<_> = ran.report.notes.clone();
    notes.sort();
    if !notes.is_empty() {
        put(told, "notes", notes.into_iter().map(|(key, value)| (key, Value::from(value))).collect::<Map<_, _>>());
    }
    let attachments = ran.report.attachments.iter().enumerate().map(|(at, attachment)| {
        let asked = expected.and_then(|list| list.get(at)).and_then(|one| one.get("text"));
        let mut told = Map::new();
        put(&mut told, "name", attachment.name.as_str());
        put(&mut told, "media_type", attachment.media_type.as_str());
        put_contained(&mut told, "text", &String::from_utf8_lossy(&attachment.content), asked);
        Value::Object(told)
    });
    put_list(told, "attachments", attachments.collect());
}

fn parameters(problems: &[ParameterProblem], expected: Option<&Value>) -> Value {
    let told = problems.iter().enumerate().map(|(at, problem)| {
        let asked = expected.and_then(|list| list.get(at)).and_then(|one| one.get("message"));
        let mut told = Map::new();
        put(&mut told, "at", problem.at.as_str());
        put_contained(&mut told, "message", &problem.message, asked);
        Value::Object(told)
    });
    told.collect()
}

fn put_contained(told: &mut Map<String, Value>, key: &str, actual: &str, asked: Option<&Value>) {
    if let Some(asked) = asked {
        let contained = asked.as_str().is_some_and(|text| actual.contains(text));
        put(told, key, if contained { asked.clone() } else { actual.into() });
    }
}

fn put(told: &mut Map<String, Value>, key: &str, value: impl Into<Value>) {
    told.insert(key.to_owned(), value.into());
}

fn put_list(told: &mut Map<String, Value>, key: &str, list: Vec<Value>) {
    if !list.is_empty() {
        put(told, key, list);
    }
}

fn replace(value: &mut Value, event_id: &str) {
    match value {
        Value::String(text) if text.contains(event_id) => *text = text.replace(event_id, EVENT_ID),
        Value::Array(list) => list.iter_mut().for_each(|item| replace(item, event_id)),
        Value::Object(map) => map.values_mut().for_each(|value| replace(value, event_id)),
        _ => {}
    }
}
