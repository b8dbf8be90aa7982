//! kill_pod on pods of every kind of owner.

use integration_tests::alerts::{self, MINER};
use integration_tests::cluster::Cluster;
use serde_json::{Value, json};

use crate::house::House;
use crate::lane::{self, bare_pod, cluster, house, name, pod_of, pods, template, workload, workloads};

/// What came of an alert about this pod.
fn record(house: &House, namespace: &str, pod: &str) -> Value {
    house.record_of(&alerts::about(MINER, namespace, pod))
}

fn assert_refused(record: &Value, check: &str) {
    assert_eq!((record["decision"].as_str(), record["check"].as_str()), (Some("refused"), Some(check)), "{record}");
}

fn assert_killed(house: &House, entry: &Value, owner: Option<&str>) {
    assert_eq!((entry["outcome"].as_str(), entry["changed"].as_bool()), (Some("done"), Some(true)), "{entry}");
    assert_eq!(entry["owner"].as_str(), owner, "{entry}");
    assert_eq!(house.wait_for_followup(entry)["followup"], "gone");
}

fn is_there(cluster: &Cluster, pod: &Value) -> bool {
    let namespace = pod["metadata"]["namespace"].as_str().unwrap();
    let found = cluster.get(&format!("{}/{}", pods(namespace), name(pod)));
    found.is_ok_and(|found| found["metadata"]["uid"] == pod["metadata"]["uid"])
}

#[test]
fn kills_the_pod_of_a_deployment_which_replaces_it() {
    let Some(cluster) = cluster() else { return };
    let house = house(cluster, "deployment");
    cluster.create(&workloads("deployment", "deployments"), &workload("checkout", &json!({"replicas": 1}))).unwrap();
    let pod = pod_of(cluster, "deployment", "checkout");
    let entry = record(&house, "deployment", name(&pod));
    assert_killed(&house, &entry, Some("Deployment/checkout"));
    assert_eq!(entry["pod_uid"], pod["metadata"]["uid"]);
    assert!(!is_there(cluster, &pod));
    assert_ne!(pod_of(cluster, "deployment", "checkout")["metadata"]["uid"], pod["metadata"]["uid"]);
    // The alert came too late for it.
    assert_refused(&record(&house, "deployment", name(&pod)), "pod_absent");
}

#[test]
fn leaves_the_pods_of_protected_owners() {
    let Some(cluster) = cluster() else { return };
    let house = house(cluster, "protected");
    let stateful = json!({"serviceName": "database", "replicas": 1});
    cluster.create(&workloads("protected", "statefulsets"), &workload("database", &stateful)).unwrap();
    cluster.create(&workloads("protected", "daemonsets"), &workload("agent", &json!({}))).unwrap();
    for (app, check) in [("database", "protected_owner"), ("agent", "daemonset")] {
        let pod = pod_of(cluster, "protected", app);
        assert_refused(&record(&house, "protected", name(&pod)), check);
        assert!(is_there(cluster, &pod), "{app}");
    }
}

#[test]
fn kills_the_pod_of_a_cron_jobs_job() {
    let Some(cluster) = cluster() else { return };
    let house = house(cluster, "cron");
    let mut template = template("report");
    template["spec"]["restartPolicy"] = json!("Never");
    let job = json!({"template": template});
    let cron = json!({
        "metadata": {"name": "report"},
        "spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": job}},
    });
    let batch = |plural: &str| format!("/apis/batch/v1/namespaces/cron/{plural}");
    let cron = cluster.create(&batch("cronjobs"), &cron).unwrap();
    // As `kubectl create job --from=cronjob/report` does.
    let owner = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "name": "report", "uid": cron["metadata"]["uid"], "controller": true,
    });
    cluster
        .create(&batch("jobs"), &json!({"metadata": {"name": "report-1", "ownerReferences": [owner]}, "spec": job}))
        .unwrap();
    let pod = pod_of(cluster, "cron", "report");
    assert!(pod["metadata"]["finalizers"].is_array(), "the job controller holds its pods: {pod}");
    let entry = record(&house, "cron", name(&pod));
    assert_killed(&house, &entry, Some("CronJob/report"));
}

#[test]
fn kills_a_bare_pod_by_its_uid_and_container_id() {
    let Some(cluster) = cluster() else { return };
    let house = house(cluster, "bare");
    let pod = bare_pod(cluster, "bare", "debug", &json!({}));
    let mut wrong = alerts::about(MINER, "bare", "debug");
    wrong["output_fields"]["container.id"] = json!("ee97d9c4186f");
    assert_refused(&house.record_of(&wrong), "not_the_alerts_pod");
    let id = pod["status"]["containerStatuses"][0]["containerID"].as_str().unwrap();
    let mut right = alerts::about(MINER, "bare", "debug");
    right["output_fields"]["container.id"] = json!(id.strip_prefix("containerd://").unwrap()[..12]);
    let entry = house.record_of(&right);
    assert_eq!(entry["identity_proof"], "container_id", "{entry}");
    assert_killed(&house, &entry, None);
}

#[test]
fn leaves_a_mirror_pod_to_its_kubelet() {
    let Some(cluster) = cluster() else { return };
    let house = house(cluster, "mirror");
    let mut pod = template("static-node-1");
    pod["metadata"]["name"] = json!("static-node-1");
    pod["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "0123456789abcdef"});
    pod["spec"]["nodeName"] = json!("node-1");
    cluster.create(&pods("mirror"), &pod).unwrap();
    let pod = pod_of(cluster, "mirror", "static-node-1");
    assert_refused(&record(&house, "mirror", "static-node-1"), "mirror_pod");
    assert!(is_there(cluster, &pod));
}

#[test]
fn says_of_a_pod_that_a_finalizer_holds_that_it_is_not_confirmed() {
    let Some(cluster) = cluster() else { return };
    let house = house(cluster, "held");
    bare_pod(cluster, "held", "debug", &json!({"finalizers": ["example.com/hold"]}));
    let entry = record(&house, "held", "debug");
    assert_eq!(entry["outcome"], "done", "{entry}");
    assert_refused(&record(&house, "held", "debug"), "already_deleting");
    assert_eq!(house.wait_for_followup(&entry)["followup"], "not_confirmed");
    cluster.merge(&format!("{}/debug", pods("held")), &json!({"metadata": {"finalizers": null}})).unwrap();
}

#[test]
fn leaves_the_pod_that_took_the_name() {
    let Some(cluster) = cluster() else { return };
    let house = house(cluster, "reborn");
    let path = format!("{}/debug", pods("reborn"));
    let first = bare_pod(cluster, "reborn", "debug", &json!({}));
    cluster.delete(&path, &json!({"gracePeriodSeconds": 0})).unwrap();
    let second = bare_pod(cluster, "reborn", "debug", &json!({}));
    let mut of_first = alerts::about(MINER, "reborn", "debug");
    of_first["output_fields"]["k8s.pod.uid"] = first["metadata"]["uid"].clone();
    assert_refused(&house.record_of(&of_first), "not_the_alerts_pod");
    let mut early = alerts::about(MINER, "reborn", "debug");
    early["time"] = json!(alerts::seconds_ago(20));
    assert_refused(&house.record_of(&early), "not_the_alerts_pod");
    assert!(is_there(cluster, &second));
}

#[test]
fn a_dry_run_leaves_every_version_as_it_was() {
    let Some(cluster) = cluster() else { return };
    cluster.namespace("dry").unwrap();
    let house = lane::plan(cluster, &["dry"]).replace("dryrun: false", "dryrun: true").start();
    bare_pod(cluster, "dry", "debug", &json!({}));
    let paths = [pods("dry"), "/apis/networking.k8s.io/v1/namespaces/dry/networkpolicies".to_owned()];
    let before = lane::versions(cluster, &paths);
    for rule in [MINER, alerts::POOL] {
        let entry = house.record_of(&alerts::about(rule, "dry", "debug"));
        assert_eq!((entry["outcome"].as_str(), entry["dry_run"].as_bool()), (Some("done"), Some(true)), "{entry}");
    }
    assert_eq!(lane::versions(cluster, &paths), before);
}

#[test]
fn two_controllers_on_one_pod_do_one_kill_and_no_failure() {
    let Some(cluster) = cluster() else { return };
    let first = house(cluster, "twice");
    let second = lane::plan(cluster, &["twice"]).start();
    for round in 0..4 {
        let pod = format!("debug-{round}");
        bare_pod(cluster, "twice", &pod, &json!({}));
        let alert = alerts::about(MINER, "twice", &pod);
        std::thread::scope(|scope| {
            scope.spawn(|| first.post(&alert));
            scope.spawn(|| second.post(&alert));
        });
        let records = [first.wait_for_record(&alert), second.wait_for_record(&alert)];
        let killed = records.iter().filter(|record| record["outcome"] == "done").count();
        assert!(killed >= 1, "{records:?}");
        let harmless = |record: &&Value| {
            ["done", "already_gone"].contains(&record["outcome"].as_str().unwrap_or(""))
                || ["already_deleting", "pod_absent"].contains(&record["check"].as_str().unwrap_or(""))
        };
        assert!(records.iter().all(|record| harmless(&record)), "{records:?}");
    }
}
