//! What hangs slows nobody else.

use std::net::TcpListener;
use std::time::Instant;

use integration_tests::alerts::{self, MINER};
use integration_tests::http;
use integration_tests::receiver::Receiver;
use serde_json::Value;

use crate::house::{House, Plan, TOKEN};

/// Takes connections, by the kernel's doing, and never answers.
fn silent() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

#[test]
fn alerts_are_taken_while_the_api_server_hangs() {
    let api = silent();
    let house = without_an_api(&api);
    // Many more than there are places to work on them.
    for number in 0..100 {
        house.post(&alerts::about(MINER, "production", &format!("pod-{number}")));
    }
    let mut again = alerts::about(MINER, "production", "pod-x");
    again["output_fields"]["k8s.pod.uid"] = "00000000-0000-0000-0000-00000000000a".into();
    house.post(&again);
    let mut other = again.clone();
    other["uuid"] = "another".into();
    house.post(&other);
    let metrics = http::get(house.controller.admin_address, "/metrics").unwrap().body;
    assert!(metrics.contains("alerts_total{result=\"accepted\"} 101\n"), "{metrics}");
    assert!(metrics.contains("alerts_total{result=\"duplicate\"} 1\n"), "the same rule, pod and time");
}

/// A controller whose API server takes connections and never answers.
fn without_an_api(api: &TcpListener) -> House {
    let plan = Plan::new();
    let kubeconfig = plan.path().join("kubeconfig");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters: [{{name: a, cluster: {{server: \"http://{}\"}}}}]\ncontexts: [{{name: a, context: {{cluster: a, user: a}}}}]\nusers: [{{name: a, user: {{token: x}}}}]\n",
        api.local_addr().unwrap()
    );
    std::fs::write(&kubeconfig, text).unwrap();
    let spec = format!("kubeconfig:{}", kubeconfig.display());
    plan.cluster(&spec).start()
}

#[test]
fn beyond_what_may_wait_alerts_are_refused_counted_and_logged_once_a_second() {
    let api = silent();
    let house = without_an_api(&api);
    let post = |alert: &Value| {
        let body = alert.to_string();
        http::post(house.controller.address, "/alert", TOKEN, body.as_bytes()).unwrap().status
    };
    let mut first = alerts::about(MINER, "production", "pod-0");
    first["output_fields"]["k8s.pod.uid"] = "00000000-0000-0000-0000-00000000000a".into();
    assert_eq!(post(&first), 204);
    // Alerts of almost a mebibyte, whose long sentence is kept twice: some 32 of them may wait.
    let large = |number: usize| {
        let mut alert = alerts::about(MINER, "production", &format!("pod-{number}"));
        alert["output"] = "x".repeat(1_000_000).into();
        alert
    };
    let taken = (1..100).take_while(|number| post(&large(*number)) == 204).count();
    assert!((30..35).contains(&taken), "{taken}");
    let started = Instant::now();
    for number in 0..50 {
        assert_eq!(post(&alerts::about(MINER, "production", &format!("another-{number}"))), 503);
    }
    // What is known already need not wait, and is no reason to say no.
    first["uuid"] = "another".into();
    assert_eq!(post(&first), 204);
    let seconds = started.elapsed().as_secs() + 2;
    let refused = |line: &&Value| line["result"] == "turned_away";
    let lines = house.controller.lines().iter().filter(refused).count() as u64;
    assert!((1..=seconds).contains(&lines), "{lines} lines in {seconds} s");
    let metrics = http::get(house.controller.admin_address, "/metrics").unwrap().body;
    assert!(metrics.contains("alerts_total{result=\"overloaded\"} 51\n"), "{metrics}");
    assert!(metrics.contains("alerts_total{result=\"duplicate\"} 1\n"), "{metrics}");
    assert_eq!(http::get(house.controller.address, "/healthz").unwrap().status, 200);
}

#[test]
fn a_pager_that_hangs_holds_up_neither_kills_nor_records() {
    let pager = silent();
    let graylog = Receiver::start(202).unwrap();
    let house = Plan::new()
        .and(&format!("audit: {{graylog: {{url: \"http://{}/gelf\"}}}}", graylog.address))
        .and(&format!("paging: {{webhook: {{url: \"http://{}/hook\"}}}}", pager.local_addr().unwrap()))
        .start();
    assert_eq!(house.record_of(&alerts::about(alerts::POOL, "staging", "web-5c6d8-2lkjh"))["outcome"], "done");
    let entry = house.record_of(&alerts::about(MINER, "production", "debug"));
    assert_eq!(entry["outcome"], "done");
    graylog.wait_for(entry["entry_id"].as_str().unwrap()).expect("the record does not wait for the pager");
    let House { controller, .. } = house;
    assert_eq!(controller.terminate().unwrap(), Some(0), "nor does the end");
}

#[test]
fn a_graylog_that_hangs_holds_up_neither_kills_nor_pages() {
    let graylog = silent();
    let pager = Receiver::start(200).unwrap();
    let house = Plan::new()
        .and(&format!("audit: {{graylog: {{url: \"http://{}/gelf\"}}}}", graylog.local_addr().unwrap()))
        .and(&format!("paging: {{alertmanager: {{url: \"http://{}\"}}}}", pager.address))
        .start();
    assert_eq!(house.record_of(&alerts::about(MINER, "production", "debug"))["outcome"], "done");
    house.record_of(&alerts::about(alerts::POOL, "staging", "web-5c6d8-2lkjh"));
    pager.wait_for("isolate_namespace").expect("the page does not wait for Graylog");
    let House { controller, .. } = house;
    assert_eq!(controller.terminate().unwrap(), Some(0), "nor does the end");
}
