//! What a program does that only deletes the pod: the same calls, one after the other, with the same client (kube, over hyper
//! and rustls, set up as the controller sets its up).

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, Preconditions};
use kube::config::{KubeConfigOptions, Kubeconfig};

pub async fn client(kubeconfig: &Path) -> Result<kube::Client, String> {
    let read = Kubeconfig::read_from(kubeconfig).map_err(|error| format!("cannot read the kubeconfig: {error}"))?;
    let config = kube::Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await;
    let mut config = config.map_err(|error| format!("cannot use the kubeconfig: {error}"))?;
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(3));
    kube::Client::try_from(config).map_err(|error| format!("cannot set up a client: {error}"))
}

/// Pod, ReplicaSet, Deployment, DELETE.
pub async fn kill(client: kube::Client, namespace: &str, name: &str) -> Result<(), String> {
    let failed = |error: kube::Error| format!("a bare call on {name} failed: {error}");
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let pod = pods.get(name).await.map_err(failed)?;
    let owner = pod.metadata.owner_references.iter().flatten().next().ok_or("the pod has no owner")?;
    let sets: Api<ReplicaSet> = Api::namespaced(client.clone(), namespace);
    let set = sets.get(&owner.name).await.map_err(failed)?;
    let owner = set.metadata.owner_references.iter().flatten().next().ok_or("the ReplicaSet has no owner")?;
    let deployments: Api<Deployment> = Api::namespaced(client, namespace);
    deployments.get(&owner.name).await.map_err(failed)?;
    let parameters = DeleteParams {
        grace_period_seconds: Some(1),
        preconditions: Some(Preconditions { uid: pod.metadata.uid, resource_version: None }),
        ..DeleteParams::default()
    };
    pods.delete(name, &parameters).await.map_err(failed)?;
    Ok(())
}
