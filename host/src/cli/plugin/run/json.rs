//! What an action did, for programs.

use serde_json::{Map, Value, json};

use super::Told;
use crate::harness::case::actual;
use crate::harness::played::{Call, GrantedBy};
use crate::harness::seen::sentence;
use crate::harness::{Line, Ran, Verdict};
use crate::plugins::Attachment;
use crate::safety::run::Effect;
use crate::telemetry::escape;

/// On one line; every value keeps its meaning, and the characters that could deceive a terminal are escaped.
pub fn document(told: &Told<'_>) -> String {
    let Told { harness, setup, played } = told;
    let action = harness.action();
    let mut body = Map::new();
    let mut put = |key: &str, value: Value| drop(body.insert(key.to_owned(), value));
    put("action", json!({"name": action.manifest.name, "file": action.origin.to_string(), "sha256": action.sha256}));
    put("alert", json!({"rule": setup.rule, "time": setup.time}));
    put("cluster", json!(setup.cluster));
    put("dry_run", json!(played.dry_run));
    match &played.verdict {
        Verdict::Unwanted(why) => put("unwanted", json!(why)),
        Verdict::InvalidParameters(problems) => {
            let list = problems.iter().map(|problem| json!({"at": problem.at, "message": problem.message}));
            put("invalid_parameters", list.collect());
        }
        Verdict::Decided { decision, check, detail } => {
            put("decision", json!({"decision": decision, "check": check, "detail": detail}));
        }
        Verdict::Ran(ran) => put("run", run(ran)),
    }
    let changed = played.difference.0.iter();
    put(
        "changes",
        changed.map(|one| json!({"object": one.object, "before": one.before, "after": one.after})).collect(),
    );
    put("changed_although_dry", json!(played.changed_although_dry));
    put("pages", json!(played.pages));
    let line = |line: &Line| json!({"level": line.level.word(), "message": line.message});
    put("log", played.log.iter().map(line).collect());
    put("record", played.records.first().map_or(Value::Null, |record| Value::Object(record.body.clone())));
    // As a case file would have to expect it.
    put("expect", actual::told(played, None));
    escape::json(&Value::Object(body))
}

fn run(ran: &Ran) -> Value {
    let cleared = ran.cleared.as_ref().map(|cleared| {
        let pod = cleared.alerts_pod();
        json!({
            "object": cleared.object.to_string(),
            "uid": cleared.object.uid.as_ref().map(AsRef::<str>::as_ref),
            "pod": pod.map(|pod| pod.object.to_string()),
            "proof": pod.and_then(|pod| pod.proof).map(|proof| proof.as_str()),
            "owners": pod.map(|pod| &pod.chain.controllers).into_iter().flatten().map(ToString::to_string).collect::<Vec<_>>(),
            "top": pod.and_then(|pod| pod.chain.top.clone()),
        })
    });
    let note = |(key, value): &(String, String)| (key.clone(), value.as_str().into());
    json!({
        "cleared": cleared,
        "outcome": ran.derived.outcome.as_str(),
        "failure": ran.derived.outcome.failure(),
        "changed": ran.derived.changed,
        "detail": ran.derived.detail,
        "says": sentence(&ran.report.end),
        "calls": ran.calls.iter().map(call).collect::<Vec<_>>(),
        "notes": ran.report.notes.iter().map(note).collect::<Map<String, Value>>(),
        "attachments": ran.report.attachments.iter().map(attachment).collect::<Vec<_>>(),
        "duration_us": u64::try_from(ran.report.duration.as_micros()).unwrap_or(u64::MAX),
        "peak_memory_bytes": ran.report.peak_memory,
    })
}

fn call(call: &Call) -> Value {
    let check = if let Effect::Denied(Some(check)) = call.record.effect { Some(check.id()) } else { None };
    let by = |by: &GrantedBy| match by {
        GrantedBy::Default => "default",
        GrantedBy::Operator => "plugins.grants",
    };
    json!({
        "call": call.headline(),
        "effect": call.record.effect.as_str(),
        "check": check,
        "detail": call.record.detail,
        "granted_by": call.granted_by.iter().map(by).collect::<Vec<_>>(),
        "options": call.options(),
        "document": call.document(),
        "attempts": call.record.attempts,
    })
}

/// Text as text, anything else by its digest alone.
fn attachment(one: &Attachment) -> Value {
    json!({
        "name": one.name,
        "media_type": one.media_type,
        "bytes": one.content.len(),
        "sha256": one.sha256,
        "text": std::str::from_utf8(&one.content).ok(),
    })
}
