//! What a scraper sees.

use std::collections::BTreeSet;
use std::time::Duration;

use integration_tests::alerts::{self, MINER, POOL};
use integration_tests::exposition::{Sample, parse};
use integration_tests::graylog::Graylog;
use integration_tests::{http, receiver::Receiver};

use crate::house::{House, Plan};

fn scrape(house: &House) -> Vec<Sample> {
    let answer = http::get(house.controller.admin_address, "/metrics").unwrap();
    assert!(answer.head.to_lowercase().contains("application/openmetrics-text; version=1.0.0"), "{}", answer.head);
    parse(&answer.body).unwrap_or_else(|error| panic!("{error}\n{}", answer.body))
}

/// The one sample of this name and these labels.
fn value(samples: &[Sample], name: &str, labels: &[(&str, &str)]) -> f64 {
    let fits = |sample: &&Sample| {
        sample.name == format!("falco_response_{name}")
            && labels.iter().all(|(key, value)| sample.labels.get(*key).map(String::as_str) == Some(value))
    };
    let mut found = samples.iter().filter(fits);
    let first = found.next().unwrap_or_else(|| panic!("no {name} {labels:?} in {samples:?}"));
    assert_eq!(found.next(), None, "{name} {labels:?} is not one series");
    first.value
}

fn until(house: &House, wanted: impl Fn(&[Sample]) -> bool) -> Vec<Sample> {
    for _ in 0..600 {
        let samples = scrape(house);
        if wanted(&samples) {
            return samples;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{:?}", scrape(house));
}

#[test]
fn what_happens_is_counted_and_timed() {
    let graylog = Graylog::start().unwrap();
    let pager = Receiver::start(503).unwrap();
    let house = Plan::new()
        .and(&format!("audit: {{graylog: {{url: \"http://{}/gelf\"}}}}", graylog.address))
        .and(&format!("paging: {{webhook: {{url: \"http://{}/hook\"}}}}", pager.address))
        .start();
    house.record_of(&alerts::about(MINER, "production", "debug"));
    house.record_of(&alerts::about(MINER, "kube-system", "coredns-6f6b679f8f-x2vjq"));
    house.record_of(&alerts::about(POOL, "staging", "web-5c6d8-2lkjh"));
    let retried = |samples: &[Sample]| {
        value(samples, "deliveries_total", &[("destination", "webhook"), ("result", "retried")]) >= 1.0
            && value(samples, "outbox_waiting", &[("destination", "webhook")]) == 1.0
            && value(samples, "outbox_waiting", &[("destination", "graylog")]) == 0.0
    };
    // The series of the outbox come with its first look.
    let there = |samples: &[Sample]| samples.iter().any(|sample| sample.name.ends_with("outbox_waiting"));
    let samples = until(&house, |samples| there(samples) && retried(samples));
    assert_eq!(value(&samples, "alerts_total", &[("result", "accepted")]), 3.0);
    let refused = [("decision", "refused"), ("check", "kube_system")];
    let denied = [("decision", "refused"), ("check", "namespace_denied")];
    let of_check = |labels: &[(&str, &str)]| {
        samples
            .iter()
            .any(|sample| labels.iter().all(|(key, value)| sample.labels.get(*key).is_some_and(|found| found == value)))
    };
    assert!(of_check(&refused) || of_check(&denied), "{samples:?}");
    for action in ["kill_pod", "isolate_namespace"] {
        assert_eq!(value(&samples, "actions_total", &[("action", action), ("outcome", "done")]), 1.0);
    }
    assert!(value(&samples, "api_request_duration_seconds_count", &[("method", "DELETE"), ("code", "2xx")]) >= 1.0);
    assert_eq!(value(&samples, "host_call_duration_seconds_count", &[("function", "remove"), ("result", "ok")]), 1.0);
    assert!(value(&samples, "outbox_oldest_age_seconds", &[("destination", "webhook")]) > 0.0);
    assert_eq!(value(&samples, "pages_overdue", &[("destination", "webhook")]), 0.0);
    assert!(value(&samples, "deliveries_total", &[("destination", "graylog"), ("result", "delivered")]) >= 3.0);
    until(&house, |samples| value(samples, "queue_alerts", &[]) == 0.0);
}

#[test]
fn a_flood_of_invented_names_makes_no_series() {
    let house = House::new();
    let alert = |number: usize, rule: &str| {
        let mut alert = alerts::about(rule, &format!("namespace-{number}"), &format!("pod-{number}"));
        alert["hostname"] = format!("node-{number}").into();
        alert["tags"] = serde_json::json!([format!("tag-{number}")]);
        alert
    };
    let series = |house: &House| scrape(house).iter().map(Sample::series).collect::<BTreeSet<_>>();
    // One of each kind, so that what there is to see is there.
    house.record_of(&alert(0, MINER));
    house.post(&alert(0, "rule-0"));
    let before = series(&house);
    for number in 1..100 {
        house.post(&alert(number, &format!("rule-{number}")));
        house.post(&alert(number, MINER));
    }
    house.record_of(&alert(100, MINER));
    assert_eq!(series(&house), before);
    let samples = scrape(&house);
    assert_eq!(value(&samples, "alerts_total", &[("result", "no_rule")]), 100.0);
}
