//! Steps that no single alert comes to: another configuration, pages about the controller itself, reminders, retention,
//! an alert of which nothing is left to do, and the question whether Graylog has stored what it took.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use falco_response_controller::ambient::Ambient;
use falco_response_controller::journal::Store;
use integration_tests::alerts::{self, MINER};
use integration_tests::controller::faulty_binary;
use integration_tests::graylog::Graylog;

use crate::judge::{judge, records};
use crate::points::{POINTS, dies};
use crate::stage::Stage;

/// Before each of them and after it.
const STEPS: [&str; 7] = ["configure", "notice", "page", "remind", "retain", "finish", "search"];

/// What the tests here and in [`crate::points`] crash at is all that the binary has.
#[test]
fn every_point_of_the_binary_is_crashed_at() {
    let output =
        Command::new(faulty_binary().unwrap()).args(["check", "--config", "x"]).env("FAULT", "?").output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let (_, points) = text.split_once("crash:after:… of ").expect("it names them");
    let has: BTreeSet<_> = points.trim().split(", ").collect();
    let crashed_at = POINTS.iter().filter_map(|point| point.strip_prefix("before:"));
    assert_eq!(has, crashed_at.chain(STEPS).collect::<BTreeSet<_>>());
}

fn around(step: &str, crash: impl Fn(&str) + Sync) {
    assert!(STEPS.contains(&step));
    std::thread::scope(|scope| {
        for when in ["before", "after"] {
            let crash = &crash;
            scope.spawn(move || crash(&format!("crash:{when}:{step}")));
        }
    });
}

impl Stage {
    fn reconfigure(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(&self.setup.config).unwrap();
        assert!(text.contains(from), "{from:?} is not in the configuration");
        std::fs::write(&self.setup.config, text.replacen(from, to, 1)).unwrap();
    }

    /// Starts it with the fault, and waits until it has died of it, ready or not.
    fn die(&self, fault: &str) {
        if let Ok(controller) = self.start(Some(fault)) {
            dies(&controller);
        }
    }

    /// Starts it, waits until everything has settled, and ends it.
    fn mend(&self) {
        let controller = self.start(None).unwrap();
        self.settle(&controller);
        controller.terminate().unwrap();
        let store = Store::open(&self.plan.path().join("journal.db"), &Ambient::system()).unwrap();
        assert!(store.verify().unwrap().is_ok());
    }
}

#[test]
fn another_configuration_and_what_it_widens_are_on_record_once() {
    around("configure", |fault| {
        let stage = Stage::new(1);
        // What is in force now is what the others are compared with.
        stage.mend();
        let controller = stage.start(Some(fault)).unwrap();
        stage.reconfigure("  - monitoring\n", "");
        dies(&controller);
        stage.mend();
        let said = records(&stage, "falco-response-config");
        let changes: Vec<_> = said.iter().map(|record| record["change"].as_str().unwrap()).collect();
        let whole = if fault.contains("before") { "start" } else { "reload" };
        assert_eq!(changes, [whole, "widening"], "{fault}: {said:?}");
        assert_eq!(said[1]["widens"], "namespace_not_denied", "{fault}");
    });
}

#[test]
fn another_version_of_a_plugin_is_on_record_once() {
    around("configure", |fault| {
        let stage = Stage::new(1);
        stage.mend();
        let controller = stage.start(Some(fault)).unwrap();
        let file = stage.setup.plugins.join("kill_pod.wasm");
        let mut component = std::fs::read(&file).unwrap();
        // A custom section without a name or content: the same code under another digest.
        component.extend_from_slice(&[0, 1, 0]);
        std::fs::write(file.with_extension("new"), component).unwrap();
        std::fs::rename(file.with_extension("new"), file).unwrap();
        dies(&controller);
        stage.mend();
        let said = records(&stage, "falco-response-config");
        let changes: Vec<_> = said.iter().map(|record| record["change"].as_str().unwrap()).collect();
        let whole = if fault.contains("before") { "start" } else { "plugin" };
        assert_eq!(changes, [whole, "widening"], "{fault}: {said:?}");
        assert_eq!(said[1]["widens"], "plugin_changed", "{fault}");
    });
}

#[test]
fn a_configuration_that_cannot_be_read_and_kills_the_controller_is_met_again() {
    around("notice", |fault| {
        let stage = Stage::new(1);
        stage.mend();
        let controller = stage.start(Some(fault)).unwrap();
        let sound = std::fs::read(&stage.setup.config).unwrap();
        std::fs::write(&stage.setup.config, "dryrun: {").unwrap();
        dies(&controller);
        assert!(stage.start(None).is_err(), "{fault}: nothing starts with it");
        std::fs::write(&stage.setup.config, sound).unwrap();
        stage.mend();
        let rejected = records(&stage, "falco-response-config").iter().any(|record| record["change"] == "rejected");
        assert_eq!(rejected, fault.contains("after"), "{fault}");
        let paged = stage.pager.taken().iter().any(|page| page.body.to_string().contains("live action is stopped"));
        assert_eq!(paged, rejected, "{fault}: paged with its record");
    });
}

#[test]
fn a_page_about_the_controller_itself_arrives() {
    around("page", |fault| {
        let stage = Stage::new(1);
        stage.reconfigure("action: isolate_namespace", "action: no_such_action");
        stage.die(fault);
        stage.mend();
        stage.pager.wait_for("have no plugin").unwrap_or_else(|| panic!("{fault}: somebody is told"));
    });
}

#[test]
fn an_overdue_annotation_is_paged_once() {
    around("remind", |fault| {
        let mut stage = Stage::new(1);
        stage.reconfigure("audit: {", "audit: {customer_facing: {namespaces: [production], within: 1s}, ");
        let controller = stage.start(Some(fault)).unwrap();
        stage.post(&controller, &alerts::about(MINER, "production", "web-0"));
        dies(&controller);
        let controller = stage.start(None).unwrap();
        stage.pager.wait_for("annotation_overdue").unwrap_or_else(|| panic!("{fault}: somebody is told"));
        stage.settle(&controller);
        controller.terminate().unwrap();
        judge(&stage, fault);
        let pages = stage.pager.taken().into_iter().filter(|page| page.body.to_string().contains("annotation_overdue"));
        assert_eq!(pages.count(), 1, "{fault}");
    });
}

#[test]
fn what_retention_removes_is_removed_whole_and_explained() {
    around("retain", |fault| {
        let mut stage = Stage::new(1);
        stage.reconfigure("audit: {", "audit: {keep: 2s, ");
        let controller = stage.start(None).unwrap();
        stage.post(&controller, &alerts::about(MINER, "production", "web-0"));
        stage.settle(&controller);
        controller.terminate().unwrap();
        let entry = records(&stage, "falco-automated-response").remove(0);
        std::thread::sleep(Duration::from_millis(2500));
        // It looks at its age first of all.
        stage.die(fault);
        stage.mend();
        assert!(!records(&stage, "falco-response-retention").is_empty(), "{fault}");
        assert!(records(&stage, "falco-automated-response").is_empty(), "{fault}");
        assert!(stage.graylog.wait_for(entry["entry_id"].as_str().unwrap()).is_some(), "{fault}");
    });
}

#[test]
fn an_alert_that_no_rule_wants_any_more_leaves_the_inbox() {
    around("finish", |fault| {
        let mut stage = Stage::new(1);
        let controller = stage.start(Some("crash:after:accept")).unwrap();
        stage.post(&controller, &alerts::about(MINER, "production", "web-0"));
        dies(&controller);
        stage.reconfigure(&format!("name: \"{MINER}\""), "name: another");
        stage.die(fault);
        stage.mend();
        assert_eq!(stage.api.changes(), [], "{fault}");
    });
}

#[test]
fn what_graylog_was_asked_about_is_asked_again() {
    around("search", |fault| {
        let graylog = Graylog::start().unwrap();
        let mut stage = Stage::new(1);
        let token = stage.plan.path().join("search-token");
        std::fs::write(&token, "abc").unwrap();
        let (old, new) = (stage.graylog.address.to_string(), graylog.address.to_string());
        stage.reconfigure(&format!("{{url: \"http://{old}/gelf\"}}"), &confirmed(&new, &token));
        let controller = stage.start(Some(fault)).unwrap();
        stage.post(&controller, &alerts::about(MINER, "production", "web-0"));
        dies(&controller);
        stage.mend();
        for entry in records(&stage, "falco-automated-response") {
            let stored = graylog.stored();
            assert!(stored.iter().any(|one| one.get("entry_id") == Some(&entry["entry_id"])), "{fault}: {stored:?}");
        }
        assert!(!records(&stage, "falco-automated-response").is_empty() && graylog.searches() > 0, "{fault}");
    });
}

fn confirmed(graylog: &str, token: &Path) -> String {
    format!(
        "{{url: \"http://{graylog}/gelf\", confirm: {{url: \"http://{graylog}/api\", token_file: {}}}}}",
        token.display()
    )
}
