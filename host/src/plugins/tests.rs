//! Runs of small components, written as text, against a gate that only takes notes.

mod component;
mod contract;
mod functions;
mod loading;
mod running;
mod words;

use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::outside::{Answer, Outside};
use super::sandbox::{Asked, Sandbox};
use super::{Code, Limits, ParameterProblem, Plugin, Plugins, Report, Source, run};
use crate::alert::Alert;
use crate::cluster::names::{ApiResource, NameError, Namespace, ObjectName, ObjectRef, Uid};
use crate::cluster::{LogOptions, Selection, exec, web};
use crate::safety::clearance::Cleared;
use crate::safety::gate::{Change, Place};
use crate::safety::owners::{Chain, Owner};
use crate::safety::run::Evidence;
use crate::safety::{CallError, Reason, WebRequest};
use crate::telemetry::log::Level;

/// Answers everything with `answer`, or never, and keeps what it was asked.
struct Noted {
    silent: bool,
    answer: Result<Value, CallError>,
    cleared: Option<Cleared>,
    /// For attachments.
    room: u64,
    calls: Mutex<Vec<String>>,
    lines: Mutex<Vec<(Level, String)>>,
}

impl Noted {
    fn answering(answer: Result<Value, CallError>) -> Arc<Self> {
        Arc::new(Self {
            silent: false,
            answer,
            cleared: Some(cleared()),
            room: u64::MAX,
            calls: Mutex::default(),
            lines: Mutex::default(),
        })
    }

    fn new() -> Arc<Self> {
        Self::answering(Ok(json!({"kind": "Pod"})))
    }

    fn note<T>(&self, call: String, answer: impl FnOnce(Value) -> T) -> Answer<'_, T>
    where
        T: Send + 'static,
    {
        self.calls.lock().unwrap().push(call);
        let answer = self.answer.clone().map(answer);
        if self.silent { Box::pin(std::future::pending()) } else { Box::pin(std::future::ready(answer)) }
    }

    fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    fn lines(&self) -> Vec<(Level, String)> {
        self.lines.lock().unwrap().clone()
    }
}

impl Outside for Noted {
    fn target(&self) -> Option<&Cleared> {
        self.cleared.as_ref()
    }

    fn get<'a>(&'a self, object: &'a ObjectRef) -> Answer<'a, Value> {
        self.note(format!("get {object}"), |value| value)
    }

    fn query<'a>(&'a self, resource: &'a ApiResource, selection: &'a Selection) -> Answer<'a, Vec<Value>> {
        self.note(format!("query {resource} {selection:?}"), |value| vec![value.clone(), value])
    }

    fn logs<'a>(&'a self, pod: &'a ObjectRef, options: &'a LogOptions) -> Answer<'a, String> {
        self.note(format!("logs {pod} {options:?}"), |value| value.as_str().unwrap_or_default().to_owned())
    }

    fn change(&self, change: Change) -> Answer<'_, Value> {
        self.note(format!("{change:?}"), |value| value)
    }

    fn send_outside(&self, request: WebRequest) -> Answer<'_, web::Answer> {
        self.note(format!("{request:?}"), |_| web::Answer {
            status: 200,
            headers: Vec::new(),
            body: Ok(Default::default()),
        })
    }

    fn exec(&self, command: exec::Command, seconds: Option<u32>) -> Answer<'_, exec::Ended> {
        self.note(format!("{command:?} {seconds:?}"), |_| exec::Ended::default())
    }

    fn refuse_name(&self, function: &'static str, error: &NameError) -> CallError {
        self.calls.lock().unwrap().push(format!("refused {function}: {error}"));
        CallError { reason: Reason::Invalid, message: error.to_string() }
    }

    fn refuse_document(&self, function: &'static str, place: Place<'_>, message: String) -> CallError {
        self.calls.lock().unwrap().push(format!("refused {function} {}: {message}", place.resource));
        CallError { reason: Reason::Invalid, message }
    }

    fn has_room_for_evidence(&self, bytes: u64) -> bool {
        bytes <= self.room
    }

    fn attach(&self, evidence: Evidence) {
        self.calls.lock().unwrap().push(format!("attach {}", evidence.name));
    }

    fn log(&self, level: Level, message: &str) {
        self.lines.lock().unwrap().push((level, message.to_owned()));
    }
}

fn pod() -> ObjectRef {
    ObjectRef {
        resource: ApiResource::pods(),
        namespace: Some(Namespace::parse("production").unwrap()),
        name: ObjectName::parse("checkout-1").unwrap(),
        uid: Some(Uid::parse("u-1").unwrap()),
    }
}

fn cleared() -> Cleared {
    let deployment = ObjectRef {
        resource: ApiResource::parse("apps", "v1", "deployments").unwrap(),
        name: ObjectName::parse("checkout").unwrap(),
        ..pod()
    };
    Cleared {
        object: pod(),
        manifest: json!({"kind": "Pod", "metadata": {"name": "checkout-1"}}),
        chain: Chain { controllers: vec![Owner { kind: "Deployment".to_owned(), object: deployment }], top: None },
        proof: None,
        pod: None,
    }
}

fn asked() -> Asked {
    let alert = br#"{"output": "a shell", "priority": "Critical", "rule": "Terminal shell", "source": "syscall",
        "time": "2026-11-24T02:00:00.123456789Z", "output_fields": {"proc.name": "sh", "proc.pid": 7}}"#;
    Asked {
        event_id: "e-1".to_owned(),
        attempt: 2,
        parameters: "{\"a\":1}".to_owned(),
        reason: "because".to_owned(),
        alert: Arc::new(Alert::parse(alert).expect("an alert")),
    }
}

fn sandbox(limits: Limits, outside: &Arc<Noted>) -> Sandbox {
    Sandbox::new(limits, asked(), Arc::clone(outside) as Arc<dyn Outside>)
}

fn write(dir: &Path, name: &str, text: &str) {
    std::fs::write(dir.join(name), wat::parse_str(text).expect("WAT")).expect("written");
}

/// The one plugin that `text` is.
fn plugin(text: &str, limits: Limits) -> Arc<Plugin> {
    let dir = tempfile::tempdir().expect("a directory");
    write(dir.path(), "action.wasm", text);
    let plugins = Plugins::load(&Source { limits, ..Source::new(dir.path()) }).expect("loads");
    assert_eq!(plugins.unusable, []);
    let plugin = plugins.iter().next().expect("a plugin");
    Arc::clone(plugin)
}

async fn run_once(text: &str, limits: Limits, outside: &Arc<Noted>) -> Report {
    let plugin = plugin(text, limits);
    run_in(&plugin, sandbox(limits, outside), None).await
}

/// In a sandbox of the test's own.
async fn run_in(plugin: &Plugin, sandbox: Sandbox, narrower: Option<std::time::Duration>) -> Report {
    let Code::Component(compiled) = &plugin.code else { panic!("{} is no component", plugin.origin) };
    run::run(plugin, compiled, sandbox, narrower).await
}
