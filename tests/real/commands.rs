//! Commands in containers on the real API server, which hands them on to kwok: through RBAC, the API server's own
//! translation of the websocket, and a kubelet's streaming server. The account may do what `rbac` prints.

use std::time::{Duration, Instant};

use integration_tests::account::create_all;
use integration_tests::alerts::{self, MINER};
use integration_tests::cluster::Cluster;
use serde_json::{Value, json};

use crate::house::{House, Plan};
use crate::lane::{self, cluster, is_running, pods};
use crate::rbac::{account, printed};

const GRANT: &str = "      - {apiGroups: [''], resources: [pods/exec], verbs: [create], scope: target}\n";

/// A node whose kubelet's port is told, which no other test has, and on it a running pod.
fn pod_with_a_kubelet(cluster: &Cluster, namespace: &str, name: &str) {
    let node = format!("kubelet-of-{namespace}");
    cluster.create("/api/v1/nodes", &json!({"metadata": {"name": node}})).unwrap();
    let status = json!({"status": {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": cluster.kubelet()}},
    }});
    cluster.merge(&format!("/api/v1/nodes/{node}/status"), &status).unwrap();
    let mut pod = lane::template(name);
    pod["metadata"]["name"] = json!(name);
    pod["spec"]["nodeName"] = json!(node);
    pod["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
    cluster.create(&pods(namespace), &pod).unwrap();
    let path = format!("{}/{name}", pods(namespace));
    let running = json!({"status": {"phase": "Running", "containerStatuses": [{
        "name": "app", "image": "x", "imageID": "", "ready": true, "restartCount": 0,
        "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
    }]}});
    cluster.merge(&format!("{path}/status"), &running).unwrap();
    cluster.until(&path, is_running).unwrap();
    // Only in the next second is a pod provably older than an alert.
    std::thread::sleep(Duration::from_millis(1100));
}

fn plan(cluster: &Cluster, namespace: &str, action: &str, parameters: &str) -> Plan {
    let rule = format!("    action: {action}\n    parameters: {parameters}\n");
    lane::plan(cluster, &[namespace])
        .replace("    action: kill_pod\n", &rule)
        .and(&format!("plugins:\n  grants:\n    {action}:\n{GRANT}"))
}

/// Behind both fences; `dry` is what the ConfigMap says of dry runs. The controller's own configuration is live.
fn run(cluster: &Cluster, namespace: &str, action: &str, parameters: &str, dry: bool) -> (House, Value) {
    cluster.namespace(namespace).unwrap();
    let plan = plan(cluster, namespace, action, parameters);
    let home = format!("{namespace}-falco");
    let account = account(cluster, &plan, &home);
    let map = json!({"metadata": {"name": "response-controller-config"}, "data": {"config.yaml": format!("dryrun: {dry}\n")}});
    cluster.create(&format!("/api/v1/namespaces/{home}/configmaps"), &map).unwrap();
    create_all(cluster, &printed(&plan, &home, &["--admission"])).unwrap();
    // It may delete pods by RBAC, and not without a UID by the policies.
    lane::bare_pod(cluster, namespace, "probe", &json!({}));
    let path = format!("{}/probe?dryRun=All", pods(namespace));
    let deadline = Instant::now() + Duration::from_secs(30);
    while account.raw("DELETE", &path, "application/json", &Value::Null).unwrap().status != 422 {
        assert!(Instant::now() < deadline, "the policies are not in force");
        std::thread::sleep(Duration::from_millis(100));
    }
    pod_with_a_kubelet(cluster, namespace, "web-1");
    let house = plan.cluster(&account.spec()).start();
    let entry = house.record_of(&alerts::about(MINER, namespace, "web-1"));
    (house, entry)
}

#[test]
fn a_command_is_run_and_its_output_is_kept() {
    let Some(cluster) = cluster() else { return };
    // A script on stdin and other exit codes are for the simulation: kwok waits for ever for stdin's end, and tells of
    // an exit code only in a sentence.
    let parameters = r#"{command: [sh, -c, "echo yes; echo no >&2"], container: app}"#;
    let (house, entry) = run(cluster, "commands", "run_command", parameters, false);
    assert_eq!((&entry["outcome"], &entry["changed"]), (&json!("done"), &json!(true)), "{entry}");
    assert_eq!(entry["note_exit_code"], "0", "{entry}");
    let kept: Vec<_> = entry["attachments"].as_array().unwrap().iter().map(|kept| &kept["name"]).collect();
    assert_eq!(kept, ["stdout.txt", "stderr.txt"], "{entry}");
    let intents = house.journal("falco-response-intent");
    let [intent] = intents.as_slice() else { panic!("{intents:?}") };
    assert_eq!(intent["verb"], "exec");
    assert!(intent["command"].as_str().unwrap().starts_with("sh -c "), "{intent}");
}

#[test]
fn a_file_is_kept_and_a_program_that_is_not_there_is_told_apart() {
    let Some(cluster) = cluster() else { return };
    let (_, entry) = run(cluster, "files", "download_file", "{paths: [/etc/hostname], container: app}", false);
    assert_eq!(entry["outcome"], "done", "{entry}");
    assert_eq!(entry["attachments"][0]["name"], "hostname", "{entry}");
    let (_, entry) = run(cluster, "no-program", "run_command", "{command: [no-such-program], container: app}", false);
    assert_eq!((&entry["outcome"], &entry["changed"]), (&json!("failed"), &json!(false)), "{entry}");
}

/// The runbook's switch holds commands, too, whatever the controller believes.
#[test]
fn a_live_command_is_refused_by_the_policies_while_the_config_map_says_dry_run() {
    let Some(cluster) = cluster() else { return };
    let (_, entry) = run(cluster, "dry-commands", "run_command", "{command: [id], container: app}", true);
    assert_eq!((&entry["outcome"], &entry["failure"]), (&json!("failed"), &json!("denied")), "{entry}");
    assert_eq!(entry["changed"], false, "{entry}");
}

#[test]
fn what_rbac_prints_for_commands_is_both_verbs() {
    let Some(cluster) = cluster() else { return };
    let plan = plan(cluster, "printed", "run_command", "{command: [id]}");
    let printed = printed(&plan, "printed-falco", &[]);
    let rule = printed.find("\"pods/exec\"").expect("it is there");
    assert!(
        printed[rule..].lines().nth(1).is_some_and(|verbs| verbs.contains("get") && verbs.contains("create")),
        "{printed}"
    );
}
