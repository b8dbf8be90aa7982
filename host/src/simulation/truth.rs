//! What really happens in the cluster, noted where it happens: which change was sent on which intent, and what it did.

use std::sync::Arc;

use http::{Method, Request, Response};
use serde_json::Value;

use super::api::{Late, Sent, event_of, pinned_uid};
use super::scenario::Happening;
use super::world::World;
use crate::cluster::simulated::Simulation;

/// What a change did.
#[derive(Debug, Clone)]
pub struct Truth {
    /// Whether the API server said yes.
    pub accepted: bool,
    pub diffs: Vec<Diff>,
    /// The cluster before.
    pub before: Vec<Value>,
}

#[derive(Debug, Clone)]
pub struct Diff {
    pub before: Option<Value>,
    pub after: Option<Value>,
}

impl Diff {
    pub fn object(&self) -> &Value {
        self.before.as_ref().or(self.after.as_ref()).unwrap_or(&Value::Null)
    }
}

/// Notes a change that is on its way, and whether it was announced.
pub fn note_sent(world: &World, request: &Request<Vec<u8>>) -> Option<usize> {
    if request.method() == Method::GET {
        return None;
    }
    let body: Value = serde_json::from_slice(request.body()).unwrap_or(Value::Null);
    let event_id = event_of(request).unwrap_or_default();
    let path = request.uri().path().to_owned();
    let uid = pinned_uid(&body);
    let in_query = request.uri().query().unwrap_or("").contains("dryRun=All");
    let dry_run = in_query || body.to_string().contains("\"dryRun\":[\"All\"]");
    let mut state = world.state();
    // The latest: a run that is started again announces its calls anew.
    let intent = state.notes.intents.iter().rev().find(|intent| {
        intent["event_id"] == event_id.as_str()
            && intent["path"] == path.as_str()
            && (uid.is_none() || intent["uid"].as_str() == uid.as_deref())
    });
    let of_intent = |key: &str| intent.and_then(|intent| intent[key].as_str()).map(str::to_owned);
    let (entry_id, announced_uid) = (of_intent("entry_id"), of_intent("uid"));
    // Looked at a moment before; a request is on its way for no longer than that.
    let stopped = state.brake_since.is_some_and(|since| world.now().duration_since(since).as_millis() > 50);
    let (_, dry_by_configuration) = world.scenario.config(state.notes.lives);
    state.notes.sent.push(Sent {
        event_id: event_id.clone(),
        method: request.method().clone(),
        path: path.clone(),
        announced_uid,
        dry_by_configuration,
        entry_id: entry_id.clone(),
        truth: None,
    });
    let number = state.notes.sent.len() - 1;
    drop(state);
    if entry_id.is_none() {
        world.wrong(format!("{} {path} was sent for {event_id} before its intent was on disk", request.method()));
    }
    if stopped && !dry_run {
        world.wrong(format!("{} {path} was sent live for {event_id} although the brake was on", request.method()));
    }
    Some(number)
}

/// The API server looks at a request.
pub fn carry_out(world: &World, late: &Late) -> Response<Vec<u8>> {
    let Some(number) = late.sent else {
        let response = ask(&world.cluster, late.request.clone());
        if world.scenario.weather.stale > 0 {
            world.state().memory.insert(late.request.uri().path().to_owned(), response.clone());
        }
        return response;
    };
    let before = objects(world);
    let response = ask(&world.cluster, late.request.clone());
    let after = objects(world);
    let diffs = differences(&before, &after);
    let accepted = response.status().is_success();
    world.note(|| format!("cluster: {} {}", response.status().as_u16(), words(&diffs)));
    for diff in diffs.iter().filter(|diff| is_deleted(diff)) {
        comes_back(world, diff.object());
    }
    let mut state = world.state();
    if let Some(sent) = state.notes.sent.get_mut(number) {
        sent.truth = Some(Truth { accepted, diffs, before });
    }
    response
}

/// Somebody else's request.
pub fn another(world: &World, method: Method, path: &str, content_type: &str, body: &Value) {
    let request = Request::builder().method(method.clone()).uri(path).header("content-type", content_type);
    let request = request.header("user-agent", "kubectl/v1.33");
    let request = request.body(if body.is_null() { Vec::new() } else { body.to_string().into_bytes() });
    let before = objects(world);
    let response = ask(&world.cluster, request.expect("a request"));
    let diffs = differences(&before, &objects(world));
    world.note(|| format!("somebody: {method} {path}: {} {}", response.status().as_u16(), words(&diffs)));
    for diff in diffs.iter().filter(|diff| is_deleted(diff)) {
        comes_back(world, diff.object());
    }
}

fn ask(cluster: &Simulation, request: Request<Vec<u8>>) -> Response<Vec<u8>> {
    // Nothing is injected there, so it answers at once.
    let answer = std::pin::pin!(cluster.respond(request));
    match answer.poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(Ok(response)) => response,
        _ => unreachable!("the simulated cluster answers at once"),
    }
}

/// What was read at that path before, if anything was.
pub fn remembered(world: &World, late: &Late) -> Option<Response<Vec<u8>>> {
    world.state().memory.get(late.request.uri().path()).cloned()
}

/// Without the API server's own bookkeeping: an apply of an empty list makes a new generation each time.
fn objects(world: &World) -> Vec<Value> {
    let mut objects = world.cluster.objects();
    for metadata in objects.iter_mut().filter_map(|object| object.get_mut("metadata")?.as_object_mut()) {
        for own in ["managedFields", "generation", "resourceVersion"] {
            metadata.shift_remove(own);
        }
    }
    objects
}

fn path_of(object: &Value) -> (&str, &str, &str) {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or("");
    (text("/kind"), text("/metadata/namespace"), text("/metadata/name"))
}

fn differences(before: &[Value], after: &[Value]) -> Vec<Diff> {
    let mut diffs = Vec::new();
    for old in before {
        let new = after.iter().find(|new| path_of(new) == path_of(old));
        if new != Some(old) {
            diffs.push(Diff { before: Some(old.clone()), after: new.cloned() });
        }
    }
    for new in after.iter().filter(|new| !before.iter().any(|old| path_of(new) == path_of(old))) {
        diffs.push(Diff { before: None, after: Some(new.clone()) });
    }
    diffs
}

/// Gone, or on its way out since just now.
pub fn is_deleted(diff: &Diff) -> bool {
    let going = |object: &Value| object.pointer("/metadata/deletionTimestamp").is_some_and(Value::is_string);
    match (&diff.before, &diff.after) {
        (Some(_), None) => true,
        (Some(before), Some(after)) => !going(before) && going(after),
        (None, _) => false,
    }
}

/// Its controller, or whoever made it, makes another one.
fn comes_back(world: &World, object: &Value) {
    if object["kind"] == "Pod" && world.dice.chance(world.scenario.weather.comes_back) {
        let wait = world.dice.one_of(&[70, 900, 1500, 4000, 12_000]);
        world.soon(std::time::Duration::from_millis(wait), Happening::ComesBack(Arc::new(object.clone())));
    }
}

fn words(diffs: &[Diff]) -> String {
    let word = |diff: &Diff| {
        let (kind, namespace, name) = path_of(diff.object());
        let what = match (&diff.before, &diff.after) {
            (None, _) => "created",
            (_, None) => "removed",
            _ if is_deleted(diff) => "deleted",
            _ => "changed",
        };
        format!("{what} {kind} {namespace}/{name}")
    };
    diffs.iter().map(word).collect::<Vec<_>>().join(", ")
}
