//! `plugin run`, as the author of an action sees it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use integration_tests::alerts::{self, MINER, POOL};
use integration_tests::controller::binary;
use integration_tests::root;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Who runs it, against the demo's cluster unless a test says otherwise.
struct Author {
    directory: TempDir,
    component: PathBuf,
    cluster: String,
}

impl Author {
    fn of(component: &str) -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            component: root().join("target").join(component),
            cluster: format!("simulated:{}", root().join("deploy/demo/cluster").display()),
        }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn run(&self, alert: &Value, further: &[&str]) -> Output {
        let alert = self.file("alert.json", &alert.to_string());
        let mut command = Command::new(binary().unwrap());
        command.args(["plugin", "run"]).arg(&self.component).arg("--alert").arg(alert);
        command.args(["--cluster", &self.cluster]).args(further).output().unwrap()
    }

    /// What a person reads, with what differs each time taken out.
    fn says(&self, alert: &Value, further: &[&str]) -> String {
        let output = self.run(alert, further);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        let text = format!("{}{errors}exit code {}", said(&output), output.status.code().unwrap());
        let text = text.replace(&root().display().to_string(), "…");
        text.lines().map(without_chance).collect::<Vec<_>>().join("\n")
    }
}

/// An alert of a time that does not change.
fn about(rule: &str, namespace: &str, pod: &str) -> Value {
    let mut alert = alerts::about(rule, namespace, pod);
    alert["time"] = json!("2025-11-24T12:00:00Z");
    alert
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn without_chance(line: &str) -> String {
    match (line.find("sha256:"), line.starts_with("took "), line.find("event-id: ")) {
        (Some(at), _, _) => format!("{}sha256:…", &line[..at]),
        (_, true, _) => "took      …".to_owned(),
        (_, _, Some(at)) => format!("{}event-id: …", &line[..at]),
        _ => line.to_owned(),
    }
}

#[test]
fn shows_a_kill_from_the_clearance_to_the_outcome() {
    let author = Author::of("plugins/kill_pod.wasm");
    insta::assert_snapshot!(author.says(&about(MINER, "production", "checkout-7d9f4b-xkp2m"), &[]));
}

#[test]
fn shows_an_isolation_with_the_policy_and_the_page() {
    let author = Author::of("plugins/isolate_namespace.wasm");
    insta::assert_snapshot!(author.says(&about(POOL, "staging", "web-5c6d8-2lkjh"), &[]));
}

#[test]
fn shows_a_refusal_with_its_check() {
    let author = Author::of("plugins/kill_pod.wasm");
    insta::assert_snapshot!(author.says(&about(MINER, "production", "node-agent-5xk2p"), &[]));
}

#[test]
fn shows_a_denied_call_with_the_grant_that_would_allow_it() {
    let author = Author::of("test-plugins/hostile.wasm");
    let parameters = "{behaviour: patch_spec}";
    insta::assert_snapshot!(
        author.says(&about(MINER, "production", "checkout-7d9f4b-xkp2m"), &["--parameters", parameters])
    );
}

#[test]
fn a_dry_run_shows_what_would_be_different() {
    let author = Author::of("plugins/isolate_namespace.wasm");
    let told = author.says(&about(POOL, "staging", "web-5c6d8-2lkjh"), &["--dry-run"]);
    for line in [
        "a dry run on the simulation: nothing changes",
        "networkpolicies.networking.k8s.io staging/falco-emergency-isolation would be created",
        "+ kind: NetworkPolicy",
        "none: a dry run pages nobody",
        "exit code 0",
    ] {
        assert!(told.contains(line), "{line}\n{told}");
    }
}

#[test]
fn json_says_the_same() {
    let author = Author::of("plugins/kill_pod.wasm");
    let output = author.run(&about(MINER, "production", "checkout-7d9f4b-xkp2m"), &["--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["run"]["outcome"], "done");
    assert_eq!(told["run"]["cleared"]["owners"], json!(["ReplicaSet/checkout-7d9f4b", "Deployment/checkout"]));
    assert_eq!(told["run"]["calls"][0]["call"], "delete pods production/checkout-7d9f4b-xkp2m");
    assert_eq!(told["run"]["calls"][0]["granted_by"], json!(["default"]));
    assert_eq!(told["changes"][0]["object"], "pods production/checkout-7d9f4b-xkp2m");
    assert_eq!(told["changes"][0]["after"], Value::Null);
    assert!(told["run"]["peak_memory_bytes"].as_u64().unwrap() > 0 && told["run"]["duration_us"].as_u64().unwrap() > 0);
    assert_eq!(told["expect"]["cluster"], json!([{"deleted": "pods production/checkout-7d9f4b-xkp2m"}]));
}

#[test]
fn takes_parameters_grants_and_the_rest_from_files() {
    let author = Author::of("plugins/kill_pod.wasm");
    let alert = about(MINER, "production", "database-0");
    let told = |further: &[&str]| author.says(&alert, further);
    assert!(told(&[]).contains("refused (protected_owner)"), "{}", told(&[]));
    let config = author.file(
        "config.yaml",
        "dryrun: true\nallowed_namespaces: [production]\nprotected_owners: []\nrules:\n  - name: Crypto mining process detected\n    \
         action: kill_pod\n    audit_reason: x\n    parameters: {grace_period_seconds: 7}\n",
    );
    let config = config.to_str().unwrap();
    let of_file = told(&["--config", config]);
    assert!(of_file.contains("{\"gracePeriodSeconds\":7}") && of_file.contains("acts on the simulation"), "{of_file}");
    let parameters = format!("@{}", author.file("parameters.yaml", "grace_period_seconds: 9\n").display());
    let of_both = told(&["--config", config, "--parameters", &parameters]);
    assert!(of_both.contains("{\"gracePeriodSeconds\":9}"), "{of_both}");
    // A grant that is none is named with its place.
    let grants =
        author.file("grants.yaml", "- {apiGroups: [\"\"], resources: [pods], verbs: [get], scope: everywhere}\n");
    let wrong = told(&["--grants", grants.to_str().unwrap()]);
    assert!(wrong.contains("grants.yaml:1:") && wrong.contains("`everywhere` is not a choice"), "{wrong}");
    assert!(wrong.contains("exit code 2"), "{wrong}");
    let bad = told(&["--parameters", "{grace_period_seconds: soon}"]);
    assert!(bad.contains("/grace_period_seconds: ") && bad.contains("exit code 1"), "{bad}");
}

#[test]
fn a_grant_allows_what_a_denial_said_it_would() {
    let author = Author::of("test-plugins/hostile.wasm");
    let alert = about(MINER, "production", "checkout-7d9f4b-xkp2m");
    let asked = ["--parameters", "{behaviour: patch_spec}"];
    let told = author.says(&alert, &asked);
    let line = told.lines().find_map(|line| line.split_once("to allow it: ")).unwrap_or_else(|| panic!("{told}")).1;
    let grants = author.file("grants.yaml", line);
    let again = author.says(&alert, &[&asked[..], &["--grants", grants.to_str().unwrap()]].concat());
    assert!(!again.contains("denied by the check `permission`"), "{again}");
    assert!(again.contains("granted in plugins.grants") || again.contains("refused by the API server"), "{again}");
}

#[test]
fn nothing_of_an_alert_or_an_action_reaches_the_terminal_as_it_is() {
    let author = Author::of("test-plugins/hostile.wasm");
    let mut alert = about("Miner \u{1b}[2J DRY_RUN\nname: forged", "production", "checkout-7d9f4b-xkp2m");
    alert["output_fields"]["k8s.pod.name"] = json!("checkout-7d9f4b-xkp2m");
    for further in [&["--parameters", "{behaviour: forge}"][..], &["--parameters", "{behaviour: forge}", "--json"]] {
        let told = said(&author.run(&alert, further));
        assert!(told.contains("Miner"), "{told}");
        assert!(!told.contains('\u{1b}') && !told.contains("DRY_RUN"), "{told}");
        assert!(!told.lines().any(|line| line.starts_with("name: forged")), "{told}");
    }
}

#[test]
fn what_cannot_be_run_is_a_usage_error() {
    let author = Author::of("plugins/kill_pod.wasm");
    let alert = about(MINER, "production", "debug");
    let code = |author: &Author, further: &[&str]| author.run(&alert, further).status.code();
    assert_eq!(code(&Author { component: "/nowhere.wasm".into(), ..Author::of("x") }, &[]), Some(2));
    assert_eq!(
        code(&Author { cluster: "simulated:/nowhere".into(), ..Author::of("plugins/kill_pod.wasm") }, &[]),
        Some(2)
    );
    assert_eq!(code(&author, &["--config", "/nowhere.yaml"]), Some(2));
    assert_eq!(code(&author, &["--parameters", "[1]"]), Some(2));
    assert_eq!(author.run(&json!([]), &[]).status.code(), Some(2));
    assert!(Path::new(&author.component).exists(), "target/plugins is not built: run cargo xtask test");
}
