//! `plugin test`, as the author of an action and a CI system run it. The cases of the shipped actions run here, too.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use integration_tests::controller::binary;
use integration_tests::root;
use tempfile::TempDir;

/// The shipped actions: their directory, and how many cases they have at least.
const SHIPPED: [(&str, &str, usize); 14] = [
    ("plugins/kill-pod", "kill_pod.wasm", 8),
    ("plugins/isolate-namespace", "isolate_namespace.wasm", 8),
    ("plugins/isolate-pod", "isolate_pod.wasm", 12),
    ("plugins/label-pod", "label_pod.wasm", 6),
    ("plugins/keep-evidence", "keep_evidence.wasm", 4),
    ("plugins/webhook", "webhook.wasm", 6),
    ("plugins/run-command", "run_command.wasm", 7),
    ("plugins/download-file", "download_file.wasm", 4),
    ("plugins/annotate-pod", "annotate_pod.wasm", 4),
    ("plugins/cordon-node", "cordon_node.wasm", 7),
    ("plugins/drain-node", "drain_node.wasm", 7),
    ("plugins/scale-to-zero", "scale_to_zero.wasm", 6),
    ("plugins/restart-workload", "restart_workload.wasm", 4),
    ("plugins/revoke-service-account", "revoke_service_account.wasm", 4),
];

const GOOD: &str = "
# A pod that nobody would bring back.
alert: {output_fields: {k8s.ns.name: production, k8s.pod.name: debug}}
cluster: [{apiVersion: v1, kind: Pod, metadata: {name: debug, namespace: production}, spec: {containers: [{name: c, image: d}]}}]
# What we hope for:
expect:
  outcome: done
  calls:
    - {call: delete pods production/debug, effect: changed, options: {gracePeriodSeconds: 1}}
  cluster:
    - deleted: pods production/debug
# The end.
";

fn test(dir: &Path, component: &str, further: &[&str]) -> Output {
    let component = root().join("target/plugins").join(component);
    let mut command = Command::new(binary().unwrap());
    command.args(["plugin", "test"]).arg(dir).arg("--component").arg(component).args(further).output().unwrap()
}

fn kill(directory: &TempDir, further: &[&str]) -> Output {
    test(directory.path(), "kill_pod.wasm", further)
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn cases(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

fn case(directory: &TempDir, name: &str) -> PathBuf {
    directory.path().join(name)
}

#[test]
fn the_shipped_actions_pass_their_cases() {
    for (dir, component, least) in SHIPPED {
        let output = test(&root().join(dir), component, &[]);
        assert_eq!(output.status.code(), Some(0), "{dir}:\n{}", said(&output));
        let passed = said(&output).lines().filter(|line| line.starts_with("ok ")).count();
        assert!(passed >= least, "{dir} has {passed} cases:\n{}", said(&output));
    }
}

#[test]
fn a_case_that_fails_shows_how_and_is_exit_code_1() {
    let bad = GOOD
        .replace("effect: changed", "effect: gone")
        .replace("  cluster:\n    - deleted: pods production/debug\n", "");
    let directory = cases(&[("good.yaml", GOOD), ("bad.yaml", &bad)]);
    let output = kill(&directory, &[]);
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for line in [
        "FAIL  bad",
        "-       effect: gone",
        "+       effect: changed",
        "+   cluster:",
        "+     - deleted: pods production/debug",
        "ok    good",
        "2 cases: 1 passed, 1 failed",
        "error: one case failed",
    ] {
        assert!(said.lines().any(|found| found.trim_start().starts_with(line)), "{line}\n{said}");
    }
    assert!(!said.contains('\u{1b}'), "no colour where nobody looks");
    // What it does not run cannot fail.
    assert_eq!(kill(&directory, &["--filter", "good"]).status.code(), Some(0));
    assert_eq!(kill(&directory, &["--filter", "nothing like it"]).status.code(), Some(2));
}

#[test]
fn update_writes_what_happened_and_nothing_else() {
    let bad = GOOD.replace("effect: changed", "effect: gone").replace("outcome: done", "outcome: skipped");
    let directory =
        cases(&[("good.yaml", GOOD), ("bad.yaml", &bad), ("new.yaml", GOOD.split("# What").next().unwrap())]);
    let output = kill(&directory, &["--update"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("3 cases: 1 passed, 0 failed, 2 written"), "{}", said(&output));
    let read = |name: &str| std::fs::read_to_string(case(&directory, name)).unwrap();
    assert_eq!(read("good.yaml"), GOOD, "what passes is not touched");
    let written = read("bad.yaml");
    let (before, after) = GOOD.split_once("expect:").unwrap();
    assert!(written.starts_with(before) && written.ends_with("# The end.\n"), "{written}");
    assert!(written.contains("effect: changed") && !after.is_empty(), "{written}");
    let again = kill(&directory, &[]);
    assert_eq!(again.status.code(), Some(0), "{}", said(&again));
}

#[test]
fn a_case_that_cannot_be_read_is_exit_code_2_and_nothing_is_run() {
    let directory = cases(&[("good.yaml", GOOD), ("bad.yaml", "expct: {outcome: done}\nalert: {}\n")]);
    let output = kill(&directory, &[]);
    assert_eq!(output.status.code(), Some(2));
    let told = said(&output);
    assert!(told.contains("bad.yaml:1:1: unknown key `expct`, did you mean `expect`?"), "{told}");
    assert!(!told.contains("ok "), "{told}");
    for (further, sign) in
        [(vec!["--component", "/nowhere.wasm"], "/nowhere.wasm"), (vec!["--no-such-flag"], "--no-such-flag")]
    {
        let output = Command::new(binary().unwrap())
            .args(["plugin", "test"])
            .arg(directory.path())
            .args(&further)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{further:?}");
        assert!(said(&output).contains(sign), "{}", said(&output));
    }
    // No component, and how to come by one.
    let output = Command::new(binary().unwrap()).args(["plugin", "test"]).arg(directory.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("plugin build"), "{}", said(&output));
    let none = tempfile::tempdir().unwrap();
    assert_eq!(kill(&none, &[]).status.code(), Some(2), "no cases are no success");
}

#[test]
fn junit_is_sound_xml_whatever_a_case_is_called() {
    let bad = format!(
        "name: \"<b> & \\\"quoted\\\" \\u001b[31m ]]>\"\n{}",
        GOOD.replace("outcome: done", "outcome: skipped")
    );
    let directory = cases(&[("good.yaml", GOOD), ("bad.yaml", &bad)]);
    let file = directory.path().join("junit.xml");
    let output = kill(&directory, &["--junit", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(!said(&output).contains('\u{1b}'), "{}", said(&output));
    let xml = std::fs::read_to_string(&file).unwrap();
    assert!(xml.contains("tests=\"2\" failures=\"1\" errors=\"0\""), "{xml}");
    assert!(xml.contains("name=\"&lt;b&gt; &amp; &quot;quoted&quot; \u{fffd}[31m ]]&gt;\""), "{xml}");
    assert_well_formed(&xml);
}

/// Every element is closed in its turn, and no raw `&`, `<` or `>` stands in a text.
fn assert_well_formed(xml: &str) {
    let body = xml.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n").expect("it says that it is XML");
    let mut open = Vec::new();
    for (at, part) in body.split('<').enumerate() {
        let (tag, text) = if at == 0 { ("", part) } else { part.split_once('>').expect("a tag ends") };
        assert!(!text.contains('>'), "{part}");
        for entity in part.split('&').skip(1) {
            let name = entity.split(';').next().unwrap();
            assert!(["amp", "lt", "gt", "quot"].contains(&name) || name.starts_with('#'), "&{entity}");
        }
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name)),
            None if tag.is_empty() || tag.ends_with('/') => {}
            None => open.push(tag.split(' ').next().unwrap()),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn the_schema_that_is_printed_is_the_one_in_the_docs() {
    let output = Command::new(binary().unwrap()).args(["plugin", "test", "--schema"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let kept = std::fs::read_to_string(root().join("docs/schema/case.schema.json")).unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), kept);
}

/// The hostile plugin of the tests, whose attempts are refused by the gate.
#[test]
fn what_a_hostile_action_tries_is_told_as_a_denial_with_its_check() {
    let text = format!("{}parameters: {{behaviour: create_pod}}\n", GOOD.split("# What").next().unwrap());
    let directory = cases(&[("a.yaml", &text)]);
    let output = test(directory.path(), "../test-plugins/hostile.wasm", &["--update"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let written = std::fs::read_to_string(case(&directory, "a.yaml")).unwrap();
    assert!(written.contains("effect: denied") && written.contains("check: "), "{written}");
    assert!(!written.contains("cluster:\n    - "), "nothing changed: {written}");
}
