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
fn without_protected_owners_a_stateful_sets_pod_is_killed_and_a_daemon_sets_is_not() {
    let Some(cluster) = cluster() else { return };
    cluster.namespace("bold").unwrap();
    let house = lane::plan(cluster, &["bold"])
        .replace("protected_owners:\n  - DaemonSet\n  - StatefulSet\n", "protected_owners: []\n")
        .start();
    let stateful = json!({"serviceName": "database", "replicas": 1});
    cluster.create(&workloads("bold", "statefulsets"), &workload("database", &stateful)).unwrap();
    cluster.create(&workloads("bold", "daemonsets"), &workload("agent", &json!({}))).unwrap();
    let agent = pod_of(cluster, "bold", "agent");
    assert_refused(&record(&house, "bold", name(&agent)), "daemonset");
    assert!(is_there(cluster, &agent));
    let database = pod_of(cluster, "bold", "database");
    let entry = record(&house, "bold", name(&database));
    assert_killed(&house, &entry, Some("StatefulSet/database"));
    // It is back under its old name, as another pod.
    let next = pod_of(cluster, "bold", "database");
    assert_eq!(name(&next), name(&database));
    assert_ne!(next["metadata"]["uid"], database["metadata"]["uid"]);
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
fn leaves_what_a_custom_resource_stands_behind() {
    let Some(cluster) = cluster() else { return };
    let house = house(cluster, "custom");
    let schema = json!({"openAPIV3Schema": {"type": "object"}});
    let definition = json!({
        "metadata": {"name": "installations.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"kind": "Installation", "plural": "installations"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": schema}],
        },
    });
    cluster.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition).unwrap();
    let installations = "/apis/example.com/v1/namespaces/custom/installations";
    cluster.until(installations, |_| true).unwrap();
    let custom = json!({"apiVersion": "example.com/v1", "kind": "Installation", "metadata": {"name": "mesh"}});
    let custom = cluster.create(installations, &custom).unwrap();
    let owner = json!({
        "apiVersion": "example.com/v1", "kind": "Installation", "name": "mesh", "uid": custom["metadata"]["uid"],
        "controller": true,
    });
    // The DaemonSet is not the top of its chain, and is found all the same.
    let mut agent = workload("agent", &json!({}));
    agent["metadata"]["ownerReferences"] = json!([owner]);
    cluster.create(&workloads("custom", "daemonsets"), &agent).unwrap();
    assert_refused(&record(&house, "custom", name(&pod_of(cluster, "custom", "agent"))), "daemonset");
    bare_pod(cluster, "custom", "direct", &json!({"ownerReferences": [owner]}));
    assert_refused(&record(&house, "custom", "direct"), "owner_unreadable");
}

#[test]
fn takes_the_word_of_an_admission_policy() {
    let Some(cluster) = cluster() else { return };
    let house = house(cluster, "fenced");
    let pod = bare_pod(cluster, "fenced", "debug", &json!({}));
    let kind = |plural: &str| format!("/apis/admissionregistration.k8s.io/v1/{plural}");
    let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["DELETE"], "resources": ["pods"]});
    let only = json!({"matchLabels": {"kubernetes.io/metadata.name": "fenced"}});
    let policy = json!({
        "metadata": {"name": "fence"},
        "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            // The kubelet's own deletes stay possible.
            "validations": [{"expression": "!has(request.options.preconditions)", "message": "fenced in"}],
        },
    });
    cluster.create(&kind("validatingadmissionpolicies"), &policy).unwrap();
    let binding = json!({
        "metadata": {"name": "fence"},
        "spec": {
            "policyName": "fence", "validationActions": ["Deny"], "matchResources": {"namespaceSelector": only},
        },
    });
    cluster.create(&kind("validatingadmissionpolicybindings"), &binding).unwrap();
    // It takes a moment until it is in force.
    let path = format!("{}/debug", pods("fenced"));
    let probe = json!({"dryRun": ["All"], "preconditions": {"uid": pod["metadata"]["uid"]}});
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while cluster.delete(&path, &probe).is_ok() {
        assert!(std::time::Instant::now() < deadline, "the policy is not in force");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let entry = record(&house, "fenced", "debug");
    assert_eq!(
        (entry["outcome"].as_str(), entry["failure"].as_str(), entry["changed"].as_bool()),
        (Some("failed"), Some("denied"), Some(false)),
        "{entry}"
    );
    assert!(entry.to_string().contains("fenced in"), "{entry}");
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
    // The first is nobody's: a kubelet that looks after it might delete by name what comes after it.
    let mut first = template("debug");
    first["metadata"]["name"] = json!("debug");
    first["spec"]["nodeName"] = json!("silent");
    let first = cluster.create(&pods("reborn"), &first).unwrap();
    cluster.delete(&format!("{}/debug", pods("reborn")), &json!({"gracePeriodSeconds": 0})).unwrap();
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
