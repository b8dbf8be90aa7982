//! The hostile twins: each misdeed ends as it does in Rust, and the controller is none the worse for it.

use integration_tests::alerts;
use integration_tests::languages::{ALL, Language};
use serde_json::Value;

use crate::house::{House, Plan};
use crate::{component, plan};

const POD: &str = "checkout-7d9f4b-xkp2m";
const OTHER: &str = "namespace: production, name: checkout-7d9f4b-q8r5t";

/// A house with a rule for each misdeed, called as it is; an interpreter is loaded once for all of them.
fn house(language: Language, misdeeds: &[(&str, &str)]) -> House {
    let rules: String = misdeeds.iter().map(|(behaviour, further)| rule(language, behaviour, further)).collect();
    with_rules(plan(), language, &rules).start()
}

fn with_rules(plan: Plan, language: Language, rules: &str) -> Plan {
    let rules = format!("rules:\n{rules}");
    plan.plugin(component(language, &format!("hostile_{}.wasm", language.id()))).replace("rules:\n", &rules)
}

fn rule(language: Language, behaviour: &str, further: &str) -> String {
    // What spins is cut off soon; everything else has the time that a busy machine may need.
    let timeout = if behaviour.ends_with("spin") { "1s" } else { "10s" };
    let action = format!("hostile_{}", language.id());
    format!(
        "  - name: {behaviour}\n    action: {action}\n    timeout: {timeout}\n    audit_reason: a test\n    \
         parameters: {{behaviour: {behaviour}, {further}}}\n"
    )
}

fn run(house: &House, behaviour: &str) -> Value {
    house.record_of(&alerts::about(behaviour, "production", POD))
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
    let expected = [
        ("spin", "timeout"),
        ("memory", "memory"),
        ("small_memory", "memory"),
        ("log_flood", "call_limit"),
        ("trap", "trap"),
        ("stack_overflow", "trap"),
        ("million_calls", "call_limit"),
    ];
    for language in ALL {
        let house = house(language, &expected.map(|(behaviour, _)| (behaviour, "")));
        for (behaviour, failure) in expected {
            let entry = run(&house, behaviour);
            assert_eq!(outcome(&entry), ("failed", failure, false), "{language:?} {behaviour}: {entry}");
        }
        assert!(house.controller.text().len() < 1 << 20, "{language:?}: the log stays small");
        // And it goes on working.
        let next = house.record_of(&alerts::about(alerts::DATABASE_SHELL, "production", "debug"));
        assert_eq!(next["outcome"], "done", "{language:?}");
    }
}

/// The guide names them.
#[test]
fn what_programs_have_elsewhere_traps_here() {
    for language in ALL {
        let missing: &[&str] = match language {
            Language::Python => &["print", "clock", "files", "late_import"],
            Language::JavaScript => &["print", "clock", "text_encoder"],
        };
        let house = house(language, &missing.iter().map(|behaviour| (*behaviour, "")).collect::<Vec<_>>());
        for behaviour in missing {
            let entry = run(&house, behaviour);
            assert_eq!(outcome(&entry), ("failed", "trap", false), "{language:?} {behaviour}: {entry}");
        }
    }
}

#[test]
fn what_it_may_not_reach_stays_as_it_was() {
    let misdeeds = [
        ("delete_other_pod", OTHER),
        ("delete_kube_system", "name: coredns-6f6b679f8f-x2vjq"),
        ("evict_other", OTHER),
        ("swallow", OTHER),
        ("read_secret", "namespace: production, name: database"),
        ("list_all", ""),
        ("create_pod", ""),
        ("owner_references", ""),
        ("finalizers", ""),
        ("patch_spec", ""),
        ("strategic", ""),
        ("json_patch_owner", ""),
    ];
    for language in ALL {
        let house = house(language, &misdeeds);
        for (behaviour, _) in misdeeds {
            let entry = run(&house, behaviour);
            assert_eq!(outcome(&entry), ("failed", "denied", false), "{language:?} {behaviour}: {entry}");
        }
        assert!(house.changes().is_empty(), "{language:?}: {:?}", house.changes());
        assert!(house.journal("falco-response-intent").is_empty(), "{language:?}: nothing was about to be sent");
    }
}

#[test]
fn the_record_is_the_hosts_word() {
    for language in ALL {
        for (behaviour, failure) in [("act_then_trap", "trap"), ("act_then_spin", "timeout")] {
            let house = house(language, &[(behaviour, "")]);
            let entry = run(&house, behaviour);
            assert_eq!(outcome(&entry), ("failed", failure, true), "{language:?} {behaviour}: {entry}");
            assert_eq!(house.changes().len(), 1, "{language:?} {behaviour}");
        }
    }
}

#[test]
fn no_plugin_of_any_language_starts_where_the_gate_says_no() {
    for language in ALL {
        let plan = with_rules(plan(), language, &rule(language, "label", ""));
        // Even where the configuration allows it.
        let house = plan.replace("  - production\n", "  - production\n  - kube-system\n").start();
        for (namespace, pod, check) in [
            ("kube-system", "coredns-6f6b679f8f-x2vjq", "kube_system"),
            ("production", "node-agent-5xk2p", "daemonset"),
        ] {
            let record = house.record_of(&alerts::about("label", namespace, pod));
            assert_eq!(record["check"], check, "{language:?}: {record}");
        }
        assert_eq!(outcome(&run(&house, "label")), ("done", "", true), "{language:?}");
        assert_eq!(house.changes().len(), 1, "{language:?}: {:?}", house.changes());
    }
}
