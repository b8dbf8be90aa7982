//! What of the contract may change and what may not, held by components that are made of changed texts of it; and the
//! contract itself, which must not change what is frozen.
//!
//! A controller whose contract has grown meets an action that was built before: in these tests the action's contract is
//! cut down instead, which is the same.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve};

use super::component::MANIFEST;
use super::{Arc, Asked, CallError, Noted, Outside, Reason, Sandbox, asked, run_in};
use crate::plugins::manifest::{SECTION, VERSION};
use crate::plugins::{End, Limits, Plugins, Source};

const WIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../wit");

/// A text of the contract, and what stands there instead.
type Change<'a> = (&'a str, &'a str);

/// The files of the contract, in order.
fn files() -> Vec<(String, String)> {
    let mut files: Vec<_> = fs::read_dir(WIT)
        .expect("wit/")
        .map(|entry| entry.unwrap().path())
        .filter(|file| file.extension().is_some_and(|extension| extension == "wit"))
        .map(|file| (file.file_name().unwrap().to_string_lossy().into_owned(), fs::read_to_string(&file).unwrap()))
        .collect();
    files.sort();
    files
}

/// An action for the contract as it would be after these changes, which imports all of it and does nothing.
fn action(changes: &[Change<'_>], further: &[(&str, &str)]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let mut left: Vec<_> = changes.to_vec();
    for (name, mut text) in files() {
        left.retain(|&(from, to)| {
            let found = text.contains(from);
            text = text.replace(from, to);
            // The version stands in every file.
            !found || from.starts_with("package")
        });
        fs::write(dir.path().join(name), text).unwrap();
    }
    left.retain(|(from, _)| !from.starts_with("package"));
    assert!(left.is_empty(), "not in the contract: {left:?}");
    for (name, text) in further {
        fs::write(dir.path().join(name), text).unwrap();
    }
    component(dir.path())
}

fn component(wit: &Path) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(wit).expect("a contract");
    let world = resolve.select_world(&[package], Some("action-plugin")).expect("the world");
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Legacy(LiftLowerAbi::Sync));
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("embedded");
    let mut encoder = ComponentEncoder::default().validate(true).module(&module).expect("a module of it");
    let mut component = encoder.encode().expect("a component");
    let section = [&[SECTION.len() as u8], SECTION.as_bytes(), MANIFEST.as_bytes()].concat();
    assert!(section.len() < 1 << 14, "a length of two bytes");
    component.extend([0, section.len() as u8 & 0x7f | 0x80, (section.len() >> 7) as u8]);
    component.extend(section);
    component
}

/// Whether the controller takes it, or why not.
fn loaded(component: &[u8]) -> Result<(), String> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.wasm"), component).unwrap();
    let mut plugins = Plugins::load(&Source::new(dir.path())).expect("loads");
    match plugins.unusable.pop() {
        None => {
            assert!(plugins.get("test_action").is_some());
            Ok(())
        }
        Some(unusable) => Err(unusable.reason),
    }
}

const AT_0_1_1: &str = "package falco-response:plugin@0.1.1";

#[test]
fn an_action_for_a_contract_before_it_grew_runs() {
    let logs = "    logs: func(pod: object-ref, options: log-options) -> result<string, error>;\n";
    let attach = "    attach: func(name: string, media-type: string, content: list<u8>) -> result<_, string>;\n";
    for (what, changes) in [
        ("nothing", &[][..]),
        ("functions", &[(logs, ""), (attach, ""), ("    attempt: func() -> u32;\n", "")]),
        ("an interface", &[("    import audit;\n", "")]),
        ("a type that only new functions use", &[(logs, ""), (log_options(), "")]),
        (
            "what came with 0.1.1",
            &[(AT_0_1_1, "package falco-response:plugin@0.1.0"), ("    import exec;\n    import http;\n", "")],
        ),
        // A controller and an action built against a later one that uses nothing new.
        ("the version, forwards", &[(AT_0_1_1, "package falco-response:plugin@0.1.7")]),
        ("both", &[(AT_0_1_1, "package falco-response:plugin@0.1.7"), (attach, "")]),
        // The controller looks up what it knows, and leaves the rest alone.
        ("a further export", &[("    run: func()", "    rollback: func();\n    run: func()")]),
    ] {
        assert_eq!(loaded(&action(changes, &[])), Ok(()), "{what}");
    }
}

fn log_options() -> &'static str {
    "    record log-options {
        container: option<string>,
        /// Of the container's previous run.
        previous: bool,
        tail-lines: option<u32>,
    }
"
}

#[test]
fn an_action_that_needs_a_newer_contract_is_told_both_versions_and_what_to_do() {
    let newer = (AT_0_1_1, "package falco-response:plugin@0.1.7");
    let page = ("    note: func(", "    page: func(text: string);\n    note: func(");
    let clock = ("clock.wit", "package falco-response:plugin@0.1.7;\ninterface clock { now: func() -> string; }\n");
    for (what, component) in [
        ("page", action(&[newer, page], &[])),
        ("clock", action(&[newer, ("    import audit;\n", "    import audit;\n    import clock;\n")], &[clock])),
    ] {
        let reason = loaded(&component).expect_err(what);
        for part in ["needs contract 0.1.7", VERSION, "run a controller that offers 0.1.7", "build it against", what] {
            assert!(reason.contains(part), "{what}: {reason}");
        }
    }
    let reason = loaded(&action(&[(AT_0_1_1, "package falco-response:plugin@0.2.0")], &[])).expect_err("0.2");
    for part in ["@0.2.0", VERSION, "build it against contract 0.1", "run a controller"] {
        assert!(reason.contains(part), "{reason}");
    }
}

#[test]
fn what_is_frozen_cannot_differ() {
    for (what, change) in [
        (
            "a field of an imported record",
            ("        name: string,\n", "        name: string,\n        scope: string,\n"),
        ),
        ("a field taken away", ("        uid: option<string>,\n", "")),
        (
            "a field of an options record",
            ("        previous: bool,\n", "        previous: bool,\n        since: u32,\n"),
        ),
        ("a case of an imported enum", ("        not-found,\n", "        not-found,\n        gone,\n")),
        ("a level", ("enum level { error,", "enum level { trace, error,")),
        ("a priority", ("informational, debug }", "informational, debug, none }")),
        ("a case of an imported variant", ("        merge(json),\n", "        merge(json),\n        apply(json),\n")),
        (
            "an argument",
            ("note: func(key: string, value: string)", "note: func(key: string, value: string, page: bool)"),
        ),
        ("an answer", ("attempt: func() -> u32;", "attempt: func() -> u64;")),
        (
            "a case of the outcome",
            ("        skipped(string),\n", "        skipped(string),\n        waiting(string),\n"),
        ),
        ("a field of the failure", ("        retry: bool,\n", "        retry: bool,\n        code: u32,\n")),
        ("an export that is missing", ("    validate: func(parameters: json) -> result<_, list<problem>>;\n", "")),
        ("what an export answers", ("run: func() -> result<outcome, failure>", "run: func() -> result<_, failure>")),
    ] {
        let reason = loaded(&action(&[change], &[])).expect_err(what);
        assert!(reason.contains("does not fit contract 0.1.1") && reason.contains("build it anew"), "{what}: {reason}");
        assert!(reason.contains("falco-response:plugin/"), "{what}: it names the interface: {reason}");
    }
}

/// kill_pod as it was first built, on which `kill-pod-0.1.0/lib.rs` beside it is all that there is.
const KILL_POD: &[u8] = include_bytes!("../../../../tests/fixtures/plugins/kill-pod-0.1.0.wasm");

#[tokio::test]
async fn an_action_that_was_built_for_0_1_0_is_run_as_it_is() {
    let digest = crate::hex::hex(&Sha256::digest(KILL_POD));
    assert_eq!(digest, "54a41cdc93ae93f722640ad509c2319cf5b6547209bc631678dd8df430c55e2b", "it is never built again");
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("kill_pod.wasm"), KILL_POD).unwrap();
    let plugins = Plugins::load(&Source::new(dir.path())).expect("loads");
    assert_eq!(plugins.unusable, []);
    let kill_pod = plugins.get("kill_pod").expect("by its name");
    assert!(kill_pod.manifest.repeatable && !kill_pod.manifest.pages);
    assert_eq!(kill_pod.validate(r#"{"grace_period_seconds": 5}"#).await, Ok(()));
    let problems = kill_pod.validate(r#"{"grace": 5}"#).await.expect_err("unknown");
    assert_eq!(problems[0].at, "/grace");

    let report = |outside: &Arc<Noted>| {
        let parameters = r#"{"grace_period_seconds": 5}"#.to_owned();
        let outside = Arc::clone(outside) as Arc<dyn Outside>;
        let sandbox = Sandbox::new(Limits::default(), Asked { parameters, ..asked() }, outside);
        async move { run_in(kill_pod, sandbox, None).await.end }
    };
    let outside = Noted::new();
    assert_eq!(report(&outside).await, End::Acted("deleted pod checkout-1".to_owned()));
    let calls = outside.calls();
    assert!(calls.len() == 1 && calls[0].starts_with("Delete {"), "{calls:?}");
    assert!(
        calls[0].contains("\"checkout-1\"") && calls[0].contains("\"u-1\"") && calls[0].contains("Some(5)"),
        "{calls:?}"
    );
    let answer = |reason| Noted::answering(Err(CallError { reason, message: "why".to_owned() }));
    assert_eq!(report(&answer(Reason::NotFound)).await, End::Skipped("already gone".to_owned()));
    assert_eq!(report(&answer(Reason::Denied)).await, End::Failed { message: "why".to_owned(), retry: false });
    assert_eq!(report(&answer(Reason::Unavailable)).await, End::Failed { message: "why".to_owned(), retry: true });
}

/// The contract as `interface: item`, one a line, without comments and line breaks.
fn items() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (_, text) in files() {
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with("//"));
        let text = lines.collect::<Vec<_>>().join(" ");
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let (package, mut rest) = text.split_once("; ").expect("a package");
        found.insert(package.to_owned());
        while let Some((head, body)) = rest.split_once('{') {
            let end = closing(body);
            split(&body[..end], |item| found.insert(format!("{}: {item}", head.trim())));
            rest = &body[end + 1..];
        }
    }
    found
}

/// Where the brace that is open before `text` closes.
fn closing(text: &str) -> usize {
    let mut depth = 1;
    let close = |c| match c {
        '{' => {
            depth += 1;
            false
        }
        '}' => {
            depth -= 1;
            depth == 0
        }
        _ => false,
    };
    text.find(close).expect("balanced")
}

/// An item ends with a semicolon, or with its closing brace.
fn split(mut body: &str, mut each: impl FnMut(String) -> bool) {
    while let Some(at) = body.find([';', '{']) {
        let mut end = at + 1;
        if body[at..].starts_with('{') && !body[..at].trim_start().starts_with("use ") {
            end += closing(&body[at + 1..]) + 1;
        } else if body[at..].starts_with('{') {
            end = at + body[at..].find(';').expect("a use ends so") + 1;
        }
        each(body[..end].trim().replace(", }", " }"));
        body = &body[end..];
    }
}

/// `contract-0.1.0.txt` is the contract as the first plugins were built against it. While this version is offered, each of
/// its lines stays, and what comes is what may: functions and types of imported interfaces, and imports.
#[test]
fn the_contract_of_0_1_0_stands() {
    let frozen: BTreeSet<String> = include_str!("contract-0.1.0.txt").lines().map(str::to_owned).collect();
    let now = items();
    let without_version = |items: &BTreeSet<String>| {
        items.iter().filter(|item| !item.starts_with("package ")).cloned().collect::<BTreeSet<_>>()
    };
    let (frozen_items, items) = (without_version(&frozen), without_version(&now));
    let gone: Vec<_> = frozen_items.difference(&items).collect();
    assert!(
        gone.is_empty(),
        "these are frozen, and plugins that exist were built against them; what must differ is contract 0.2, beside this \
         one (wit/README.md): {gone:#?}\nthe contract now:\n{}",
        now.iter().cloned().collect::<Vec<_>>().join("\n")
    );
    let grown: Vec<_> = items.difference(&frozen_items).collect();
    let may = |item: &str| {
        !item.starts_with("interface action: ") && (!item.starts_with("world ") || item.contains(": import "))
    };
    let not_growth: Vec<_> = grown.iter().filter(|item| !may(item)).collect();
    assert!(not_growth.is_empty(), "exports are frozen; a new one is an interface of its own: {not_growth:#?}");
    let version = format!("package falco-response:plugin@{VERSION}");
    assert!(now.contains(&version), "manifest::VERSION is the version of wit/: {version}");
    assert_eq!(
        grown.is_empty(),
        frozen.contains(&version),
        "a contract that has grown has a patch version of its own: {grown:#?}"
    );
}
