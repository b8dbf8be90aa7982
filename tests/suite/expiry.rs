//! Isolations end by themselves.

use std::process::Command;
use std::time::{Duration, Instant};

use integration_tests::alerts::POOL;
use integration_tests::controller::{Controller, Setup, binary};
use integration_tests::receiver::Receiver;
use serde_json::Value;

use crate::house::{House, Plan};

const EVENT: &str = "01890000-0000-7000-8000-000000000001";
const LIFTED: &str = "deleted networkpolicies production/falco-emergency-isolation";

/// One policy of ours in production, until then; by this manager.
fn policy(name: &str, expires_at: &str) -> String {
    format!(
        "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: {name}\n  namespace: production\n  \
         labels: {{app.kubernetes.io/managed-by: falco-response-controller}}\n  annotations: {{falco-response/event-id: \
         {EVENT}, falco-response/rule: \"{POOL}\", falco-response/expires-at: \"{expires_at}\"}}\n  managedFields: [{{manager: \
         falco-response-controller/isolate_namespace, operation: Apply, fieldsV1: {{f:spec: {{f:policyTypes: {{}}}}}}}}]\nspec: {{podSelector: {{}}, \
         policyTypes: [Egress]}}\n"
    )
}

const OVER: &str = "2026-01-01T00:00:00Z";

fn plan(manifests: &str) -> Plan {
    Plan::new()
        .manifests(manifests)
        .replace("    action: isolate_namespace\n", "    action: isolate_namespace\n    expires_after: 1h\n")
}

fn lift_of(house: &House) -> Value {
    let lifted = |line: &Value| line["action"] == "lift_isolation" && line.get("outcome").is_some();
    let found = house.controller.wait_for(0, Duration::from_secs(20), lifted);
    found.unwrap_or_else(|| panic!("nothing was lifted:\n{}", house.controller.text()))
}

fn lifts(house: &House) -> usize {
    let entries = house.journal("falco-automated-response");
    entries.iter().filter(|entry| entry["action"] == "lift_isolation").count()
}

#[test]
fn an_isolation_that_is_over_is_lifted_once_and_says_for_which_alert_it_was() {
    let house = plan(&policy("falco-emergency-isolation", OVER)).start();
    let entry = lift_of(&house);
    for (key, expected) in [
        ("namespace", "production"),
        ("pod", "-"),
        ("rule", POOL),
        ("event_id", EVENT),
        ("outcome", "done"),
        ("operator", "falco-response-controller"),
        ("policy", "falco-emergency-isolation"),
        ("expires_at", OVER),
        ("reason", "isolation expired: it was to last until 2026-01-01T00:00:00Z"),
    ] {
        assert_eq!(entry[key], expected, "{key}: {entry}");
    }
    assert_eq!(entry.get("lifted_by"), None);
    assert!(house.changes().iter().any(|change| change == LIFTED), "{:?}", house.changes());
    std::thread::sleep(Duration::from_secs(11));
    assert_eq!((lifts(&house), house.changes().len()), (1, 1), "{:?}", house.changes());
    let intents = house.journal("falco-response-intent");
    assert_eq!((intents.len(), &intents[0]["entry_id"]), (1, &entry["entry_id"]));
}

#[test]
fn what_is_not_over_not_ours_or_not_to_be_read_stays() {
    let foreign = policy("falco-foreign", OVER).replace("managed-by: falco-response-controller", "managed-by: Helm");
    let elsewhere = policy("falco-emergency-isolation", OVER).replace("namespace: production", "namespace: monitoring");
    let manifests = [
        policy("falco-later", "2999-01-01T00:00:00Z"),
        policy("falco-odd", "tomorrow DRY_RUN"),
        policy("other-name", OVER),
        foreign,
        elsewhere,
    ]
    .concat();
    let house = plan(&manifests).start();
    let odd =
        |line: &Value| line["message"].as_str().is_some_and(|message| message.contains("falco-odd never expires"));
    assert!(house.controller.wait_for(0, Duration::from_secs(15), odd).is_some(), "{}", house.controller.text());
    std::thread::sleep(Duration::from_secs(11));
    assert!(house.changes().is_empty() && lifts(&house) == 0, "{:?}", house.changes());
    let said = house.controller.lines().into_iter().filter(odd).count();
    assert_eq!(said, 1, "once, and not with every look");
    assert!(!house.controller.text().contains("DRY_RUN"), "nothing that stands there forges a line");
}

#[test]
fn a_dry_run_says_once_what_it_would_lift_and_the_brake_is_one() {
    let stopped = plan(&policy("falco-emergency-isolation", OVER));
    std::fs::write(stopped.path().join("stop"), "").unwrap();
    for plan in [plan(&policy("falco-emergency-isolation", OVER)).replace("dryrun: false", "dryrun: true"), stopped] {
        let pager = Receiver::start(200).unwrap();
        let house = plan.and(&format!("paging: {{alertmanager: {{url: \"http://{}\"}}}}", pager.address)).start();
        assert_eq!(lift_of(&house)["dry_run"], true);
        std::thread::sleep(Duration::from_secs(11));
        let dry = |line: &Value| {
            line["message"].as_str().is_some_and(|message| message.starts_with("DRY_RUN lift_isolation"))
        };
        let lines: Vec<_> = house.controller.lines().into_iter().filter(dry).collect();
        assert_eq!(lines.len(), 1, "{lines:?}");
        let message = lines[0]["message"].as_str().unwrap();
        assert!(
            message.contains("production/falco-emergency-isolation rule=") && message.contains("would delete"),
            "{message}"
        );
        assert!(house.changes().is_empty(), "{:?}", house.changes());
        assert_eq!(lifts(&house), 1);
        assert!(pager.taken().is_empty(), "{:?}", pager.taken());
    }
}

#[test]
fn a_lift_that_is_cut_off_is_looked_up_and_goes_on_record_once() {
    let plan = plan(&policy("falco-emergency-isolation", OVER)).fault("crash:after:send");
    let first = Controller::start(&plan.setup()).unwrap();
    let dead =
        || std::fs::read_to_string(format!("/proc/{}/stat", first.pid())).is_ok_and(|stat| stat.contains(") Z "));
    let deadline = Instant::now() + Duration::from_secs(30);
    while !dead() {
        assert!(Instant::now() < deadline, "it did not come to the point:\n{}", first.text());
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(first);
    // The simulated cluster is as it was before: the call had no effect, and the isolation is lifted anew.
    let setup = Setup { environment: Vec::new(), ..plan.setup() };
    let house = House { controller: Controller::start(&setup).unwrap(), plan };
    assert_eq!(lift_of(&house)["outcome"], "done");
    let results = house.journal("falco-response-result");
    assert_eq!(results[0]["effect"], "not_sent", "{results:?}");
    assert_eq!((lifts(&house), house.journal("falco-response-intent").len()), (1, 2));
}

fn check(plan: &Plan) -> (Option<i32>, String) {
    let setup = plan.setup();
    let mut check = Command::new(binary().unwrap());
    let output =
        check.args(["check", "--config"]).arg(setup.config).arg("--plugins").arg(setup.plugins).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), said)
}

#[test]
fn check_refuses_an_expiry_of_what_isolates_nothing_and_spans_that_make_no_sense() {
    let at_kill = |text: &str| Plan::new().replace("    action: kill_pod\n", &format!("    action: kill_pod\n{text}"));
    let at_isolation = |span: &str| {
        Plan::new().replace(
            "    action: isolate_namespace\n",
            &format!("    action: isolate_namespace\n    expires_after: {span}\n"),
        )
    };
    for (plan, words) in [
        (at_kill("    expires_after: 1h\n"), "no action of rule"),
        (
            Plan::new().replace("    action: kill_pod\n", "    actions: [{action: kill_pod, expires_after: 1h}]\n"),
            "`kill_pod` makes no NetworkPolicy",
        ),
        (at_isolation("30s"), "is shorter than 1m"),
        (at_isolation("400d"), "is longer than 365d"),
        (at_isolation("60"), "has no unit"),
    ] {
        let (code, said) = check(&plan);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(words) && said.contains("config.yaml:"), "{words}: {said}");
    }
    let chain = Plan::new().replace(
        "    action: isolate_namespace\n",
        "    expires_after: 1h\n    actions: [{action: isolate_namespace}, {action: kill_pod}]\n",
    );
    let (code, said) = check(&chain);
    assert_eq!(code, Some(0), "of a rule it counts for the action that isolates: {said}");
}
