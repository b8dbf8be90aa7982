//! How far live action reaches: budgets for owner, namespace and cluster.

use std::fmt::Write as _;

use integration_tests::alerts::{self, MINER, POOL};
use integration_tests::controller::Controller;
use integration_tests::receiver::Receiver;
use serde_json::Value;

use crate::house::{House, Plan};

/// A Deployment `app` in `namespace` with as many pods, `app-0` and on.
fn deployment(app: &str, namespace: &str, pods: usize) -> String {
    let mut text = format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {app}, namespace: {namespace}}}\n---\n\
         apiVersion: apps/v1\nkind: ReplicaSet\nmetadata:\n  name: {app}-rs\n  namespace: {namespace}\n  \
         ownerReferences: [{{apiVersion: apps/v1, kind: Deployment, name: {app}, controller: true}}]\n---\n"
    );
    for number in 0..pods {
        write!(
            text,
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {app}-{number}\n  namespace: {namespace}\n  \
             ownerReferences: [{{apiVersion: apps/v1, kind: ReplicaSet, name: {app}-rs, controller: true}}]\n\
             spec: {{containers: [{{name: c, image: d}}]}}\n---\n"
        )
        .unwrap();
    }
    text
}

fn kill(house: &House, namespace: &str, pod: &str) -> Value {
    house.record_of(&alerts::about(MINER, namespace, pod))
}

fn word(record: &Value) -> &str {
    record["check"].as_str().or(record["outcome"].as_str()).unwrap_or("neither")
}

#[test]
fn one_noisy_owner_cannot_stop_a_kill_elsewhere_and_a_restart_refills_nothing() {
    let pager = Receiver::start(200).unwrap();
    let manifests = deployment("noisy", "production", 8) + &deployment("calm", "production", 1);
    let plan = Plan::new()
        .manifests(&manifests)
        .and(&format!("paging: {{alertmanager: {{url: \"http://{}\"}}}}", pager.address));
    let house = plan.start();
    for number in 0..5 {
        assert_eq!(word(&kill(&house, "production", &format!("noisy-{number}"))), "done", "{number}");
    }
    let refused = kill(&house, "production", "noisy-5");
    assert_eq!((word(&refused), refused["decision"].as_str()), ("owner_budget", Some("refused")));
    assert!(refused["detail"].as_str().unwrap().contains("5 of them by Deployment/noisy in production"), "{refused}");
    assert_eq!(word(&kill(&house, "production", "calm-0")), "done");
    assert_eq!(word(&kill(&house, "production", "noisy-6")), "owner_budget");
    let House { controller, plan } = house;
    controller.kill().unwrap();
    // The simulated cluster begins anew; the journal does not.
    let house = House { controller: Controller::start(&plan.setup()).unwrap(), plan };
    assert_eq!(word(&kill(&house, "production", "noisy-7")), "owner_budget");
    assert_eq!(word(&kill(&house, "production", "calm-0")), "done");
    let page = pager.wait_for("owner_budget").expect("somebody is told");
    assert_eq!(page[0]["annotations"]["used_up_by"], "Deployment/noisy in production", "{page}");
    let page = pager.wait_for("killing does not help").expect("and that it does not help");
    assert_eq!(page[0]["annotations"]["owner"], "Deployment/noisy", "{page}");
    let told: Vec<_> = pager.taken().iter().map(|taken| taken.body[0]["labels"]["dedup_key"].to_string()).collect();
    let helps = told.iter().filter(|key| key.contains("killing_does_not_help")).count();
    assert_eq!(helps, 1, "once in the span, also after five kills: {told:?}");
}

#[test]
fn refusals_and_dry_runs_use_nothing_up() {
    let manifests = deployment("web", "production", 3) + &deployment("web", "staging", 1);
    let plan = Plan::new().manifests(&manifests).and(
        "limits: {owner: {actions: 1, per: 1h}, namespace: {actions: 1, per: 1h}, cluster: {actions: 2, per: 1h}}",
    );
    let house = plan.start();
    let stop = house.plan.path().join("stop");
    std::fs::write(&stop, "").unwrap();
    for _ in 0..3 {
        let dry = kill(&house, "production", "web-0");
        assert_eq!((word(&dry), &dry["dry_run"]), ("done", &Value::Bool(true)));
    }
    std::fs::remove_file(&stop).unwrap();
    for _ in 0..3 {
        assert_eq!(word(&kill(&house, "production", "no-such-pod")), "pod_absent");
    }
    assert_eq!(word(&kill(&house, "production", "web-0")), "done");
    assert_eq!(word(&kill(&house, "production", "web-1")), "owner_budget");
    // A namespace's isolation counts for the namespace.
    assert_eq!(word(&house.record_of(&alerts::about(POOL, "production", "web-1"))), "namespace_budget");
    assert_eq!(word(&kill(&house, "staging", "web-0")), "done");
    let changes = house.changes();
    assert_eq!(changes.len(), 2, "{changes:?}");
}
