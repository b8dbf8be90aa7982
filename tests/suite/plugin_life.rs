//! Plugins that come, change and go while the controller runs.

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use integration_tests::alerts::{self, MINER};
use integration_tests::controller::Controller;
use integration_tests::graylog::Graylog;
use integration_tests::receiver::Receiver;
use integration_tests::root;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::house::{House, Plan, runbook};
use crate::reload::mount;

const SECOND: Duration = Duration::from_secs(1);

/// kill_pod as it is shipped.
fn shipped() -> Vec<u8> {
    std::fs::read(root().join("target/plugins/kill_pod.wasm")).unwrap()
}

/// Another version of it, which does the same: with a custom section more.
fn another(mark: u8) -> Vec<u8> {
    let mut component = shipped();
    component.extend_from_slice(&[0, 6, 4, b'm', b'a', b'r', b'k', mark]);
    component
}

fn digest(component: &[u8]) -> String {
    Sha256::digest(component).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As the documentation asks for it: written elsewhere, and renamed.
fn put(file: &Path, content: &[u8]) {
    let elsewhere = file.with_extension("new");
    std::fs::write(&elsewhere, content).unwrap();
    std::fs::rename(elsewhere, file).unwrap();
}

impl House {
    fn kill_pod(&self) -> PathBuf {
        self.plan.path().join("plugins/kill_pod.wasm")
    }

    /// The records of changes so far: what changed, and what it was.
    fn plugin_changes(&self) -> Vec<Value> {
        let records = self.journal("falco-response-config").into_iter();
        records.filter(|record| record["change"].as_str().unwrap().starts_with("plugin")).collect()
    }

    /// Which version acted.
    fn acted(&self, pod: &str) -> String {
        let entry = self.kill(pod);
        assert_eq!(entry["outcome"], "done", "{entry}");
        entry["plugin_sha256"].as_str().unwrap().to_owned()
    }
}

fn paging(pager: &Receiver) -> String {
    format!("paging: {{alertmanager: {{url: \"http://{}\"}}}}", pager.address)
}

#[test]
fn a_new_version_is_swapped_in_and_what_is_under_way_ends_on_the_old_one() {
    let graylog = Graylog::start().unwrap();
    graylog.out_of_order(503);
    // The action is at its first change, and waits for Graylog to accept its intent.
    let house = Plan::new()
        .and(&format!("audit: {{require: graylog, graylog: {{url: \"http://{}/gelf\"}}}}", graylog.address))
        .and("plugins: {limits: {timeout: 30s}}")
        .start();
    let under_way = alerts::about(MINER, "production", "debug");
    house.post(&under_way);
    let deadline = Instant::now() + 30 * SECOND;
    while house.journal("falco-response-intent").is_empty() {
        assert!(Instant::now() < deadline, "{}", house.controller.text());
        std::thread::sleep(Duration::from_millis(10));
    }
    put(&house.kill_pod(), &another(1));
    house.wait_for_change("plugin", 1);
    graylog.works_again();
    let (old, new) = (digest(&shipped()), digest(&another(1)));
    let entry = house.wait_for_record(&under_way);
    assert_eq!((&entry["outcome"], &entry["plugin_sha256"]), (&json!("done"), &json!(old)), "{entry}");
    assert_eq!(house.acted("checkout-7d9f4b-xkp2m"), new);
    let records = house.journal("falco-response-config");
    let said: Vec<_> = records.iter().map(|record| (&record["change"], &record["widens"])).collect();
    assert_eq!(said, [(&json!("plugin"), &Value::Null), (&json!("widening"), &json!("plugin_changed"))], "{records:?}");
    let swap = &records[0];
    assert_eq!(
        (&swap["plugin"], &swap["plugin_sha256_before"], &swap["plugin_sha256"]),
        (&json!("kill_pod"), &json!(old), &json!(new))
    );
    assert!(house.metrics().contains("falco_response_plugin_reloads_total{result=\"accepted\"} 1\n"));
}

#[test]
fn a_spoiled_new_version_leaves_the_last_good_one_in_force_and_is_reported_until_it_is_mended() {
    let pager = Receiver::start(200).unwrap();
    let house = Plan::new().and(&paging(&pager)).start();
    let good = another(1);
    put(&house.kill_pod(), &good);
    house.wait_for_change("plugin", 1);
    put(&house.kill_pod(), b"not a component");
    let rejected = house.wait_for_change("plugin_rejected", 1);
    assert_eq!((&rejected["plugin"], &rejected["plugin_sha256"]), (&json!("kill_pod"), &json!(digest(&good))));
    assert_eq!(rejected["refused_sha256"], json!(digest(b"not a component")));
    assert_eq!(house.acted("debug"), digest(&good));
    let ready = house.ready();
    let [unusable] = &ready["plugins_unusable"].as_array().unwrap()[..] else { panic!("{ready}") };
    assert!(unusable["file"].as_str().unwrap().ends_with("kill_pod.wasm"), "{ready}");
    assert_eq!((&unusable["plugin"], &unusable["in_force"]), (&json!("kill_pod"), &json!(digest(&good))));
    assert_eq!(ready["rules_without_plugin"], json!([]));
    assert_eq!(ready["config"]["problem"], Value::Null, "nothing is wrong with the configuration");
    assert!(house.metrics().contains("falco_response_plugins_unusable 1\n"));
    pager.wait_for("a file of kill_pod cannot be used; the version that was in force stays so").expect("a page");
    // Other plugins come and go all the same, and a configuration is taken.
    std::fs::remove_file(house.plan.path().join("plugins/isolate_namespace.wasm")).unwrap();
    house.wait_for_change("plugin", 2);
    house.write_config(&(runbook() + "\nmax_alert_age: 4m\n" + &paging(&pager)));
    house.wait_for_change("reload", 1);
    assert_eq!(house.acted("checkout-7d9f4b-xkp2m"), digest(&good));
    put(&house.kill_pod(), &good);
    house.wait_for_change("plugin_mended", 1);
    pager.wait_for("no more: a file of kill_pod cannot be used").expect("the page is over");
    assert_eq!(house.ready()["plugins_unusable"], json!([]));
    assert!(house.metrics().contains("falco_response_plugins_unusable 0\n"));
    let changes: Vec<_> = house.plugin_changes().iter().map(|record| record["change"].clone()).collect();
    assert_eq!(changes, ["plugin", "plugin_rejected", "plugin", "plugin_mended"]);
}

#[test]
fn a_version_that_refuses_the_parameters_of_a_rule_waits_for_the_configuration_that_fits() {
    let grace = |seconds: u8| {
        let parameters = format!("action: kill_pod\n    parameters: {{grace_period_seconds: {seconds}}}");
        runbook().replacen("action: kill_pod", &parameters, 1)
    };
    let house = Plan::new().config(&grace(5)).start();
    // Of the same length, so that it stays a component.
    let (mut stricter, (from, to)) = (shipped(), (br#""minimum":0"#, br#""minimum":7"#));
    let places: Vec<_> = (0..stricter.len() - from.len()).filter(|&at| stricter[at..].starts_with(from)).collect();
    for &at in &places {
        stricter[at..at + to.len()].copy_from_slice(to);
    }
    assert!(!places.is_empty());
    put(&house.kill_pod(), &stricter);
    let rejected = house.wait_for_change("plugin_rejected", 1)["message"].to_string();
    assert!(rejected.contains("grace_period_seconds") && rejected.contains(MINER), "{rejected}");
    assert_eq!(house.acted("debug"), digest(&shipped()));
    house.write_config(&grace(7));
    house.wait_for_change("reload", 1);
    assert_eq!(house.acted("checkout-7d9f4b-xkp2m"), digest(&stricter));
    assert_eq!(house.ready()["plugins_unusable"], json!([]));
}

#[test]
fn a_plugin_that_is_removed_stops_its_rules_until_it_is_back() {
    let pager = Receiver::start(200).unwrap();
    let house = Plan::new().and(&paging(&pager)).start();
    std::fs::remove_file(house.kill_pod()).unwrap();
    let gone = house.wait_for_change("plugin", 1);
    assert_eq!((&gone["plugin_sha256"], &gone["plugin_sha256_before"]), (&Value::Null, &json!(digest(&shipped()))));
    pager.wait_for("2 rules have no plugin and will not act: kill_pod").expect("a page");
    assert_eq!(house.ready()["rules_without_plugin"].as_array().unwrap().len(), 2);
    let record = house.kill("debug");
    assert_eq!(record["decision"], "plugin_unavailable", "{record}");
    pager.wait_for("so the alert was not acted on").expect("a page");
    std::fs::write(house.plan.path().join("plugins/by-another-name.wasm"), another(1)).unwrap();
    house.wait_for_change("plugin", 2);
    pager.wait_for("no more: 2 rules have no plugin").expect("the page is over");
    assert_eq!(house.acted("debug"), digest(&another(1)));
    assert_eq!(house.ready()["rules_without_plugin"], json!([]));
    let widens: Vec<_> = house
        .journal("falco-response-config")
        .iter()
        .filter_map(|record| record["widens"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(widens, ["plugin_added"]);
}

#[test]
fn plugins_that_the_kubelet_swaps_are_taken_whole() {
    let plan = Plan::new();
    let mut setup = plan.setup();
    setup.plugins = plan.path().join("mounted");
    std::fs::create_dir(&setup.plugins).unwrap();
    let isolate = std::fs::read(plan.path().join("plugins/isolate_namespace.wasm")).unwrap();
    let generation = |name: &str, kill_pod: Vec<u8>| {
        mount(&setup.plugins, name, &[("kill_pod.wasm", kill_pod), ("isolate_namespace.wasm", isolate.clone())]);
    };
    generation("..1", shipped());
    let house = House { controller: Controller::start(&setup).unwrap(), plan };
    assert_eq!(house.acted("debug"), digest(&shipped()));
    generation("..2", another(2));
    house.wait_for_change("plugin", 1);
    assert_eq!(house.acted("checkout-7d9f4b-xkp2m"), digest(&another(2)));
    // The same files once more: they are other inodes, and nothing has changed.
    generation("..3", another(2));
    std::thread::sleep(4 * SECOND);
    assert_eq!(house.plugin_changes().len(), 1);
}

#[test]
fn a_file_that_is_being_copied_is_not_believed_until_it_is_whole() {
    let house = Plan::new().start();
    let version = another(3);
    let mut file = std::fs::File::create(house.kill_pod()).unwrap();
    for part in version.chunks(version.len() / 8) {
        file.write_all(part).unwrap();
        file.sync_all().unwrap();
        std::thread::sleep(Duration::from_millis(400));
    }
    house.wait_for_change("plugin", 1);
    assert_eq!(house.acted("debug"), digest(&version));
    let changes: Vec<_> = house.plugin_changes().iter().map(|record| record["change"].clone()).collect();
    assert_eq!(changes, ["plugin"], "half of it was never reported");
}

#[test]
fn a_pin_and_its_file_change_in_either_order_and_nothing_unpinned_acts() {
    let pinned =
        |component: &[u8]| format!("{}\nplugins: {{pins: {{kill_pod: \"sha256:{}\"}}}}", runbook(), digest(component));
    let house = Plan::new().config(&pinned(&shipped())).start();
    // The file first.
    put(&house.kill_pod(), &another(4));
    house.wait_for_change("plugin_rejected", 1);
    assert_eq!(house.acted("debug"), digest(&shipped()));
    house.write_config(&pinned(&another(4)));
    house.wait_for_change("reload", 1);
    assert_eq!(house.acted("checkout-7d9f4b-xkp2m"), digest(&another(4)));
    // The pin first.
    house.write_config(&pinned(&another(5)));
    let rejected = house.wait_for_change("rejected", 1)["message"].to_string();
    assert!(rejected.contains("kill_pod.wasm") && rejected.contains("plugins.pins"), "{rejected}");
    let config = house.ready()["config"]["sha256"].clone();
    put(&house.kill_pod(), &another(5));
    house.wait_for_change("reload", 2);
    assert_ne!(house.ready()["config"]["sha256"], config);
    assert_eq!(house.acted("checkout-7d9f4b-q8r5t"), digest(&another(5)));
}

#[test]
fn alerts_are_answered_and_acted_upon_while_plugins_are_compiled() {
    let house = Plan::new().replace("dryrun: false", "dryrun: true").start();
    let versions: Vec<_> = [None, Some(6), Some(7), Some(8)].map(|mark| mark.map_or_else(shipped, another)).to_vec();
    let digests: Vec<_> = versions.iter().map(|version| digest(version)).collect();
    let mut used = Vec::new();
    for (number, version) in versions.iter().enumerate().skip(1) {
        put(&house.kill_pod(), version);
        let swapped = |line: &Value| line["change"] == "plugin" && line["plugin_sha256"] == digests[number].as_str();
        loop {
            let asked = Instant::now();
            let entry = house.kill("debug");
            assert!(asked.elapsed() < 5 * SECOND, "{:?}", asked.elapsed());
            assert_eq!(entry["outcome"], "done", "{entry}");
            used.push(entry["plugin_sha256"].as_str().unwrap().to_owned());
            if house.controller.lines().iter().any(swapped) {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    used.dedup();
    let in_order: Vec<_> = digests.iter().filter(|digest| used.contains(digest)).collect();
    assert_eq!(used.iter().collect::<Vec<_>>(), in_order, "each version once, one after the other");
}

#[test]
fn a_configuration_that_stops_live_action_does_not_wait_for_plugins_to_be_had() {
    // It takes connections, and never says anything.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let artifact = format!("oci://{}/kill@sha256:{}", silent.local_addr().unwrap(), "0".repeat(64));
    let house = Plan::new().start();
    let fetching = format!("{}\nplugins: {{oci: [\"{artifact}\"]}}", runbook());
    house.write_config(&fetching);
    std::thread::sleep(3 * SECOND);
    assert_eq!(house.ready()["brake"], Value::Null);
    house.write_config(&fetching.replacen("dryrun: false", "dryrun: true", 1));
    let deadline = Instant::now() + 4 * SECOND;
    while house.ready()["brake"].is_null() {
        assert!(Instant::now() < deadline, "{}", house.controller.text());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(house.journal("falco-response-config"), Vec::<Value>::new(), "the first one is still being loaded");
    assert_eq!(house.kill("debug")["dry_run"], true);
    house.wait_for_change("reload", 1);
    assert_eq!(house.ready()["brake"], "the configuration says dryrun: true");
}
