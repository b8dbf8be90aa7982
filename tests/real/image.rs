//! The image against the real API server, as the pod of a ServiceAccount: what it finds at the places where a kubelet puts
//! token and authority, and in the two variables that say where the API server is.

use std::process::Command;

use integration_tests::account::Account;
use integration_tests::alerts::{self, MINER};
use integration_tests::cluster::Cluster;
use integration_tests::controller::Controller;
use integration_tests::http;
use integration_tests::image::SETTINGS;
use serde_json::{Value, json};

use crate::house::TOKEN;
use crate::lane::{cluster, name, plan, pod_of, workload, workloads};
use crate::pod::Pod;
use crate::rbac::account;

/// The volume that every pod of the account has.
fn mount_account(pod: &Pod, cluster: &Cluster, account: &Account, namespace: &str) {
    std::fs::create_dir(pod.path("account")).unwrap();
    std::fs::write(pod.path("account/token"), &account.token).unwrap();
    std::fs::write(pod.path("account/namespace"), namespace).unwrap();
    std::fs::copy(cluster.directory().join("certificates/apiserver.crt"), pod.path("account/ca.crt")).unwrap();
}

fn in_cluster(mut command: Command, cluster: &Cluster) -> Command {
    let server = cluster.server();
    let (host, port) = server.strip_prefix("https://").unwrap().rsplit_once(':').unwrap();
    command.env("KUBERNETES_SERVICE_HOST", host).env("KUBERNETES_SERVICE_PORT", port);
    command
}

#[test]
fn the_image_finds_the_api_server_as_a_pod_does_and_acts() {
    let Some(cluster) = cluster() else { return };
    cluster.namespace("inside").unwrap();
    cluster.create(&workloads("inside", "deployments"), &workload("checkout", &json!({"replicas": 1}))).unwrap();
    let target = pod_of(cluster, "inside", "checkout");
    let plan = plan(cluster, &["inside"]);
    let account = account(cluster, &plan, "inside-falco");
    let pod = Pod::new(&std::fs::read_to_string(plan.setup().config).unwrap());
    mount_account(&pod, cluster, &account, "inside-falco");

    // As docs/install.md has it, with `kubectl exec`.
    let config = format!("/{SETTINGS}/config.yaml");
    let check = in_cluster(pod.command(&["check", "--cluster", "--config", &config]), cluster).output().unwrap();
    let said = String::from_utf8_lossy(&check.stdout).into_owned() + &String::from_utf8_lossy(&check.stderr);
    assert!(check.status.success(), "{said}");
    assert!(said.contains("the account may do everything that the configuration needs"), "{said}");

    // No flag says which cluster.
    let arguments = ["serve", "--config", &config, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let serve = in_cluster(pod.command(&[&arguments[..], &["--log-format", "json"]].concat()), cluster);
    let controller = Controller::launch(serve, pod.path("controller.log")).unwrap();
    let alert = alerts::about(MINER, "inside", name(&target));
    let answer = http::post(controller.address, "/alert", TOKEN, alert.to_string().as_bytes()).unwrap();
    assert_eq!(answer.status, 204);
    let of_alert = |line: &Value| line["alert_uuid"] == alert["uuid"] && line.get("outcome").is_some();
    let entry = controller.wait_for(0, std::time::Duration::from_secs(30), of_alert);
    let entry = entry.unwrap_or_else(|| panic!("no entry; the log:\n{}", controller.text()));
    assert_eq!((&entry["outcome"], &entry["pod_uid"]), (&json!("done"), &target["metadata"]["uid"]), "{entry}");
    assert_eq!(controller.terminate().unwrap(), Some(0));
}
