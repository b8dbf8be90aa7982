//! What it takes to start, and what does not keep it from starting.

use std::process::{Command, Stdio};
use std::time::Duration;

use integration_tests::alerts::{self, MINER, POOL};
use integration_tests::controller::binary;
use integration_tests::http;
use integration_tests::receiver::Receiver;

use crate::house::{House, Plan};

/// Starts it with these changes, and answers with exit code and standard error; it is expected to end by itself.
fn fails_to_start(plan: &Plan, change: impl Fn(&mut Command)) -> (Option<i32>, String) {
    let setup = plan.setup();
    let mut command = Command::new(binary().unwrap());
    command
        .arg("serve")
        .arg("--config")
        .arg(&setup.config)
        .arg("--plugins")
        .arg(&setup.plugins)
        .arg("--cluster")
        .arg(&setup.cluster);
    command.arg("--journal").arg(plan.path().join("journal.db")).args([
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
    ]);
    command.env_remove("FALCO_TOKEN").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    change(&mut command);
    let mut child = command.spawn().unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while child.try_wait().unwrap().is_none() {
        if std::time::Instant::now() > deadline {
            child.kill().unwrap();
            panic!("it started");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn does_not_start_without_a_long_enough_token() {
    let plan = Plan::new();
    let (code, errors) = fails_to_start(&plan, |_| {});
    assert_eq!(code, Some(2), "{errors}");
    assert!(errors.contains("token"), "{errors}");
    for short in ["", "\n\n", "fifteen-bytes-x", "  short  "] {
        std::fs::write(plan.path().join("short"), short).unwrap();
        let (code, errors) = fails_to_start(&plan, |command| {
            command.arg("--token-file").arg(plan.path().join("short"));
        });
        assert_eq!(code, Some(2), "{short:?}: {errors}");
        let (code, _) = fails_to_start(&plan, |command| {
            command.env("FALCO_TOKEN", short);
        });
        assert_eq!(code, Some(2), "{short:?}");
    }
}

#[test]
fn does_not_start_on_a_journal_that_is_none() {
    let plan = Plan::new();
    std::fs::write(plan.path().join("journal.db"), "this is no database, and it is somebody's").unwrap();
    let (code, errors) = fails_to_start(&plan, |command| {
        command.env("FALCO_TOKEN", "a-token-of-more-than-16-bytes");
    });
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("journal.db"), "{errors}");
    let kept = std::fs::read_to_string(plan.path().join("journal.db")).unwrap();
    assert_eq!(kept, "this is no database, and it is somebody's");
}

#[test]
fn an_unknown_kind_in_the_simulated_cluster_is_named_with_its_line() {
    let plan = Plan::new().manifests(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Pots\nmetadata: {name: b}\n",
    );
    let (code, errors) = fails_to_start(&plan, |command| {
        command.env("FALCO_TOKEN", "a-token-of-more-than-16-bytes");
    });
    assert_eq!(code, Some(2), "{errors}");
    assert!(errors.contains("all.yaml:") && errors.contains("Pots"), "{errors}");
}

#[test]
fn a_broken_plugin_stops_its_rules_and_no_others() {
    let pager = Receiver::start(200).unwrap();
    let plan = Plan::new().and(&format!("paging: {{alertmanager: {{url: \"http://{}\"}}}}", pager.address));
    let setup = plan.setup();
    std::fs::write(setup.plugins.join("isolate_namespace.wasm"), b"not a component").unwrap();
    let controller = integration_tests::controller::Controller::start(&setup).unwrap();
    let house = House { controller, plan };
    let ready = http::get(house.controller.address, "/readyz").unwrap();
    assert_eq!(ready.status, 200, "the other rules are worth being ready for");
    assert!(ready.body.contains("Network connection to known mining pool"), "{}", ready.body);
    let record = house.record_of(&alerts::about(POOL, "production", "debug"));
    assert_eq!(record["decision"], "plugin_unavailable", "{record}");
    pager.wait_for("isolate_namespace").expect("somebody is told");
    assert_eq!(house.record_of(&alerts::about(MINER, "production", "debug"))["outcome"], "done");
}

#[test]
fn a_cluster_that_does_not_answer_costs_no_alert() {
    // Nothing listens on this port: it was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let plan = Plan::new();
    let kubeconfig = plan.path().join("kubeconfig");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters: [{{name: a, cluster: {{server: \"http://127.0.0.1:{port}\"}}}}]\ncontexts: [{{name: a, context: {{cluster: a, user: a}}}}]\nusers: [{{name: a, user: {{token: x}}}}]\n"
    );
    std::fs::write(&kubeconfig, text).unwrap();
    let spec = format!("kubeconfig:{}", kubeconfig.display());
    let house = plan.cluster(&spec).start();
    let alert = alerts::about(MINER, "production", "debug");
    house.post(&alert);
    let waits = house.controller.wait_for(0, Duration::from_secs(10), |line| {
        line["message"].as_str().is_some_and(|message| message.contains("no answer from the cluster"))
    });
    assert!(waits.is_some(), "{}", house.controller.text());
    assert!(
        house.journal("falco-automated-response").is_empty() && house.journal("falco-response-decision").is_empty(),
        "it is still to be decided"
    );
    let ready = http::get(house.controller.address, "/readyz").unwrap();
    assert_eq!(ready.status, 200);
    assert!(ready.body.contains("unreachable"), "{}", ready.body);
}
