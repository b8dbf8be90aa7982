//! The actions on nodes, on the real API server: by an account that may do what `rbac` prints and nothing else, behind the
//! admission policies. Each test has a node of its own, on which nothing is scheduled.

use std::time::{Duration, Instant};

use integration_tests::account::{Account, create_all};
use integration_tests::alerts;
use integration_tests::cluster::Cluster;
use serde_json::{Value, json};

use crate::house::Plan;
use crate::lane::{cluster, is_running, name, pods, template, workload, workloads};
use crate::rbac::{self, MERGE, printed};

const GRANTS: &str = "plugins:
  grants:
    cordon_node:
      - {apiGroups: [''], resources: [nodes], verbs: [patch], scope: target, fields: [spec.unschedulable]}
    drain_node:
      - {apiGroups: [''], resources: [pods], verbs: [list], scope: node}
      - {apiGroups: [''], resources: [pods/eviction], verbs: [create], scope: node}
";

/// Rules `cordon`, `uncordon` and `drain`, in one namespace.
fn plan(cluster: &Cluster, namespace: &str, more: &str) -> Plan {
    let rules = format!(
        "dryrun: false\nallowed_namespaces: [{namespace}]\nrules:\n\
         - {{name: cordon, action: cordon_node, audit_reason: none}}\n\
         - {{name: uncordon, action: cordon_node, parameters: {{uncordon: true}}, audit_reason: none}}\n\
         - {{name: drain, action: drain_node, parameters: {{namespaces: [{namespace}]}}, audit_reason: none}}\n{GRANTS}{more}"
    );
    Plan::new().cluster(&format!("kubeconfig:{}", cluster.kubeconfig().display())).config(&rules)
}

fn node(cluster: &Cluster, node: &str) -> String {
    let taints = json!([{"key": "example.com/test", "effect": "NoSchedule"}]);
    let object = json!({
        "metadata": {"name": node, "labels": {"kubelet": "kwok", "disk": "ssd"}, "annotations": {"note": "x"}},
        "spec": {"taints": taints},
    });
    cluster.create("/api/v1/nodes", &object).unwrap();
    format!("/api/v1/nodes/{node}")
}

/// A Deployment whose pods go to this node, past the scheduler; answers when all of them run.
fn deployment(cluster: &Cluster, namespace: &str, app: &str, replicas: usize, node: &str) -> Vec<Value> {
    let mut object = workload(app, &json!({"replicas": replicas, "template": template(app)}));
    object["spec"]["template"]["spec"]["nodeName"] = json!(node);
    cluster.create(&workloads(namespace, "deployments"), &object).unwrap();
    let path = format!("{}?labelSelector=app%3D{app}", pods(namespace));
    let running = |list: &Value| list["items"].as_array().unwrap().iter().filter(|pod| is_running(pod)).count();
    let list = cluster.until(&path, |list| running(list) == replicas).unwrap();
    // Only in the next second is a pod provably older than an alert.
    std::thread::sleep(Duration::from_millis(1100));
    list["items"].as_array().unwrap().clone()
}

/// Both fences in force around an account of its own.
fn fenced(cluster: &Cluster, plan: &Plan, namespace: &str, node: &str) -> Account {
    let home = format!("{namespace}-falco");
    let account = rbac::account(cluster, plan, &home);
    let map = json!({"metadata": {"name": "response-controller-config"}, "data": {"config.yaml": "dryrun: false\n"}});
    cluster.create(&format!("/api/v1/namespaces/{home}/configmaps"), &map).unwrap();
    create_all(cluster, &printed(plan, &home, &["--admission"])).unwrap();
    let taint = json!({"spec": {"taints": [{"key": "out", "effect": "NoExecute"}]}});
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = account.raw("PATCH", &format!("{node}?dryRun=All"), MERGE, &taint).unwrap();
        if answer.status == 422 && answer.body.contains("only spec.unschedulable") {
            return account;
        }
        assert!(Instant::now() < deadline, "the policies are not in force: {} {}", answer.status, answer.body);
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_node_is_cordoned_and_uncordoned_and_nothing_else_of_it_is_changed() {
    let Some(cluster) = cluster() else { return };
    cluster.namespace("cordoned").unwrap();
    let path = node(cluster, "cordoned");
    let pod = deployment(cluster, "cordoned", "web", 1, "cordoned").remove(0);
    let plan = plan(cluster, "cordoned", "");
    let account = fenced(cluster, &plan, "cordoned", &path);
    let house = plan.cluster(&account.spec()).start();
    let entry = house.record_of(&alerts::about("cordon", "cordoned", name(&pod)));
    assert_eq!((&entry["outcome"], &entry["changed"]), (&json!("done"), &json!(true)), "{entry}");
    assert_eq!((&entry["owner"], &entry["pod_uid"]), (&json!("Deployment/web"), &pod["metadata"]["uid"]), "{entry}");
    let cordoned = cluster.get(&path).unwrap();
    assert_eq!(cordoned["spec"]["unschedulable"], true);
    let mark = cordoned["metadata"]["annotations"]["falco-response/cordoned"].as_str().unwrap();
    assert!(mark.contains(entry["event_id"].as_str().unwrap()), "{mark}");
    assert!(is_running(&cluster.get(&format!("{}/{}", pods("cordoned"), name(&pod))).unwrap()), "it goes on");
    let entry = house.record_of(&alerts::about("uncordon", "cordoned", name(&pod)));
    assert_eq!(entry["outcome"], "done", "{entry}");
    let node = cluster.get(&path).unwrap();
    assert!(node["spec"]["unschedulable"].is_null() || node["spec"]["unschedulable"] == false, "{node}");
    assert!(node["metadata"]["annotations"]["falco-response/cordoned"].is_null(), "{node}");
    // An alert whose pod is gone is about no node.
    let record = house.record_of(&alerts::about("cordon", "cordoned", "gone"));
    assert_eq!((&record["decision"], &record["check"]), (&json!("refused"), &json!("pod_absent")), "{record}");
    let status = |method: &str, path: &str, kind: &str, body: &Value| {
        account.raw(method, path, kind, body).map(|answer| (answer.status, answer.body)).unwrap()
    };
    let dry = format!("{path}?dryRun=All");
    for document in [
        json!({"metadata": {"labels": {"disk": "hdd"}}}),
        json!({"metadata": {"labels": {"disk": null}}}),
        json!({"metadata": {"labels": {"new": "x"}}}),
        json!({"metadata": {"annotations": {"note": null}}}),
        json!({"metadata": {"annotations": {"example.com/drain": "now"}}}),
        json!({"spec": {"taints": null}}),
        json!({"spec": {"providerID": "x"}}),
        json!({"spec": {"unschedulable": true, "taints": [{"key": "out", "effect": "NoExecute"}]}}),
    ] {
        let (code, body) = status("PATCH", &dry, MERGE, &document);
        assert!(code == 422 && body.contains("only spec.unschedulable"), "{document}: {code} {body}");
    }
    for document in [
        json!({"spec": {"unschedulable": true}}),
        json!({"metadata": {"labels": {"falco-response/suspect": "yes"}, "annotations": {"falco-response/x": "y"}}}),
    ] {
        let (code, body) = status("PATCH", &dry, MERGE, &document);
        assert_eq!(code, 200, "{document}: {body}");
    }
    for (method, path) in [
        ("DELETE", path.clone()),
        ("PATCH", format!("{path}/status")),
        ("GET", "/api/v1/nodes".to_owned()),
        ("GET", "/api/v1/secrets".to_owned()),
        ("DELETE", format!("{}/{}", pods("cordoned"), name(&pod))),
        ("PATCH", "/api/v1/namespaces/cordoned".to_owned()),
    ] {
        let kind = if method == "PATCH" { MERGE } else { "application/json" };
        let (code, body) = status(method, &path, kind, &json!({}));
        assert_eq!(code, 403, "{method} {path}: {body}");
    }
}

#[test]
fn a_node_is_drained_as_far_as_disruption_budgets_and_limits_allow() {
    let Some(cluster) = cluster() else { return };
    for namespace in ["drained", "drained-other"] {
        cluster.namespace(namespace).unwrap();
    }
    let path = node(cluster, "drained");
    let free = deployment(cluster, "drained", "free", 2, "drained");
    let held = deployment(cluster, "drained", "held", 1, "drained");
    let other = deployment(cluster, "drained-other", "other", 1, "drained");
    let budgets = "/apis/policy/v1/namespaces/drained/poddisruptionbudgets";
    let budget = json!({
        "metadata": {"name": "held"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "held"}}},
    });
    cluster.create(budgets, &budget).unwrap();
    cluster.until(&format!("{budgets}/held"), |budget| budget["status"]["currentHealthy"] == 1).unwrap();
    let plan = plan(cluster, "drained", "");
    let account = fenced(cluster, &plan, "drained", &path);
    let house = plan.cluster(&account.spec()).start();
    let entry = house.record_of(&alerts::about("drain", "drained", name(&free[0])));
    // What was blocked was not done, whatever else was.
    assert_eq!(
        (&entry["outcome"], &entry["failure"], &entry["changed"]),
        (&json!("failed"), &json!("api"), &json!(true)),
        "{entry}"
    );
    assert!(entry["detail"].as_str().unwrap().contains("disruption budget"), "{entry}");
    assert_eq!(entry["note_blocked"], format!("drained/{}", name(&held[0])), "{entry}");
    assert_eq!(entry["note_left"], format!("drained-other/{}", name(&other[0])), "{entry}");
    let of = |pod: &Value, namespace: &str| cluster.get(&format!("{}/{}", pods(namespace), name(pod)));
    let gone = |pod: &Value| {
        let uid = &pod["metadata"]["uid"];
        of(pod, "drained").map_or(true, |now| now["metadata"]["uid"] != *uid || !is_running(&now))
    };
    assert!(free.iter().all(gone), "each was evicted: {entry}");
    assert!(is_running(&of(&held[0], "drained").unwrap()) && is_running(&of(&other[0], "drained-other").unwrap()));
    let intents = house.journal("falco-response-intent");
    let counted: Vec<_> = intents.iter().filter(|intent| intent["counts"] == true).collect();
    assert_eq!((intents.len(), counted.len()), (3, 3), "each draws a share: {intents:?}");
    let owners: std::collections::BTreeSet<_> =
        counted.iter().map(|intent| intent["owner"].as_str().unwrap()).collect();
    assert_eq!(owners, ["Deployment/free", "Deployment/held"].into());
    let eviction = |namespace: &str, pod: &Value| {
        let body = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name(pod)}});
        let path = format!("{}/{}/eviction?dryRun=All", pods(namespace), name(pod));
        account.raw("POST", &path, "application/json", &body).unwrap().status
    };
    assert_eq!(eviction("drained-other", &other[0]), 403, "only in the allowed namespaces");
    let status = |path: &str| account.raw("GET", path, "application/json", &Value::Null).unwrap().status;
    assert_eq!(status("/api/v1/pods"), 200);
    assert_eq!(status(&format!("{}/{}", pods("drained-other"), name(&other[0]))), 403);
}

#[test]
fn a_drain_ends_where_the_limits_do() {
    let Some(cluster) = cluster() else { return };
    cluster.namespace("limited").unwrap();
    node(cluster, "limited");
    let web = deployment(cluster, "limited", "web", 4, "limited");
    let plan = plan(cluster, "limited", "limits: {owner: {actions: 2, per: 5m}}\n");
    let account = rbac::account(cluster, &plan, "limited-falco");
    let house = plan.cluster(&account.spec()).start();
    let entry = house.record_of(&alerts::about("drain", "limited", name(&web[0])));
    assert_eq!((&entry["outcome"], &entry["failure"]), (&json!("failed"), &json!("denied")), "{entry}");
    assert!(entry["detail"].as_str().unwrap().contains("refused (owner_budget)"), "{entry}");
    assert_eq!(entry["note_evicted"].as_str().unwrap().split(", ").count(), 2, "{entry}");
    assert_eq!(entry["note_refused"].as_str().unwrap().split(", ").count(), 2, "{entry}");
}
