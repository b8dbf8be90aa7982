//! `replay`, as an operator runs it before a configuration goes live.

use std::process::{Command, Output};

use integration_tests::alerts::{self, MINER, NOTICE, POOL, SHELL};
use integration_tests::controller::binary;
use serde_json::{Value, json};

use crate::house::Plan;

/// One line an alert; text goes in as it is.
fn replay(plan: &Plan, lines: &[Value]) -> Output {
    let setup = plan.setup();
    let text = lines.iter().map(|line| line.as_str().map_or_else(|| line.to_string(), str::to_owned) + "\n");
    let file = setup.directory.join("alerts.jsonl");
    std::fs::write(&file, text.collect::<String>()).unwrap();
    let mut command = Command::new(binary().unwrap());
    command.arg("replay").arg(file).arg("--config").arg(setup.config).arg("--plugins").arg(setup.plugins);
    command.arg("--cluster").arg(setup.cluster).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn at(mut alert: Value, time: &str) -> Value {
    alert["time"] = json!(time);
    alert
}

#[test]
fn says_line_by_line_and_by_rule_what_a_live_configuration_would_have_done() {
    let plan = Plan::new();
    assert!(crate::house::runbook().contains("dryrun: false"));
    let time = "2025-11-24T12:00:00.5Z";
    let about = |rule, namespace, pod| at(alerts::about(rule, namespace, pod), time);
    let twice = about(MINER, "production", "checkout-7d9f4b-xkp2m");
    let output = replay(
        &plan,
        &[
            twice.clone(),
            json!(""),
            about(MINER, "production", "database-0"),
            about(MINER, "production", "long-gone"),
            about(MINER, "kube-system", "coredns-6f6b679f8f-x2vjq"),
            about(POOL, "staging", "web-5c6d8-2lkjh"),
            twice,
            parsed(NOTICE),
        ],
    );
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    for line in [
        "line 1: kill_pod production/checkout-7d9f4b-xkp2m rule=\"Crypto mining process detected\": would delete pod, owner \
         Deployment/checkout",
        "line 3: kill_pod production/database-0 rule=\"Crypto mining process detected\": refused (protected_owner): \
         StatefulSet/database is in the owner chain, and StatefulSet is in protected_owners",
        "line 4: kill_pod production/long-gone rule=\"Crypto mining process detected\": refused (pod_absent): cannot tell: \
         the pod is gone (pod production/long-gone does not exist)",
        "line 7: rule=\"Crypto mining process detected\": a duplicate: an alert with its uuid came before",
        "line 8: rule=\"Terminal shell in container\": unwanted (no_rule)",
        "\"Crypto mining process detected\": 5 alerts",
        "  would act 1 (1 object), first: delete pod, owner Deployment/checkout",
        "  refused (kube_system) 1, first: kube-system is out of reach, whatever the configuration says",
        "  duplicates 1",
        "\"Shell spawned in production database container\": no alerts",
        "\"Network connection to known mining pool\": 1 alert",
        "unwanted (no_rule) 1: \"Terminal shell in container\" 1",
    ] {
        assert!(said.lines().any(|found| found == line), "{line}\n{said}");
    }
    assert!(said.contains("line 6: isolate_namespace staging/web-5c6d8-2lkjh"), "{said}");
    assert!(said.contains("nothing was changed"), "{said}");
    // The runbook's alerts prove little; the isolation does not ask which pod it was.
    assert_eq!(said.matches("warning: none of its alerts carries k8s.pod.uid").count(), 1, "{said}");
}

#[test]
fn takes_alerts_of_long_ago_as_they_came_from_falco() {
    let config = "dryrun: false\nallowed_namespaces: [default]\nrules: [{name: Terminal shell in container, action: kill_pod, audit_reason: shell}]\n";
    let output = replay(&Plan::new().config(config), &[parsed(SHELL)]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    // Of 2023, and not stale; its container is not one of today's pod.
    assert!(said.contains("line 1: kill_pod default/kubecon"), "{said}");
    assert!(said.contains("refused (not_the_alerts_pod)") && !said.contains("stale"), "{said}");
    assert!(!said.contains("none of its alerts"), "{said}");
}

#[test]
fn names_the_lines_that_are_no_alerts_and_goes_on() {
    let good = at(alerts::about(MINER, "production", "debug"), "2025-11-24T12:00:00Z");
    let output = replay(&Plan::new(), &[json!("{\"rule\": \u{1b}[31m"), json!("[]"), good]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stdout);
    assert!(said.contains("line 1: not an alert: ") && said.contains("line 2: not an alert: "), "{said}");
    assert!(said.contains("line 3: kill_pod production/debug") && said.contains("not an alert 2"), "{said}");
    assert!(!said.contains('\u{1b}'), "nothing of it reaches the terminal");
    assert!(text(&output.stderr).contains("2 lines are no alerts"), "{}", text(&output.stderr));
}

#[test]
fn a_file_or_a_cluster_that_is_not_there_is_an_error() {
    let plan = Plan::new();
    let setup = plan.setup();
    let run = |file: &str, cluster: &str| {
        let mut command = Command::new(binary().unwrap());
        command.args(["replay", file, "--cluster", cluster]).arg("--config").arg(&setup.config);
        command.arg("--plugins").arg(&setup.plugins).output().unwrap()
    };
    let output = run("/nowhere/alerts.jsonl", &setup.cluster);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("/nowhere/alerts.jsonl"));
    assert_eq!(run("/dev/null", "simulated:/nowhere").status.code(), Some(2));
}
