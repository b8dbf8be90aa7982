use jiff::SignedDuration;

use super::*;

const HOUR: SignedDuration = SignedDuration::from_hours(1);

fn keep(hours: u64) -> Bounds {
    let span = std::time::Duration::from_secs(hours * 3600);
    Bounds { keep: Some(span), keep_alerts: Some(span), destinations: vec!["graylog".into()], ..Bounds::default() }
}

fn dated(place: &Place, number: usize) -> Write {
    let id = format!("entry-{number}");
    let now = place.ambient.now().to_string();
    record(LogType::Entry, &format!("event-{number}"), Some(&id), json!({"timestamp": now, "action": "kill_pod"}))
}

/// An entry an hour, from now on.
fn hourly(place: &Place, store: &mut Store, numbers: std::ops::Range<usize>) {
    for number in numbers {
        ok(store, vec![dated(place, number)]);
        place.wait(HOUR);
    }
}

fn retain(store: &mut Store) {
    while store.retain().unwrap() {}
}

fn seqs(store: &Store) -> Vec<u64> {
    store.rows_after(0, 10_000).unwrap().iter().map(|row| row.seq).collect()
}

#[test]
fn what_is_old_goes_and_the_rest_still_verifies_and_says_what_went() {
    let place = place();
    let mut store = place.store();
    store.keep_within(keep(100)).unwrap();
    hourly(&place, &mut store, 1..201);
    let before = store.rows_after(0, 1000).unwrap();
    retain(&mut store);
    assert_eq!(seqs(&store), (101..=201).collect::<Vec<_>>());
    assert_eq!(store.verify().unwrap().unwrap().seq, 201);
    let said: Value = serde_json::from_str(&store.rows_after(200, 1).unwrap()[0].body).unwrap();
    assert_eq!((said["first_seq"].as_u64(), said["last_seq"].as_u64()), (Some(1), Some(100)));
    assert_eq!(said["last_hash"], before[99].hash);
    assert_eq!(store.parcels("graylog", 10).unwrap().len(), 1, "the record of it is shipped");
    // It opens, goes on and is removed from again.
    drop(store);
    let mut store = place.store();
    store.keep_within(keep(100)).unwrap();
    let parcel = store.parcels("graylog", 1).unwrap()[0].id;
    store.settle(parcel, None).unwrap();
    hourly(&place, &mut store, 201..402);
    retain(&mut store);
    assert!(store.verify().unwrap().is_ok());
    assert!(seqs(&store).len() < 110, "{:?}", seqs(&store));
}

#[test]
fn what_was_not_delivered_or_is_still_worked_on_stays_with_all_that_follows() {
    for hold in [
        "INSERT INTO outbox (destination, created_at, seq) VALUES ('graylog', '2026-11-24T02:00:00Z', 120)",
        "INSERT INTO inbox (event_id, received_at, body) VALUES ('event-120', '2026-11-24T02:00:00Z', '{}')",
    ] {
        let place = place();
        let mut store = place.store();
        store.keep_within(keep(10)).unwrap();
        hourly(&place, &mut store, 1..201);
        place.sql(hold);
        retain(&mut store);
        assert_eq!(seqs(&store)[0], 120, "{hold}");
        place.sql("UPDATE outbox SET settled = 1; UPDATE inbox SET finished = 1");
        retain(&mut store);
        assert!(seqs(&store)[0] > 180, "{hold}");
        assert!(store.verify().unwrap().is_ok());
    }
}

#[test]
fn a_few_old_records_wait_for_more_and_not_for_ever() {
    let place = place();
    let mut store = place.store();
    store.keep_within(keep(160)).unwrap();
    hourly(&place, &mut store, 1..4);
    place.wait(HOUR * 160);
    retain(&mut store);
    assert_eq!(seqs(&store), [1, 2, 3]);
    place.wait(HOUR * 10);
    retain(&mut store);
    assert_eq!(seqs(&store), [4], "only the record of it is left");
    assert!(store.verify().unwrap().is_ok());
}

#[test]
fn attachments_reminders_finished_alerts_and_settled_pages_go_as_well() {
    let place = place();
    let mut store = place.store();
    store.keep_within(keep(10)).unwrap();
    let attachment = Write::Attach {
        entry_id: "entry-1".into(),
        name: "log".into(),
        media_type: "text/plain".into(),
        sha256: "x".into(),
        content: vec![1, 2, 3],
    };
    let due = Write::Due { entry_id: "entry-1".into(), by: place.ambient.now() };
    ok(&mut store, vec![accept("event-1", Some("one")), dated(&place, 1), ship(), attachment, due, send(1)]);
    ok(&mut store, vec![accept("event-2", Some("two"))]);
    ok(&mut store, vec![Write::Finish { event_id: "event-1".into() }]);
    for destination in ["graylog", "pagerduty"] {
        let id = store.parcels(destination, 1).unwrap()[0].id;
        store.settle(id, None).unwrap();
    }
    place.wait(HOUR * 12);
    retain(&mut store);
    let count = |table: &str| {
        let connection = rusqlite::Connection::open(&place.path).unwrap();
        connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(["attachments", "due"].map(count), [0, 0]);
    assert_eq!(count("inbox"), 1, "the alert that is worked on");
    assert_eq!(count("outbox"), 1, "the record of retention");
    assert_eq!(ok(&mut store, vec![accept("event-3", Some("one"))]).duplicates, 0, "it is not known any more");
}

#[test]
fn a_removal_that_nothing_explains_is_found() {
    let place = place();
    let mut store = place.store();
    store.keep_within(keep(100)).unwrap();
    hourly(&place, &mut store, 1..201);
    retain(&mut store);
    let broken = |store: &Store| store.verify().unwrap().unwrap_err();
    // More than retention has removed.
    place.sql("DELETE FROM chain WHERE seq = 101");
    assert_eq!(broken(&store), chain::Broken { seq: 101, fault: Fault::Missing });
    // And the note of it moved along.
    place.sql("UPDATE meta SET pruned_seq = 101, pruned_hash = (SELECT prev_hash FROM chain WHERE seq = 102)");
    assert_eq!(broken(&store), chain::Broken { seq: 102, fault: Fault::Unexplained });
    // Something put where nothing is.
    place.sql("INSERT INTO chain VALUES (7, '', '', 'falco-response-decision', 'e', NULL, '{}')");
    assert_eq!(broken(&store), chain::Broken { seq: 7, fault: Fault::Removed });
}

#[tokio::test]
async fn the_thread_removes_by_itself_and_takes_writes_meanwhile() {
    let place = place();
    let mut store = place.store();
    for number in 0..1000 {
        ok(&mut store, vec![dated(&place, number)]);
    }
    drop(store);
    place.wait(HOUR * 12);
    let journal = Journal::open_within(&place.path, &place.ambient, keep(10)).unwrap();
    let reader = place.store();
    let gone = async {
        while reader.rows_after(0, 1).unwrap()[0].seq <= 1000 {
            journal.commit(vec![dated(&place, 1)]).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), gone).await.unwrap();
    assert!(reader.verify().unwrap().is_ok());
}

#[test]
fn what_waits_first_is_found_at_once_however_much_waits() {
    let place = place();
    let mut store = place.store();
    let to = |destination: &str| Write::Ship { destination: destination.into() };
    // Both are away; one has taken the first two, the other one more.
    let batches: Vec<_> = (1..2001).map(|number| vec![entry(number), to("graylog"), to("other")]).collect();
    store.commit(&batches).into_iter().for_each(|answer| assert!(answer.is_ok()));
    for parcel in store.parcels("other", 2).unwrap() {
        store.settle(parcel.id, None).unwrap();
    }
    for parcel in store.parcels("graylog", 3).unwrap() {
        store.settle(parcel.id, None).unwrap();
    }
    let connection = rusqlite::Connection::open(&place.path).unwrap();
    let mut statement = connection.prepare(super::super::retention::WAITING).unwrap();
    let first: Option<i64> = statement.query_row([], |row| row.get(0)).unwrap();
    assert_eq!(first, Some(3));
    let steps = statement.get_status(rusqlite::StatementStatus::VmStep);
    assert!(steps < 500, "{steps}");
    drop(statement);
    place.sql("UPDATE outbox SET settled = 1");
    let none = connection.query_row(super::super::retention::WAITING, [], |row| row.get::<_, Option<i64>>(0));
    assert_eq!(none.unwrap(), None);
}
