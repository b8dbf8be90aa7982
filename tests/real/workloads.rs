//! The actions on what stands behind a pod, on the real API server: by an account that may do what `rbac` prints and
//! nothing else, behind the admission policies.

use std::time::{Duration, Instant};

use integration_tests::account::{Account, create_all};
use integration_tests::alerts::{self, MINER};
use integration_tests::cluster::Cluster;
use serde_json::{Value, json};

use crate::house::{House, Plan};
use crate::lane::{self, bare_pod, cluster, is_running, name, pod_of, pods, workload, workloads};
use crate::rbac::{self, printed};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces";

/// A namespace, and a controller in it whose miner's rule does this, behind both fences.
fn house(cluster: &Cluster, namespace: &str, action: &str, grants: &str) -> (House, Account) {
    cluster.namespace(namespace).unwrap();
    let rule = format!("    action: {action}\n");
    let mut plan: Plan = lane::plan(cluster, &[namespace]).replace("    action: kill_pod\n", &rule);
    if !grants.is_empty() {
        plan = plan.and(&format!("plugins:\n  grants:\n    {action}:\n{grants}"));
    }
    let home = format!("{namespace}-falco");
    let account = rbac::account(cluster, &plan, &home);
    let map = json!({"metadata": {"name": "response-controller-config"}, "data": {"config.yaml": "dryrun: false\n"}});
    cluster.create(&format!("/api/v1/namespaces/{home}/configmaps"), &map).unwrap();
    create_all(cluster, &printed(&plan, &home, &["--admission"])).unwrap();
    // It may delete pods by RBAC, and not without a UID by the policies.
    bare_pod(cluster, namespace, "probe", &json!({}));
    let path = format!("{}/probe?dryRun=All", pods(namespace));
    let deadline = Instant::now() + Duration::from_secs(30);
    while account.raw("DELETE", &path, "application/json", &Value::Null).unwrap().status != 422 {
        assert!(Instant::now() < deadline, "the policies are not in force");
        std::thread::sleep(Duration::from_millis(100));
    }
    (plan.cluster(&account.spec()).start(), account)
}

fn assert_done(entry: &Value) {
    assert_eq!((&entry["outcome"], &entry["changed"]), (&json!("done"), &json!(true)), "{entry}");
}

#[test]
fn a_pod_is_annotated() {
    let Some(cluster) = cluster() else { return };
    let (house, _) = house(cluster, "noted", "annotate_pod", "");
    bare_pod(cluster, "noted", "debug", &json!({}));
    assert_done(&house.record_of(&alerts::about(MINER, "noted", "debug")));
    let pod = cluster.get(&format!("{}/debug", pods("noted"))).unwrap();
    assert_eq!(pod["metadata"]["annotations"]["falco-response/rule"], MINER);
}

#[test]
fn a_deployment_is_scaled_to_nothing_and_says_what_it_had() {
    let Some(cluster) = cluster() else { return };
    let grants = "      - {apiGroups: [apps], resources: [deployments], verbs: [patch], scope: owners, fields: [spec.replicas]}\n";
    let (house, account) = house(cluster, "stopped", "scale_to_zero", grants);
    cluster.create(&workloads("stopped", "deployments"), &workload("web", &json!({"replicas": 2}))).unwrap();
    let pod = pod_of(cluster, "stopped", "web");
    let entry = house.record_of(&alerts::about(MINER, "stopped", name(&pod)));
    assert_done(&entry);
    assert_eq!(entry["note_replicas_before"], "2", "{entry}");
    let deployment = cluster.get(&format!("{}/web", workloads("stopped", "deployments"))).unwrap();
    assert_eq!(deployment["spec"]["replicas"], 0);
    assert_eq!(deployment["metadata"]["annotations"]["falco-response/replicas-before"], "2");
    let path = format!("{}?labelSelector=app%3Dweb", pods("stopped"));
    cluster.until(&path, |list| list["items"].as_array().is_some_and(Vec::is_empty)).unwrap();
    let delete = format!("{}/web?dryRun=All", workloads("stopped", "deployments"));
    assert_eq!(account.raw("DELETE", &delete, "application/json", &Value::Null).unwrap().status, 403);
}

#[test]
fn a_deployment_is_restarted() {
    let Some(cluster) = cluster() else { return };
    let grants = "      - {apiGroups: [apps], resources: [deployments], verbs: [patch], scope: owners, fields: [spec.template.metadata.annotations]}\n";
    let (house, _) = house(cluster, "restarted", "restart_workload", grants);
    cluster.create(&workloads("restarted", "deployments"), &workload("web", &json!({"replicas": 2}))).unwrap();
    let pod = pod_of(cluster, "restarted", "web");
    assert_done(&house.record_of(&alerts::about(MINER, "restarted", name(&pod))));
    let path = format!("{}?labelSelector=app%3Dweb", pods("restarted"));
    let fresh = |pod: &Value| {
        is_running(pod) && pod["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"].is_string()
    };
    let all_fresh = |list: &Value| {
        let pods = list["items"].as_array().unwrap();
        pods.len() == 2 && pods.iter().all(fresh)
    };
    cluster.until(&path, all_fresh).unwrap();
}

fn binding(name: &str, accounts: &[&str]) -> Value {
    let subject = |account: &&str| json!({"kind": "ServiceAccount", "name": account, "namespace": "revoked"});
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name, "labels": {"app": "web"}},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": accounts.iter().map(subject).collect::<Vec<_>>(),
    })
}

#[test]
fn a_service_account_loses_its_bindings_which_are_kept() {
    let Some(cluster) = cluster() else { return };
    let grants = "      - {apiGroups: [rbac.authorization.k8s.io], resources: [rolebindings], verbs: [list, delete], scope: namespace}\n";
    let (house, account) = house(cluster, "revoked", "revoke_service_account", grants);
    cluster.create("/api/v1/namespaces/revoked/serviceaccounts", &json!({"metadata": {"name": "web"}})).unwrap();
    let bindings = format!("{RBAC}/revoked/rolebindings");
    for (name, accounts) in [("own", &["web"][..]), ("shared", &["web", "api"]), ("other", &["api"])] {
        cluster.create(&bindings, &binding(name, accounts)).unwrap();
    }
    let mut pod = lane::template("web");
    pod["metadata"]["name"] = json!("web");
    pod["spec"]["serviceAccountName"] = json!("web");
    cluster.create(&pods("revoked"), &pod).unwrap();
    let pod = pod_of(cluster, "revoked", "web");
    let entry = house.record_of(&alerts::about(MINER, "revoked", name(&pod)));
    assert_done(&entry);
    assert_eq!(
        (&entry["note_deleted"], &entry["attachments"][0]["name"]),
        (&json!("own"), &json!("rolebindings.json"))
    );
    let names = |list: &Value| {
        let items = list["items"].as_array().unwrap().iter();
        items.map(|binding| name(binding).to_owned()).filter(|name| name != rbac::NAME).collect::<Vec<_>>()
    };
    assert_eq!(names(&cluster.get(&bindings).unwrap()), ["other", "shared"]);
    let post = account.raw("POST", &bindings, "application/json", &binding("back", &["web"])).unwrap();
    assert_eq!(post.status, 403, "what it takes away it cannot give: {}", post.body);
}
