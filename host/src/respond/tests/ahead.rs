//! What is begun before an alert is on disk, and guessed before its pod is read: nothing comes of it by itself.

use super::*;

const WORKLOADS: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, namespace: production}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata:
  name: shop-7d9f4b
  namespace: production
  ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: shop, controller: true}]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, namespace: production}
---
apiVersion: v1
kind: Pod
metadata:
  name: shop-7d9f4b-first
  namespace: production
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: shop-7d9f4b, controller: true}]
spec: {containers: [{name: c, image: d}]}
---
apiVersion: v1
kind: Pod
metadata:
  name: shop-7d9f4b-second
  namespace: production
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: shop-7d9f4b, controller: true}]
spec: {containers: [{name: c, image: d}]}
---
apiVersion: v1
kind: Pod
metadata:
  name: shop-7d9f4b-third
  namespace: production
  ownerReferences: [{apiVersion: apps/v1, kind: DaemonSet, name: agent, controller: true}]
spec: {containers: [{name: c, image: d}]}
"#;

/// A replica as `serve` sets it up.
async fn eager(simulation: &Simulation) -> Replica {
    let directory = tempfile::tempdir().expect("a directory");
    let (reader, writer) = connect_simulated(simulation.clone());
    let rules = rules(&plugins(), CONFIG).await;
    replica_on(directory, (reader.eager(), writer), rules, Ambient::system())
}

fn workloads() -> Simulation {
    Simulation::from_yaml(WORKLOADS, &Ambient::system()).expect("valid")
}

fn reads_of(simulation: &Simulation, end: &str) -> usize {
    simulation.requests().iter().filter(|seen| seen.method == Method::GET && seen.path_and_query.ends_with(end)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_comes_of_what_was_read_for_an_alert_that_is_not_taken() {
    let simulation = simulation();
    let replica = eager(&simulation).await;
    replica.journal.close().await;
    replica.responder.offer(alert("kill", "a"), jiff::Timestamp::now()).await.unwrap_err();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(reads_of(&simulation, "/pods/a"), 1, "it was begun");
    assert!(simulation.requests().iter().all(|seen| seen.method == Method::GET));
    assert!(simulation.object("/api/v1/namespaces/production/pods/a").is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_that_is_taken_reads_its_pod_once() {
    let simulation = simulation();
    let replica = eager(&simulation).await;
    replica.offer(alert("kill", "a")).await;
    assert_eq!(replica.words(1).await, ["kill done"]);
    let until = simulation.requests().iter().position(|seen| seen.method == Method::DELETE).expect("it is deleted");
    assert_eq!(until, 1, "one read, then the delete");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_what_may_not_be_acted_on_nothing_is_read_ahead() {
    let simulation = simulation();
    let replica = eager(&simulation).await;
    let body = json!({"output": "o", "priority": "Critical", "rule": "kill", "source": "syscall",
        "time": jiff::Timestamp::now().to_string(),
        "output_fields": {"k8s.ns.name": "kube-system", "k8s.pod.name": "a"}});
    replica.offer(Alert::parse(body.to_string().as_bytes()).expect("an alert")).await;
    assert_eq!(replica.words(1).await.len(), 1);
    assert_eq!(simulation.requests(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_whose_owners_were_guessed_wrongly_is_judged_by_those_it_has() {
    let simulation = workloads();
    let replica = eager(&simulation).await;
    // The test's action deletes another pod, which is denied: what counts here is how far it comes.
    replica.offer(alert("once", "shop-7d9f4b-first")).await;
    assert_eq!(replica.words(1).await, ["once failed/denied"]);
    tokio::time::sleep(Duration::from_millis(550)).await;
    replica.offer(alert("once", "shop-7d9f4b-third")).await;
    assert_eq!(replica.words(2).await[1], "once refused daemonset");
    assert_eq!(reads_of(&simulation, "/replicasets/shop-7d9f4b"), 2, "the second was a guess");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guess_that_is_not_answered_counts_for_nothing() {
    let simulation = workloads();
    let replica = eager(&simulation).await;
    replica.offer(alert("once", "shop-7d9f4b-first")).await;
    assert_eq!(replica.words(1).await, ["once failed/denied"]);
    tokio::time::sleep(Duration::from_millis(550)).await;
    // The guess meets the fault; whoever asks for the owner itself is answered.
    let (kind, path_prefix) =
        (FaultKind::Refuse(StatusCode::FORBIDDEN), "/apis/apps/v1/namespaces/production/deployments");
    simulation.inject(Fault { method: Method::GET, path_prefix: path_prefix.to_owned(), times: 1, kind });
    replica.offer(alert("once", "shop-7d9f4b-second")).await;
    assert_eq!(replica.words(2).await[1], "once failed/denied");
}
