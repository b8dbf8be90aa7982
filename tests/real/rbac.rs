//! A controller that holds exactly what `rbac` prints, and what the API server says to its token.

use std::process::Command;

use integration_tests::account::{Account, create_all};
use integration_tests::alerts::{self, MINER, POOL};
use integration_tests::cluster::Cluster;
use integration_tests::controller::binary;
use serde_json::{Value, json};

use crate::house::Plan;
use crate::lane::{bare_pod, cluster, name, plan, pod_of, pods, workload, workloads};
use crate::webhooks::{self, CHANGES};

pub const NAME: &str = "falco-response-controller";

/// What `rbac` prints for this plan, for an account in `namespace`.
pub fn printed(plan: &Plan, namespace: &str, more: &[&str]) -> String {
    let setup = plan.setup();
    let mut command = Command::new(binary().unwrap());
    command.arg("rbac").arg("--config").arg(setup.config).arg("--plugins").arg(setup.plugins);
    let output = command.args(["--namespace", namespace]).args(more).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// An account that may do what `rbac` prints for this plan, in a namespace of its own.
pub fn account(cluster: &Cluster, plan: &Plan, namespace: &str) -> Account {
    cluster.namespace(namespace).unwrap();
    create_all(cluster, &printed(plan, namespace, &[])).unwrap();
    Account::of(cluster, namespace, NAME).unwrap()
}

/// A merge patch.
pub const MERGE: &str = "application/merge-patch+json";

#[test]
fn what_rbac_prints_is_enough_to_kill_and_to_isolate() {
    let Some(cluster) = cluster() else { return };
    cluster.namespace("least").unwrap();
    let plan = plan(cluster, &["least"]);
    let account = account(cluster, &plan, "least-falco");
    let house = plan.cluster(&account.spec()).start();
    cluster.create(&workloads("least", "deployments"), &workload("checkout", &json!({"replicas": 1}))).unwrap();
    let pod = pod_of(cluster, "least", "checkout");
    let entry = house.record_of(&alerts::about(MINER, "least", name(&pod)));
    assert_eq!(
        (entry["outcome"].as_str(), entry["owner"].as_str()),
        (Some("done"), Some("Deployment/checkout")),
        "{entry}"
    );
    assert_eq!(house.wait_for_followup(&entry)["followup"], "gone");
    let entry = house.record_of(&alerts::about(POOL, "least", "miner"));
    assert_eq!((entry["outcome"].as_str(), entry["isolation"].as_str()), (Some("done"), Some("full")), "{entry}");
    let again = house.record_of(&alerts::about(POOL, "least", "miner-2"));
    assert_eq!(again["outcome"], "skipped", "{again}");
}

#[test]
fn what_rbac_prints_is_enough_for_every_function_that_changes_something() {
    let Some(cluster) = cluster() else { return };
    cluster.namespace("each").unwrap();
    let plan = webhooks::plan(cluster, "each");
    let account = account(cluster, &plan, "each-falco");
    let house = plan.cluster(&account.spec()).start();
    for (function, behaviour, _) in CHANGES {
        let pod = behaviour.replace('_', "-");
        bare_pod(cluster, "each", &pod, &json!({}));
        let entry = house.record_of(&alerts::about(behaviour, "each", &pod));
        if *function == "create" {
            // RBAC sees no name of what is yet to be made, so names allow a create by apply alone.
            assert_eq!((&entry["outcome"], &entry["failure"]), (&json!("failed"), &json!("denied")), "{entry}");
            assert!(entry["detail"].as_str().unwrap().contains("cannot create resource"), "{entry}");
        } else {
            assert_eq!((&entry["outcome"], &entry["changed"]), (&json!("done"), &json!(true)), "{behaviour}: {entry}");
        }
    }
}

#[test]
fn what_a_grant_opens_cluster_wide_is_all_that_is_cluster_wide() {
    let Some(cluster) = cluster() else { return };
    for namespace in ["wide", "wide-other"] {
        cluster.namespace(namespace).unwrap();
        bare_pod(cluster, namespace, "debug", &json!({}));
    }
    let grants =
        "plugins: {grants: {hostile: [{apiGroups: [\"\"], resources: [pods], verbs: [list], scope: cluster}]}}";
    let rule = "    action: hostile\n    parameters: {behaviour: list_all}\n";
    let plan = plan(cluster, &["wide"]).hostile().replace("    action: kill_pod\n", rule).and(grants);
    let account = account(cluster, &plan, "wide-falco");
    let status = |method: &str, path: &str| account.raw(method, path, "application/json", &Value::Null).unwrap().status;
    assert_eq!(status("GET", "/api/v1/pods"), 200);
    for (method, path) in [
        ("GET", "/api/v1/nodes".to_owned()),
        ("GET", "/api/v1/secrets".to_owned()),
        ("GET", format!("{}/debug", pods("wide-other"))),
        ("DELETE", format!("{}/debug", pods("wide-other"))),
    ] {
        assert_eq!(status(method, &path), 403, "{method} {path}");
    }
    let house = plan.cluster(&account.spec()).start();
    let entry = house.record_of(&alerts::about(MINER, "wide", "debug"));
    assert_eq!((&entry["outcome"], &entry["failure"]), (&json!("skipped"), &Value::Null), "{entry}");
}

#[test]
fn the_api_server_refuses_the_token_everything_else() {
    let Some(cluster) = cluster() else { return };
    for namespace in ["bound", "unbound"] {
        cluster.namespace(namespace).unwrap();
        bare_pod(cluster, namespace, "debug", &json!({}));
    }
    let account = account(cluster, &plan(cluster, &["bound", "kube-system"]), "bound-falco");
    let status = |method: &str, path: &str, kind: &str, body: &Value| {
        account.raw(method, path, kind, body).map(|answer| answer.status).unwrap()
    };
    let plain = "application/json";
    let dry = json!({"dryRun": ["All"]});
    let policies = |namespace: &str| format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies");
    let policy = |name: &str| json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name}, "spec": {"podSelector": {}}});
    let apply = "application/apply-patch+yaml";
    let options = "?fieldManager=x&dryRun=All";
    // What it holds, so that a no elsewhere is none to everything.
    assert_eq!(status("DELETE", &format!("{}/debug", pods("bound")), plain, &dry), 200);
    let ours = format!("{}/falco-emergency-isolation{options}", policies("bound"));
    assert_eq!(status("PATCH", &ours, apply, &policy("falco-emergency-isolation")), 201);
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}});
    assert_eq!(status("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", plain, &review), 201);
    let label = json!({"metadata": {"labels": {"x": "y"}}});
    for (method, path, kind, body) in [
        ("GET", "/api/v1/namespaces/kube-system/pods/x".to_owned(), plain, Value::Null),
        ("DELETE", "/api/v1/namespaces/kube-system/pods/x".to_owned(), plain, dry.clone()),
        (
            "PATCH",
            format!("{}/falco-emergency-isolation{options}", policies("kube-system")),
            apply,
            policy("falco-emergency-isolation"),
        ),
        ("GET", format!("{}/debug", pods("unbound")), plain, Value::Null),
        ("DELETE", format!("{}/debug", pods("unbound")), plain, dry.clone()),
        ("GET", pods("bound"), plain, Value::Null),
        ("GET", "/api/v1/pods".to_owned(), plain, Value::Null),
        ("DELETE", pods("bound"), plain, dry.clone()),
        ("PATCH", format!("{}/debug?dryRun=All", pods("bound")), MERGE, label.clone()),
        (
            "POST",
            format!("{}/debug/eviction", pods("bound")),
            plain,
            json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "debug"}, "deleteOptions": dry}),
        ),
        ("GET", format!("{}/debug/log", pods("bound")), plain, Value::Null),
        ("GET", "/api/v1/namespaces/bound/secrets".to_owned(), plain, Value::Null),
        ("GET", "/api/v1/nodes/node-1".to_owned(), plain, Value::Null),
        ("GET", "/api/v1/namespaces/bound".to_owned(), plain, Value::Null),
        ("DELETE", format!("{}/x", workloads("bound", "deployments")), plain, dry.clone()),
        ("GET", format!("{}/x", workloads("bound", "daemonsets")), plain, Value::Null),
        ("PATCH", format!("{}/falco-other{options}", policies("bound")), apply, policy("falco-other")),
        ("GET", format!("{}/falco-other", policies("bound")), plain, Value::Null),
        ("POST", format!("{}?dryRun=All", policies("bound")), plain, policy("falco-emergency-isolation")),
        ("DELETE", format!("{}/falco-other", policies("bound")), plain, dry.clone()),
    ] {
        assert_eq!(status(method, &path, kind, &body), 403, "{method} {path}");
    }
}

/// As docs/brake.md has it, for whoever wants it to stop in one namespace, now.
#[test]
fn without_its_role_binding_nothing_is_done_and_the_record_says_why() {
    let Some(cluster) = cluster() else { return };
    cluster.namespace("unbound-now").unwrap();
    let plan = plan(cluster, &["unbound-now"]);
    let account = account(cluster, &plan, "unbound-now-falco");
    let house = plan.cluster(&account.spec()).start();
    let pod = bare_pod(cluster, "unbound-now", "debug", &json!({}));
    let path = format!("{}/debug", pods("unbound-now"));
    cluster
        .delete(&format!("/apis/rbac.authorization.k8s.io/v1/namespaces/unbound-now/rolebindings/{NAME}"), &Value::Null)
        .unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while account.raw("GET", &path, "application/json", &Value::Null).unwrap().status != 403 {
        assert!(std::time::Instant::now() < deadline, "the API server still lets it");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let record = house.record_of(&alerts::about(MINER, "unbound-now", "debug"));
    assert_eq!((&record["decision"], &record["check"]), (&json!("refused"), &json!("pod_absent")), "{record}");
    let detail = record["detail"].as_str().unwrap();
    assert!(detail.contains("cannot be read") && detail.contains("forbidden"), "{record}");
    let entry = house.record_of(&alerts::about(POOL, "unbound-now", "miner"));
    assert_eq!((&entry["outcome"], &entry["failure"]), (&json!("failed"), &json!("denied")), "{entry}");
    let now = cluster.get(&path).unwrap();
    assert_eq!(now["metadata"]["resourceVersion"], pod["metadata"]["resourceVersion"]);
}
