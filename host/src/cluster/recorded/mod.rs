//! Recording what the client exchanges with a cluster, and playing it back in the cluster's place.
//!
//! Both stand below the outermost layer, where the connection is: what is recorded is the request as it leaves, dry run
//! and UID included, and what is played back has passed the same layer. Credentials are added further down, and are
//! never seen here. What a document holds of secrets is taken out before it is kept ([`redacted`]).
//!
//! A playback is strict: the requests come as they were recorded, one after the other, or what differs is kept and
//! nothing is answered any more.

mod layer;
mod playback;
mod redacted;
#[cfg(test)]
mod tests;

use std::fmt;

use serde_json::{Map, Value};

pub use layer::Recorder;
pub use playback::{Departure, Playback};
pub use redacted::Redactor;

/// Stands for the event's id, which an action may write into what it makes, and which is another one each time.
const EVENT_ID: &str = "EVENT_ID";

/// One request and what came back.
#[derive(Debug, Clone, PartialEq)]
pub struct Exchange {
    pub request: Sent,
    pub answer: Option<Returned>,
}

/// A request as it left.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    pub method: String,
    /// With its query.
    pub path: String,
    /// Null where there was none.
    pub body: Value,
}

/// None came where the connection broke.
#[derive(Debug, Clone, PartialEq)]
pub struct Returned {
    pub status: u16,
    /// A JSON document, or the text of a log.
    pub document: Value,
}

impl Sent {
    /// Whether it changes nothing by its own words: the query's, or those of its options.
    fn is_dry(&self) -> bool {
        let options = ["/dryRun/0", "/deleteOptions/dryRun/0"];
        self.path.contains("dryRun=All")
            || self.method == "DELETE"
                && options.iter().any(|at| self.body.pointer(at).is_some_and(|said| said == "All"))
    }
}

/// `DELETE /api/v1/namespaces/production/pods/x (dry run)`
impl fmt::Display for Sent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.method, self.path)?;
        if self.is_dry() { formatter.write_str(" (dry run)") } else { Ok(()) }
    }
}

impl Exchange {
    /// As a session's file has it.
    pub fn to_json(&self) -> Value {
        let mut map = Map::new();
        map.insert("request".to_owned(), format!("{} {}", self.request.method, self.request.path).into());
        if self.request.is_dry() {
            map.insert("dry_run".to_owned(), true.into());
        }
        if !self.request.body.is_null() {
            map.insert("body".to_owned(), self.request.body.clone());
        }
        match &self.answer {
            Some(Returned { status, document }) => {
                map.insert("status".to_owned(), (*status).into());
                map.insert("answer".to_owned(), document.clone());
            }
            None => drop(map.insert("status".to_owned(), Value::Null)),
        }
        Value::Object(map)
    }

    /// # Errors
    /// What is missing or too much.
    pub fn from_json(value: &Value) -> Result<Self, String> {
        const KEYS: [&str; 5] = ["answer", "body", "dry_run", "request", "status"];
        let map = value.as_object().ok_or("an exchange is a map with `request`, `status` and `answer`")?;
        if let Some(unknown) = map.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(format!("unknown key `{unknown}` in an exchange"));
        }
        let request = map.get("request").and_then(Value::as_str).and_then(|text| text.split_once(' '));
        let (method, path) = request.ok_or("`request` expects a method and a path, `GET /version`")?;
        let (method, path, body) = (method.to_owned(), path.to_owned(), map.get("body").cloned().unwrap_or_default());
        let answer = match map.get("status") {
            None => return Err(format!("`{method} {path}` has no `status`; write null where no answer came")),
            Some(Value::Null) => None,
            Some(status) => Some(Returned {
                status: status
                    .as_u64()
                    .and_then(|status| u16::try_from(status).ok())
                    .filter(|status| (100..600).contains(status))
                    .ok_or_else(|| format!("the `status` of `{method} {path}` is no HTTP status"))?,
                document: map.get("answer").cloned().unwrap_or_default(),
            }),
        };
        let request = Sent { method, path, body };
        // Written for whoever reads it; what counts is the request.
        let dry_run = map.get("dry_run").is_some_and(|said| *said == Value::Bool(true));
        if dry_run != request.is_dry() {
            return Err(format!("`dry_run` of `{} {}` is not what the request says", request.method, request.path));
        }
        Ok(Self { request, answer })
    }
}
