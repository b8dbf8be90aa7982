//! An action that waits for several alerts.

use integration_tests::alerts::{self, POOL};
use integration_tests::controller::Controller;
use serde_json::Value;

use crate::house::{House, Plan};

fn plan() -> Plan {
    let rule = "    action: isolate_namespace\n    confirm: {alerts: 2, pods: 2, within: 5m}\n";
    Plan::new().replace("    action: isolate_namespace\n", rule)
}

fn word(record: &Value) -> &str {
    record["check"].as_str().or(record["outcome"].as_str()).unwrap_or("neither")
}

#[test]
fn a_namespace_is_isolated_by_the_alert_that_confirms_the_first() {
    let house = plan().start();
    let pool = |namespace: &str, pod: &str| house.record_of(&alerts::about(POOL, namespace, pod));
    let first = pool("production", "debug");
    assert_eq!((word(&first), first["decision"].as_str()), ("awaiting_confirmation", Some("waiting")));
    assert!(first["detail"].as_str().unwrap().contains("1 of 2 alerts, 1 of 2 pods"), "{first}");
    assert_eq!(word(&pool("production", "debug")), "awaiting_confirmation", "the same pod again");
    assert_eq!(word(&pool("staging", "web-5c6d8-2lkjh")), "awaiting_confirmation", "another namespace");
    assert!(house.changes().is_empty());
    assert_eq!(word(&pool("production", "checkout-7d9f4b-xkp2m")), "done");
    assert_eq!(house.changes().len(), 1);
}

#[test]
fn what_waited_before_a_restart_counts_after_it() {
    let house = plan().start();
    house.record_of(&alerts::about(POOL, "production", "debug"));
    let House { controller, plan } = house;
    controller.kill().unwrap();
    let house = House { controller: Controller::start(&plan.setup()).unwrap(), plan };
    let second = house.record_of(&alerts::about(POOL, "production", "checkout-7d9f4b-xkp2m"));
    assert_eq!(word(&second), "done", "{second}");
}
