//! What hangs slows nobody else.

use std::net::TcpListener;

use integration_tests::alerts::{self, MINER};
use integration_tests::http;
use integration_tests::receiver::Receiver;

use crate::house::{House, Plan};

/// Takes connections, by the kernel's doing, and never answers.
fn silent() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

#[test]
fn alerts_are_taken_while_the_api_server_hangs() {
    let api = silent();
    let plan = Plan::new();
    let kubeconfig = plan.path().join("kubeconfig");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters: [{{name: a, cluster: {{server: \"http://{}\"}}}}]\ncontexts: [{{name: a, context: {{cluster: a, user: a}}}}]\nusers: [{{name: a, user: {{token: x}}}}]\n",
        api.local_addr().unwrap()
    );
    std::fs::write(&kubeconfig, text).unwrap();
    let spec = format!("kubeconfig:{}", kubeconfig.display());
    let house = plan.cluster(&spec).start();
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
