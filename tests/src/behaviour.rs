//! What the API server answers, request by request. The table was recorded from a real one; the same steps are put to
//! that again, and to the simulation, so that the two cannot drift apart unseen.

use std::time::{Duration, Instant};

use serde_json::Value;

const TABLE: &str = include_str!("../fixtures/api-behaviour.json");

/// One request. Each step goes on where those before it have left the cluster.
pub struct Request {
    pub method: String,
    pub path: String,
    pub content_type: String,
    pub accept: String,
    /// Empty for none.
    pub body: String,
}

/// Who is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// What its controllers and kubelets do takes a moment: a step that is to be waited for is put to it until it
    /// answers as expected.
    Real,
    /// Steps that are for the real one alone are left out: its manifests have what they make.
    Simulation,
}

const SETTLES_WITHIN: Duration = Duration::from_secs(30);

/// Puts every step to `send`, within a namespace that can be used up, and says where the answers differ from the table.
/// Where a step says how the simulation differs on purpose, only the status counts there.
///
/// # Panics
/// The table is not of its own form.
pub fn disagreements(namespace: &str, server: Server, mut send: impl FnMut(&Request) -> (u16, Value)) -> Vec<String> {
    let table: Vec<Value> = serde_json::from_str(TABLE).expect("the table is JSON");
    let mut known = vec![("$ns".to_owned(), namespace.to_owned())];
    let mut found = Vec::new();
    for step in &table {
        if server == Server::Simulation && step["only"] == "real" {
            continue;
        }
        let text = |key: &str| step[key].as_str().unwrap_or_default();
        let body = step.get("body").map(|body| filled(&body.to_string(), &known));
        let request = Request {
            method: text("method").to_owned(),
            path: filled(text("path"), &known),
            content_type: step["type"].as_str().unwrap_or("application/json").to_owned(),
            accept: step["accept"].as_str().unwrap_or("application/json").to_owned(),
            body: body.unwrap_or_else(|| text("text").to_owned()),
        };
        let deadline = Instant::now() + SETTLES_WITHIN;
        let different = loop {
            let (status, answer) = send(&request);
            for (variable, pointer) in members(&step["keep"]) {
                known.retain(|(name, _)| name != variable);
                let kept = pointer.as_str().and_then(|pointer| answer.pointer(pointer)).and_then(Value::as_str);
                known.push((variable.clone(), kept.unwrap_or("none").to_owned()));
            }
            let different = differences(step, server, &known, status, &answer);
            let waits = server == Server::Real && step["until"] == true && Instant::now() < deadline;
            if different.is_empty() || !waits {
                break different;
            }
            std::thread::sleep(Duration::from_millis(100));
        };
        found.extend(different);
    }
    found
}

fn differences(step: &Value, server: Server, known: &[(String, String)], status: u16, answer: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut expect = |what: &str, expected: Value, actual: &Value| {
        if *actual != expected {
            let step = step["what"].as_str().unwrap_or_default();
            found.push(format!("{step}: {what}\n  expected {expected}\n  found    {actual}"));
        }
    };
    expect("status", step["status"].clone(), &status.into());
    if server == Server::Real || !step["simulation"].is_string() {
        for (pointer, expected) in members(&step["answer"]) {
            let expected = parse(&filled(&expected.to_string(), known));
            expect(pointer, expected, answer.pointer(pointer).unwrap_or(&Value::Null));
        }
    }
    found
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// Puts in what is known; longer names first, so that none is taken for the start of another.
fn filled(text: &str, known: &[(String, String)]) -> String {
    let mut known: Vec<_> = known.iter().collect();
    known.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    known.into_iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text).expect("what is put in has nothing to escape")
}
