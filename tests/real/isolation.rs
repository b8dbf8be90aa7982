//! isolate_namespace, as the API server's own defaulting, field managers and admission see it.

use integration_tests::alerts::{self, POOL};
use integration_tests::cluster::Cluster;
use integration_tests::receiver::Receiver;
use serde_json::{Value, json};

use crate::house::House;
use crate::lane::{self, cluster, house};

fn policies(namespace: &str) -> String {
    format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies")
}

fn ours(namespace: &str) -> String {
    format!("{}/falco-emergency-isolation", policies(namespace))
}

fn isolate(house: &House, namespace: &str) -> Value {
    house.record_of(&alerts::about(POOL, namespace, "long-gone"))
}

fn assert_conflict(entry: &Value) {
    assert_eq!(
        (entry["outcome"].as_str(), entry["failure"].as_str(), entry["changed"].as_bool()),
        (Some("failed"), Some("conflict"), Some(false)),
        "{entry}"
    );
}

fn version(cluster: &Cluster, namespace: &str) -> Value {
    cluster.get(&ours(namespace)).unwrap()["metadata"]["resourceVersion"].clone()
}

#[test]
fn forbids_all_egress_once() {
    let Some(cluster) = cluster() else { return };
    let house = house(cluster, "mined");
    let entry = isolate(&house, "mined");
    assert_eq!((entry["outcome"].as_str(), entry["isolation"].as_str()), (Some("done"), Some("full")), "{entry}");
    let policy = cluster.get(&ours("mined")).unwrap();
    assert_eq!(policy["spec"], json!({"podSelector": {}, "policyTypes": ["Egress"]}), "{policy}");
    let again = isolate(&house, "mined");
    assert_eq!((again["outcome"].as_str(), again["changed"].as_bool()), (Some("skipped"), Some(false)), "{again}");
    assert_eq!(version(cluster, "mined"), policy["metadata"]["resourceVersion"]);
}

#[test]
fn leaves_what_a_person_made_of_its_policy() {
    let Some(cluster) = cluster() else { return };
    let house = house(cluster, "edited");
    assert_eq!(isolate(&house, "edited")["outcome"], "done");
    let dns = json!([{"ports": [{"protocol": "UDP", "port": 53}]}]);
    cluster.merge(&ours("edited"), &json!({"spec": {"egress": dns}})).unwrap();
    let before = version(cluster, "edited");
    assert_conflict(&isolate(&house, "edited"));
    assert_eq!(version(cluster, "edited"), before);
}

#[test]
fn leaves_a_policy_of_its_name_that_somebody_else_made() {
    let Some(cluster) = cluster() else { return };
    let house = house(cluster, "foreign");
    let metadata = json!({"name": "falco-emergency-isolation"});
    let spec = json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]});
    cluster.create(&policies("foreign"), &json!({"metadata": metadata, "spec": spec})).unwrap();
    let before = version(cluster, "foreign");
    let entry = isolate(&house, "foreign");
    assert_eq!((entry["outcome"].as_str(), entry["changed"].as_bool()), (Some("failed"), Some(false)), "{entry}");
    // Not even where it bears our label.
    let label = json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "falco-response-controller"}}});
    let labelled = cluster.merge(&ours("foreign"), &label).unwrap();
    assert_ne!(labelled["metadata"]["resourceVersion"], before);
    assert_conflict(&isolate(&house, "foreign"));
    assert_eq!(version(cluster, "foreign"), labelled["metadata"]["resourceVersion"]);
}

#[test]
fn says_that_other_policies_leave_it_partial() {
    let Some(cluster) = cluster() else { return };
    let house = house(cluster, "partial");
    let spec = json!({"podSelector": {}, "egress": [{"ports": [{"protocol": "UDP", "port": 53}]}]});
    cluster.create(&policies("partial"), &json!({"metadata": {"name": "allow-dns"}, "spec": spec})).unwrap();
    let closed = json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]});
    cluster.create(&policies("partial"), &json!({"metadata": {"name": "closed"}, "spec": closed})).unwrap();
    let entry = isolate(&house, "partial");
    assert_eq!((entry["outcome"].as_str(), entry["isolation"].as_str()), (Some("done"), Some("partial")), "{entry}");
    assert_eq!(entry["note_isolation_partial_because"], "allow-dns");
}

#[test]
fn reports_a_namespace_that_is_going_away() {
    let Some(cluster) = cluster() else { return };
    let house = house(cluster, "leaving");
    let path = "/api/v1/namespaces/leaving";
    cluster.merge(path, &json!({"metadata": {"finalizers": ["example.com/hold"]}})).unwrap();
    cluster.delete(path, &Value::Null).unwrap();
    let entry = isolate(&house, "leaving");
    assert_eq!((entry["outcome"].as_str(), entry["changed"].as_bool()), (Some("failed"), Some(false)), "{entry}");
    cluster.merge(path, &json!({"metadata": {"finalizers": null}})).unwrap();
}

#[test]
fn two_controllers_isolate_without_a_failure_and_make_one_incident() {
    let Some(cluster) = cluster() else { return };
    let pager = Receiver::start(200).unwrap();
    cluster.namespace("both").unwrap();
    let paging = format!("paging: {{alertmanager: {{url: \"http://{}\"}}}}", pager.address);
    let houses = [(), ()].map(|()| lane::plan(cluster, &["both"]).and(&paging).start());
    let alert = alerts::about(POOL, "both", "miner");
    std::thread::scope(|scope| {
        for house in &houses {
            let alert = &alert;
            scope.spawn(move || house.post(alert));
        }
    });
    let outcomes = houses.each_ref().map(|house| house.wait_for_record(&alert)["outcome"].clone());
    assert!(outcomes.contains(&json!("done")), "{outcomes:?}");
    assert!(outcomes.iter().all(|outcome| outcome == "done" || outcome == "skipped"), "{outcomes:?}");
    // Whoever finds that the other has just made it has changed it all the same, and says so.
    let done = outcomes.iter().filter(|outcome| *outcome == "done").count();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while pager.taken().len() < done {
        assert!(std::time::Instant::now() < deadline, "{done} changes: {:?}", pager.taken());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    std::thread::sleep(std::time::Duration::from_millis(500));
    let pages = pager.taken();
    assert_eq!(pages.len(), done, "{pages:?}");
    assert!(pages.iter().all(|page| page.body[0]["labels"] == pages[0].body[0]["labels"]), "one incident: {pages:?}");
}
