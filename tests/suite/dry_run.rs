//! A dry run says what it would have done, changes nothing, pages nobody.

use std::time::Duration;

use integration_tests::alerts::{self, MINER, POOL};
use integration_tests::receiver::Receiver;

use crate::house::{House, Plan};

fn dry_line(house: &House, contains: &str) -> String {
    let wanted = |line: &serde_json::Value| {
        line["message"].as_str().is_some_and(|message| message.starts_with("DRY_RUN ") && message.contains(contains))
    };
    let found = house.controller.wait_for(0, Duration::from_secs(10), wanted);
    found.unwrap_or_else(|| panic!("no DRY_RUN line; the log:\n{}", house.controller.text()))["message"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn rehearses_under_a_global_switch() {
    let pager = Receiver::start(200).unwrap();
    let plan = Plan::new()
        .replace("dryrun: false", "dryrun: true")
        .and(&format!("paging: {{alertmanager: {{url: \"http://{}\"}}}}", pager.address));
    let house = plan.start();
    let entry = house.record_of(&alerts::about(MINER, "production", "checkout-7d9f4b-xkp2m"));
    assert_eq!((entry["outcome"].as_str(), entry["dry_run"].as_bool()), (Some("done"), Some(true)), "{entry}");
    assert_eq!(
        dry_line(&house, "kill_pod"),
        format!(
            "DRY_RUN kill_pod production/checkout-7d9f4b-xkp2m rule=\"{MINER}\": would delete pod, owner Deployment/checkout"
        )
    );
    let entry = house.record_of(&alerts::about(POOL, "staging", "web-5c6d8-2lkjh"));
    assert_eq!((entry["outcome"].as_str(), entry["dry_run"].as_bool()), (Some("done"), Some(true)), "{entry}");
    dry_line(&house, "isolate_namespace staging/web-5c6d8-2lkjh");
    let again = house.record_of(&alerts::about(POOL, "staging", "web-5c6d8-2lkjh"));
    assert_eq!(again["action_id"], entry["action_id"], "the same rehearsal has the same id");
    assert!(house.changes().is_empty(), "{:?}", house.changes());
    // A second time there is still a pod to rehearse with.
    assert_eq!(house.record_of(&alerts::about(MINER, "production", "checkout-7d9f4b-xkp2m"))["outcome"], "done");
    assert!(pager.taken().is_empty(), "{:?}", pager.taken());
}

#[test]
fn a_rules_own_switch_is_enough_and_leaves_the_others_live() {
    let house = Plan::new().replace("    action: kill_pod\n", "    action: kill_pod\n    dryrun: true\n").start();
    let entry = house.record_of(&alerts::about(MINER, "production", "debug"));
    assert_eq!(entry["dry_run"], true);
    assert!(house.changes().is_empty());
    assert_eq!(house.record_of(&alerts::about(POOL, "production", "debug"))["dry_run"], false);
    assert_eq!(house.changes().len(), 1);
}

#[test]
fn is_the_default() {
    let house = Plan::new().replace("dryrun: false\n", "").start();
    assert_eq!(house.record_of(&alerts::about(MINER, "production", "debug"))["dry_run"], true);
    assert!(house.changes().is_empty());
}
