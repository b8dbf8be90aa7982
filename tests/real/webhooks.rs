//! What an admission webhook sees of the controller, and what becomes of a change that it refuses.

use std::collections::BTreeSet;

use integration_tests::alerts::{self, MINER};
use integration_tests::cluster::Cluster;
use integration_tests::root;
use integration_tests::webhook::{Verdict, Webhook, pinned_deletes};
use serde_json::{Value, json};

use crate::house::{House, Plan};
use crate::lane::{self, bare_pod, cluster, pods, versions, versions_of_all};

/// A function of the contract that can change something (with the form of its document), a behaviour of the hostile
/// plugin that calls it, and what admission sees.
pub const CHANGES: &[(&str, &str, &str)] = &[
    ("create", "create_policy", "CREATE networkpolicies"),
    ("apply", "apply_policy", "CREATE networkpolicies"),
    ("apply", "label_by_apply", "UPDATE pods"),
    ("apply", "label_by_force", "UPDATE pods"),
    ("patch merge", "label", "UPDATE pods"),
    ("patch operations", "label_by_operations", "UPDATE pods"),
    ("patch strategic", "label_by_strategy", "UPDATE pods"),
    ("evict", "evict_target", "CREATE pods/eviction"),
    ("evict", "evict_target_soon", "CREATE pods/eviction"),
    ("remove", "delete_target", "DELETE pods"),
    ("remove", "delete_target_now", "DELETE pods"),
];

/// Those that cannot.
const READS: [&str; 3] = ["get", "query", "logs"];

const GRANTS: &str = "plugins: {grants: {hostile: [{apiGroups: [\"\"], resources: [pods], verbs: [patch], \
                      scope: target, fields: [strategic]}]}}";

/// A rule for each behaviour, named like it.
pub fn plan(cluster: &Cluster, namespace: &str) -> Plan {
    let rules: String = CHANGES
        .iter()
        .map(|(_, behaviour, _)| {
            format!(
                "  - {{name: {behaviour}, action: hostile, audit_reason: r, timeout: 60s, \
                 parameters: {{behaviour: {behaviour}}}}}\n"
            )
        })
        .collect();
    lane::plan(cluster, &[namespace]).hostile().replace("rules:\n", &format!("{GRANTS}\nrules:\n{rules}"))
}

/// A namespace with a running pod `debug`, and a webhook that is asked about it.
fn guarded(cluster: &Cluster, namespace: &str) -> Webhook {
    cluster.namespace(namespace).unwrap();
    bare_pod(cluster, namespace, "debug", &json!({}));
    let webhook = Webhook::start(cluster).unwrap();
    webhook.guard(cluster, namespace).unwrap();
    webhook
}

/// `CREATE pods/eviction`
fn asked(request: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (mut resource, part) = (text(&request["resource"]["resource"]), text(&request["subResource"]));
    if !part.is_empty() {
        resource = format!("{resource}/{part}");
    }
    format!("{} {resource}", text(&request["operation"]))
}

fn kill(house: &House, namespace: &str) -> Value {
    house.record_of(&alerts::about(MINER, namespace, "debug"))
}

fn outcome(entry: &Value) -> (Option<&str>, Option<&str>, Option<bool>) {
    (entry["outcome"].as_str(), entry["failure"].as_str(), entry["changed"].as_bool())
}

fn deletes(webhook: &Webhook) -> usize {
    pinned_deletes(&webhook.requests())
}

#[test]
fn every_function_that_changes_something_is_among_them() {
    let contract = std::fs::read_to_string(root().join("wit/cluster.wit")).unwrap();
    let functions: BTreeSet<&str> =
        contract.lines().filter_map(|line| Some(line.trim().split_once(": func(")?.0)).collect();
    let forms = contract.split("variant patch-document {").nth(1).unwrap().split('}').next().unwrap();
    let forms: BTreeSet<&str> = forms.lines().filter_map(|line| Some(line.trim().split_once("(json)")?.0)).collect();
    let called = CHANGES.iter().map(|(function, ..)| function.split(' ').next().unwrap());
    assert_eq!(called.chain(READS).collect::<BTreeSet<_>>(), functions);
    assert_eq!(CHANGES.iter().filter_map(|(call, ..)| call.strip_prefix("patch ")).collect::<BTreeSet<_>>(), forms);
}

#[test]
fn a_dry_run_of_every_function_is_dry_to_admission_and_changes_nothing() {
    let Some(cluster) = cluster() else { return };
    let webhook = guarded(cluster, "recorded");
    let house = plan(cluster, "recorded").replace("dryrun: false", "dryrun: true").start();
    let before = versions_of_all(cluster, "recorded");
    assert!(before.iter().any(|object| object.starts_with("pods debug ")), "{before:?}");
    for (function, behaviour, expected) in CHANGES {
        let seen = webhook.requests().len();
        let entry = house.record_of(&alerts::about(behaviour, "recorded", "debug"));
        assert_eq!(outcome(&entry), (Some("done"), None, Some(true)), "{behaviour}: {entry}");
        assert_eq!(entry["dry_run"], true, "{entry}");
        let requests = webhook.requests().split_off(seen);
        let asked: Vec<_> = requests.iter().map(asked).collect();
        assert!(asked.iter().any(|asked| asked == expected), "{function}, {behaviour}: {asked:?}");
        assert!(requests.iter().all(|request| request["dryRun"] == true), "{behaviour}: {requests:#?}");
    }
    assert_eq!(versions_of_all(cluster, "recorded"), before);
    drop(house);
    // The same eyes see what is not dry.
    let entry = plan(cluster, "recorded").start().record_of(&alerts::about("label", "recorded", "debug"));
    assert_eq!(outcome(&entry), (Some("done"), None, Some(true)), "{entry}");
    let last = webhook.requests().pop().unwrap();
    assert_eq!((asked(&last).as_str(), &last["dryRun"]), ("UPDATE pods", &json!(false)), "{last}");
    assert_ne!(versions_of_all(cluster, "recorded"), before);
}

#[test]
fn a_webhooks_no_is_a_failure_in_its_words() {
    let Some(cluster) = cluster() else { return };
    let webhook = guarded(cluster, "denied");
    webhook.say(Verdict::Deny("not on my watch"));
    let house = lane::house_in(cluster, "denied");
    let before = versions(cluster, &[pods("denied")]);
    let entry = kill(&house, "denied");
    assert_eq!(outcome(&entry), (Some("failed"), Some("denied"), Some(false)), "{entry}");
    assert!(entry["detail"].as_str().unwrap().contains("not on my watch"), "{entry}");
    assert_eq!(deletes(&webhook), 1, "a no is final");
    assert_eq!(versions(cluster, &[pods("denied")]), before);
    // In a dry run, too, the record says what would have come of it.
    let dry = lane::plan(cluster, &["denied"]).replace("dryrun: false", "dryrun: true").start();
    let entry = kill(&dry, "denied");
    assert_eq!(outcome(&entry), (Some("failed"), Some("denied"), Some(false)), "{entry}");
}

#[test]
fn a_webhook_that_cannot_be_asked_leaves_the_pod_and_an_entry_that_says_so() {
    let Some(cluster) = cluster() else { return };
    let webhook = guarded(cluster, "unasked");
    webhook.say(Verdict::Broken);
    let house = lane::house_in(cluster, "unasked");
    let before = versions(cluster, &[pods("unasked")]);
    let entry = kill(&house, "unasked");
    // Nothing passed admission, so that nothing is unknown.
    assert_eq!(outcome(&entry), (Some("failed"), Some("api"), Some(false)), "{entry}");
    assert!(entry["detail"].as_str().unwrap().contains("failed calling webhook"), "{entry}");
    assert_eq!(versions(cluster, &[pods("unasked")]), before);
    // A delete that is pinned to a UID is tried three times, and each is the same. Then the alert is done with.
    let asked = deletes(&webhook);
    assert_eq!(asked, 3);
    webhook.say(Verdict::Allow);
    let next = kill(&house, "unasked");
    assert_eq!(outcome(&next), (Some("done"), None, Some(true)), "{next}");
    assert_eq!(deletes(&webhook), asked + 1);
}
