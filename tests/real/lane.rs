//! The one control plane of this test binary, and what tests put into it.

use std::time::Duration;

use integration_tests::cluster::Cluster;
pub use integration_tests::cluster::shared as cluster;
use serde_json::{Value, json};

use crate::house::{House, Plan};

/// The runbook's configuration with these namespaces in the place of its own.
pub fn plan(cluster: &Cluster, namespaces: &[&str]) -> Plan {
    let allowed: String = namespaces.iter().map(|namespace| format!("  - {namespace}\n")).collect();
    Plan::new()
        .cluster(&format!("kubeconfig:{}", cluster.kubeconfig().display()))
        .replace("  - production\n  - staging\n", &allowed)
}

/// A namespace, and a controller that may act in it.
pub fn house(cluster: &Cluster, namespace: &str) -> House {
    cluster.namespace(namespace).unwrap();
    house_in(cluster, namespace)
}

/// A controller that may act in a namespace that is there.
pub fn house_in(cluster: &Cluster, namespace: &str) -> House {
    plan(cluster, &[namespace]).start()
}

pub fn pods(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods")
}

pub fn workloads(namespace: &str, plural: &str) -> String {
    format!("/apis/apps/v1/namespaces/{namespace}/{plural}")
}

pub fn template(app: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": app}},
        "spec": {"containers": [{"name": "app", "image": "registry.example/app:1"}]},
    })
}

/// A Deployment, DaemonSet or StatefulSet.
pub fn workload(name: &str, more: &Value) -> Value {
    let mut object = json!({
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template(name)},
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        object["spec"][key] = value.clone();
    }
    object
}

/// Creates a bare pod and waits until it runs.
pub fn bare_pod(cluster: &Cluster, namespace: &str, name: &str, metadata: &Value) -> Value {
    let mut pod = template(name);
    pod["metadata"]["name"] = json!(name);
    for (key, value) in metadata.as_object().into_iter().flatten() {
        pod["metadata"][key] = value.clone();
    }
    cluster.create(&pods(namespace), &pod).unwrap();
    let pod = cluster.until(&format!("{}/{name}", pods(namespace)), is_running).unwrap();
    grow_older();
    pod
}

/// Timestamps of the API server are whole seconds: only in the next one is a pod provably older than an alert.
fn grow_older() {
    std::thread::sleep(Duration::from_millis(1100));
}

/// Waits for a running pod of this app, and answers with it.
pub fn pod_of(cluster: &Cluster, namespace: &str, app: &str) -> Value {
    let path = format!("{}?labelSelector=app%3D{app}", pods(namespace));
    let running = |list: &Value| list["items"].as_array().is_some_and(|items| items.iter().any(is_running));
    let list = cluster.until(&path, running).unwrap();
    grow_older();
    list["items"].as_array().unwrap().iter().find(|pod| is_running(pod)).unwrap().clone()
}

pub fn is_running(pod: &Value) -> bool {
    pod["status"]["phase"] == "Running" && pod["metadata"]["deletionTimestamp"].is_null()
}

pub fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

/// A uid and version of every object of these kinds, to see that nothing changed.
pub fn versions(cluster: &Cluster, paths: &[String]) -> Vec<String> {
    let lists = paths.iter().map(|path| cluster.get(path).unwrap());
    let items = lists.flat_map(|list| list["items"].as_array().unwrap().clone());
    items
        .map(|item| format!("{} {} {}", name(&item), item["metadata"]["uid"], item["metadata"]["resourceVersion"]))
        .collect()
}

/// The same of every object of every kind that there is in a namespace; but of events, which tell what others do.
pub fn versions_of_all(cluster: &Cluster, namespace: &str) -> Vec<String> {
    let groups = cluster.get("/apis").unwrap();
    let version = |group: &Value| format!("/apis/{}", group["preferredVersion"]["groupVersion"].as_str().unwrap());
    let mut found = Vec::new();
    for api in groups["groups"].as_array().unwrap().iter().map(version).chain(["/api/v1".to_owned()]) {
        // Other tests' kinds come and go meanwhile.
        let Ok(kinds) = cluster.get(&api) else { continue };
        for kind in kinds["resources"].as_array().unwrap() {
            let listed = kind["verbs"].as_array().unwrap().contains(&json!("list"));
            if !listed || kind["namespaced"] != true || kind["name"] == "events" {
                continue;
            }
            let plural = kind["name"].as_str().unwrap();
            let Ok(list) = cluster.get(&format!("{api}/namespaces/{namespace}/{plural}")) else { continue };
            found.extend(list["items"].as_array().unwrap().iter().map(|item| {
                let metadata = &item["metadata"];
                format!("{plural} {} {} {}", name(item), metadata["uid"], metadata["resourceVersion"])
            }));
        }
    }
    found
}
