//! What a run reaches outside of its sandbox: the gate and the log, and nothing else.
//!
//! A trait, so that the host functions can be tested without a cluster. Production has one implementation, [`Gated`].

use std::pin::Pin;
use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::time::Instant;

use super::witness::{Asked, Witness};
use crate::cluster::names::{ApiResource, NameError, ObjectRef};
use crate::cluster::{LogOptions, Selection, exec, web};
use crate::safety::clearance::Cleared;
use crate::safety::gate::{Change, Gate, Place};
use crate::safety::run::Run;
use crate::safety::{CallError, WebRequest};
use crate::telemetry::log::{Level, Log};

pub(super) type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, CallError>> + Send + 'a>>;

pub(super) trait Outside: Send + Sync {
    fn target(&self) -> Option<&Cleared>;
    fn get<'a>(&'a self, object: &'a ObjectRef) -> Answer<'a, Value>;
    fn query<'a>(&'a self, resource: &'a ApiResource, selection: &'a Selection) -> Answer<'a, Vec<Value>>;
    fn logs<'a>(&'a self, pod: &'a ObjectRef, options: &'a LogOptions) -> Answer<'a, String>;
    fn change(&self, change: Change) -> Answer<'_, Value>;
    fn send_outside(&self, request: WebRequest) -> Answer<'_, web::Answer>;
    /// `seconds` shorten what the action has left.
    fn exec(&self, command: exec::Command, seconds: Option<u32>) -> Answer<'_, exec::Ended>;
    fn refuse_name(&self, function: &'static str, error: &NameError) -> CallError;
    fn refuse_document(&self, function: &'static str, place: Place<'_>, message: String) -> CallError;
    /// Whether attachments of so many bytes in all can be kept.
    fn has_room_for_evidence(&self, bytes: u64) -> bool;
    fn log(&self, level: Level, message: &str);
}

/// The gate, for one run.
pub(super) struct Gated {
    gate: Gate,
    run: Arc<Run>,
    log: Log,
    witness: Option<Arc<dyn Witness>>,
    /// On every line: which action speaks, and about which alert.
    fields: Map<String, Value>,
}

impl Gated {
    pub fn new(
        gate: Gate,
        run: Arc<Run>,
        log: Log,
        witness: Option<Arc<dyn Witness>>,
        action: &str,
        event_id: &str,
    ) -> Self {
        let fields = [("action", action), ("event_id", event_id)];
        let fields = fields.map(|(key, value)| (key.to_owned(), value.into())).into_iter().collect();
        Self { gate, run, log, witness, fields }
    }

    /// Tells the witness, if there is one, what is asked. An action makes one call after the other, and each leaves one
    /// record, so the number of records so far is the call's own.
    fn asks(&self, asked: impl FnOnce() -> Asked) {
        if let Some(witness) = &self.witness {
            witness.asks(self.run.made(), asked());
        }
    }
}

impl Gated {
    fn timed<'a, T>(
        &'a self,
        function: &'static str,
        call: impl Future<Output = Result<T, CallError>> + Send + 'a,
    ) -> Answer<'a, T> {
        Box::pin(async move {
            let started = Instant::now();
            let result = call.await;
            self.gate.observe(function, &result, started.elapsed());
            result
        })
    }
}

impl Outside for Gated {
    fn target(&self) -> Option<&Cleared> {
        self.run.target()
    }

    fn get<'a>(&'a self, object: &'a ObjectRef) -> Answer<'a, Value> {
        self.asks(|| Asked::Get(object.clone()));
        self.timed("get", self.gate.get(&self.run, object))
    }

    fn query<'a>(&'a self, resource: &'a ApiResource, selection: &'a Selection) -> Answer<'a, Vec<Value>> {
        self.asks(|| Asked::List(resource.clone()));
        self.timed("query", self.gate.query(&self.run, resource, selection))
    }

    fn logs<'a>(&'a self, pod: &'a ObjectRef, options: &'a LogOptions) -> Answer<'a, String> {
        self.asks(|| Asked::Logs(pod.clone()));
        self.timed("logs", self.gate.logs(&self.run, pod, options))
    }

    fn change(&self, change: Change) -> Answer<'_, Value> {
        let function = match &change {
            Change::Create { .. } => "create",
            Change::Apply { .. } => "apply",
            Change::Patch { .. } => "patch",
            Change::Delete { .. } => "remove",
            Change::Evict { .. } => "evict",
        };
        self.asks(|| Asked::Change(change.clone()));
        self.timed(function, async move {
            let call = self.run.made();
            let answer = self.gate.change(&self.run, change).await;
            if let Some(witness) = &self.witness {
                witness.answered(call, &answer);
            }
            answer
        })
    }

    fn send_outside(&self, request: WebRequest) -> Answer<'_, web::Answer> {
        self.asks(|| Asked::Web(request.clone()));
        self.timed("http", self.gate.send_outside(&self.run, request))
    }

    fn exec(&self, command: exec::Command, seconds: Option<u32>) -> Answer<'_, exec::Ended> {
        self.asks(|| Asked::Exec(command.clone()));
        self.timed("exec", self.gate.exec(&self.run, command, seconds))
    }

    fn refuse_name(&self, function: &'static str, error: &NameError) -> CallError {
        self.gate.refuse_name(&self.run, function, error)
    }

    fn refuse_document(&self, function: &'static str, place: Place<'_>, message: String) -> CallError {
        self.gate.refuse_document(&self.run, function, place, message)
    }

    fn has_room_for_evidence(&self, bytes: u64) -> bool {
        self.run.has_room_for_evidence(bytes)
    }

    fn log(&self, level: Level, message: &str) {
        self.log.line(level, message, &self.fields);
        if let Some(witness) = &self.witness {
            witness.said(level, message);
        }
    }
}
