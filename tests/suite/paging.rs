//! Pages leave through the outbox, and are tried again.

use std::time::Duration;

use integration_tests::alerts::{self, MINER, POOL};
use integration_tests::receiver::Receiver;

use crate::house::Plan;

#[test]
fn an_isolation_pages_with_the_line_that_undoes_it() {
    let alertmanager = Receiver::start(200).unwrap();
    let pagerduty = Receiver::start(202).unwrap();
    let plan = Plan::new();
    std::fs::write(plan.path().join("routing-key"), "0123456789abcdef0123456789abcdef\n").unwrap();
    let paging = format!(
        "paging:\n  alertmanager: {{url: \"http://{}\"}}\n  pagerduty: {{url: \"http://{}/v2/enqueue\", routing_key_file: {}}}\n",
        alertmanager.address,
        pagerduty.address,
        plan.path().join("routing-key").display()
    );
    let house = plan.and(&paging).start();
    let undo = "kubectl delete networkpolicy falco-emergency-isolation -n staging";
    let entry = house.record_of(&alerts::about(POOL, "staging", "web-5c6d8-2lkjh"));
    let alert = alertmanager.wait_for(undo).expect("Alertmanager is told");
    assert_eq!(alert[0]["labels"]["namespace"], "staging", "{alert}");
    let event = pagerduty.wait_for(undo).expect("PagerDuty is told");
    assert_eq!(event["event_action"], "trigger");
    assert_eq!(event["routing_key"], "0123456789abcdef0123456789abcdef");
    assert!(event.to_string().contains(entry["event_id"].as_str().unwrap()), "{event}");
    assert!(!event.to_string().contains("A shell was spawned"), "no text of the alert leaves in a page: {event}");
    // Skipped and refused alerts page nobody, and neither does a kill that went well.
    house.record_of(&alerts::about(POOL, "staging", "web-5c6d8-2lkjh"));
    house.record_of(&alerts::about(MINER, "kube-system", "coredns-6f6b679f8f-x2vjq"));
    house.record_of(&alerts::about(MINER, "production", "debug"));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!((alertmanager.taken().len(), pagerduty.taken().len()), (1, 1));
}

#[test]
fn a_page_is_tried_again_until_it_is_taken() {
    let alertmanager = Receiver::start(503).unwrap();
    let house =
        Plan::new().and(&format!("paging: {{alertmanager: {{url: \"http://{}\"}}}}", alertmanager.address)).start();
    house.record_of(&alerts::about(POOL, "production", "debug"));
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while alertmanager.taken().is_empty() && std::time::Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(!alertmanager.taken().is_empty(), "it was tried");
    alertmanager.answer(200);
    alertmanager.wait_for("falco-emergency-isolation").expect("taken at last");
}

#[test]
fn a_killed_pod_that_is_still_there_after_ten_seconds_is_recorded_and_paged() {
    let alertmanager = Receiver::start(200).unwrap();
    let held = "apiVersion: v1\nkind: Pod\nmetadata: {name: held, namespace: production, finalizers: [example.com/hold]}\nspec: {nodeName: node-1, containers: [{name: c, image: d}]}\n";
    let house = Plan::new()
        .manifests(held)
        .and(&format!("paging: {{alertmanager: {{url: \"http://{}\"}}}}", alertmanager.address))
        .start();
    let sent = std::time::Instant::now();
    let entry = house.record_of(&alerts::about(MINER, "production", "held"));
    assert_eq!(entry["outcome"], "done", "the DELETE was accepted: {entry}");
    let page = alertmanager.wait_for("pod production/held is not confirmed dead on node node-1").expect("it is paged");
    assert!(sent.elapsed() >= Duration::from_secs(10), "not before its time");
    assert_eq!(page[0]["annotations"]["event_id"], entry["event_id"]);
    assert_eq!(house.journal("falco-response-followup")[0]["followup"], "not_confirmed");
}

#[test]
fn a_conflict_pages_though_the_action_did_nothing() {
    let alertmanager = Receiver::start(200).unwrap();
    let foreign = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: falco-emergency-isolation, namespace: production}\nspec: {podSelector: {}}\n";
    let house = Plan::new()
        .manifests(foreign)
        .and(&format!("paging: {{alertmanager: {{url: \"http://{}\"}}}}", alertmanager.address))
        .start();
    assert_eq!(house.record_of(&alerts::about(POOL, "production", "web"))["outcome"], "failed");
    alertmanager.wait_for("isolate_namespace").expect("somebody is told");
}

#[test]
fn a_plugin_that_gives_up_is_not_quoted_in_the_page() {
    let alertmanager = Receiver::start(200).unwrap();
    let rule = "    action: hostile\n    parameters: {behaviour: no_such_behaviour}\n";
    let paging = format!("paging: {{alertmanager: {{url: \"http://{}\"}}}}", alertmanager.address);
    let house = Plan::new().hostile().replace("    action: kill_pod\n", rule).and(&paging).start();
    let entry = house.record_of(&alerts::about(MINER, "production", "debug"));
    assert_eq!((entry["outcome"].as_str(), entry["failure"].as_str()), (Some("failed"), Some("plugin")), "{entry}");
    let page = alertmanager.wait_for("hostile").expect("somebody is told");
    assert!(page.to_string().contains("its words are in the record"), "{page}");
    assert!(!page.to_string().contains("no_such_behaviour"), "{page}");
}

#[test]
fn a_route_by_rule_holds_for_every_page_about_that_rule() {
    let (alertmanager, webhook) = (Receiver::start(200).unwrap(), Receiver::start(204).unwrap());
    let paging = format!(
        "paging:\n  alertmanager: {{url: \"http://{}\"}}\n  webhook: {{url: \"http://{}/hook\"}}\n  routes: [{{rule: \"{POOL}\", to: [alertmanager]}}]\n",
        alertmanager.address, webhook.address
    );
    let namespaces = "apiVersion: v1\nkind: Namespace\nmetadata: {name: staging}\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: production}\n---\n";
    let foreign = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: falco-emergency-isolation, namespace: production}\nspec: {podSelector: {}}\n";
    let house = Plan::new().manifests(&format!("{namespaces}{foreign}")).and(&paging).start();
    house.record_of(&alerts::about(POOL, "staging", "web"));
    alertmanager.wait_for("kubectl delete networkpolicy").expect("what it did");
    house.record_of(&alerts::about(POOL, "production", "web"));
    alertmanager.wait_for("isolate_namespace/production/failed").expect("and where it failed");
    assert!(webhook.taken().is_empty(), "{:?}", webhook.taken());
}

#[test]
fn a_route_narrows_where_a_page_goes_and_the_rest_goes_everywhere() {
    let (alertmanager, webhook) = (Receiver::start(200).unwrap(), Receiver::start(204).unwrap());
    let paging = format!(
        "paging:\n  alertmanager: {{url: \"http://{}\"}}\n  webhook: {{url: \"http://{}/hook\"}}\n  routes: [{{action: isolate_namespace, to: [webhook]}}]\n",
        alertmanager.address, webhook.address
    );
    let plan = Plan::new()
        .hostile()
        .replace("    action: kill_pod\n", "    action: hostile\n    parameters: {behaviour: no_such_behaviour}\n");
    let house = plan.and(&paging).start();
    let entry = house.record_of(&alerts::about(POOL, "staging", "web-5c6d8-2lkjh"));
    let page = webhook.wait_for("falco-emergency-isolation").expect("the webhook is told");
    assert_eq!((&page["status"], &page["severity"]), (&"firing".into(), &"critical".into()), "{page}");
    assert_eq!(page["details"]["event_id"], entry["event_id"]);
    house.record_of(&alerts::about(MINER, "production", "debug"));
    alertmanager.wait_for("hostile").expect("what fits no route goes here");
    webhook.wait_for("hostile").expect("and there");
    assert_eq!(alertmanager.taken().len(), 1, "{:?}", alertmanager.taken());
}
