//! `lift`: a person takes an isolation back, beside the controller and on its journal.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use integration_tests::alerts::{self, POOL};
use integration_tests::controller::binary;
use serde_json::Value;

use crate::house::{Plan, journal};

const EVENT: &str = "01890000-0000-7000-8000-000000000001";

/// A namespace that is isolated, one pod that is, and a policy of somebody else's beside each.
fn isolated() -> String {
    let policy = |namespace: &str, name: &str, label: &str, spec: &str| {
        format!(
            "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: {name}\n  namespace: {namespace}\n  \
             labels: {{app.kubernetes.io/managed-by: {label}}}\n  annotations: {{falco-response/event-id: {EVENT}, \
             falco-response/rule: \"{POOL}\"}}\nspec: {spec}\n"
        )
    };
    let whole = "{podSelector: {}, policyTypes: [Egress]}";
    let marked = "{podSelector: {matchLabels: {falco-response/isolated-egress: \"true\"}}, policyTypes: [Egress]}";
    let pod = |name: &str| {
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: staging, labels: {{app: web, \
             falco-response/isolated-egress: \"true\"}}}}\nspec: {{containers: [{{name: web, image: shop/web:2}}]}}\n"
        )
    };
    [
        policy("production", "falco-emergency-isolation", "falco-response-controller", whole),
        policy("production", "falco-emergency-copy", "Helm", whole),
        policy("production", "own-name", "falco-response-controller", whole),
        policy("staging", "falco-pod-isolation-egress", "falco-response-controller", marked),
        pod("web-1"),
        pod("web-2"),
    ]
    .concat()
}

fn plan() -> Plan {
    Plan::new().manifests(&isolated())
}

fn lift(plan: &Plan, arguments: &[&str]) -> Output {
    let setup = plan.setup();
    let mut command = Command::new(binary().unwrap());
    command.arg("lift").arg("--config").arg(setup.config).args(["--cluster", &setup.cluster]).env_remove("USER");
    command.args(arguments).output().unwrap()
}

fn by_anna(plan: &Plan, arguments: &[&str]) -> Output {
    let file = file(plan.path());
    let journal = file.to_str().unwrap();
    lift(plan, &[&["--by", "anna", "--journal", journal], arguments].concat())
}

fn file(directory: &Path) -> PathBuf {
    directory.join("journal.db")
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn entries(plan: &Plan) -> Vec<Value> {
    journal(plan.path(), "falco-automated-response")
}

#[test]
fn lifts_the_isolation_of_a_namespace_and_records_who_did_it() {
    let plan = plan();
    let output = by_anna(&plan, &["--namespace", "production", "--reason", "the miner is gone"]);
    let said = told(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("lifted production/falco-emergency-isolation"), "{said}");
    assert!(said.contains("own-name is not ours: its name does not begin with falco-"), "{said}");
    let [entry] = entries(&plan).try_into().unwrap();
    let text = |key: &str| entry[key].as_str().unwrap_or("-").to_owned();
    for (key, expected) in [
        ("action", "lift_isolation"),
        ("namespace", "production"),
        ("pod", "-"),
        ("rule", POOL),
        ("reason", "the miner is gone"),
        ("operator", "falco-response-controller"),
        ("event_id", EVENT),
        ("outcome", "done"),
        ("lifted_by", "anna"),
        ("policy", "falco-emergency-isolation"),
    ] {
        assert_eq!(text(key), expected, "{key}: {entry}");
    }
    assert_eq!((entry["dry_run"].as_bool(), entry["changed"].as_bool()), (Some(false), Some(true)), "{entry}");
    let ten = [
        "timestamp",
        "action",
        "namespace",
        "pod",
        "rule",
        "dry_run",
        "reason",
        "operator",
        "falco_priority",
        "falco_output",
    ];
    let keys: Vec<_> = entry.as_object().unwrap().keys().take(10).map(String::as_str).collect();
    assert_eq!(keys, ten);
    // The intent is there, and came first.
    let intent = &journal(plan.path(), "falco-response-intent")[0];
    assert_eq!((&intent["verb"], &intent["entry_id"]), (&Value::from("delete"), &entry["entry_id"]), "{intent}");
    assert_eq!(journal(plan.path(), "falco-response-result")[0]["effect"], "changed");
}

#[test]
fn lifts_beside_a_running_controller_and_its_chain_stays_whole() {
    let house = plan().start();
    let output = by_anna(&house.plan, &["--namespace", "production"]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let mut verify = Command::new(binary().unwrap());
    let output = verify.args(["audit", "verify", "--journal"]).arg(file(house.plan.path())).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    // A start that finds an entry for each announcement has nothing to take up.
    let crate::house::House { controller, plan } = house;
    controller.terminate().unwrap();
    let again = integration_tests::controller::Controller::start(&plan.setup()).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert!(!again.text().contains("cut off"), "{}", again.text());
    assert_eq!(entries(&plan).len(), 1);
}

#[test]
fn takes_the_labels_off_one_pod_and_leaves_the_policy_for_the_others() {
    let plan = plan();
    let output = by_anna(&plan, &["--namespace", "staging", "--pod", "web-1"]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let [entry] = entries(&plan).try_into().unwrap();
    assert_eq!((entry["pod"].as_str(), entry["outcome"].as_str()), (Some("web-1"), Some("done")), "{entry}");
    let intents = journal(plan.path(), "falco-response-intent");
    assert_eq!(intents.len(), 1, "{intents:?}");
    assert_eq!(intents[0]["path"], "/api/v1/namespaces/staging/pods/web-1");
}

#[test]
fn a_policy_goes_with_the_labels_that_it_selected_by() {
    let plan = plan();
    let output = by_anna(&plan, &["--namespace", "staging"]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let intents = journal(plan.path(), "falco-response-intent");
    let calls: Vec<_> = intents.iter().map(|intent| format!("{} {}", intent["verb"], intent["path"])).collect();
    assert_eq!(calls.len(), 3, "{calls:?}");
    assert!(calls[0].starts_with("\"delete\""), "the policy first: {calls:?}");
    let [entry] = entries(&plan).try_into().unwrap();
    assert_eq!(entry["outcome"], "done", "{entry}");
}

#[test]
fn refuses_what_is_not_ours_and_says_why() {
    for (arguments, words) in [
        (vec!["--namespace", "production", "--policy", "falco-emergency-copy"], "is not ours: it has no label"),
        (vec!["--namespace", "production", "--policy", "own-name"], "its name does not begin with falco-"),
        (vec!["--namespace", "production", "--policy", "absent"], "there is no policy absent in production"),
        (vec!["--namespace", "production", "--pod", "absent"], "cannot be read"),
        (vec!["--namespace", "kube-system"], "kube-system is out of reach"),
        (vec!["--namespace", "monitoring"], "is in denied_namespaces"),
        (vec!["--namespace", "default"], "is not in allowed_namespaces"),
    ] {
        let plan = plan();
        let output = by_anna(&plan, &arguments);
        let said = told(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
        if file(plan.path()).exists() {
            assert!(entries(&plan).is_empty() && journal(plan.path(), "falco-response-intent").is_empty(), "{said}");
        }
    }
}

#[test]
fn lifts_nothing_unrecorded_unsigned_or_under_the_brake() {
    let nobody = plan();
    let output = lift(&nobody, &["--namespace", "production"]);
    assert_eq!((output.status.code(), told(&output).contains("--by NAME")), (Some(2), true), "{}", told(&output));
    let no_journal = plan().and("journal: /nowhere/journal.db");
    let output = lift(&no_journal, &["--namespace", "production", "--by", "anna"]);
    let said = told(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("nothing is lifted unrecorded") && said.contains("kubectl exec"), "{said}");
    let stopped = plan();
    std::fs::write(stopped.path().join("stop"), "").unwrap();
    for plan in [stopped, plan().replace("dryrun: false", "dryrun: true")] {
        let output = by_anna(&plan, &["--namespace", "production"]);
        let said = told(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("kubectl delete networkpolicy -n production"), "{said}");
        assert!(entries(&plan).is_empty());
    }
}

#[test]
fn a_dry_run_lists_and_does_nothing() {
    let plan = plan();
    let output = lift(&plan, &["--namespace", "production", "--by", "anna", "--dry-run"]);
    let said = told(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("would lift production/falco-emergency-isolation (lasts until it is lifted, rule"), "{said}");
    assert!(!file(plan.path()).exists());
}

#[test]
fn the_page_has_the_command_and_the_time() {
    let pager = integration_tests::receiver::Receiver::start(200).unwrap();
    let paging = format!("paging: {{alertmanager: {{url: \"http://{}\"}}}}", pager.address);
    let house = Plan::new()
        .replace("    action: isolate_namespace\n", "    action: isolate_namespace\n    expires_after: 1h\n")
        .and(&paging)
        .start();
    let entry = house.record_of(&alerts::about(POOL, "production", "long-gone"));
    let expires_at = entry["expires_at"].as_str().unwrap_or_else(|| panic!("{entry}"));
    let command = "falco-response-controller lift --namespace production --policy falco-emergency-isolation";
    let page = pager.wait_for(command).unwrap_or_else(|| panic!("{:?}", pager.taken()));
    assert_eq!(page[0]["annotations"]["expires_at"], expires_at, "{page}");
    // Alerts that come together change nothing about it.
    let again = house.record_of(&alerts::about(POOL, "production", "debug"));
    assert_eq!(
        (again["outcome"].as_str(), again["expires_at"].as_str()),
        (Some("skipped"), Some(expires_at)),
        "{again}"
    );
    assert_eq!(house.changes().len(), 1, "{:?}", house.changes());
}
