//! A controller that holds exactly what `rbac` prints, and what the API server says to its token.

use std::process::Command;

use integration_tests::account::{Account, create_all};
use integration_tests::alerts::{self, MINER, POOL};
use integration_tests::cluster::Cluster;
use integration_tests::controller::binary;
use serde_json::{Value, json};

use crate::house::Plan;
use crate::lane::{bare_pod, cluster, name, plan, pod_of, pods, workload, workloads};

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
        ("DELETE", format!("{}/falco-emergency-isolation", policies("bound")), plain, dry.clone()),
    ] {
        assert_eq!(status(method, &path, kind, &body), 403, "{method} {path}");
    }
}
