//! A real API server with workloads on it, quiet but for what is measured: once everything is in place the controller manager, the scheduler and
//! the kubelet are stopped, so that nobody replaces what is killed, and a pod without a node is gone at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use integration_tests::cluster::Cluster;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use super::bare;
use super::house::TOKEN;
use super::watch::Watch;

/// Deployments that the pods belong to, in turn.
const OWNERS: usize = 10;
const AT_ONCE: usize = 8;
/// A pod that was not seen to go by then is not going.
const GONE_WITHIN: Duration = Duration::from_secs(60);

/// What talks to the cluster stands before it, and so ends before it.
pub struct Stage {
    watch: Watch,
    pub client: kube::Client,
    pub runtime: Runtime,
    pub cluster: Cluster,
    pub namespace: &'static str,
    sets: Vec<Value>,
    made: usize,
}

/// A pod to kill.
#[derive(Debug, Clone)]
pub struct Victim {
    pub name: String,
    pub uid: String,
}

impl Stage {
    pub fn set(namespace: &'static str) -> Result<Self, String> {
        let cluster = Cluster::start()?;
        cluster.namespace(namespace)?;
        cluster.freeze()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("cannot start a runtime: {error}"))?;
        let client = runtime.block_on(bare::client(&cluster.kubeconfig()))?;
        let watch = runtime.block_on(Watch::start(client.clone(), namespace))?;
        let sets = (0..OWNERS).map(|number| owner(&cluster, namespace, number)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { cluster, runtime, client, namespace, watch, sets, made: 0 })
    }

    /// For `--cluster`.
    pub fn spec(&self) -> String {
        format!("kubeconfig:{}", self.cluster.kubeconfig().display())
    }

    /// Creates so many pods.
    pub fn pods(&mut self, count: usize) -> Result<Vec<Victim>, String> {
        let from = self.made;
        self.made += count;
        let manifests: Vec<Value> =
            (from..from + count).map(|number| pod(&self.sets[number % OWNERS], number)).collect();
        let path = format!("/api/v1/namespaces/{}/pods", self.namespace);
        let places = Arc::new(tokio::sync::Semaphore::new(AT_ONCE));
        self.runtime.block_on(async {
            let tasks: Vec<_> = manifests
                .into_iter()
                .map(|manifest| {
                    let (client, path, places) = (self.client.clone(), path.clone(), Arc::clone(&places));
                    tokio::spawn(async move {
                        let _place = places.acquire_owned().await.expect("nobody closes it");
                        create(&client, &path, &manifest).await
                    })
                })
                .collect();
            let mut made = Vec::with_capacity(count);
            for task in tasks {
                let pod = task.await.map_err(|error| format!("creating a pod failed: {error}"))??;
                made.push(Victim { name: text(&pod, "name"), uid: text(&pod, "uid") });
            }
            Ok(made)
        })
    }

    /// To be asked for before the pod is killed.
    pub fn deletion_of(&self, victim: &Victim) -> oneshot::Receiver<Instant> {
        self.watch.deletion_of(&victim.uid)
    }

    /// The request that has it killed, as its alert comes from Falcosidekick: with the pod's UID, as the rules of `deploy/` have it.
    pub fn request(&self, address: std::net::SocketAddr, victim: &Victim) -> Vec<u8> {
        let mut alert = integration_tests::alerts::about(super::house::RULE, self.namespace, &victim.name);
        alert["output_fields"]["k8s.pod.uid"] = json!(victim.uid);
        super::sender::request(address, TOKEN, &alert)
    }

    /// When the watch said so.
    pub fn wait(&self, deletion: oneshot::Receiver<Instant>) -> Result<Instant, String> {
        self.runtime.block_on(async {
            match tokio::time::timeout(GONE_WITHIN, deletion).await {
                Ok(Ok(at)) => Ok(at),
                Ok(Err(_)) => Err("the watch ended".to_owned()),
                Err(_) => Err("a pod was not deleted: see the controller's log".to_owned()),
            }
        })
    }
}

async fn create(client: &kube::Client, path: &str, manifest: &Value) -> Result<Value, String> {
    let request = http::Request::post(path)
        .header("content-type", "application/json")
        .body(manifest.to_string().into_bytes())
        .map_err(|error| format!("cannot ask for {path}: {error}"))?;
    client.request::<Value>(request).await.map_err(|error| format!("cannot create in {path}: {error}"))
}

/// A Deployment and its ReplicaSet, as the controller manager would have made it; answers with the ReplicaSet.
fn owner(cluster: &Cluster, namespace: &str, number: usize) -> Result<Value, String> {
    let (name, hash) = (format!("shop-{number}"), format!("7d9f4b{:04}", 1000 + number));
    let labels = json!({"app": name, "pod-template-hash": hash});
    let path = |plural: &str| format!("/apis/apps/v1/namespaces/{namespace}/{plural}");
    let template = |labels: &Value| json!({"metadata": {"labels": labels}, "spec": pod_spec()});
    let deployment = cluster.create(
        &path("deployments"),
        &json!({
            "metadata": {"name": name},
            "spec": {"replicas": 30, "selector": {"matchLabels": {"app": name}}, "template": template(&json!({"app": name}))},
        }),
    )?;
    cluster.create(
        &path("replicasets"),
        &json!({
            "metadata": {
                "name": format!("{name}-{hash}"), "labels": labels,
                "ownerReferences": [reference("Deployment", &deployment)],
            },
            "spec": {"replicas": 30, "selector": {"matchLabels": labels}, "template": template(&labels)},
        }),
    )
}

fn pod(set: &Value, number: usize) -> Value {
    let name = format!("{}-{:05}", text(set, "name"), number);
    let labels = &set["spec"]["template"]["metadata"]["labels"];
    json!({"metadata": {"name": name, "labels": labels, "ownerReferences": [reference("ReplicaSet", set)]}, "spec": pod_spec()})
}

fn reference(kind: &str, owner: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": kind, "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
        "controller": true, "blockOwnerDeletion": true,
    })
}

/// About as much as a small service's.
fn pod_spec() -> Value {
    let variables: Vec<Value> =
        (0..8).map(|number| json!({"name": format!("SETTING_{number}"), "value": "a value of some length"})).collect();
    json!({"containers": [{
        "name": "app", "image": "registry.example/shop:1.2.3", "ports": [{"containerPort": 8080}], "env": variables,
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8080}},
    }]})
}

fn text(object: &Value, key: &str) -> String {
    object["metadata"][key].as_str().unwrap_or_default().to_owned()
}
