//! What the container image holds, laid out as a directory: the controller is started from it and finds everything.

use integration_tests::controller::Controller;
use integration_tests::image::{DATA, SETTINGS};
use integration_tests::{alerts, http, root};

use crate::house::{TOKEN, journal, runbook};
use crate::pod::Pod;

#[test]
fn the_image_is_complete() {
    let pod = Pod::new(&runbook());
    std::fs::create_dir(pod.path("settings/cluster")).unwrap();
    for entry in std::fs::read_dir(root().join("deploy/demo/cluster")).unwrap() {
        let file = entry.unwrap().path();
        std::fs::copy(&file, pod.path("settings/cluster").join(file.file_name().unwrap())).unwrap();
    }
    let config = format!("/{SETTINGS}/config.yaml");
    let check = pod.command(&["check", "--config", &config]).output().unwrap();
    let said = String::from_utf8_lossy(&check.stdout).into_owned() + &String::from_utf8_lossy(&check.stderr);
    assert!(check.status.success(), "{said}");
    for plugin in integration_tests::image::actions() {
        assert!(said.contains(&format!("plugin {plugin} from /plugins/{plugin}.wasm")), "{said}");
    }

    // Plugins, journal and token are where it looks by itself.
    let arguments = ["serve", "--config", &config, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let cluster = format!("simulated:/{SETTINGS}/cluster");
    let arguments = [&arguments[..], &["--log-format", "json", "--cluster", &cluster]].concat();
    let controller = Controller::launch(pod.command(&arguments), pod.path("controller.log")).unwrap();
    let alert = alerts::about(alerts::MINER, "production", "checkout-7d9f4b-xkp2m");
    let answer = http::post(controller.address, "/alert", TOKEN, alert.to_string().as_bytes()).unwrap();
    assert_eq!(answer.status, 204);
    let of_alert = |line: &serde_json::Value| line["alert_uuid"] == alert["uuid"] && line.get("outcome").is_some();
    let entry = controller.wait_for(0, std::time::Duration::from_secs(30), of_alert);
    let entry = entry.unwrap_or_else(|| panic!("no entry; the log:\n{}", controller.text()));
    assert_eq!(entry["outcome"], "done", "{entry}");
    assert_eq!(controller.terminate().unwrap(), Some(0));
    assert_eq!(journal(&pod.path("data"), "falco-automated-response").len(), 1, "the journal is in /{DATA}");
}

#[test]
fn an_image_that_lacks_a_library_or_a_plugin_is_noticed() {
    let pod = Pod::new(&runbook());
    let config = format!("/{SETTINGS}/config.yaml");
    std::fs::remove_file(pod.path("root/plugins/kill_pod.wasm")).unwrap();
    let check = pod.command(&["check", "--config", &config]).output().unwrap();
    assert_eq!(check.status.code(), Some(2), "{}", String::from_utf8_lossy(&check.stderr));
    let library = pod.libraries.first().expect("Rust's default targets for Linux link the C library");
    std::fs::remove_file(pod.path("root").join(library.strip_prefix("/").unwrap())).unwrap();
    let check = pod.command(&["check", "--config", &config]).output().unwrap();
    assert!(!check.status.success() && check.status.code() != Some(2), "{}", check.status);
}
