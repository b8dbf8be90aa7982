use super::*;
use crate::journal::chain::Row;

fn record(log_type: LogType, entry_id: Option<&str>, body: Value) -> Record {
    let row = Row {
        seq: 1,
        prev_hash: String::new(),
        hash: String::new(),
        log_type: log_type.as_str().to_owned(),
        event_id: "event".to_owned(),
        entry_id: entry_id.map(str::to_owned),
        body: body.to_string(),
    };
    Record::read(row).expect("it is a record")
}

fn entry(entry_id: &str, action_id: &str, more: Value) -> Record {
    let mut body = json!({"timestamp": "2026-11-24T12:00:00Z", "action": "kill_pod", "namespace": "production",
        "pod": "a", "rule": "Miner", "dry_run": false, "outcome": "done", "action_id": action_id});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    record(LogType::Entry, Some(entry_id), body)
}

fn report(records: Vec<Record>) -> Report {
    let now = "2026-11-25T10:00:00Z".parse().unwrap();
    let week = Week::parse("2026-W48", now).unwrap();
    let mut gathered = Gathered::default();
    records.into_iter().for_each(|record| gathered.add(record, &week));
    gathered.report(now)
}

#[test]
fn the_same_change_counts_once_and_a_dry_run_apart() {
    let report = report(vec![
        entry("one", "x", json!({})),
        entry("two", "x", json!({})),
        entry("two", "x", json!({})),
        entry("three", "y", json!({})),
        entry("four", "z", json!({"dry_run": true})),
        entry("five", "z", json!({"outcome": "failed", "failure": "api"})),
        entry("six", "v", json!({"timestamp": "2026-11-30T00:00:00Z"})),
    ]);
    let counts: Vec<_> =
        report.actions.iter().map(|(key, count)| (key[3].as_str(), count.distinct.len(), count.entries)).collect();
    assert_eq!(counts, [("done", 2, 3), ("failed api", 1, 1)]);
    assert_eq!(report.dry_runs.len(), 1);
    assert_eq!(report.not_annotated, 4);
}

#[test]
fn customer_facing_entries_are_missing_until_annotated_and_overdue_after_their_time() {
    let by = |at: &str| json!({"customer_facing": true, "annotate_by": at});
    let report = report(vec![
        entry("late", "x", by("2026-11-25T09:00:00Z")),
        entry("due", "y", by("2026-11-25T11:00:00Z")),
        entry("explained", "z", by("2026-11-25T09:00:00Z")),
        entry("other", "v", json!({"changed": true})),
        entry("nothing", "w", json!({"outcome": "skipped", "changed": false})),
        record(LogType::Annotation, Some("explained"), json!({"timestamp": "2026-12-24T12:00:00Z"})),
        record(
            LogType::Decision,
            None,
            json!({"timestamp": "2026-11-24T12:00:00Z", "decision": "refused", "check": "stale"}),
        ),
    ]);
    let overdue = |one: &Missing| one.annotate_by.as_ref().map(|(_, overdue)| *overdue);
    let missing: Vec<_> = report.missing.iter().map(|one| (one.entry_id.as_str(), overdue(one))).collect();
    assert_eq!(missing, [("late", Some(true)), ("due", Some(false)), ("other", None)]);
    assert_eq!((report.annotated, report.not_annotated), (1, 4));
    assert_eq!(report.refusals.values().sum::<usize>(), 1);
    let mut text = Vec::new();
    let week = Week::parse("2026-W48", Timestamp::UNIX_EPOCH).unwrap();
    report.text(&week, &mut text).unwrap();
    insta::assert_snapshot!(String::from_utf8(text).unwrap());
}
