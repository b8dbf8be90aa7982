//! After a crash: whether a call that was announced, and whose answer is not on record, had its effect.
//!
//! The cluster is asked for the object. What it shows is read like this:
//!
//! | announced | found | says |
//! |---|---|---|
//! | delete, evict | gone, or another UID | changed: we said that we would, and it happened. Who did it cannot be told from what is not there; a kill that is on record once too often is looked into, one that is missing is not |
//! | | being deleted since before the announcement | gone: somebody else had asked first |
//! | | being deleted | changed |
//! | | there, and nobody asked | not sent |
//! | apply, create, patch | carries our event's id, or our field manager's mark since then | changed |
//! | | another UID, or gone after a patch | unknown |
//! | | anything else | not sent |
//! | http, exec | nothing is asked | unknown |

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::Inner;
use crate::cluster::names::{ObjectName, ObjectRef, Subresource};
use crate::cluster::{ApiError, uid_str};

/// Without an answer by then the call stays unknown, and somebody is told.
const WITHIN: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Between the API server's clock and ours, whole seconds included.
const SKEW: SignedDuration = SignedDuration::from_secs(3);

/// What is found out about one call; `effect` is a result's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub effect: &'static str,
    pub detail: String,
}

pub(super) fn finding(effect: &'static str, detail: impl Into<String>) -> Finding {
    Finding { effect, detail: detail.into() }
}

impl Finding {
    /// In the form in which a call's own result would stand.
    pub fn result(&self, intent: &Map<String, Value>, at: String) -> Map<String, Value> {
        let copy = |key: &str| intent.get(key).cloned().unwrap_or(Value::Null);
        let mut result = super::record::fields([
            ("timestamp", json!(at)),
            ("event_id", copy("event_id")),
            ("entry_id", copy("entry_id")),
            ("action", copy("action")),
            ("call", copy("call")),
            ("effect", json!(self.effect)),
            ("detail", json!(self.detail)),
            ("looked_up", json!(true)),
        ]);
        if self.effect == "not_sent" {
            result.insert("sent_at".to_owned(), Value::Null);
        }
        result
    }
}

impl Inner {
    /// Asks until there is an answer, or it is too late. None: the controller is to end first.
    pub(super) async fn look_up(&self, intent: &Map<String, Value>) -> Option<Finding> {
        if intent.get("dry_run") == Some(&Value::Bool(true)) {
            return Some(finding("unknown", "a dry run: it changed nothing, and what would have been is not known"));
        }
        // A server outside keeps no object that could be looked at, and a command leaves none.
        if let Some(verb @ ("http" | "exec")) = intent.get("verb").and_then(Value::as_str) {
            let what = if verb == "http" { "a request to a server outside" } else { "a command in a container" };
            let detail = format!("the controller stopped before the answer came, and {what} cannot be looked up");
            return Some(finding("unknown", detail));
        }
        let Some(object) = object_of(intent) else {
            return Some(finding("unknown", "what the call was about cannot be read from its announcement"));
        };
        let deadline = tokio::time::Instant::now() + WITHIN;
        let mut pause = Duration::from_millis(200);
        let mut stopping = self.queue.stopping();
        loop {
            let answer = self.gate.reader().get(&object).await;
            match &answer {
                Err(error) if error.is_transient() && tokio::time::Instant::now() < deadline => {}
                answer => return Some(judge(intent, answer.as_ref())),
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stopping.wait_for(|stopping| *stopping) => return None,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// The object that was to be changed, without its UID: whatever has its name now.
pub(super) fn object_of(intent: &Map<String, Value>) -> Option<ObjectRef> {
    let path = intent.get("path")?.as_str()?;
    let object = match intent.get("name").and_then(Value::as_str) {
        Some(name) => ObjectRef::from_path(&format!("{path}/{}", ObjectName::parse(name).ok()?))?,
        None => ObjectRef::from_path(path)?,
    };
    match object.resource.subresource() {
        Some(Subresource::Eviction) => ObjectRef::from_path(path.strip_suffix("/eviction")?),
        _ => Some(object),
    }
}

fn judge(intent: &Map<String, Value>, answer: Result<&Value, &ApiError>) -> Finding {
    let text = |key: &str| intent.get(key).and_then(Value::as_str);
    let announced: Timestamp = match text("timestamp").and_then(|text| text.parse().ok()) {
        Some(at) => at,
        None => return finding("unknown", "when the call was announced cannot be read"),
    };
    let found = match answer {
        Ok(found) => Some(found),
        Err(error) if error.is_not_found() => None,
        Err(error) => return finding("unknown", format!("looked up after a restart, without an answer: {error}")),
    };
    let same = found.filter(|found| text("uid").is_none_or(|pinned| uid_str(found) == Some(pinned)));
    match (text("verb"), same) {
        (Some("delete" | "evict"), None) => {
            finding("changed", "found gone after a restart; the call's own answer is not known")
        }
        (Some("delete" | "evict"), Some(object)) => match asked_for_deletion_at(object) {
            None => finding("not_sent", "looked up after a restart: the object is there, and nobody deletes it"),
            Some(asked) if announced.duration_since(asked) > SKEW => {
                finding("gone", "looked up after a restart: somebody else had deleted it before")
            }
            Some(_) => finding("changed", "found being deleted after a restart; the call's own answer is not known"),
        },
        (Some("apply" | "create" | "patch"), Some(object)) if is_ours(intent, object, announced) => {
            finding("changed", "found in place after a restart; the call's own answer is not known")
        }
        (Some("apply" | "create" | "patch"), Some(_)) => {
            finding("not_sent", "looked up after a restart: the object does not show the change")
        }
        (Some("apply" | "create"), None) if found.is_none() && text("uid").is_none() => {
            finding("not_sent", "looked up after a restart: the object is not there")
        }
        _ => finding("unknown", "looked up after a restart: the object is another one by now"),
    }
}

fn asked_for_deletion_at(object: &Value) -> Option<Timestamp> {
    let at: Timestamp = object.pointer("/metadata/deletionTimestamp")?.as_str()?.parse().ok()?;
    let grace = object.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(0);
    // Cut to whole seconds, it says up to one less than it was.
    at.checked_sub(SignedDuration::from_secs(grace)).ok()
}

fn is_ours(intent: &Map<String, Value>, object: &Value, announced: Timestamp) -> bool {
    let text = |key: &str| intent.get(key).and_then(Value::as_str).unwrap_or_default();
    let annotations = object.pointer("/metadata/annotations").and_then(Value::as_object);
    if annotations.is_some_and(|all| all.values().any(|value| value.as_str() == Some(text("event_id")))) {
        return true;
    }
    let manager = format!("falco-response-controller/{}", text("action"));
    let managed = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    managed.into_iter().flatten().any(|entry| {
        let at = entry.get("time").and_then(Value::as_str).and_then(|text| text.parse::<Timestamp>().ok());
        entry.get("manager").and_then(Value::as_str) == Some(&manager)
            && at.is_some_and(|at| announced.duration_since(at) <= SKEW)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intent(verb: &str, uid: Option<&str>) -> Map<String, Value> {
        let value = json!({"timestamp": "2026-11-24T12:00:10.250Z", "event_id": "e", "action": "kill", "verb": verb,
            "path": "/api/v1/namespaces/production/pods/a", "uid": uid});
        value.as_object().expect("an object").clone()
    }

    fn found(metadata: Value) -> Result<Value, ApiError> {
        Ok(json!({"metadata": metadata}))
    }

    fn gone() -> Result<Value, ApiError> {
        let (reason, message) = ("NotFound".to_owned(), "no".to_owned());
        Err(ApiError::Status { code: 404, reason, message, retry_after: None })
    }

    #[test]
    fn what_is_found_says_what_became_of_the_call() {
        let ours = |time: &str| json!([{"manager": "falco-response-controller/kill", "time": time}]);
        let deleted = |at: &str| found(json!({"uid": "u", "deletionTimestamp": at, "deletionGracePeriodSeconds": 30}));
        for (verb, uid, answer, expected) in [
            ("delete", Some("u"), gone(), "changed"),
            ("evict", Some("u"), found(json!({"uid": "other"})), "changed"),
            ("delete", Some("u"), found(json!({"uid": "u"})), "not_sent"),
            ("delete", Some("u"), deleted("2026-11-24T12:00:40Z"), "changed"),
            ("delete", Some("u"), deleted("2026-11-24T12:00:30Z"), "gone"),
            ("delete", Some("u"), Err(ApiError::NoAnswer("x".to_owned())), "unknown"),
            ("apply", None, gone(), "not_sent"),
            ("create", None, gone(), "not_sent"),
            ("apply", Some("u"), gone(), "unknown"),
            ("patch", Some("u"), found(json!({"uid": "other"})), "unknown"),
            ("apply", None, found(json!({"uid": "x", "annotations": {"falco/event": "e"}})), "changed"),
            ("apply", None, found(json!({"uid": "x", "annotations": {"falco/event": "f"}})), "not_sent"),
            ("patch", Some("u"), found(json!({"uid": "u", "managedFields": ours("2026-11-24T12:00:10Z")})), "changed"),
            ("patch", Some("u"), found(json!({"uid": "u", "managedFields": ours("2026-11-24T11:00:00Z")})), "not_sent"),
        ] {
            let finding = judge(&intent(verb, uid), answer.as_ref());
            assert_eq!(finding.effect, expected, "{verb} {answer:?}");
        }
    }

    #[test]
    fn the_object_of_a_call_is_read_from_its_path() {
        let of = |path: &str, name: Option<&str>| {
            let intent = json!({"path": path, "name": name});
            object_of(intent.as_object().expect("an object")).map(|object| object.to_string())
        };
        let pod = Some("pods production/a".to_owned());
        assert_eq!(of("/api/v1/namespaces/production/pods/a", None), pod);
        assert_eq!(of("/api/v1/namespaces/production/pods/a/eviction", None), pod);
        assert_eq!(of("/api/v1/namespaces/production/pods", Some("a")), pod);
        assert_eq!(of("/api/v1/nodes/n", None), Some("nodes n".to_owned()));
        assert_eq!(of("/api/v1/namespaces/production", None), Some("namespaces production".to_owned()));
        for other in [
            "/x",
            "",
            "/api/v1/nodes",
            "/api/v1/nodes/a%2fb",
            "/api/v1/nodes/n/proxy",
            "/api/v1/nodes/n/status/x",
            "/api/v1/namespaces/production/pods/a%2fb",
            "/api/v1/namespaces/production/pods",
            "/api/v1/namespaces/../x",
        ] {
            assert_eq!(of(other, None), None, "{other}");
        }
    }
}
