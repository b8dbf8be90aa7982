//! Isolations that end, by their time or by a person, under exactly the rights that `rbac` prints.

use std::process::Command;
use std::time::{Duration, Instant};

use integration_tests::alerts::{self, MINER, POOL};
use integration_tests::cluster::Cluster;
use integration_tests::controller::{Controller, Setup, binary};
use integration_tests::receiver::Receiver;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::house::{House, Plan};
use crate::lane::{self, bare_pod, cluster, pods};
use crate::rbac;

fn ours(namespace: &str) -> String {
    format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies/falco-emergency-isolation")
}

fn plan(cluster: &Cluster, namespace: &str) -> Plan {
    let with = "    action: isolate_namespace\n    expires_after: 1h\n";
    lane::plan(cluster, &[namespace]).replace("    action: isolate_namespace\n", with)
}

/// Says on the policy when it ends.
fn ends(cluster: &Cluster, namespace: &str, seconds: i64) {
    let at = (Timestamp::now() + SignedDuration::from_secs(seconds)).strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    cluster.merge(&ours(namespace), &json!({"metadata": {"annotations": {"falco-response/expires-at": at}}})).unwrap();
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn is_gone(cluster: &Cluster, namespace: &str) -> bool {
    cluster.get(&ours(namespace)).is_err_and(|error| error.contains("404"))
}

fn lifts(house: &House) -> Vec<Value> {
    let entries = house.journal("falco-automated-response").into_iter();
    entries.filter(|entry| entry["action"] == "lift_isolation").collect()
}

#[test]
fn of_two_replicas_one_lifts_and_records_what_is_over() {
    let Some(cluster) = cluster() else { return };
    cluster.namespace("over").unwrap();
    let pager = Receiver::start(200).unwrap();
    let account = rbac::account(cluster, &plan(cluster, "over"), "over-falco");
    let paging = format!("paging: {{pagerduty: {{url: \"http://{}\", routing_key_file: KEY}}}}", pager.address);
    let houses = [(), ()].map(|()| {
        let plan = plan(cluster, "over").cluster(&account.spec());
        let key = plan.path().join("routing-key");
        std::fs::write(&key, "0123456789abcdef0123456789abcdef").unwrap();
        plan.and(&paging.replace("KEY", &key.display().to_string())).start()
    });
    let entry = houses[0].record_of(&alerts::about(POOL, "over", "miner"));
    assert_eq!(entry["outcome"], "done", "{entry}");
    let annotations = &cluster.get(&ours("over")).unwrap()["metadata"]["annotations"];
    assert_eq!(annotations["falco-response/event-id"], entry["event_id"]);
    assert_eq!(annotations["falco-response/rule"], POOL);
    assert_eq!(annotations["falco-response/expires-at"], entry["expires_at"], "{entry}");
    // Both know of it before it is over, and come at the same moment.
    ends(cluster, "over", 14);
    until("the isolation is lifted", || is_gone(cluster, "over"));
    until("it is on record", || houses.iter().any(|house| !lifts(house).is_empty()));
    std::thread::sleep(Duration::from_secs(2));
    let all: Vec<_> = houses.iter().flat_map(lifts).collect();
    let [lift] = <[Value; 1]>::try_from(all).unwrap();
    assert_eq!((&lift["outcome"], &lift["event_id"]), (&json!("done"), &entry["event_id"]), "{lift}");
    assert_eq!(lift["isolated_by"], "isolate_namespace", "{lift}");
    // The incident that the isolation opened is over.
    let pages = || pager.taken().into_iter().map(|taken| taken.body).collect::<Vec<_>>();
    until("the incident is resolved", || pages().iter().any(|page| page["event_action"] == "resolve"));
    let pages = pages();
    let key =
        |action: &str| pages.iter().find(|page| page["event_action"] == action).map(|page| page["dedup_key"].clone());
    assert_eq!(key("trigger"), key("resolve"), "{pages:?}");
}

#[test]
fn an_edited_policy_is_lifted_as_it_is_then_and_another_alert_puts_its_end_off() {
    let Some(cluster) = cluster() else { return };
    let house = {
        cluster.namespace("longer").unwrap();
        plan(cluster, "longer").start()
    };
    house.record_of(&alerts::about(POOL, "longer", "miner"));
    let before = cluster.get(&ours("longer")).unwrap();
    // At once again: nothing is written.
    let again = house.record_of(&alerts::about(POOL, "longer", "miner-2"));
    assert_eq!((again["outcome"].as_str(), again["changed"].as_bool()), (Some("skipped"), Some(false)), "{again}");
    assert_eq!(
        cluster.get(&ours("longer")).unwrap()["metadata"]["resourceVersion"],
        before["metadata"]["resourceVersion"]
    );
    // The time has come nearer: by the manager that is ours, as time itself would do it.
    let near = (Timestamp::now() + SignedDuration::from_secs(600)).strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let document = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": "falco-emergency-isolation", "labels": before["metadata"]["labels"], "annotations": {
            "falco-response/event-id": before["metadata"]["annotations"]["falco-response/event-id"],
            "falco-response/rule": POOL, "falco-response/expires-at": near}},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": []},
    });
    let path = format!("{}?fieldManager=falco-response-controller/isolate_namespace", ours("longer"));
    let answer =
        cluster.raw("PATCH", &path, "application/apply-patch+yaml", "application/json", &document.to_string()).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    let third = house.record_of(&alerts::about(POOL, "longer", "miner-3"));
    assert_eq!((third["outcome"].as_str(), third["changed"].as_bool()), (Some("done"), Some(true)), "{third}");
    assert!(third["detail"].as_str().unwrap().contains("it lasts until"), "{third}");
    let annotations = &cluster.get(&ours("longer")).unwrap()["metadata"]["annotations"];
    assert_eq!(annotations["falco-response/expires-at"], third["expires_at"]);
    assert_eq!(annotations["falco-response/event-id"], third["event_id"]);
}

#[test]
fn a_person_lifts_under_the_controllers_own_rights() {
    let Some(cluster) = cluster() else { return };
    cluster.namespace("byhand").unwrap();
    let account = rbac::account(cluster, &plan(cluster, "byhand"), "byhand-falco");
    let house = plan(cluster, "byhand").cluster(&account.spec()).start();
    assert_eq!(house.record_of(&alerts::about(POOL, "byhand", "miner"))["outcome"], "done");
    let output = lift(&house.plan.setup(), "byhand", &[]);
    assert_eq!(output.0, Some(0), "{}", output.1);
    assert!(is_gone(cluster, "byhand"));
    let [entry] = <[Value; 1]>::try_from(lifts(&house)).unwrap();
    assert_eq!((&entry["outcome"], &entry["lifted_by"]), (&json!("done"), &json!("anna")), "{entry}");
    let (code, said) = lift(&house.plan.setup(), "byhand", &[]);
    assert_eq!((code, said.contains("there is no isolation of ours")), (Some(1), true), "{said}");
}

fn lift(setup: &Setup, namespace: &str, more: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(binary().unwrap());
    command.args(["lift", "--by", "anna", "--namespace", namespace, "--cluster", &setup.cluster]);
    command.arg("--config").arg(&setup.config).arg("--journal").arg(setup.directory.join("journal.db"));
    let output = command.args(more).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), said)
}

#[test]
fn isolated_pods_are_freed_with_their_policy_and_one_alone_without() {
    let Some(cluster) = cluster() else { return };
    cluster.namespace("freed").unwrap();
    let plan =
        || lane::plan(cluster, &["freed"]).replace("    action: isolate_namespace\n", "    action: isolate_pod\n");
    let account = rbac::account(cluster, &plan(), "freed-falco");
    let house = plan().cluster(&account.spec()).start();
    for pod in ["one", "two", "three"] {
        bare_pod(cluster, "freed", pod, &json!({"labels": {"app": pod}}));
        let entry = house.record_of(&alerts::about(POOL, "freed", pod));
        assert_eq!(entry["outcome"], "done", "{entry}");
    }
    let label = |pod: &str| {
        let labels = cluster.get(&format!("{}/{pod}", pods("freed"))).unwrap()["metadata"]["labels"].clone();
        assert_eq!(labels["app"], pod, "{labels}");
        labels["falco-response/isolated-egress"].clone()
    };
    let (code, said) = lift(&house.plan.setup(), "freed", &["--pod", "one"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!([label("one"), label("two")], [Value::Null, json!("true")]);
    let (code, said) = lift(&house.plan.setup(), "freed", &[]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!([label("two"), label("three")], [Value::Null, Value::Null]);
    let list = cluster.get("/apis/networking.k8s.io/v1/namespaces/freed/networkpolicies").unwrap();
    assert_eq!(list["items"], json!([]));
}

#[test]
fn a_lift_that_was_cut_off_after_it_was_sent_is_found_gone() {
    let Some(cluster) = cluster() else { return };
    cluster.namespace("cutoff").unwrap();
    let house = plan(cluster, "cutoff").start();
    assert_eq!(house.record_of(&alerts::about(POOL, "cutoff", "miner"))["outcome"], "done");
    let House { controller, plan } = house;
    controller.terminate().unwrap();
    ends(cluster, "cutoff", -5);
    let mut setup = plan.setup();
    setup.environment = vec![("FAULT".to_owned(), "crash:after:send".to_owned())];
    let crashing = Controller::start(&setup).unwrap();
    until("it is sent", || is_gone(cluster, "cutoff"));
    until("it dies", || {
        std::fs::read_to_string(format!("/proc/{}/stat", crashing.pid())).is_ok_and(|stat| stat.contains(") Z "))
    });
    drop(crashing);
    setup.environment.clear();
    let house = House { controller: Controller::start(&setup).unwrap(), plan };
    until("it is on record", || !lifts(&house).is_empty());
    let [entry] = <[Value; 1]>::try_from(lifts(&house)).unwrap();
    assert_eq!((&entry["outcome"], &entry["changed"]), (&json!("done"), &json!(true)), "{entry}");
    assert!(entry["detail"].as_str().unwrap().contains("found gone after a restart"), "{entry}");
    // A kill goes on as before.
    bare_pod(cluster, "cutoff", "debug", &json!({}));
    assert_eq!(house.record_of(&alerts::about(MINER, "cutoff", "debug"))["outcome"], "done");
}
