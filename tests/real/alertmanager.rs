//! Pages against a real Alertmanager; the cluster is the simulation.

use integration_tests::alertmanager;
use integration_tests::alerts::{self, MINER, POOL};
use serde_json::Value;

use crate::house::Plan;

#[test]
fn an_isolation_is_one_alert_with_what_its_reader_needs() {
    let Some(alertmanager) = alertmanager::start() else { return };
    let paging = format!("paging: {{alertmanager: {{url: \"http://{}\"}}}}", alertmanager.address);
    // Two replicas see the same alert, each with a cluster of its own.
    let (one, other) = (Plan::new().and(&paging).start(), Plan::new().and(&paging).start());
    let entry = one.record_of(&alerts::about(POOL, "staging", "web-5c6d8-2lkjh"));
    let first = alertmanager.until(|alerts| alerts.len() == 1).unwrap().remove(0);
    let labels = &first["labels"];
    assert_eq!((&labels["alertname"], &labels["severity"]), (&"FalcoResponse".into(), &"critical".into()));
    assert_eq!((&labels["action"], &labels["namespace"]), (&"isolate_namespace".into(), &"staging".into()));
    let annotations = &first["annotations"];
    assert_eq!(annotations["event_id"], entry["event_id"]);
    assert_eq!(annotations["undo"], "kubectl delete networkpolicy falco-emergency-isolation -n staging");
    let fires_for = |alert: &Value| {
        let time = |key: &str| alert[key].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        time("endsAt").duration_since(time("startsAt")).as_secs()
    };
    assert!(fires_for(&first) >= 24 * 3600, "{first}");
    let second = other.record_of(&alerts::about(POOL, "staging", "web-5c6d8-2lkjh"));
    let of_second =
        |alerts: &[Value]| alerts.iter().any(|alert| alert["annotations"]["event_id"] == second["event_id"]);
    let alerts = alertmanager.until(of_second).unwrap();
    assert_eq!(alerts.len(), 1, "the same incident: {alerts:?}");
    assert_eq!(alerts[0]["fingerprint"], first["fingerprint"]);
    // Another namespace is another incident, and a kill that went well is none.
    one.record_of(&alerts::about(MINER, "production", "debug"));
    one.record_of(&alerts::about(POOL, "production", "debug"));
    let alerts = alertmanager.until(|alerts| alerts.len() == 2).unwrap();
    assert!(alerts.iter().any(|alert| alert["labels"]["namespace"] == "production"), "{alerts:?}");
}
