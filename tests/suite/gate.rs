//! What is refused, through the whole chain; each row leaves a decision, a warning, and an untouched cluster.

use integration_tests::alerts::{self, DATABASE_SHELL, MINER, POOL};
use serde_json::{Value, json};

use crate::house::{House, Plan};

fn expect_refusal(house: &House, alert: &Value, check: &str) {
    let record = house.record_of(alert);
    assert_eq!((record["decision"].as_str(), record["check"].as_str()), (Some("refused"), Some(check)), "{record}");
    assert_eq!(record["level"], "WARN", "a refusal is a warning: {record}");
    assert!(record["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
}

#[test]
fn refuses_every_row_of_the_gate() {
    let house = House::new();
    let rows = [
        (DATABASE_SHELL, "production", "database-0", "protected_owner"),
        (MINER, "production", "node-agent-5xk2p", "daemonset"),
        (MINER, "kube-system", "coredns-6f6b679f8f-x2vjq", "kube_system"),
        (MINER, "monitoring", "prometheus-0", "namespace_denied"),
        (MINER, "default", "kubecon", "namespace_not_allowed"),
        (MINER, "production", "nobody", "pod_absent"),
        (MINER, "production", "reborn-0", "not_the_alerts_pod"),
        (MINER, "production", "x#", "invalid_name"),
        (MINER, "production", "../y", "invalid_name"),
        (MINER, "../kube-system", "coredns-6f6b679f8f-x2vjq", "invalid_name"),
        (MINER, "production", "", "no_target"),
        (MINER, "", "debug", "no_target"),
        (POOL, "kube-system", "coredns-6f6b679f8f-x2vjq", "kube_system"),
        (POOL, "default", "kubecon", "namespace_not_allowed"),
    ];
    for (rule, namespace, pod, check) in rows {
        expect_refusal(&house, &alerts::about(rule, namespace, pod), check);
    }
    assert_eq!(house.changes(), Vec::<String>::new());
    assert_eq!(house.journal("falco-response-decision").len(), rows.len());
    assert_eq!(house.journal("falco-automated-response").len(), 0);
}

#[test]
fn judges_freshness_both_ways() {
    let house = House::new();
    for (age, check) in [(301, "stale"), (86_400 * 365 * 3, "stale"), (-120, "from_the_future")] {
        let mut alert = alerts::about(MINER, "production", "debug");
        alert["time"] = json!(alerts::seconds_ago(age));
        expect_refusal(&house, &alert, check);
    }
    let mut alert = alerts::about(MINER, "production", "debug");
    alert["time"] = json!(alerts::seconds_ago(290));
    assert_eq!(house.record_of(&alert)["outcome"], "done");
}

#[test]
fn a_rules_own_namespaces_narrow_the_allowed() {
    let plan = Plan::new().replace("    action: kill_pod\n", "    action: kill_pod\n    namespaces: [staging]\n");
    let house = plan.start();
    expect_refusal(&house, &alerts::about(MINER, "production", "debug"), "namespace_not_in_rule");
    assert_eq!(house.record_of(&alerts::about(MINER, "staging", "web-5c6d8-2lkjh"))["outcome"], "done");
}

#[test]
fn strict_identity_wants_more_than_a_name() {
    let house = Plan::new().and("identity: strict").start();
    expect_refusal(&house, &alerts::about(MINER, "production", "debug"), "identity_unproven");
}

#[test]
fn kube_system_stays_out_of_reach_when_the_configuration_allows_it() {
    let plan = Plan::new()
        .replace("  - staging", "  - staging\n  - kube-system")
        .replace("  - kube-system\n  - falco\n", "  - falco\n");
    let house = plan.start();
    expect_refusal(&house, &alerts::about(MINER, "kube-system", "coredns-6f6b679f8f-x2vjq"), "kube_system");
}

#[test]
fn a_daemonsets_pod_stays_out_of_reach_when_nothing_is_protected() {
    let house =
        Plan::new().replace("protected_owners:\n  - DaemonSet\n  - StatefulSet\n", "protected_owners: []\n").start();
    expect_refusal(&house, &alerts::about(MINER, "production", "node-agent-5xk2p"), "daemonset");
    assert_eq!(house.record_of(&alerts::about(DATABASE_SHELL, "production", "database-0"))["outcome"], "done");
}

#[test]
fn any_owner_in_the_chain_counts_and_unknown_ones_are_a_no() {
    let house = Plan::new().manifests(ODD_OWNERS).start();
    for (pod, check) in [
        ("mirror", "mirror_pod"),
        ("of-an-operators-daemonset", "daemonset"),
        ("of-an-unknown-kind", "owner_unreadable"),
        ("of-a-missing-owner", "owner_unreadable"),
        ("of-a-replaced-owner", "owner_unreadable"),
        ("with-a-second-owner", "protected_owner"),
        ("terminating", "already_deleting"),
        ("pending", "identity_unproven"),
    ] {
        expect_refusal(&house, &alerts::about(MINER, "production", pod), check);
    }
    assert_eq!(house.changes(), Vec::<String>::new());
    let entry = house.record_of(&alerts::about(MINER, "production", "of-a-cronjob"));
    assert_eq!((entry["outcome"].as_str(), entry["owner"].as_str()), (Some("done"), Some("CronJob/nightly")));
}

#[test]
fn a_kind_that_is_declared_top_level_ends_the_walk() {
    let plan = Plan::new().manifests(ODD_OWNERS).and(
        "owner_kinds:\n  - {apiVersion: example.com/v1, kind: Installation, plural: installations, top_level: true}\n",
    );
    let house = plan.start();
    let entry = house.record_of(&alerts::about(MINER, "production", "of-an-unknown-kind"));
    assert_eq!(
        (entry["outcome"].as_str(), entry["owner"].as_str()),
        (Some("done"), Some("Installation/own")),
        "{entry}"
    );
    expect_refusal(&house, &alerts::about(MINER, "production", "of-an-operators-daemonset"), "daemonset");
}

const ODD_OWNERS: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: installations.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Installation, plural: installations}
  versions: [{name: v1, served: true, storage: true}]
---
apiVersion: example.com/v1
kind: Installation
metadata: {name: own, namespace: production}
---
apiVersion: v1
kind: Pod
metadata: {name: mirror, namespace: production, annotations: {kubernetes.io/config.mirror: abc}}
spec: {containers: [{name: a, image: b}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: agent
  namespace: production
  ownerReferences: [{apiVersion: example.com/v1, kind: Installation, name: own, controller: true}]
---
apiVersion: v1
kind: Pod
metadata:
  name: of-an-operators-daemonset
  namespace: production
  ownerReferences: [{apiVersion: apps/v1, kind: DaemonSet, name: agent, controller: true}]
spec: {containers: [{name: a, image: b}]}
---
apiVersion: v1
kind: Pod
metadata:
  name: of-an-unknown-kind
  namespace: production
  ownerReferences: [{apiVersion: example.com/v1, kind: Installation, name: own, controller: true}]
spec: {containers: [{name: a, image: b}]}
---
apiVersion: v1
kind: Pod
metadata:
  name: of-a-missing-owner
  namespace: production
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: nowhere, uid: 11111111-1111-4111-8111-111111111111, controller: true}]
spec: {containers: [{name: a, image: b}]}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: replaced, namespace: production, uid: 22222222-2222-4222-8222-222222222222}
---
apiVersion: v1
kind: Pod
metadata:
  name: of-a-replaced-owner
  namespace: production
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: replaced, uid: 33333333-3333-4333-8333-333333333333, controller: true}]
spec: {containers: [{name: a, image: b}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: database, namespace: production}
---
apiVersion: v1
kind: Pod
metadata:
  name: with-a-second-owner
  namespace: production
  ownerReferences:
    - {apiVersion: apps/v1, kind: ReplicaSet, name: replaced, uid: 22222222-2222-4222-8222-222222222222, controller: true}
    - {apiVersion: apps/v1, kind: StatefulSet, name: database}
spec: {containers: [{name: a, image: b}]}
---
apiVersion: v1
kind: Pod
metadata:
  name: terminating
  namespace: production
  finalizers: [example.com/hold]
  deletionTimestamp: "2026-01-01T00:00:00Z"
  deletionGracePeriodSeconds: 30
spec: {containers: [{name: a, image: b}]}
---
apiVersion: v1
kind: Pod
metadata: {name: pending, namespace: production}
spec: {containers: [{name: a, image: b}]}
status: {phase: Pending}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly, namespace: production}
---
apiVersion: batch/v1
kind: Job
metadata:
  name: nightly-1
  namespace: production
  ownerReferences: [{apiVersion: batch/v1, kind: CronJob, name: nightly, controller: true}]
---
apiVersion: v1
kind: Pod
metadata:
  name: of-a-cronjob
  namespace: production
  ownerReferences: [{apiVersion: batch/v1, kind: Job, name: nightly-1, controller: true}]
spec: {containers: [{name: a, image: b}]}
"#;
