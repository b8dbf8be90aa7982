//! Plugins that mean harm, each contained with an outcome of its own, and the controller none the worse for it.

use integration_tests::alerts::{self, MINER};
use serde_json::Value;

use crate::house::{House, Plan};

/// A house in which the miner's rule runs the hostile plugin.
fn house(behaviour: &str, further: &str) -> House {
    // What spins is cut off soon; everything else has the time that a busy machine may need.
    let timeout = if behaviour.ends_with("spin") { "1s" } else { "60s" };
    let rule = format!(
        "    action: hostile\n    timeout: {timeout}\n    parameters: {{behaviour: \"{behaviour}\"{further}}}\n"
    );
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

/// What it tries, with which further parameters, and the check that stops it.
const REFUSED: [(&str, &str, &str); 99] = [
    ("delete_other_pod", ", namespace: production, name: checkout-7d9f4b-q8r5t", "permission"),
    ("delete_other_pod", ", namespace: staging, name: web-5c6d8-2lkjh", "permission"),
    ("delete_other_pod", ", namespace: default, name: kubecon", "namespace_not_allowed"),
    ("delete_kube_system", ", name: coredns-6f6b679f8f-x2vjq", "kube_system"),
    ("name", ", name: \"x#\"", "invalid_name"),
    ("name", ", name: \"../y\"", "invalid_name"),
    ("name", ", name: \"x/log\"", "invalid_name"),
    ("name", ", name: \"\"", "invalid_name"),
    ("name", ", name: \"#\"", "invalid_name"),
    ("name", ", name: \"x%2f..\"", "invalid_name"),
    ("owner_references", "", "permission"),
    ("finalizers", "", "permission"),
    ("json_patch_owner", "", "permission"),
    ("strategic", "", "permission"),
    ("patch_spec", "", "permission"),
    ("apply_target", "", "permission"),
    ("apply_force", "", "permission"),
    ("foreign_policy", "", "permission"),
    ("foreign_policy", ", name: falco-other", "permission"),
    ("foreign_policy", ", namespace: staging, name: falco-emergency-isolation", "permission"),
    ("open_policy", "", "permission"),
    ("create_pod", "", "permission"),
    ("create_daemonset", "", "daemonset"),
    ("evict_other", ", namespace: production, name: checkout-7d9f4b-q8r5t", "permission"),
    ("read_secret", ", name: database", "permission"),
    ("logs", "", "permission"),
    ("logs", ", name: database-0", "permission"),
    ("logs", ", namespace: kube-system, name: coredns-6f6b679f8f-x2vjq", "permission"),
    ("list_all", "", "permission"),
    ("subresource", "", "invalid_name"),
    ("swallow", ", namespace: production, name: checkout-7d9f4b-q8r5t", "permission"),
    // By another kind of object.
    ("role_binding", "", "permission"),
    ("cluster_role_binding", "", "cluster_scoped"),
    ("cluster_role", "", "cluster_scoped"),
    ("webhook", "", "cluster_scoped"),
    ("crd", "", "cluster_scoped"),
    ("service_account", "", "permission"),
    ("secret", "", "permission"),
    ("event", "", "permission"),
    ("lease", "", "permission"),
    ("disruption_budget", "", "permission"),
    ("own_configuration", "", "namespace_denied"),
    ("template", "", "permission"),
    ("scale", "", "permission"),
    ("delete_owner", "", "permission"),
    ("daemon_set", "", "daemonset"),
    ("node", "", "permission"),
    ("other_node", "", "cluster_scoped"),
    ("taint", "", "cluster_scoped"),
    ("node_label", "", "cluster_scoped"),
    ("node_status", "", "cluster_scoped"),
    ("delete_node", "", "cluster_scoped"),
    ("namespace", "", "cluster_scoped"),
    ("namespace_label", "", "cluster_scoped"),
    ("secrets", "", "permission"),
    ("pods_whole", "", "permission"),
    ("statuses", "", "document"),
    ("elsewhere", "", "permission"),
    // By what a document says beside what it is for.
    ("generated_name", "", "document"),
    ("other_namespace", "", "document"),
    ("other_name", "", "document"),
    ("other_kind", "", "document"),
    ("owned_policy", "", "permission"),
    ("ingress_policy", "", "permission"),
    ("root", "", "permission"),
    ("move", "", "permission"),
    ("guess", "", "permission"),
    ("directive", "", "permission"),
    ("null", "", "permission"),
    ("twice", "", "permission"),
    ("look_alike", "", "permission"),
    ("deep", "", "document"),
    ("huge", "", "document"),
    ("no_json", "", "document"),
    // By what makes somebody else do it.
    ("take_over_label", "", "permission"),
    ("leave_the_mesh", "", "permission"),
    ("hide_the_log", "", "permission"),
    ("job_label", "", "permission"),
    ("delete_next_year", "", "document"),
    ("evict_next_year", "", "document"),
    // By a name that is another one, or none.
    ("token", "", "invalid_name"),
    ("debug_container", "", "invalid_name"),
    ("binding", "", "invalid_name"),
    ("plural", "", "invalid_name"),
    ("group", "", "invalid_name"),
    ("upper_case", "", "invalid_name"),
    ("trailing_dot", "", "invalid_name"),
    ("no_namespace", "", "cluster_scoped"),
    // Out of the cluster, and into containers.
    ("send", ", name: \"https://other.example.com/falco\"", "permission"),
    ("send", ", name: \"http://169.254.169.254/latest/meta-data/\"", "invalid_name"),
    ("send", ", name: \"https://kubernetes.default.svc/api/v1/pods\"", "invalid_name"),
    ("send_delete", "", "permission"),
    ("send_authorization", "", "document"),
    ("send_host", "", "document"),
    ("send_line_break", "", "document"),
    ("send_much", "", "document"),
    ("exec", ", namespace: production, name: checkout-7d9f4b-q8r5t", "permission"),
    ("exec", ", namespace: kube-system, name: coredns-6f6b679f8f-x2vjq", "kube_system"),
    ("exec_target", "", "permission"),
];

/// One controller, and a rule for each of them.
fn house_of_rules() -> House {
    let mut config = "dryrun: false\nallowed_namespaces: [production, staging]\n\
                      denied_namespaces: [kube-system, falco, monitoring]\nrules:\n"
        .to_owned();
    for (number, (behaviour, further, _)) in REFUSED.iter().enumerate() {
        config.push_str(&format!(
            "  - {{name: rule {number}, action: hostile, audit_reason: none, timeout: 10s, parameters: {{behaviour: \"{behaviour}\"{further}}}}}\n"
        ));
    }
    config.push_str("plugins: {grants: {hostile: [{urls: [\"https://hooks.example.com/falco\"], methods: [POST]}]}}\n");
    Plan::new().hostile().config(&config).start()
}

#[test]
fn what_it_may_not_do_is_refused_recorded_and_changes_nothing() {
    let house = house_of_rules();
    for (number, (behaviour, further, check)) in REFUSED.iter().enumerate() {
        let alert = alerts::about(&format!("rule {number}"), "production", "checkout-7d9f4b-xkp2m");
        let entry = house.record_of(&alert);
        assert_eq!(outcome(&entry), ("failed", "denied", false), "{behaviour}{further}: {entry}");
        let detail = entry["detail"].as_str().unwrap();
        assert!(detail.contains(&format!("refused ({check}): ")), "{behaviour}{further}: {detail}");
        assert!(house.changes().is_empty(), "{behaviour}{further}: {:?}", house.changes());
    }
    assert!(house.journal("falco-response-intent").is_empty(), "nothing was about to be sent");
    let behaviours: std::collections::BTreeSet<_> = REFUSED.iter().map(|(behaviour, ..)| behaviour).collect();
    assert!(behaviours.len() >= 70, "{} distinct behaviours", behaviours.len());
}

#[test]
fn another_object_of_that_name_is_a_conflict() {
    let (house, entry) = run("another_uid", "");
    assert_eq!(outcome(&entry), ("failed", "conflict", false), "{entry}");
    assert!(house.changes().is_empty() && house.journal("falco-response-intent").is_empty());
    // The API server would not know this version, and say of the pod that it is gone.
    let (house, entry) = run("version", "");
    assert_eq!(outcome(&entry), ("failed", "denied", false), "{entry}");
    assert!(house.changes().is_empty());
}

/// A refused read that the plugin says nothing of fails nothing, since nothing came of it; the record tells it all the same.
#[test]
fn what_it_hides_is_on_record() {
    let (_, entry) = run("peep", "");
    assert_eq!(outcome(&entry), ("skipped", "", false), "{entry}");
    let detail = entry["detail"].as_str().unwrap();
    assert!(detail.contains("get secrets production/database: refused (permission): "), "{detail}");
}

/// The line in a refusal is what an operator pastes who agrees.
#[test]
fn the_line_of_a_refusal_makes_the_same_call_pass() {
    let (_, entry) = run("create_pod", "");
    let detail = entry["detail"].as_str().unwrap();
    let (_, line) = detail.split_once("; to allow it: `").unwrap_or_else(|| panic!("{detail}"));
    let line = line.strip_suffix('`').unwrap();
    let rule = "    action: hostile\n    timeout: 60s\n    parameters: {behaviour: create_pod}\n";
    let plan = Plan::new().hostile().replace("    action: kill_pod\n", rule);
    let house = plan.and(&format!("plugins:\n  grants:\n    hostile:\n      {line}\n")).start();
    let entry = house.record_of(&alerts::about(MINER, "production", "checkout-7d9f4b-xkp2m"));
    assert_eq!(outcome(&entry), ("done", "", true), "{line}: {entry}");
    assert_eq!(house.changes().len(), 1, "{:?}", house.changes());
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
