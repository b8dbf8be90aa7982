//! Ends, gentle and not, and what the next start makes of them.

use std::time::{Duration, Instant};

use integration_tests::alerts::{self, MINER};
use integration_tests::controller::Controller;
use serde_json::Value;

use crate::house::{House, Plan, journal};

#[test]
fn ends_with_zero_on_sigterm_after_what_runs_has_ended() {
    let house = House::new();
    let entry = house.record_of(&alerts::about(MINER, "production", "debug"));
    let started = Instant::now();
    let House { controller, plan } = house;
    assert_eq!(controller.terminate().unwrap(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    // The follower of the kill was given its time.
    let followups = journal(plan.path(), "falco-response-followup");
    assert_eq!(followups.len(), 1);
    assert_eq!(followups[0]["entry_id"], entry["entry_id"]);
}

#[test]
fn says_that_it_is_leaving_while_it_still_takes_alerts() {
    let house = Plan::new().and("shutdown_delay: 6s").start();
    house.controller.signal("TERM").unwrap();
    let leaving = |_: ()| integration_tests::http::get(house.controller.address, "/readyz").map(|answer| answer.status);
    let deadline = Instant::now() + Duration::from_secs(5);
    while leaving(()) != Ok(503) {
        assert!(Instant::now() < deadline, "readyz goes on saying yes");
        std::thread::sleep(Duration::from_millis(20));
    }
    house.post(&alerts::about(MINER, "production", "debug"));
    let House { controller, .. } = house;
    assert_eq!(controller.terminate().unwrap(), Some(0));
}

#[test]
fn an_answered_alert_survives_sigkill_and_is_acted_on_by_the_next_start() {
    // The API server does not answer the first run, so that the alert is taken and nothing is done about it.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let plan = Plan::new();
    let kubeconfig = plan.path().join("kubeconfig");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters: [{{name: a, cluster: {{server: \"http://{}\"}}}}]\ncontexts: [{{name: a, context: {{cluster: a, user: a}}}}]\nusers: [{{name: a, user: {{token: x}}}}]\n",
        silent.local_addr().unwrap()
    );
    std::fs::write(&kubeconfig, text).unwrap();
    let first = plan.setup();
    let unreachable = integration_tests::controller::Setup {
        cluster: format!("kubeconfig:{}", kubeconfig.display()),
        ..first.clone()
    };
    let controller = Controller::start(&unreachable).unwrap();
    let alert = alerts::about(MINER, "production", "debug");
    let answer =
        integration_tests::http::post(controller.address, "/alert", crate::house::TOKEN, alert.to_string().as_bytes())
            .unwrap();
    assert_eq!(answer.status, 204);
    controller.kill().unwrap();
    let house = House { controller: Controller::start(&first).unwrap(), plan };
    let entry = house.wait_for_record(&alert);
    assert_eq!(entry["outcome"], "done", "{entry}");
    assert_eq!(house.journal("falco-automated-response").len(), 1);
}

#[test]
fn an_alert_that_comes_again_under_another_id_is_known_after_a_restart() {
    let house = House::new();
    let mut alert = alerts::about(MINER, "production", "debug");
    alert["output_fields"]["k8s.pod.uid"] = "00000000-0000-0000-0000-00000000000a".into();
    house.record_of(&alert);
    let House { controller, plan } = house;
    controller.kill().unwrap();
    let house = House { controller: Controller::start(&plan.setup()).unwrap(), plan };
    alert["uuid"] = alerts::unique_uuid().into();
    house.post(&alert);
    let metrics = integration_tests::http::get(house.controller.admin_address, "/metrics").unwrap().body;
    assert!(metrics.contains("alerts_total{result=\"duplicate\"} 1\n"), "{metrics}");
    assert_eq!(house.journal("falco-response-decision").len(), 1, "one decision, of the first");
}

/// The journal's last record is the event's first of that type.
fn cut_chain_after(connection: &rusqlite::Connection, event: &str, log_type: &str) {
    let head: i64 = connection
        .query_row("SELECT min(seq) FROM chain WHERE event_id = ?1 AND log_type = ?2", [event, log_type], |row| {
            row.get(0)
        })
        .unwrap();
    connection.execute("DELETE FROM outbox", []).unwrap();
    connection.execute("DELETE FROM chain WHERE seq > ?1", [head]).unwrap();
    connection
        .execute("UPDATE meta SET head_seq = ?1, head_hash = (SELECT hash FROM chain WHERE seq = ?1)", [head])
        .unwrap();
}

/// Makes the journal forget everything after the first record of that type, as a crash would have left it.
fn forget_what_followed(directory: &std::path::Path, entry: &Value, log_type: &str) {
    let connection = rusqlite::Connection::open(directory.join("journal.db")).unwrap();
    let event = entry["event_id"].as_str().unwrap();
    cut_chain_after(&connection, event, log_type);
    let alert = alerts::about(MINER, "production", entry["pod"].as_str().unwrap());
    let unfinish = connection.execute(
        "UPDATE inbox SET finished = 0, body = ?2 WHERE event_id = ?1",
        rusqlite::params![event, alert.to_string()],
    );
    assert_eq!(unfinish.unwrap(), 1);
}

/// Kills `debug`, and ends as if between the call and its result; then starts on what `change` made of the plan.
fn cut_off(change: impl Fn(Plan) -> Plan) -> (House, Value) {
    let house = House::new();
    let entry = house.record_of(&alerts::about(MINER, "production", "debug"));
    house.wait_for_followup(&entry);
    let House { controller, plan } = house;
    controller.kill().unwrap();
    forget_what_followed(plan.path(), &entry, "falco-response-intent");
    let plan = change(plan);
    (House { controller: Controller::start(&plan.setup()).unwrap(), plan }, entry)
}

fn wait_for_outcome(house: &House) -> Value {
    let outcome = |line: &Value| line.get("outcome").is_some() && line.get("entry_id").is_some();
    let found = house.controller.wait_for(0, Duration::from_secs(15), outcome);
    found.unwrap_or_else(|| panic!("{}", house.controller.text()))
}

#[test]
fn a_kill_that_was_announced_and_whose_pod_is_gone_is_done_and_followed() {
    let other = "apiVersion: v1\nkind: Pod\nmetadata: {name: other, namespace: production}\nspec: {containers: [{name: c, image: d}]}\n";
    let (house, before) = cut_off(|plan| plan.manifests(other));
    let entry = wait_for_outcome(&house);
    assert_eq!((&entry["outcome"], &entry["entry_id"]), (&"done".into(), &before["entry_id"]));
    assert_eq!(entry["action_id"], before["action_id"]);
    assert!(entry["detail"].as_str().unwrap().contains("found gone after a restart"), "{entry}");
    assert_eq!(house.wait_for_followup(&entry)["followup"], "gone");
    assert!(house.changes().is_empty(), "{:?}", house.changes());
}

#[test]
fn a_kill_that_was_announced_and_had_no_effect_is_started_again_on_the_same_pod() {
    // The simulated cluster begins anew, and gives the pod the same UID.
    let (house, before) = cut_off(|plan| plan);
    let entry = wait_for_outcome(&house);
    assert_eq!((&entry["outcome"], &entry["action_id"]), (&"done".into(), &before["action_id"]));
    assert_ne!(entry["entry_id"], before["entry_id"], "a run of its own");
    assert_eq!(house.changes().len(), 1, "{:?}", house.changes());
    let results = house.journal("falco-response-result");
    assert_eq!(results[0]["looked_up"], true, "{results:?}");
    assert_eq!(results[0]["effect"], "not_sent", "{results:?}");
}

#[test]
fn a_kill_whose_end_was_not_seen_is_followed_after_the_restart() {
    let house = House::new();
    let entry = house.record_of(&alerts::about(MINER, "production", "debug"));
    let House { controller, plan } = house;
    controller.kill().unwrap();
    // Whether or not it was quicker than we were.
    let connection = rusqlite::Connection::open(plan.path().join("journal.db")).unwrap();
    cut_chain_after(&connection, entry["event_id"].as_str().unwrap(), "falco-automated-response");
    drop(connection);
    let house = House { controller: Controller::start(&plan.setup()).unwrap(), plan };
    let followup = house.wait_for_followup(&entry);
    // The pod is back in the new simulation, with its old UID: nobody would call it dead.
    assert_eq!(followup["followup"], "not_confirmed", "{followup}");
    assert_eq!(followup["action_id"], entry["action_id"]);
}

/// A list of an owner's replicas and of a node's pods: what changes other objects than its target.
const BEYOND_THE_POD: [(&str, &str); 2] = [
    (
        "    action: scale_to_zero\n",
        "plugins: {grants: {scale_to_zero: [{apiGroups: [apps], resources: [deployments], verbs: [patch], scope: owners, \
         fields: [spec.replicas]}]}}",
    ),
    (
        "    action: drain_node\n    parameters: {namespaces: [production]}\n",
        "plugins: {grants: {drain_node: [{apiGroups: [''], resources: [pods], verbs: [list], scope: node}, \
         {apiGroups: [''], resources: [pods/eviction], verbs: [create], scope: node}]}}",
    ),
];

/// Does so for a pod of `checkout`, and ends as if right after the first record of that type; then starts again, on a
/// cluster that begins anew.
fn cut_off_beyond((action, grants): (&str, &str), log_type: &str) -> (House, Value) {
    let house = Plan::new().replace("    action: kill_pod\n", action).and(grants).start();
    let entry = house.record_of(&alerts::about(MINER, "production", "checkout-7d9f4b-xkp2m"));
    assert_eq!(entry["outcome"], "done", "{entry}");
    let House { controller, plan } = house;
    controller.kill().unwrap();
    forget_what_followed(plan.path(), &entry, log_type);
    (House { controller: Controller::start(&plan.setup()).unwrap(), plan }, entry)
}

#[test]
fn what_was_announced_on_another_object_than_the_target_is_started_again() {
    for action in BEYOND_THE_POD {
        let (house, before) = cut_off_beyond(action, "falco-response-intent");
        let entry = wait_for_outcome(&house);
        assert_eq!((&entry["outcome"], &entry["changed"]), (&"done".into(), &true.into()), "{entry}");
        assert_ne!(entry["entry_id"], before["entry_id"], "a run of its own");
        assert_eq!(house.changes().len(), 1, "{:?}", house.changes());
    }
}

#[test]
fn of_a_run_that_may_have_had_more_to_do_the_end_is_not_known() {
    for action in BEYOND_THE_POD {
        let (house, before) = cut_off_beyond(action, "falco-response-result");
        let entry = wait_for_outcome(&house);
        assert_eq!((&entry["outcome"], &entry["changed"]), (&"unknown".into(), &true.into()), "{entry}");
        assert_eq!(entry["entry_id"], before["entry_id"]);
        assert!(entry["detail"].as_str().unwrap().contains("whether all was done"), "{entry}");
        assert!(house.changes().is_empty(), "{:?}", house.changes());
    }
}

const BOUND: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: production}
spec: {serviceAccountName: web, containers: [{name: web, image: shop/web:2}]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: web, namespace: production}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: web, namespace: production}]
";

/// It may be all that is left of what the call takes away.
#[test]
fn what_was_attached_before_a_call_is_on_record_although_the_run_was_cut_off() {
    let grants = "plugins: {grants: {revoke_service_account: [{apiGroups: [rbac.authorization.k8s.io], \
                  resources: [rolebindings], verbs: [list, delete], scope: namespace}]}}";
    let plan = Plan::new().manifests(BOUND).replace("    action: kill_pod\n", "    action: revoke_service_account\n");
    let house = plan.and(grants).start();
    let before = house.record_of(&alerts::about(MINER, "production", "web"));
    assert_eq!(before["outcome"], "done", "{before}");
    let House { controller, plan } = house;
    controller.kill().unwrap();
    forget_what_followed(plan.path(), &before, "falco-response-result");
    let house = House { controller: Controller::start(&plan.setup()).unwrap(), plan };
    let entry = wait_for_outcome(&house);
    assert_eq!((&entry["outcome"], &entry["attachments"]), (&"unknown".into(), &before["attachments"]), "{entry}");
    assert_eq!(entry["attachments"][0]["name"], "rolebindings.json", "{entry}");
}
