//! What the cluster allows and what the rules can reach there: `check --cluster`, and a controller at its start.

use std::process::{Command, Output};
use std::time::Duration;

use integration_tests::controller::{Setup, binary};
use integration_tests::{http, root};
use serde_json::{Value, json};

use crate::house::Plan;

const WITHIN: Duration = Duration::from_secs(30);

fn run(setup: &Setup, subcommand: &str, more: &[&str]) -> Output {
    let mut command = Command::new(binary().unwrap());
    command.arg(subcommand).arg("--config").arg(&setup.config).arg("--plugins").arg(&setup.plugins);
    command.args(more).output().unwrap()
}

fn check(plan: &Plan) -> (Option<i32>, String, String) {
    let setup = plan.setup();
    let output = run(&setup, "check", &["--cluster", &setup.cluster]);
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What `rbac` prints for a configuration, for the simulated cluster to be asked about.
fn roles(plan: &Plan) -> String {
    let output = run(&plan.setup(), "rbac", &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout)
}

fn pods(namespace: &str, kind: &str, count: usize) -> String {
    let pod = |number: usize| {
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: p-{number}\n  namespace: {namespace}\n  ownerReferences: \
             [{{apiVersion: apps/v1, kind: {kind}, name: p, controller: true}}]\nspec: {{containers: [{{name: c, image: d}}]}}\n"
        )
    };
    (0..count).map(pod).collect()
}

#[test]
fn tells_which_pods_each_rule_can_reach() {
    let (code, said, errors) = check(&Plan::new());
    assert_eq!(code, Some(0), "{errors}");
    for rule in ["Crypto mining process detected", "Shell spawned in production database container"] {
        let line = format!(
            "`{rule}` can reach 5 of 7 pods in production, staging: 1 belongs to a protected DaemonSet, 1 belongs to a \
             protected StatefulSet"
        );
        assert!(said.lines().any(|found| found == line), "{line}\n{said}");
    }
    assert!(said.contains("warning: the account may do anything in the whole cluster"), "{said}");
    assert!(said.contains("the account may do everything that the configuration needs"), "{said}");
}

#[test]
fn warns_of_a_rule_that_can_reach_nothing() {
    let (code, said, errors) = check(&Plan::new().manifests(&pods("production", "StatefulSet", 14)));
    assert_eq!(code, Some(0), "{errors}");
    let line = "warning: `Shell spawned in production database container` can reach 0 of 14 pods in production, staging: \
                all belong to protected StatefulSets";
    assert!(said.lines().any(|found| found == line), "{said}");
}

#[test]
fn names_the_line_for_an_owner_that_nobody_told_it_of() {
    let rollout = pods("production", "Rollout", 2).replace("apps/v1", "argoproj.io/v1alpha1");
    let (code, said, errors) = check(&Plan::new().manifests(&rollout));
    assert_eq!(code, Some(0), "{errors}");
    let line = "- {apiVersion: argoproj.io/v1alpha1, kind: Rollout, plural: rollouts, top_level: true}";
    assert!(said.contains("warning: 2 pods are out of reach") && said.contains(line), "{said}");
    let known = format!("owner_kinds:\n  {line}\n");
    let (_, said, _) = check(&Plan::new().and(&known).manifests(&rollout));
    assert!(said.contains("can reach 2 of 2 pods"), "{said}");
}

#[test]
fn what_rbac_prints_is_neither_too_little_nor_too_much() {
    let roles = roles(&Plan::new());
    let (code, said, errors) = check(&Plan::new().manifests(&roles));
    assert_eq!(code, Some(0), "{said}{errors}");
    assert!(!said.contains("missing: ") && !said.contains("the account may do anything"), "{said}");
    assert!(!said.contains("more than this configuration needs"), "{said}");

    let less = roles.replacen("verbs: [\"get\", \"delete\"]", "verbs: [\"get\"]", 1);
    assert_ne!(less, roles, "{roles}");
    let (code, said, errors) = check(&Plan::new().manifests(&less));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("missing: the account may not delete pods in production: action kill_pod"), "{said}");
    assert!(!said.contains("may not delete pods in staging"), "{said}");
    assert!(errors.contains("one permission is missing") && errors.contains("rbac"), "{errors}");

    let more = roles.replacen("resources: [\"pods\"]", "resources: [\"pods\", \"secrets\"]", 1);
    let (code, said, _) = check(&Plan::new().manifests(&more));
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("warning: the account may get secrets in production: more than this configuration needs"),
        "{said}"
    );
}

#[test]
fn the_flag_alone_looks_for_a_cluster_and_says_when_there_is_none() {
    let plan = Plan::new();
    let setup = plan.setup();
    let mut command = Command::new(binary().unwrap());
    command.arg("check").arg("--config").arg(&setup.config).arg("--plugins").arg(&setup.plugins);
    let output = command.arg("--cluster").env("KUBECONFIG", "/nowhere/kubeconfig").output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("kubeconfig"), "{}", text(&output.stderr));

    let nobody = setup.directory.join("kubeconfig");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "c", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
    });
    std::fs::write(&nobody, config.to_string()).unwrap();
    let output = run(&setup, "check", &["--cluster", &format!("kubeconfig:{}", nobody.display())]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("does not answer"), "{}", text(&output.stderr));
}

#[test]
fn a_controller_tells_after_its_start_what_is_missing_and_acts_all_the_same() {
    let roles = roles(&Plan::new());
    let less = roles.replacen("verbs: [\"get\", \"delete\"]", "verbs: [\"get\"]", 1).replacen(
        "resources: [\"pods\"]",
        "resources: [\"pods\", \"secrets\"]",
        1,
    );
    let cluster = std::fs::read_to_string(root().join("deploy/demo/cluster/production.yaml")).unwrap();
    let house = Plan::new().manifests(&format!("{cluster}\n---\n{less}")).start();
    let reviewed = |line: &Value| line["message"] == "permissions reviewed";
    let line = house.controller.wait_for(0, WITHIN, reviewed).expect("it asked");
    assert_eq!((&line["level"], &line["missing"], &line["excess"]), (&json!("WARN"), &json!(1), &json!(1)), "{line}");
    let lines = house.controller.lines();
    let ready = lines.iter().find(|line| line["message"] == "ready").unwrap();
    assert_eq!(ready["permissions_needed"], line["needed"]);
    let missing =
        lines.iter().find(|line| line.get("missing").is_some_and(Value::is_string)).expect("a line of its own");
    assert_eq!((&missing["level"], &missing["missing"]), (&json!("WARN"), &json!("delete pods in production")));
    let excess = lines.iter().find(|line| line.get("excess").is_some_and(Value::is_string)).expect("a line of its own");
    assert_eq!(excess["excess"], "get secrets");

    let answer = http::get(house.controller.address, "/readyz").unwrap();
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(
        (answer.status, &body["access"]),
        (200, &json!({"missing": ["delete pods in production"], "excess": 1}))
    );
    let metrics = http::get(house.controller.admin_address, "/metrics").unwrap().body;
    assert!(metrics.contains("falco_response_permissions_missing 1\n"), "{metrics}");
    let entry =
        house.record_of(&integration_tests::alerts::about(integration_tests::alerts::MINER, "production", "debug"));
    assert_eq!(entry["outcome"], "done", "{entry}");
}
