//! Another configuration while it runs, and the brake that it may be.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use integration_tests::alerts::{self, MINER};
use integration_tests::controller::Controller;
use integration_tests::graylog::Graylog;
use integration_tests::http;
use integration_tests::receiver::Receiver;
use serde_json::Value;

use crate::house::{self, House, Plan, runbook};

const WITHIN: Duration = Duration::from_secs(30);

impl House {
    /// Waits until the log says that the configuration did that; the `count`th time.
    pub fn wait_for_change(&self, change: &str, count: usize) -> Value {
        let deadline = std::time::Instant::now() + WITHIN;
        loop {
            let mut found = self.controller.lines().into_iter().filter(|line| line["change"] == change);
            if let Some(line) = found.nth(count - 1) {
                return line;
            }
            assert!(std::time::Instant::now() < deadline, "no {change}; the log:\n{}", self.controller.text());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn write_config(&self, text: &str) {
        std::fs::write(self.plan.path().join("config.yaml"), text).unwrap();
    }

    pub fn kill(&self, pod: &str) -> Value {
        self.record_of(&alerts::about(MINER, "production", pod))
    }

    pub fn ready(&self) -> Value {
        let answer = http::get(self.controller.address, "/readyz").unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        serde_json::from_str(&answer.body).unwrap()
    }

    pub fn metrics(&self) -> String {
        http::get(self.controller.admin_address, "/metrics").unwrap().body
    }
}

fn live() -> String {
    runbook()
}

fn dry() -> String {
    let text = runbook();
    assert!(text.contains("dryrun: false"));
    text.replacen("dryrun: false", "dryrun: true", 1)
}

/// Puts a generation of files where the kubelet would: a new directory, and one link renamed over another.
pub fn mount(directory: &Path, generation: &str, files: &[(&str, impl AsRef<[u8]>)]) {
    let data = directory.join(generation);
    std::fs::create_dir(&data).unwrap();
    for (name, content) in files {
        std::fs::write(data.join(name), content).unwrap();
        let link = directory.join(name);
        if link.symlink_metadata().is_err() {
            symlink(format!("..data/{name}"), link).unwrap();
        }
    }
    symlink(generation, directory.join("..data_tmp")).unwrap();
    std::fs::rename(directory.join("..data_tmp"), directory.join("..data")).unwrap();
}

#[test]
fn a_config_map_that_the_kubelet_swaps_is_taken_whole_and_each_widening_is_on_record() {
    let plan = Plan::new();
    let directory = plan.path().join("mounted");
    std::fs::create_dir(&directory).unwrap();
    mount(&directory, "..1", &[("config.yaml", &dry())]);
    let mut setup = plan.setup();
    setup.config = directory.join("config.yaml");
    let house = House { controller: Controller::start(&setup).unwrap(), plan };
    assert_eq!(house.kill("debug")["dry_run"], true);
    assert_eq!(house.ready()["brake"], "the configuration says dryrun: true");
    let wider = live().replacen("  - kube-system\n", "  - kube-system\n  - extra\n", 1);
    mount(&directory, "..2", &[("config.yaml", &wider)]);
    let reload = house.wait_for_change("reload", 1);
    let widening = house.wait_for_change("widening", 1);
    assert_eq!(widening["widens"], "dry_to_live");
    let entry = house.kill("debug");
    assert_eq!((&entry["dry_run"], &entry["config_sha256"]), (&Value::Bool(false), &reload["config_sha256"]));
    let records = house.journal("falco-response-config");
    let changes: Vec<_> = records.iter().map(|record| record["change"].as_str().unwrap()).collect();
    assert_eq!(changes, ["reload", "widening"], "{records:?}");
    assert!(records[0]["detail"].as_str().unwrap().contains("denied_namespaces: + extra"), "{records:?}");
    assert_eq!(house.ready()["brake"], Value::Null);
    assert!(house.metrics().contains("config_reloads_total{result=\"accepted\"} 1\n"));
    // And back, by a file that is written into.
    let narrower = wider.replacen("dryrun: false", "dryrun: true", 1);
    std::fs::write(directory.join("config.yaml"), narrower).unwrap();
    house.wait_for_change("reload", 2);
    assert_eq!(house.kill("checkout-7d9f4b-xkp2m")["dry_run"], true);
    assert_eq!(house.journal("falco-response-config").len(), 3, "going dry widens nothing");
}

#[test]
fn a_configuration_that_cannot_be_read_stops_live_action_and_pages() {
    let pager = Receiver::start(200).unwrap();
    let paging = format!("\npaging: {{alertmanager: {{url: \"http://{}\"}}}}", pager.address);
    let house = Plan::new().and(&paging).start();
    for (number, broken) in [(1, "dryrun: false\n  - {"), (2, "rules: []\nrulse: []")] {
        house.write_config(broken);
        house.wait_for_change("rejected", number);
        house.wait_for_change("brake", number);
        assert_eq!(house.kill("debug")["dry_run"], true, "{broken}");
        let ready = house.ready();
        assert!(ready["brake"].is_string() && ready["config"]["problem"].is_string(), "{ready}");
        assert!(house.metrics().contains("falco_response_brake 1\n"));
        // The same file again: nothing has changed, and it acts again.
        house.write_config(&(live() + "\n" + &paging));
        house.wait_for_change("reload", number);
        house.wait_for_change("brake_off", number);
        assert!(house.metrics().contains("falco_response_brake 0\n"));
    }
    pager.wait_for("live action is stopped").expect("somebody is told");
    pager.wait_for("a configuration that can be used is in force").expect("and told when it is over");
    let records = house.journal("falco-response-config");
    let changes: Vec<_> = records.iter().map(|record| record["change"].as_str().unwrap()).collect();
    let once = ["rejected", "brake", "reload", "brake_off"];
    assert_eq!(changes, [once, once].concat(), "{records:?}");
    assert!(house.changes().is_empty());
    assert_eq!(house.kill("debug")["dry_run"], false);
}

#[test]
fn a_configuration_swapped_to_nonsense_holds_the_change_of_an_action_under_way() {
    let graylog = Graylog::start().unwrap();
    graylog.out_of_order(503);
    // The action is at its first change, and waits for Graylog to accept its intent.
    let house = Plan::new()
        .and(&format!("audit: {{require: graylog, graylog: {{url: \"http://{}/gelf\"}}}}", graylog.address))
        .and("plugins: {limits: {timeout: 30s}}")
        .start();
    let alert = alerts::about(MINER, "production", "debug");
    house.post(&alert);
    let deadline = std::time::Instant::now() + WITHIN;
    while house.journal("falco-response-intent").is_empty() {
        assert!(std::time::Instant::now() < deadline, "{}", house.controller.text());
        std::thread::sleep(Duration::from_millis(10));
    }
    house.write_config("dryrun: false\n  - {");
    house.wait_for_change("brake", 1);
    graylog.works_again();
    let entry = house.wait_for_record(&alert);
    let ended = (&entry["dry_run"], entry["outcome"].as_str(), entry["failure"].as_str());
    assert_eq!(ended, (&Value::Bool(false), Some("failed"), Some("denied")), "{entry}");
    assert!(entry["detail"].as_str().unwrap().contains("configuration"), "{entry}");
    assert!(house.changes().is_empty(), "{:?}", house.changes());
    assert_eq!(house.kill("debug")["dry_run"], true);
}

#[test]
fn what_became_of_the_configuration_while_nobody_ran_is_on_record_as_well() {
    let house = Plan::new().replace("dryrun: false", "dryrun: true").start();
    let House { controller, plan } = house;
    assert_eq!(controller.terminate().unwrap(), Some(0));
    let setup = plan.setup();
    let restart = |text: &str| {
        std::fs::write(&setup.config, text).unwrap();
        Controller::start(&setup).unwrap().terminate().unwrap();
        house::journal(plan.path(), "falco-response-config")
    };
    assert_eq!(restart(&dry()), Vec::<Value>::new(), "the same again");
    let said = restart(&live());
    let changes: Vec<_> = said.iter().map(|record| (record["change"].as_str(), record["widens"].as_str())).collect();
    assert_eq!(changes, [(Some("start"), None), (Some("widening"), Some("dry_to_live"))], "{said:?}");
    assert_eq!(restart(&live()).len(), 2, "once");
}

#[test]
fn an_invalid_configuration_that_says_to_act_changes_nothing() {
    let house = Plan::new().start();
    let old = house.kill("debug")["config_sha256"].clone();
    let unknown_action = live().replacen("action: kill_pod", "action: kill_pot", 1);
    let bad_parameters = live().replacen("action: kill_pod", "action: kill_pod\n    parameters: {grace: 1}", 1);
    for (number, bad) in [live() + "\nx: 1", unknown_action, bad_parameters].iter().enumerate() {
        house.write_config(bad);
        let rejected = house.wait_for_change("rejected", number + 1);
        assert!(house.ready()["config"]["problem"].is_string(), "{rejected}");
        assert_eq!(house.ready()["brake"], Value::Null);
    }
    let entry = house.kill("checkout-7d9f4b-xkp2m");
    assert_eq!((&entry["dry_run"], &entry["config_sha256"]), (&Value::Bool(false), &old));
    assert!(house.metrics().contains("config_reloads_total{result=\"rejected\"} 3\n"));
}

#[test]
fn a_plugin_file_that_is_replaced_and_a_token_that_is_exchanged_are_taken_without_a_restart() {
    let house = Plan::new().hostile().start();
    // Another action calls itself kill_pod from now on: neither of two files of one name is taken.
    let plugins = house.plan.path().join("plugins");
    std::fs::copy(plugins.join("kill_pod.wasm"), plugins.join("other.wasm")).unwrap();
    let [first, second] = [1, 2].map(|number| house.wait_for_change("plugin_rejected", number)["message"].to_string());
    assert!(first.contains("kill_pod.wasm") && first.contains("other.wasm"), "{first}");
    assert!(second.contains("kill_pod.wasm") && second.contains("other.wasm"), "{second}");
    assert_eq!(house.kill("debug")["outcome"], "done", "the one that is loaded goes on");
    std::fs::remove_file(plugins.join("other.wasm")).unwrap();
    std::fs::remove_file(plugins.join("hostile.wasm")).unwrap();
    house.wait_for_change("plugin_mended", 2);
    let gone = house.wait_for_change("plugin", 1);
    assert!(gone["message"].to_string().contains("plugins: - hostile"), "{gone}");
    assert_eq!(house.ready()["plugins_unusable"], serde_json::json!([]));
    assert!(house.ready()["config"]["problem"].is_null());
    std::fs::write(house.plan.path().join("token"), "another-token-of-more-than-16-bytes").unwrap();
    house.wait_for_change("token", 1);
    let alert = alerts::about(MINER, "production", "debug").to_string();
    let status = |token: &str| http::post(house.controller.address, "/alert", token, alert.as_bytes()).unwrap().status;
    assert_eq!(status(house::TOKEN), 401);
    assert_eq!(status("another-token-of-more-than-16-bytes"), 204);
}

#[test]
fn a_stop_file_is_on_record_and_shown() {
    let house = Plan::new().start();
    let stop = house.plan.path().join("stop");
    std::fs::write(&stop, "").unwrap();
    house.wait_for_change("brake", 1);
    assert!(house.ready()["brake"].as_str().unwrap().contains("`stop`"));
    std::fs::remove_file(&stop).unwrap();
    house.wait_for_change("brake_off", 1);
    let records = house.journal("falco-response-config");
    assert_eq!(records.len(), 2, "{records:?}");
}
