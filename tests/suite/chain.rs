//! Several actions of one rule, in order.

use std::time::Duration;

use integration_tests::alerts::{self, MINER};

use crate::house::{House, Plan};

fn house(actions: &str) -> House {
    Plan::new().replace("    action: kill_pod\n", &format!("    actions: {actions}\n")).start()
}

#[test]
fn runs_one_action_after_the_other_under_one_event() {
    let house = house("[{action: isolate_namespace}, {action: kill_pod, parameters: {grace_period_seconds: 2}}]");
    let alert = alerts::about(MINER, "production", "debug");
    house.post(&alert);
    let found = house.records_of(&alert, 2);
    let actions: Vec<_> = found.iter().map(|record| (record["action"].as_str(), record["outcome"].as_str())).collect();
    assert_eq!(actions, [(Some("isolate_namespace"), Some("done")), (Some("kill_pod"), Some("done"))]);
    assert_eq!(found[0]["event_id"], found[1]["event_id"]);
    assert_ne!(found[0]["entry_id"], found[1]["entry_id"]);
    let changes = house.changes();
    assert!(changes[0].contains("falco-emergency-isolation") && changes[1].contains("grace period 2 s"), "{changes:?}");
}

#[test]
fn stops_at_the_first_failure_unless_told_to_go_on() {
    // The first action is refused: the pod is gone.
    for (on_failure, expected) in [("stop", 1), ("continue", 2)] {
        let house = house(&format!("[{{action: kill_pod, on_failure: {on_failure}}}, {{action: isolate_namespace}}]"));
        let alert = alerts::about(MINER, "production", "long-gone");
        house.post(&alert);
        house.records_of(&alert, expected);
        std::thread::sleep(Duration::from_millis(300));
        let found = house.records_of(&alert, expected);
        assert_eq!(found.len(), expected, "{on_failure}: {found:#?}");
        assert_eq!(found[0]["check"], "pod_absent");
        assert_eq!(house.changes().len(), expected - 1, "{on_failure}");
    }
}

#[test]
fn the_next_start_goes_on_where_a_chain_was_cut_off() {
    let house = house("[{action: isolate_namespace}, {action: kill_pod}]");
    let alert = alerts::about(MINER, "production", "debug");
    house.post(&alert);
    house.records_of(&alert, 2);
    let House { controller, plan } = house;
    controller.kill().unwrap();
    // As a crash after the first action's entry would have left it.
    let connection = rusqlite::Connection::open(plan.path().join("journal.db")).unwrap();
    let head: i64 = connection
        .query_row(
            "SELECT seq FROM chain WHERE log_type = 'falco-automated-response' ORDER BY seq LIMIT 1",
            [],
            |row| row.get(0),
        )
        .unwrap();
    connection.execute("DELETE FROM outbox", []).unwrap();
    connection.execute("DELETE FROM chain WHERE seq > ?1", [head]).unwrap();
    connection
        .execute("UPDATE meta SET head_seq = ?1, head_hash = (SELECT hash FROM chain WHERE seq = ?1)", [head])
        .unwrap();
    connection.execute("UPDATE inbox SET finished = 0, body = ?1", [alert.to_string()]).unwrap();
    drop(connection);
    let controller = integration_tests::controller::Controller::start(&plan.setup()).unwrap();
    let house = House { controller, plan };
    let found = house.records_of(&alert, 1);
    assert_eq!(
        (found[0]["action"].as_str(), found[0]["outcome"].as_str()),
        (Some("kill_pod"), Some("done")),
        "{found:?}"
    );
    assert_eq!(house.changes().len(), 1, "{:?}", house.changes());
}

/// Evidence first, since a kill takes it away; then what keeps the rest safe while it is on its way.
pub const ALL: &str = "
      - {action: keep_evidence}
      - {action: label_pod, parameters: {labels: {falco-response/suspect: \"true\"}}}
      - {action: isolate_pod}
      - {action: kill_pod}";

/// What `keep_evidence` reads beside the manifest.
pub const EVIDENCE: &str = "plugins:
  grants:
    keep_evidence:
      - {apiGroups: [''], resources: [pods/log], verbs: [get], scope: target}
      - {apiGroups: [''], resources: [events], verbs: [list], scope: namespace}
";

#[test]
fn evidence_a_mark_an_isolation_and_the_kill_follow_one_another() {
    let house = Plan::new().replace("    action: kill_pod\n", &format!("    actions: {ALL}\n")).and(EVIDENCE).start();
    let alert = alerts::about(MINER, "production", "checkout-7d9f4b-q8r5t");
    house.post(&alert);
    let found = house.records_of(&alert, 4);
    let outcomes: Vec<_> = found.iter().map(|record| (record["action"].as_str(), record["outcome"].as_str())).collect();
    let expected = [("keep_evidence", "skipped"), ("label_pod", "done"), ("isolate_pod", "done"), ("kill_pod", "done")];
    assert_eq!(outcomes, expected.map(|(action, outcome)| (Some(action), Some(outcome))), "{found:#?}");
    assert_eq!(found[0]["detail"], "the plugin changed nothing, and kept attachments: 3");
    assert_eq!(found[2]["isolation"], "full");
    // What was done to the pod is one and the same object's, whatever else an action changed.
    let ids: Vec<_> = found.iter().map(|record| &record["pod_uid"]).collect();
    assert!(ids.iter().all(|uid| *uid == ids[0] && uid.is_string()), "{ids:?}");
    assert_eq!(house.wait_for_followup(&found[3])["followup"], "gone");
    assert_eq!(
        house.changes(),
        [
            "changed pods production/checkout-7d9f4b-q8r5t",
            "created networkpolicies production/falco-pod-isolation-egress",
            "changed pods production/checkout-7d9f4b-q8r5t",
            "deleted pods production/checkout-7d9f4b-q8r5t (grace period 1 s)",
        ]
    );
}

#[test]
fn a_dry_run_of_all_of_it_changes_nothing_and_keeps_the_evidence() {
    let house = Plan::new()
        .replace("dryrun: false", "dryrun: true")
        .replace("    action: kill_pod\n", &format!("    actions: {ALL}\n"))
        .and(EVIDENCE)
        .start();
    let alert = alerts::about(MINER, "production", "checkout-7d9f4b-q8r5t");
    house.post(&alert);
    let found = house.records_of(&alert, 4);
    let outcomes: Vec<_> =
        found.iter().map(|record| (record["dry_run"].as_bool(), record["outcome"].as_str())).collect();
    let expected = ["skipped", "done", "done", "done"].map(|outcome| (Some(true), Some(outcome)));
    assert_eq!(outcomes, expected, "{found:#?}");
    assert_eq!(found[0]["attachments"].as_array().map(Vec::len), Some(3), "{}", found[0]);
    assert!(house.changes().is_empty(), "{:?}", house.changes());
}

/// What became of each action, in the words that a dry and a live run share.
fn words(house: &House, number: usize) -> Vec<String> {
    let alert = alerts::about(MINER, "production", "debug");
    house.post(&alert);
    let told = |record: &serde_json::Value| {
        let word = |key: &str| record[key].as_str().unwrap_or("-").to_owned();
        format!("{} {} {} {}", word("action"), word("outcome"), word("decision"), word("check"))
    };
    house.records_of(&alert, number).iter().map(told).collect()
}

#[test]
fn a_dry_chain_is_told_what_a_live_one_would_be_told() {
    let again = "{action: kill_pod, parameters: {grace_period_seconds: 2}, on_failure: continue}";
    for (first, expected) in [
        // The pod is going, and then it is gone.
        ("{action: kill_pod}", "kill_pod - refused already_deleting"),
        ("{action: kill_pod, parameters: {grace_period_seconds: 0}}", "kill_pod - refused pod_absent"),
        ("{action: isolate_namespace}", "kill_pod done - -"),
        ("{action: label_pod, parameters: {labels: {falco-response/suspect: \"true\"}}}", "kill_pod done - -"),
    ] {
        let actions = format!("    actions: [{first}, {again}, {{action: isolate_namespace}}]\n");
        let plan =
            |dry: &str| Plan::new().replace("    action: kill_pod\n", &actions).replace("dryrun: false", dry).start();
        let (live, dry) = (plan("dryrun: false"), plan("dryrun: true"));
        let (live_words, dry_words) = (words(&live, 3), words(&dry, 3));
        assert_eq!(dry_words, live_words, "{first}");
        assert_eq!(dry_words[1], expected);
        assert!(dry.changes().is_empty(), "{:?}", dry.changes());
    }
}

#[test]
fn what_one_alert_rehearsed_another_does_not_see() {
    let house = Plan::new().replace("dryrun: false", "dryrun: true").start();
    for _ in 0..2 {
        let alert = alerts::about(MINER, "production", "debug");
        assert_eq!(house.record_of(&alert)["outcome"], "done");
    }
}
