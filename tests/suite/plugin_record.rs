//! `plugin record`, `plugin replay` and `plugin bench`, as the author of an action sees them.

use std::path::PathBuf;
use std::process::{Command, Output};

use integration_tests::alerts::{self, MINER, POOL};
use integration_tests::controller::binary;
use integration_tests::root;
use serde_json::{Value, json};
use tempfile::TempDir;

struct Author {
    directory: TempDir,
    component: PathBuf,
}

impl Author {
    fn of(component: &str) -> Self {
        Self { directory: tempfile::tempdir().unwrap(), component: plugin(component) }
    }

    fn session(&self) -> PathBuf {
        self.directory.path().join("session.yaml")
    }

    fn record(&self, rule: &str, pod: &str, further: &[&str]) -> Output {
        let mut alert = alerts::about(rule, "production", pod);
        alert["time"] = json!("2025-11-24T12:00:00Z");
        alert["output_fields"]["proc.cmdline"] = json!("mysql -phunter2");
        let file = self.directory.path().join("alert.json");
        std::fs::write(&file, alert.to_string()).unwrap();
        let cluster = format!("simulated:{}", root().join("deploy/demo/cluster").display());
        let mut command = Command::new(binary().unwrap());
        command.args(["plugin", "record"]).arg(&self.component).arg("--alert").arg(file);
        command.args(["--cluster", &cluster, "--output"]).arg(self.session()).args(further).output().unwrap()
    }

    fn replay(&self, component: &PathBuf) -> Output {
        let mut command = Command::new(binary().unwrap());
        command.args(["plugin", "replay"]).arg(component).arg(self.session()).output().unwrap()
    }

    /// Plays back what somebody made of the session.
    fn altered(&self, alter: impl FnOnce(&str) -> String) -> (Option<i32>, String) {
        let recorded = std::fs::read_to_string(self.session()).unwrap();
        std::fs::write(self.session(), alter(&recorded)).unwrap();
        let output = self.replay(&self.component);
        std::fs::write(self.session(), recorded).unwrap();
        (output.status.code(), said(&output))
    }
}

fn plugin(component: &str) -> PathBuf {
    root().join("target").join(component)
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The exchanges of a session, each with its dash.
fn exchanges(session: &str) -> (String, Vec<String>, String) {
    let (head, rest) = session.split_once("exchanges:\n").unwrap();
    let (list, tail) = rest.split_once("\nresult:\n").unwrap();
    let list = format!("{list}\n");
    let parts = list.split("  - request: ").skip(1).map(|part| format!("  - request: {part}")).collect();
    (format!("{head}exchanges:\n"), parts, format!("result:\n{tail}"))
}

#[test]
fn what_was_recorded_plays_back_and_what_departs_from_it_fails() {
    let author = Author::of("plugins/kill_pod.wasm");
    let output = author.record(MINER, "checkout-7d9f4b-xkp2m", &["--parameters", "{grace_period_seconds: 7}"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let session = std::fs::read_to_string(author.session()).unwrap();
    for expected in [
        "version: 1\n",
        "action: kill_pod\n",
        "grace_period_seconds: 7\n",
        "dry_run: true\n",
        "gracePeriodSeconds: 7\n",
    ] {
        assert!(session.contains(expected), "{expected:?} in\n{session}");
    }
    assert!(!session.contains("hunter2") && !session.contains("managedFields"), "{session}");
    let same = author.replay(&author.component);
    assert_eq!(same.status.code(), Some(0), "{}", said(&same));
    assert!(said(&same).contains("as recorded, "), "{}", said(&same));

    let (head, parts, tail) = exchanges(&session);
    assert!(parts.len() >= 4, "{session}");
    let of = |parts: &[String]| format!("{head}{}{tail}", parts.concat());
    // One too few, one too many, two in another order.
    let mut last = parts.clone();
    last.pop();
    let mut more = parts.clone();
    more.push(parts[0].clone());
    let mut reordered = parts.clone();
    reordered.swap(1, 2);
    for (parts, expected) in [(last, "was sent"), (more, "nothing more was sent"), (reordered, "after 1 exchanges GET")]
    {
        let (code, said) = author.altered(|_| of(&parts));
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(expected) && said.contains("does not play back"), "{said}");
    }
    // Another end, with expected against actual.
    let (code, said) = author.altered(|session| session.replace("outcome: done", "outcome: skipped"));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("- outcome: skipped\n  + outcome: done"), "{said}");
    // Other parameters than those that were recorded send another request.
    let (code, said) = author.altered(|session| session.replace("grace_period_seconds: 7", "grace_period_seconds: 8"));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("-   gracePeriodSeconds: 7\n") && said.contains("+   gracePeriodSeconds: 8\n"), "{said}");
}

#[test]
fn a_session_of_a_newer_version_or_of_another_action_is_not_played() {
    let author = Author::of("plugins/isolate_namespace.wasm");
    let output = author.record(POOL, "checkout-7d9f4b-xkp2m", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    // What an action writes of the event into an object is another text each time.
    let session = std::fs::read_to_string(author.session()).unwrap();
    assert!(session.contains("EVENT_ID"), "{session}");
    let same = author.replay(&author.component);
    assert_eq!(same.status.code(), Some(0), "{}", said(&same));
    let other = author.replay(&plugin("plugins/kill_pod.wasm"));
    assert_eq!(other.status.code(), Some(2));
    assert!(said(&other).contains("is a session of `isolate_namespace`"), "{}", said(&other));
    let (code, said) = author.altered(|session| session.replace("version: 1", "version: 2"));
    assert_eq!(code, Some(2));
    assert!(said.contains("the session has version 2, and this program reads up to 1"), "{said}");
}

#[test]
fn a_benchmark_measures_what_it_is_given_and_what_is_built_in() {
    let of = |action: &str, further: &[&str]| {
        let mut command = Command::new(binary().unwrap());
        command.args(["plugin", "bench"]).arg(plugin(&format!("plugins/{action}.wasm"))).args(["--runs", "20"]);
        command.args(further).output().unwrap()
    };
    let bench = |further: &[&str]| of("kill_pod", further);
    let built_in = bench(&["--json"]);
    assert_eq!(built_in.status.code(), Some(0), "{}", said(&built_in));
    let measured: Value = serde_json::from_slice(&built_in.stdout).unwrap();
    let number = |key: &str| measured[key].as_u64().unwrap();
    assert_eq!((number("runs"), number("calls")), (20, 1), "{measured}");
    assert!(number("p50") > 0 && number("p50") <= number("p99"), "{measured}");
    assert!(number("own_p50") > 0 && number("own_p50") < number("p50"), "{measured}");
    assert!(number("size") > 10_000 && number("peak_memory") > 0 && number("compiled_in") > 0, "{measured}");
    let text = said(&bench(&[]));
    assert!(text.contains("p50 ") && text.contains("KiB at most") && text.contains("acted: deleted pod"), "{text}");
    // The built-in pod runs on a node that is there.
    let grants = tempfile::NamedTempFile::new().unwrap();
    let grant =
        "- {apiGroups: [''], resources: [nodes], verbs: [patch], scope: target, fields: [spec.unschedulable]}\n";
    std::fs::write(grants.path(), grant).unwrap();
    let node = of("cordon_node", &["--grants", grants.path().to_str().unwrap()]);
    assert_eq!(node.status.code(), Some(0), "{}", said(&node));
    assert!(said(&node).contains("ended     acted: "), "{}", said(&node));
    let live = bench(&["--alert", "x.json", "--cluster", "kubeconfig"]);
    assert_eq!(live.status.code(), Some(2), "{}", said(&live));
}
