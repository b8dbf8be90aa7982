//! An API server that is away, panics, and ends in the middle.

use super::*;
use crate::ambient::Random;
use crate::journal::{NewAlert, Record, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

fn sent(simulation: &Simulation) -> usize {
    simulation.requests().iter().filter(|seen| seen.method != Method::GET).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_that_could_send_nothing_for_want_of_an_answer_is_started_again() {
    let simulation = simulation();
    let replica = replica(&simulation, &plugins()).await;
    // A namespace is not read when it is cleared: the action itself is the first to meet the silence.
    refuse(&simulation, Method::GET, 3);
    replica.offer(alert("sweep", "a")).await;
    assert_eq!(replica.words(1).await, ["sweep done"]);
    assert_eq!((sent(&simulation), replica.records().await.len()), (1, 1), "one entry, for the run that acted");
}

/// Fails the program's own way: the number-th value of randomness that is asked for is a panic.
struct Panics {
    left: AtomicUsize,
}

impl Random for Panics {
    fn fill(&self, bytes: &mut [u8]) {
        assert!(self.left.fetch_sub(1, Ordering::SeqCst) != 1, "a fault of the controller");
        bytes.fill(7);
        bytes[0] = self.left.load(Ordering::SeqCst).to_le_bytes()[0];
    }
}

struct System;

impl crate::ambient::Clock for System {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_ends_one_alert_on_record_and_with_a_page_and_no_other() {
    let (simulation, plugins) = (simulation(), plugins());
    // The chain's id, the event's id, and then the entry's.
    let ambient = Ambient::new(Arc::new(System), Arc::new(Panics { left: AtomicUsize::new(3) }));
    let replica =
        replica_in(tempfile::tempdir().expect("a directory"), &simulation, rules(&plugins, CONFIG).await, ambient);
    replica.offer(alert("kill", "a")).await;
    assert_eq!(replica.words(1).await, ["kill failed internal"]);
    assert_eq!((sent(&simulation), replica.pages().await.len()), (0, 1));
    replica.offer(alert("kill", "a")).await;
    assert_eq!(replica.words(2).await, ["kill failed internal", "kill done"]);
}

/// What a run that was killed leaves behind: the alert, and what was on disk by then.
async fn left_behind(rule: &str, age: jiff::SignedDuration, records: &[(LogType, &str, Value)]) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = Journal::open(&directory.path().join("journal.db"), &Ambient::system()).expect("opens");
    let alert = alert(rule, "a");
    let new = NewAlert {
        event_id: "e".to_owned(),
        alert_uuid: None,
        fingerprint: None,
        received_at: jiff::Timestamp::now() - age,
        body: Arc::clone(alert.raw()),
    };
    let mut writes = vec![Write::Accept(new)];
    for (log_type, entry_id, body) in records {
        let body = body.as_object().expect("an object").clone();
        let entry_id = Some((*entry_id).to_owned());
        writes.push(Write::Record(Record { log_type: *log_type, event_id: "e".to_owned(), entry_id, body }));
    }
    journal.commit(writes).await.expect("written");
    journal.close().await;
    directory
}

async fn recovered(directory: TempDir, simulation: &Simulation, config: &str) -> Replica {
    let rules = rules(&plugins(), config).await;
    let replica = replica_in(directory, simulation, rules, Ambient::system());
    assert_eq!(replica.responder.recover().await.expect("readable"), 1);
    replica
}

const NO_TIME: jiff::SignedDuration = jiff::SignedDuration::ZERO;

fn intent(action: &str) -> Value {
    json!({"timestamp": "2026-11-24T12:00:00.250Z", "action": action, "call": 0, "verb": "delete", "path": "/x", "uid": "u",
        "dry_run": false, "plugin_sha256": "p"})
}

/// The same, of the alert's own pod.
fn intent_on_target(action: &str) -> Value {
    let mut intent = intent(action);
    intent["path"] = json!("/api/v1/namespaces/production/pods/a");
    intent
}

fn result(effect: &str) -> Value {
    json!({"call": 0, "effect": effect})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_without_a_result_is_unknown_and_never_repeated() {
    let simulation = simulation();
    let left = left_behind("kill", NO_TIME, &[(LogType::Intent, "n", intent("kill"))]).await;
    let replica = recovered(left, &simulation, CONFIG).await;
    assert_eq!(replica.words(1).await, ["kill unknown"]);
    let entry = replica.records().await.remove(0).1;
    assert_eq!((&entry["entry_id"], &entry["timestamp"]), (&json!("n"), &json!("2026-11-24T12:00:00Z")));
    assert_eq!((sent(&simulation), replica.pages().await.len()), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_without_a_result_is_unknown_also_when_no_rule_wants_the_alert_any_more() {
    for config in [
        CONFIG.replace("{name: kill, action: kill,", "{name: other, action: kill,"),
        CONFIG.replace("{name: kill, action: kill,", "{name: kill, action: sweep,"),
    ] {
        let simulation = simulation();
        let left = left_behind("kill", NO_TIME, &[(LogType::Intent, "n", intent("kill"))]).await;
        let replica = recovered(left, &simulation, &config).await;
        assert_eq!(replica.words(1).await, ["kill unknown"]);
        assert_eq!((sent(&simulation), replica.pages().await.len()), (0, 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_by_an_action_that_is_no_longer_configured_pages_somebody() {
    let simulation = simulation();
    let config = CONFIG.replace("{name: kill, action: kill,", "{name: kill, action: sweep,");
    let records = [(LogType::Intent, "n", intent_on_target("kill")), (LogType::Result, "n", result("changed"))];
    let replica = recovered(left_behind("kill", NO_TIME, &records).await, &simulation, &config).await;
    assert_eq!(replica.words(1).await, ["kill done"]);
    assert_eq!((sent(&simulation), replica.pages().await.len()), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_steps_after_one_that_was_cut_off_are_taken_up() {
    let simulation = simulation();
    // The first step's delete was answered; its entry was not written.
    let records = [(LogType::Intent, "n", intent_on_target("sweep")), (LogType::Result, "n", result("changed"))];
    let replica = recovered(left_behind("both", NO_TIME, &records).await, &simulation, CONFIG).await;
    assert_eq!(replica.words(3).await, ["sweep done", "kill done", "tell failed/denied"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_whose_rule_has_nothing_left_to_do_leaves_the_inbox() {
    let simulation = simulation();
    // There was a second action when the last run concluded the first.
    let entry = json!({"action": "kill", "outcome": "done"});
    let left = left_behind("kill", NO_TIME, &[(LogType::Entry, "n", entry)]).await;
    let replica = recovered(left, &simulation, CONFIG).await;
    assert_eq!(replica.words(0).await, [""; 0]);
    assert_eq!(sent(&simulation), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_of_actions_that_has_begun_ends_as_it_began_whatever_is_configured_meanwhile() {
    let simulation = simulation();
    let replica = replica(&simulation, &plugins()).await;
    // The second action waits for an answer about its pod.
    let (path_prefix, kind) =
        ("/api/v1/namespaces/production/pods/b".to_owned(), FaultKind::Refuse(StatusCode::SERVICE_UNAVAILABLE));
    simulation.inject(Fault { method: Method::GET, path_prefix, times: 4, kind });
    replica.offer(alert("both", "b")).await;
    while replica.records().await.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let shorter =
        CONFIG.replace("[{action: sweep}, {action: kill, on_failure: continue}, {action: tell}]", "[{action: tell}]");
    replica.responder.install(rules(&plugins(), &shorter).await);
    // The sweep's `a` is gone, so the kill, which is written for it, finds nothing.
    assert_eq!(replica.words(3).await, ["sweep done", "kill failed/denied", "tell failed/denied"]);
    replica.offer(alert("both", "a")).await;
    assert_eq!(replica.words(4).await[3], "tell failed/denied", "what comes later is under the new one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_forbidden_meanwhile_is_not_done_by_a_list_that_began_before() {
    for (from, to, expected) in [
        ("allowed_namespaces: [production]", "allowed_namespaces: [staging]", "kill refused namespace_not_allowed"),
        ("dryrun: false", "dryrun: true", "kill done"),
        ("- name: both", "- name: another", "kill done"),
    ] {
        let simulation = simulation();
        let (replica, begun) = list_that_waits(&simulation).await;
        replica.responder.install(rules(&plugins(), &begun.replace(from, to)).await);
        assert_eq!(replica.words(3).await[1], expected, "{to}");
        let live =
            simulation.requests().iter().any(|seen| seen.method == Method::DELETE && seen.body["dryRun"].is_null());
        assert!(!live, "{to}: nothing live is sent any more");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_further_step_is_started_once_the_controller_is_to_end() {
    let simulation = simulation();
    let replica = replica(&simulation, &plugins()).await;
    refuse(&simulation, Method::DELETE, 2);
    replica.offer(alert("both", "a")).await;
    while sent(&simulation) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(replica.responder.drain(Duration::from_secs(5)).await, "the step that runs ends in time");
    let words: Vec<_> = replica.records().await.iter().map(|(_, body)| word(body)).collect();
    assert_eq!((words, replica.inbox().await), (vec!["sweep done".to_owned()], 1));
    replica.journal.close().await;
    let next = recovered(replica.directory, &simulation, CONFIG).await;
    assert_eq!(next.words(3).await, ["sweep done", "kill refused pod_absent", "tell failed/denied"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_call_stops_the_steps_after_it() {
    let simulation = simulation();
    let left = left_behind("both", NO_TIME, &[(LogType::Intent, "n", intent("sweep"))]).await;
    let replica = recovered(left, &simulation, CONFIG).await;
    assert_eq!(replica.words(1).await, ["sweep unknown"]);
    assert_eq!((sent(&simulation), replica.records().await.len()), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_action_that_comes_twice_is_concluded_once_for_each_time() {
    let simulation = simulation();
    let config =
        CONFIG.replace("[{action: sweep}, {action: kill, on_failure: continue}", "[{action: sweep}, {action: sweep}");
    let entry = json!({"action": "sweep", "outcome": "done"});
    let left = left_behind("both", NO_TIME, &[(LogType::Entry, "n", entry)]).await;
    let replica = recovered(left, &simulation, &config).await;
    assert_eq!(replica.words(2).await, ["sweep done", "tell failed/denied"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_known_not_to_have_been_sent_is_tried_again() {
    let simulation = simulation();
    let records = [(LogType::Intent, "n", intent("kill")), (LogType::Result, "n", result("not_sent"))];
    let replica = recovered(left_behind("kill", NO_TIME, &records).await, &simulation, CONFIG).await;
    assert_eq!(replica.words(1).await, ["kill done"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn freshness_is_judged_at_receipt_and_an_alert_older_than_max_recovery_age_is_paged_instead() {
    let simulation = simulation();
    let nine = jiff::SignedDuration::from_mins(9);
    // Its own time is later than its receipt here, as far as a node's clock may be wrong; that is not what is tested.
    let config = format!("{CONFIG}\nmax_alert_age: 1m\n");
    let old = left_behind("kill", jiff::SignedDuration::from_mins(11), &[]).await;
    let replica = recovered(old, &simulation, &config).await;
    assert_eq!(replica.words(1).await, ["kill failed too_late"]);
    assert_eq!((sent(&simulation), replica.pages().await.len()), (0, 1));
    let replica = recovered(left_behind("kill", nine, &[]).await, &simulation, &config).await;
    assert_eq!(replica.words(1).await, ["kill refused from_the_future"], "judged by the time of receipt");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_takes_no_writes_holds_nothing_but_what_it_must_and_shutdown_ends_in_time() {
    let simulation = simulation();
    let replica = replica(&simulation, &plugins()).await;
    replica.offer(alert("kill", "b")).await;
    replica.words(1).await;
    // Another process holds the write lock: every commit waits for it and fails.
    let holder = rusqlite::Connection::open(replica.directory.path().join("journal.db")).expect("opens");
    holder.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let offer = replica.responder.offer(alert("kill", "a"), jiff::Timestamp::now());
    assert!(tokio::time::timeout(Duration::from_millis(300), offer).await.is_err(), "no 2xx");
    assert_eq!(sent(&simulation), 0);
    let started = std::time::Instant::now();
    replica.responder.drain(Duration::from_millis(500)).await;
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    drop(holder);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_controller_on_the_same_journal_is_turned_away() {
    let simulation = simulation();
    let replica = replica(&simulation, &plugins()).await;
    let path = replica.directory.path().join("journal.db");
    let error = Journal::open(&path, &Ambient::system()).err().expect("taken").to_string();
    assert!(error.contains("another controller"), "{error}");
    assert!(crate::journal::Store::open(&path, &Ambient::system()).is_ok(), "a command may look and append");
    replica.journal.close().await;
    assert!(Journal::open(&path, &Ambient::system()).is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_without_an_answer_is_unknown_paged_and_looked_after() {
    let simulation = simulation();
    let replica = replica(&simulation, &plugins()).await;
    let kind = FaultKind::LoseAnswer;
    simulation.inject(Fault { method: Method::DELETE, path_prefix: "/".to_owned(), times: 3, kind });
    replica.offer(alert("kill", "a")).await;
    assert_eq!(replica.words(1).await, ["kill unknown"]);
    assert!(replica.responder.drain(Duration::from_secs(5)).await);
    let parcels = replica.journal.parcels("records", 10).await.expect("readable");
    let followup = parcels.iter().find_map(|parcel| match &parcel.content {
        Content::Record { record, .. } if record.log_type == LogType::Followup => record.body.get("followup"),
        _ => None,
    });
    assert_eq!((followup, replica.pages().await.len()), (Some(&json!("gone")), 1));
}

/// The intent of a kill of the pod `a`, sent in vain or not.
fn intent_of_a(action: &str, uid: &str) -> Value {
    let mut intent = intent(action);
    intent["path"] = json!("/api/v1/namespaces/production/pods/a");
    intent["uid"] = json!(uid);
    intent["event_id"] = json!("e");
    intent
}

fn uid_of_a(simulation: &Simulation) -> String {
    let pod = simulation.object("/api/v1/namespaces/production/pods/a").expect("it is there");
    pod["metadata"]["uid"].as_str().expect("it has one").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_without_effect_is_started_again_only_where_the_manifest_allows_it() {
    for (action, expected, sent_again) in [("kill", "kill done", 1), ("once", "once failed/not_sent", 0)] {
        let simulation = simulation();
        let records = [(LogType::Intent, "n", intent_of_a(action, &uid_of_a(&simulation)))];
        let replica = recovered(left_behind(action, NO_TIME, &records).await, &simulation, CONFIG).await;
        assert_eq!(replica.words(1).await, [expected]);
        assert_eq!(sent(&simulation), sent_again);
        if sent_again == 0 {
            assert_eq!((replica.pages().await.len(), &replica.records().await[0].1["sent_at"]), (1, &Value::Null));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_of_another_uid_is_never_the_one_that_was_announced() {
    let simulation = simulation();
    let records = [(LogType::Intent, "n", intent_of_a("kill", "another"))];
    let replica = recovered(left_behind("kill", NO_TIME, &records).await, &simulation, CONFIG).await;
    assert_eq!(replica.words(1).await, ["kill done"], "the one that was announced is gone");
    assert_eq!(sent(&simulation), 0, "and the one that has its name is left alone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_announced_dry_run_is_unknown_and_nobody_is_paged() {
    let simulation = simulation();
    let mut intent = intent_of_a("kill", "u");
    intent["dry_run"] = json!(true);
    let left = left_behind("dry", NO_TIME, &[(LogType::Intent, "n", intent)]).await;
    let replica = recovered(left, &simulation, CONFIG).await;
    assert_eq!(replica.words(1).await, ["kill unknown"]);
    assert_eq!((&replica.records().await[0].1["dry_run"], replica.pages().await.len()), (&json!(true), 0));
}
