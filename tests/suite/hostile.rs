//! Plugins that mean harm, each contained with an outcome of its own, and the controller none the worse for it.

use integration_tests::alerts::{self, MINER};
use serde_json::Value;

use crate::house::{House, Plan};

/// A house in which the miner's rule runs the hostile plugin.
fn house(behaviour: &str, further: &str) -> House {
    // What spins is cut off soon; everything else has the time that a busy machine may need.
    let timeout = if behaviour.ends_with("spin") { "1s" } else { "60s" };
    let rule =
        format!("    action: hostile\n    timeout: {timeout}\n    parameters: {{behaviour: {behaviour}{further}}}\n");
    let plan = Plan::new().hostile().replace("    action: kill_pod\n", &rule);
    plan.start()
}

fn run(behaviour: &str, further: &str) -> (House, Value) {
    let house = house(behaviour, further);
    let entry = house.record_of(&alerts::about(MINER, "production", "checkout-7d9f4b-xkp2m"));
    (house, entry)
}

fn outcome(entry: &Value) -> (&str, &str, bool) {
    (
        entry["outcome"].as_str().unwrap_or(""),
        entry["failure"].as_str().unwrap_or(""),
        entry["changed"].as_bool().unwrap_or(false),
    )
}

#[test]
fn what_burns_is_put_out() {
    for (behaviour, failure) in [
        ("spin", "timeout"),
        ("memory", "memory"),
        ("log_flood", "call_limit"),
        ("trap", "trap"),
        ("stack_overflow", "trap"),
        ("million_calls", "call_limit"),
    ] {
        let (house, entry) = run(behaviour, "");
        assert_eq!(outcome(&entry), ("failed", failure, false), "{behaviour}: {entry}");
        assert!(house.controller.text().len() < 1 << 20, "{behaviour}: the log stays small");
        // And it goes on working.
        let next = house.record_of(&alerts::about(alerts::DATABASE_SHELL, "production", "debug"));
        assert_eq!(next["outcome"], "done", "{behaviour}");
    }
}

#[test]
fn what_it_may_not_reach_stays_as_it_was() {
    for (behaviour, further) in [
        ("delete_other_pod", ", namespace: production, name: checkout-7d9f4b-q8r5t"),
        ("delete_other_pod", ", namespace: staging, name: web-5c6d8-2lkjh"),
        ("delete_kube_system", ""),
        ("name", ", name: \"x#\""),
        ("name", ", name: \"../y\""),
        ("name", ", name: \"x/log\""),
        ("name", ", name: \"\""),
        ("name", ", name: \"#\""),
        ("owner_references", ""),
        ("finalizers", ""),
        ("json_patch_owner", ""),
        ("strategic", ""),
        ("patch_spec", ""),
        ("apply_target", ""),
        ("apply_force", ""),
        ("foreign_policy", ""),
        ("open_policy", ""),
        ("create_pod", ""),
        ("create_daemonset", ""),
        ("evict_other", ", namespace: production, name: checkout-7d9f4b-q8r5t"),
        ("read_secret", ""),
        ("logs", ""),
        ("list_all", ""),
        ("subresource", ""),
        ("swallow", ", namespace: production, name: checkout-7d9f4b-q8r5t"),
    ] {
        let (house, entry) = run(behaviour, further);
        assert_eq!(outcome(&entry), ("failed", "denied", false), "{behaviour}{further}: {entry}");
        assert!(house.changes().is_empty(), "{behaviour}{further}: {:?}", house.changes());
        assert!(
            house.journal("falco-response-intent").is_empty(),
            "{behaviour}{further}: nothing was about to be sent"
        );
    }
}

#[test]
fn what_it_may_do_it_can() {
    for behaviour in ["evict_target", "label"] {
        let (house, entry) = run(behaviour, "");
        assert_eq!(outcome(&entry), ("done", "", true), "{behaviour}: {entry}");
        assert_eq!(house.changes().len(), 1, "{behaviour}: {:?}", house.changes());
    }
}

#[test]
fn the_record_is_the_hosts_word() {
    let (_, entry) = run("lie", "");
    assert_eq!(outcome(&entry), ("skipped", "", false), "{entry}");
    let (house, entry) = run("act_then_trap", "");
    assert_eq!(outcome(&entry), ("failed", "trap", true), "{entry}");
    assert_eq!(house.changes().len(), 1);
    let (house, entry) = run("act_then_spin", "");
    assert_eq!(outcome(&entry), ("failed", "timeout", true), "{entry}");
    assert_eq!(house.changes().len(), 1);
}

#[test]
fn its_words_forge_nothing() {
    let (house, entry) = run("forge", "");
    let text = house.controller.text();
    assert!(!text.contains("DRY_RUN"), "{text}");
    assert!(!text.contains('\u{1b}'), "{text:?}");
    assert!(text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{text}");
    assert!(
        entry["timestamp"].as_str().is_some_and(|timestamp| timestamp.len() == 20 && timestamp.ends_with('Z')),
        "{entry}"
    );
    assert_eq!(entry["operator"], "falco-response-controller");
}
