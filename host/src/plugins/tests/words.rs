//! The host functions by themselves, without a guest.

use serde_json::{Value, json};
use wit_parser::{Resolve, WorldItem};

use super::component::{ACTED, Action};
use super::{Arc, CallError, Limits, Noted, Reason, Sandbox, run_once, sandbox};
use crate::plugins::Attachment;
use crate::plugins::bindings::falco_response::plugin::{audit, cluster, exec, http, log, request, types};
use crate::plugins::limits::CallLimitReached;
use crate::telemetry::log::Level;
use audit::Host as _;
use cluster::Host as _;
use exec::Host as _;
use http::Host as _;
use log::Host as _;
use request::Host as _;

fn object(name: &str) -> types::ObjectRef {
    types::ObjectRef {
        resource: types::ApiResource { group: String::new(), version: "v1".to_owned(), plural: "pods".to_owned() },
        namespace: Some("production".to_owned()),
        name: name.to_owned(),
        uid: None,
    }
}

fn deployments(plural: &str) -> types::ApiResource {
    types::ApiResource { group: "apps".to_owned(), version: "v1".to_owned(), plural: plural.to_owned() }
}

fn selection(namespace: &str) -> cluster::Selection {
    cluster::Selection {
        namespace: Some(namespace.to_owned()),
        labels: Some("a=b".to_owned()),
        fields: None,
        limit: Some(5),
        metadata_only: true,
    }
}

fn log_options(container: Option<&str>) -> cluster::LogOptions {
    cluster::LogOptions { container: container.map(str::to_owned), previous: true, tail_lines: Some(3) }
}

fn delete_options() -> cluster::DeleteOptions {
    cluster::DeleteOptions { grace_period_seconds: Some(1), propagation: Some(cluster::Propagation::Foreground) }
}

/// Calls a cluster function with `name` in the first place for a name and `document` for its document.
async fn on_cluster(
    function: &str,
    sandbox: &mut Sandbox,
    name: &str,
    document: &str,
) -> wasmtime::Result<Result<Vec<String>, cluster::Error>> {
    let document = document.to_owned();
    let one = |answer: Result<String, cluster::Error>| answer.map(|text| vec![text]);
    let none = |answer: Result<(), cluster::Error>| answer.map(|()| Vec::new());
    Ok(match function {
        "get" => one(sandbox.get(object(name)).await?),
        "query" => sandbox.query(deployments("deployments"), selection(name)).await?,
        "create" => one(sandbox.create(deployments("deployments"), Some(name.to_owned()), document).await?),
        "apply" => one(sandbox.apply(object(name), document, false).await?),
        "patch" => one(sandbox.patch(object(name), cluster::PatchDocument::Merge(document)).await?),
        "remove" => none(sandbox.remove(object(name), delete_options()).await?),
        "evict" => none(sandbox.evict(object(name), None).await?),
        "logs" => one(sandbox.logs(object("a"), log_options(Some(name))).await?),
        unknown => panic!("no test knows cluster.{unknown}: add it here"),
    })
}

const CHANGES: [&str; 5] = ["create", "apply", "patch", "remove", "evict"];
const CLUSTER: [&str; 8] = ["get", "query", "create", "apply", "patch", "remove", "evict", "logs"];

/// Calls any function of the contract, with sound arguments.
async fn call(function: &str, sandbox: &mut Sandbox) -> wasmtime::Result<()> {
    match function {
        "request.id" => sandbox.id().map(drop),
        "request.attempt" => sandbox.attempt().map(drop),
        "request.parameters" => sandbox.parameters().map(drop),
        "request.reason" => sandbox.reason().map(drop),
        "request.alert" => sandbox.alert().map(drop),
        "request.field" => sandbox.field("proc.name".to_owned()).map(drop),
        "request.rule" => sandbox.rule().map(drop),
        "request.priority" => sandbox.priority().map(drop),
        "request.time" => sandbox.time().map(drop),
        "request.output" => sandbox.output().map(drop),
        "request.target" => sandbox.target().map(drop),
        "request.target-manifest" => sandbox.target_manifest().map(drop),
        "request.owners" => sandbox.owners().map(drop),
        "audit.note" => sandbox.note("a".to_owned(), "b".to_owned()),
        "audit.attach" => sandbox.attach("a".to_owned(), "text/plain".to_owned(), Vec::new()).map(drop),
        "log.write" => sandbox.write(log::Level::Info, "a".to_owned()),
        "exec.run" => {
            let options = exec::Options {
                container: None,
                command: vec!["id".to_owned()],
                stdin: None,
                output_limit: None,
                timeout_seconds: None,
            };
            sandbox.run(object("a"), options).await.map(drop)
        }
        "http.send" => {
            let (method, url) = ("POST".to_owned(), "https://hooks.example.com/".to_owned());
            sandbox.send(http::Request { method, url, headers: Vec::new(), body: None }).await.map(drop)
        }
        other => {
            let function = other.strip_prefix("cluster.").unwrap_or_else(|| panic!("no test knows {other}: add it"));
            on_cluster(function, sandbox, "a", "{}").await.map(drop)
        }
    }
}

/// Every function that the contract lets an action import, from the WIT itself.
fn functions() -> Vec<String> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit")).expect("the contract");
    let world = resolve.select_world(&[package], Some("action-plugin")).expect("the world");
    let mut functions = Vec::new();
    for item in resolve.worlds[world].imports.values() {
        let WorldItem::Interface { id, .. } = item else { panic!("the world imports interfaces only") };
        let interface = &resolve.interfaces[*id];
        let name = interface.name.as_deref().expect("a name");
        functions.extend(interface.functions.keys().map(|function| format!("{name}.{function}")));
    }
    assert!(functions.len() >= 24, "{functions:?}");
    functions
}

#[tokio::test]
async fn counts_every_function_of_the_contract() {
    for function in functions() {
        let limits = Limits { calls: 1, ..Limits::default() };
        let mut sandbox = sandbox(limits, &Noted::new());
        assert!(call(&function, &mut sandbox).await.is_ok(), "{function}");
        let error = call(&function, &mut sandbox).await.expect_err(&function);
        assert!(error.is::<CallLimitReached>(), "{function}: {error}");
    }
}

#[tokio::test]
async fn has_no_function_of_the_contract_in_validate() {
    for function in functions() {
        let mut sandbox = Sandbox::without_session(Limits::default());
        let error = call(&function, &mut sandbox).await.expect_err(&function).to_string();
        assert_eq!(error, format!("`{function}` is not available in validate"));
    }
}

#[tokio::test]
async fn hands_no_name_to_the_gate_that_is_none() {
    for function in CLUSTER {
        for name in ["", "qi#", "x/log", "../y", "A"] {
            let outside = Noted::new();
            let mut sandbox = sandbox(Limits::default(), &outside);
            let error = on_cluster(function, &mut sandbox, name, "{}").await.unwrap().expect_err(name);
            assert_eq!(error.reason, cluster::Reason::Invalid);
            let calls = outside.calls();
            assert_eq!(calls.len(), 1, "{calls:?}");
            assert!(calls[0].starts_with(&format!("refused {function}: ")), "{calls:?}");
        }
    }
}

#[tokio::test]
async fn hands_no_document_to_the_gate_that_is_none_and_puts_it_on_record() {
    let deep = "[".repeat(100_000);
    let large = format!("[{}0]", "[],".repeat(1 << 20));
    for function in ["create", "apply", "patch"] {
        for document in ["", "{", "{} {}", "nope", &deep, &large] {
            let outside = Noted::new();
            let mut sandbox = sandbox(Limits::default(), &outside);
            let error = on_cluster(function, &mut sandbox, "a", document).await.unwrap().expect_err(document);
            assert_eq!(error.reason, cluster::Reason::Invalid);
            assert!(error.message.contains("JSON") || error.message.contains("bytes"), "{}", error.message);
            let calls = outside.calls();
            assert!(calls.len() == 1 && calls[0].starts_with(&format!("refused {function} ")), "{calls:?}");
        }
    }
}

#[tokio::test]
async fn hands_on_no_selector_of_any_length() {
    for which in ["label selector", "field selector"] {
        let outside = Noted::new();
        let mut sandbox = sandbox(Limits::default(), &outside);
        let long = Some("a".repeat(4097));
        let mut selection = selection("a");
        if which == "label selector" {
            selection.labels = long
        } else {
            selection.fields = long
        }
        let error = sandbox.query(deployments("deployments"), selection).await.unwrap().expect_err(which);
        assert!(error.message.contains(which), "{}", error.message);
        assert!(outside.calls()[0].starts_with("refused query"), "{:?}", outside.calls());
    }
}

#[tokio::test]
async fn asks_the_gate_once_for_each_call_and_for_what_was_asked() {
    let outside = Noted::answering(Ok(json!("text")));
    let mut sandbox = sandbox(Limits::default(), &outside);
    for function in CLUSTER {
        on_cluster(function, &mut sandbox, "a", r#"{"k":1}"#).await.unwrap().expect(function);
    }
    let calls = outside.calls();
    assert_eq!(calls.len(), CLUSTER.len(), "{calls:#?}");
    assert_eq!(calls[0], "get pods production/a");
    assert!(
        calls[1].starts_with("query deployments.apps Selection { namespace: Some(Namespace(\"a\"))"),
        "{}",
        calls[1]
    );
    for (call, expected) in calls[2..7].iter().zip(["Create", "Apply", "Patch", "Delete", "Evict"]) {
        assert!(call.starts_with(expected), "{call}");
    }
    assert!(calls[3].contains("\"k\": Number(1)") && calls[3].contains("force: false"), "{}", calls[3]);
    assert!(calls[4].contains("Merge("), "{}", calls[4]);
    assert!(calls[5].contains("grace_period_seconds: Some(1), propagation: Some(Foreground)"), "{}", calls[5]);
    assert!(calls[7].contains("previous: true, tail_lines: Some(3)"), "{}", calls[7]);
}

#[tokio::test]
async fn gives_the_gates_answer_to_the_action() {
    let outside = Noted::answering(Ok(json!({"kind": "Pod"})));
    let mut sandbox = sandbox(Limits::default(), &outside);
    for (function, expected) in [("get", 1), ("query", 2), ("create", 1), ("apply", 1), ("patch", 1)] {
        let answer = on_cluster(function, &mut sandbox, "a", "{}").await.unwrap().unwrap();
        assert_eq!(answer, vec![r#"{"kind":"Pod"}"#; expected], "{function}");
    }
}

#[tokio::test]
async fn gives_the_gates_refusal_to_the_action() {
    for (reason, expected) in [
        (Reason::Denied, cluster::Reason::Denied),
        (Reason::NotFound, cluster::Reason::NotFound),
        (Reason::AlreadyExists, cluster::Reason::AlreadyExists),
        (Reason::Conflict, cluster::Reason::Conflict),
        (Reason::Invalid, cluster::Reason::Invalid),
        (Reason::Blocked, cluster::Reason::Blocked),
        (Reason::TooLarge, cluster::Reason::TooLarge),
        (Reason::Unavailable, cluster::Reason::Unavailable),
        (Reason::Other, cluster::Reason::Other),
    ] {
        let outside = Noted::answering(Err(CallError { reason, message: "why".to_owned() }));
        let mut sandbox = sandbox(Limits::default(), &outside);
        for function in CLUSTER {
            let error = on_cluster(function, &mut sandbox, "a", "{}").await.unwrap().expect_err(function);
            assert_eq!((error.reason, error.message.as_str()), (expected, "why"), "{function}");
        }
    }
}

#[tokio::test]
async fn hands_over_four_mebibytes_and_no_more() {
    // A JSON text has two quotes around it, a log none; a query answers with two.
    for (function, most) in
        [("get", (4 << 20) - 2), ("query", (2 << 20) - 2), ("logs", 4 << 20), ("apply", (4 << 20) - 2)]
    {
        for (length, fits) in [(most, true), (most + 1, false)] {
            let outside = Noted::answering(Ok(Value::String("x".repeat(length))));
            let mut sandbox = sandbox(Limits::default(), &outside);
            let answer = on_cluster(function, &mut sandbox, "a", "{}").await.unwrap();
            assert_eq!(answer.as_ref().err().map(|error| error.reason), (!fits).then_some(cluster::Reason::TooLarge));
        }
    }
}

#[tokio::test]
async fn keeps_changes_apart_from_reads() {
    // A change must reach the gate's `change`, whatever it is called in the contract.
    for function in CHANGES {
        let outside = Noted::new();
        let mut sandbox = sandbox(Limits::default(), &outside);
        on_cluster(function, &mut sandbox, "a", "{}").await.unwrap().unwrap();
        let calls = outside.calls();
        assert!(!["get", "query", "logs"].iter().any(|read| calls[0].starts_with(read)), "{calls:?}");
    }
}

#[test]
fn tells_the_action_what_it_is_asked() {
    let mut sandbox = sandbox(Limits::default(), &Noted::new());
    assert_eq!(sandbox.id().unwrap(), "e-1");
    assert_eq!(sandbox.attempt().unwrap(), 2);
    assert_eq!(sandbox.parameters().unwrap(), "{\"a\":1}");
    assert_eq!(sandbox.reason().unwrap(), "because");
    assert!(sandbox.alert().unwrap().starts_with("{\"output\": \"a shell\""));
    assert_eq!(sandbox.field("proc.name".to_owned()).unwrap().as_deref(), Some("sh"));
    assert_eq!(sandbox.field("proc.pid".to_owned()).unwrap().as_deref(), Some("7"));
    assert_eq!(sandbox.field("k8s.pod.name".to_owned()).unwrap(), None);
    assert_eq!(sandbox.rule().unwrap(), "Terminal shell");
    assert_eq!(sandbox.priority().unwrap(), request::FalcoPriority::Critical);
    assert_eq!(sandbox.time().unwrap(), "2026-11-24T02:00:00.123456789Z");
    assert_eq!(sandbox.output().unwrap(), "a shell");
    let target = sandbox.target().unwrap();
    assert_eq!((target.name.as_str(), target.uid.as_deref()), ("checkout-1", Some("u-1")));
    assert_eq!(sandbox.target_manifest().unwrap(), r#"{"kind":"Pod","metadata":{"name":"checkout-1"}}"#);
    let owners = sandbox.owners().unwrap();
    assert_eq!((owners[0].kind.as_str(), owners[0].object.resource.plural.as_str()), ("Deployment", "deployments"));
}

#[test]
fn traps_an_action_that_asks_for_a_target_it_did_not_name() {
    let outside = Noted { cleared: None, ..Arc::into_inner(Noted::new()).unwrap() };
    let mut sandbox = sandbox(Limits::default(), &Arc::new(outside));
    assert!(sandbox.target().unwrap_err().to_string().contains("target is none"));
    assert!(sandbox.target_manifest().is_err());
    assert!(sandbox.owners().unwrap().is_empty());
}

fn noted(limits: Limits, outside: &Arc<Noted>, notes: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut sandbox = sandbox(limits, outside);
    for (key, value) in notes {
        sandbox.note((*key).to_owned(), (*value).to_owned()).unwrap();
    }
    sandbox.into_session().unwrap().notes
}

#[test]
fn keeps_notes_in_order_and_the_last_word_on_each() {
    let outside = Noted::new();
    let notes = noted(Limits::default(), &outside, &[("b", "1"), ("a", "2"), ("b", "3")]);
    assert_eq!(notes, [("b".to_owned(), "3".to_owned()), ("a".to_owned(), "2".to_owned())]);
    assert_eq!(outside.lines(), []);
}

#[test]
fn refuses_notes_that_would_pass_for_the_hosts_word() {
    let long = "a".repeat(65);
    for key in ["outcome", "action", "dry_run", "changed", "prev_hash", "log_type", "", "A", "_a", "a-b", "a\nb", &long]
    {
        let outside = Noted::new();
        assert_eq!(noted(Limits::default(), &outside, &[(key, "done")]), [], "{key:?}");
        let lines = outside.lines();
        assert!(lines.len() == 1 && lines[0].0 == Level::Warn && lines[0].1.contains("refused"), "{lines:?}");
    }
}

#[test]
fn caps_notes() {
    let keys = (0..40).map(|index| format!("k{index}")).collect::<Vec<_>>();
    let many = keys.iter().map(|key| (key.as_str(), "v")).collect::<Vec<_>>();
    assert_eq!(noted(Limits::default(), &Noted::new(), &many).len(), 32);
    let long = "ä".repeat(5000);
    let notes = noted(Limits::default(), &Noted::new(), &[("a", &long)]);
    assert!(notes[0].1.len() <= 1024 && notes[0].1.ends_with('…'));
    assert_eq!(noted(Limits { log: 3, ..Limits::default() }, &Noted::new(), &[("a", "12"), ("b", "1")]).len(), 1);
}

#[test]
fn keeps_no_evidence_that_the_journal_has_no_room_for() {
    let outside = Arc::new(Noted { room: 10, ..Arc::into_inner(Noted::new()).unwrap() });
    let mut sandbox = sandbox(Limits::default(), &outside);
    let mut attach =
        |name: &str, length: usize| sandbox.attach(name.to_owned(), "text/plain".to_owned(), vec![0; length]).unwrap();
    assert_eq!(attach("a", 6), Ok(()));
    assert!(attach("b", 5).unwrap_err().contains("no room for attachments"), "what is there already counts");
    assert_eq!(attach("c", 4), Ok(()));
}

#[test]
fn keeps_evidence_with_its_digest() {
    let mut sandbox = sandbox(Limits::default(), &Noted::new());
    let mut attach = |name: &str, media_type: &str, content: Vec<u8>| {
        sandbox.attach(name.to_owned(), media_type.to_owned(), content).unwrap()
    };
    assert_eq!(attach("logs.txt", "text/plain", b"abc".to_vec()), Ok(()));
    for (name, media_type, length, expected) in [
        ("logs.txt", "text/plain", 1, "already"),
        ("../x", "text/plain", 1, "name"),
        ("", "text/plain", 1, "name"),
        (".hidden", "text/plain", 1, "name"),
        ("a b", "text/plain", 1, "name"),
        ("a", "text", 1, "media type"),
        ("a", "text/pl ain", 1, "media type"),
        ("a", "/plain", 1, "media type"),
        ("a", "text/plain\r\nX: y", 1, "media type"),
        ("a", "text/plain", (1 << 20) + 1, "1 MiB"),
    ] {
        let error = attach(name, media_type, vec![0; length]).expect_err(name);
        assert!(error.contains(expected), "{name:?} {media_type:?}: {error}");
    }
    for index in 1..8 {
        assert_eq!(attach(&format!("a{index}"), "application/json", vec![0; 1 << 20]), Ok(()));
    }
    assert!(attach("a9", "text/plain", vec![]).unwrap_err().contains("8 attachments"));

    let kept = sandbox.into_session().unwrap().attachments;
    assert_eq!(kept.len(), 8);
    let first = Attachment {
        name: "logs.txt".to_owned(),
        media_type: "text/plain".to_owned(),
        content: b"abc".to_vec(),
        sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".to_owned(),
    };
    assert_eq!(kept[0], first);
}

#[tokio::test]
async fn drops_lines_beyond_the_limit_and_says_so_once() {
    let writes = "(call $write (i32.const 0) (i32.const 256) (i32.const 10))".repeat(5);
    let run = format!("{writes} {ACTED}");
    let outside = Noted::new();
    let limits = Limits { log: 25, ..Limits::default() };
    run_once(&Action { run: &run, ..Action::default() }.text(), limits, &outside).await;
    let lines = outside.lines();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(lines[0], (Level::Error, "a sentence".to_owned()));
    assert!(lines[2].0 == Level::Warn && lines[2].1.starts_with("3 lines or notes"), "{lines:?}");
}

#[tokio::test]
async fn keeps_the_notes_of_an_action_that_then_traps() {
    let run = "(call $note (i32.const 512) (i32.const 5) (i32.const 256) (i32.const 10)) unreachable";
    let report = run_once(&Action { run, ..Action::default() }.text(), Limits::default(), &Noted::new()).await;
    assert_eq!(report.notes, [("a_key".to_owned(), "a sentence".to_owned())]);
}
