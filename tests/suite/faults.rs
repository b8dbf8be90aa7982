//! The binary that has faults on purpose, and the one that has none.

use std::path::Path;
use std::process::{Command, Output};

use integration_tests::alerts::{self, MINER};
use integration_tests::controller::{binary, faulty_binary};
use serde_json::Value;

use crate::house::{House, Plan};

fn has(binary: &Path, text: &str) -> bool {
    let bytes = std::fs::read(binary).unwrap();
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn the_binary_that_is_shipped_knows_no_fault() {
    for text in ["gate_off", "feature `faults`"] {
        assert!(!has(&binary().unwrap(), text), "{text}");
        assert!(has(&faulty_binary().unwrap(), text), "{text}: the test looks for what is not there");
    }
    // It does not even look at the variable.
    let output = Command::new(binary().unwrap()).arg("--help").env("FAULT", "nonsense").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
}

fn serve(plan: &Plan, fault: &str, listen: &str) -> Output {
    let setup = plan.setup();
    Command::new(faulty_binary().unwrap())
        .args(["serve", "--log-format", "json", "--admin-listen", "127.0.0.1:0", "--listen", listen])
        .args(["--cluster", &setup.cluster])
        .arg("--config")
        .arg(setup.config)
        .arg("--plugins")
        .arg(setup.plugins)
        .arg("--journal")
        .arg(setup.directory.join("journal.db"))
        .arg("--token-file")
        .arg(setup.token_file)
        .env("FAULT", fault)
        .output()
        .unwrap()
}

#[test]
fn an_unknown_fault_or_an_address_that_others_reach_is_refused() {
    for (fault, listen, expected) in [
        ("nonsense", "127.0.0.1:0", "FAULT=nonsense is no fault; there are: act_before_intent"),
        ("gate_off", "0.0.0.0:0", "it does not listen on 0.0.0.0:0, only on loopback"),
    ] {
        let output = serve(&Plan::new(), fault, listen);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains(expected), "{errors}");
    }
}

fn is_warning(line: &Value) -> bool {
    line["level"] == "WARN" && line["message"].as_str().is_some_and(|message| message.ends_with("fault: gate_off"))
}

/// What the other tests prove of the gate they prove only where this is possible without it.
#[test]
fn without_its_gate_nothing_holds_a_plugin_back() {
    let rule = "    action: hostile\n    parameters: {behaviour: delete_kube_system, name: coredns-6f6b679f8f-x2vjq}\n";
    let plan = Plan::new().hostile().fault("gate_off").replace("dryrun: false", "dryrun: true");
    let house: House = plan.replace("    action: kill_pod\n", rule).start();
    assert!(house.controller.lines().iter().any(is_warning), "{}", house.controller.text());
    let entry = house.record_of(&alerts::about(MINER, "production", "debug"));
    assert_eq!(entry["outcome"], "done", "{entry}");
    let changes = house.changes();
    assert!(changes.iter().any(|change| change.contains("kube-system")), "{changes:?}");
}
