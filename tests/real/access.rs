//! What `check --cluster`, `replay` and a controller at its start say of a real cluster.

use std::process::{Command, Output};

use integration_tests::account::{Account, create_all};
use integration_tests::alerts::{self, MINER};
use integration_tests::controller::binary;
use integration_tests::http;
use serde_json::{Value, json};

use crate::house::Plan;
use crate::lane::{bare_pod, cluster, name, plan, pod_of, pods, template, versions, workload, workloads};
use crate::rbac::{NAME, account, printed};

fn run(plan: &Plan, first: &[&str]) -> Output {
    let setup = plan.setup();
    let mut command = Command::new(binary().unwrap());
    command.args(first).arg("--config").arg(setup.config).arg("--plugins").arg(setup.plugins);
    command.args(["--cluster", &setup.cluster]).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_rule_reaches_what_no_protected_owner_holds() {
    let Some(cluster) = cluster() else { return };
    cluster.namespace("reach").unwrap();
    for (plural, app, more) in [
        ("deployments", "web", json!({"replicas": 2})),
        ("statefulsets", "db", json!({"replicas": 1, "serviceName": "db"})),
        ("daemonsets", "agent", json!({})),
    ] {
        cluster.create(&workloads("reach", plural), &workload(app, &more)).unwrap();
        pod_of(cluster, "reach", app);
    }
    let mut custom = template("canary");
    custom["metadata"]["name"] = json!("canary");
    custom["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "example.com/v1", "kind": "Rollout", "name": "canary", "uid": "no-such-uid", "controller": true,
    }]);
    // The garbage collector asks after owners whose kind it knows.
    cluster.create(&pods("reach"), &custom).unwrap();
    let both = |list: &Value| list["items"].as_array().is_some_and(|items| items.len() == 5);
    cluster.until(&pods("reach"), both).unwrap();

    let output = run(&plan(cluster, &["reach"]), &["check"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}{}", text(&output.stderr));
    let line = format!(
        "`{MINER}` can reach 2 of 5 pods in reach: 1 belongs to a protected DaemonSet, 1 belongs to a protected \
         StatefulSet, 1 has an owner of kind Rollout, which is not in owner_kinds"
    );
    assert!(said.lines().any(|found| found == line), "{line}\n{said}");
    let line = "- {apiVersion: example.com/v1, kind: Rollout, plural: rollouts, top_level: true}";
    assert!(said.contains(line), "{said}");
    assert!(said.contains("warning: the account may do anything in the whole cluster"), "an administrator: {said}");
}

#[test]
fn an_account_with_what_rbac_prints_lacks_nothing_and_has_nothing_to_spare() {
    let Some(cluster) = cluster() else { return };
    cluster.namespace("review").unwrap();
    let plan = plan(cluster, &["review"]);
    let account = account(cluster, &plan, "review-falco");
    let output = run(&plan.cluster(&account.spec()), &["check"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}{}", text(&output.stderr));
    assert!(said.contains("the account may do everything that the configuration needs"), "{said}");
    assert!(!said.contains("more than this configuration needs"), "{said}");
    // It has no need to list pods, so it cannot tell what it could reach.
    assert!(said.contains("the pods of review cannot be listed"), "{said}");
}

#[test]
fn what_is_missing_and_what_is_too_much_shows_up() {
    let Some(cluster) = cluster() else { return };
    for namespace in ["reduced", "reduced-falco"] {
        cluster.namespace(namespace).unwrap();
    }
    let plan = plan(cluster, &["reduced"]);
    let roles = printed(&plan, "reduced-falco", &[]);
    let changed = roles.replacen("verbs: [\"get\", \"delete\"]", "verbs: [\"get\"]", 1).replacen(
        "resources: [\"pods\"]",
        "resources: [\"pods\", \"secrets\"]",
        1,
    );
    assert_ne!(changed, roles);
    create_all(cluster, &changed).unwrap();
    let account = Account::of(cluster, "reduced-falco", NAME).unwrap();
    let plan = plan.cluster(&account.spec());
    let output = run(&plan, &["check"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}{}", text(&output.stderr));
    assert!(said.contains("missing: the account may not delete pods in reduced: action kill_pod"), "{said}");
    assert_eq!(said.matches("missing: ").count(), 1, "{said}");
    assert!(said.contains("warning: the account may get secrets in reduced: more"), "{said}");
    let house = plan.start();
    let reviewed = |line: &Value| line["message"] == "permissions reviewed";
    let line = house.controller.wait_for(0, std::time::Duration::from_secs(60), reviewed).expect("it asked");
    assert_eq!((&line["missing"], &line["excess"]), (&json!(1), &json!(1)), "{line}");
}

/// A token that has run out, or an API server that cannot verify it for a while, says nothing about the pod.
#[test]
fn with_a_token_that_is_not_known_alerts_wait_and_the_cluster_counts_as_away() {
    let Some(cluster) = cluster() else { return };
    cluster.namespace("unknown-token").unwrap();
    bare_pod(cluster, "unknown-token", "debug", &json!({}));
    let plan = plan(cluster, &["unknown-token"]);
    let text = std::fs::read_to_string(cluster.kubeconfig()).unwrap();
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config["users"][0]["user"]["token"] = json!("nobody-knows-this-token");
    let file = plan.path().join("kubeconfig");
    std::fs::write(&file, config.to_string()).unwrap();
    let plan = plan.cluster(&format!("kubeconfig:{}", file.display()));
    let output = run(&plan, &["check"]);
    assert_eq!(output.status.code(), Some(1), "{}", text_of(&output));
    assert!(text_of(&output).contains("Unauthorized"), "{}", text_of(&output));

    let house = plan.start();
    let alert = alerts::about(MINER, "unknown-token", "debug");
    house.post(&alert);
    let waits = |line: &Value| line["message"].as_str().is_some_and(|said| said.contains("no answer from the cluster"));
    let line = house.controller.wait_for(0, std::time::Duration::from_secs(20), waits).expect("it tries again");
    assert!(line["message"].as_str().unwrap().contains("401"), "{line}");
    let decided = |line: &Value| line["alert_uuid"] == alert["uuid"] && line.get("decision").is_some();
    assert!(!house.controller.lines().iter().any(decided), "{}", house.controller.text());
    let body = http::get(house.controller.address, "/readyz").unwrap().body;
    assert!(body.contains("unreachable: Unauthorized"), "{body}");
}

fn text_of(output: &Output) -> String {
    text(&output.stdout) + &text(&output.stderr)
}

#[test]
fn a_replay_of_a_live_configuration_leaves_every_version_as_it_was() {
    let Some(cluster) = cluster() else { return };
    cluster.namespace("replay").unwrap();
    cluster.create(&workloads("replay", "deployments"), &workload("web", &json!({"replicas": 1}))).unwrap();
    let pod = pod_of(cluster, "replay", "web");
    let paths = [pods("replay"), workloads("replay", "deployments"), workloads("replay", "replicasets")];
    let policies = ["/apis/networking.k8s.io/v1/namespaces/replay/networkpolicies".to_owned()];
    let all = || versions(cluster, &[&paths[..], &policies[..]].concat());
    let before = all();
    let plan = plan(cluster, &["replay"]);
    let file = plan.path().join("alerts.jsonl");
    let lines = [alerts::about(MINER, "replay", name(&pod)), alerts::about(alerts::POOL, "replay", name(&pod))];
    std::fs::write(&file, lines.map(|line| line.to_string()).join("\n")).unwrap();
    let output = run(&plan, &["replay", file.to_str().unwrap()]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}{}", text(&output.stderr));
    assert!(said.contains("would delete pod, owner Deployment/web"), "{said}");
    assert!(said.contains("would apply networkpolicies.networking.k8s.io replay/falco-emergency-isolation"), "{said}");
    assert_eq!(all(), before);
}
