use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;
use tempfile::TempDir;

use super::chain::Fault;
use super::*;
use crate::ambient::{Ambient, fixed};

mod bounds;
mod damage;
mod due;
mod recent;
mod retention;
mod versions;
mod written_back;

struct Place {
    _directory: TempDir,
    path: PathBuf,
    ambient: Ambient,
    clock: Arc<fixed::FixedClock>,
}

fn place() -> Place {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("journal.sqlite");
    let (ambient, clock) = fixed::at("2026-11-24T02:00:00Z");
    Place { _directory: directory, path, ambient, clock }
}

impl Place {
    fn store(&self) -> Store {
        Store::open(&self.path, &self.ambient).unwrap()
    }

    fn journal(&self) -> Journal {
        Journal::open(&self.path, &self.ambient).unwrap()
    }

    fn wait(&self, span: jiff::SignedDuration) {
        *self.clock.0.lock().unwrap() += span;
    }

    fn sql(&self, sql: &str) {
        rusqlite::Connection::open(&self.path).unwrap().execute_batch(sql).unwrap();
    }
}

fn record(log_type: LogType, event_id: &str, entry_id: Option<&str>, body: Value) -> Write {
    let Value::Object(body) = body else { panic!("{body} is no object") };
    Write::Record(Record { log_type, event_id: event_id.into(), entry_id: entry_id.map(Into::into), body })
}

fn entry(number: usize) -> Write {
    let id = format!("entry-{number}");
    record(LogType::Entry, &format!("event-{number}"), Some(&id), json!({"action": "kill_pod", "number": number}))
}

fn accept(event_id: &str, alert_uuid: Option<&str>) -> Write {
    Write::Accept(NewAlert {
        event_id: event_id.into(),
        alert_uuid: alert_uuid.map(Into::into),
        fingerprint: None,
        received_at: "2026-11-24T01:59:59.123456789Z".parse().unwrap(),
        body: format!(r#"{{"rule":"{event_id}"}}"#).into(),
    })
}

fn ship() -> Write {
    Write::Ship { destination: "graylog".into() }
}

fn send(number: usize) -> Write {
    Write::Send { destination: "pagerduty".into(), payload: json!({"z": number, "a": 1}) }
}

fn ok(store: &mut Store, batch: Vec<Write>) -> Committed {
    store.commit(&[batch]).remove(0).unwrap()
}

#[test]
fn a_new_file_is_private_and_its_empty_chain_is_whole() {
    let place = place();
    let store = place.store();
    assert_eq!(fs::metadata(&place.path).unwrap().permissions().mode() & 0o777, 0o600);
    let wal = place.path.with_extension("sqlite-wal");
    assert_eq!(fs::metadata(wal).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(store.verify().unwrap().unwrap().seq, 0);
}

#[test]
fn what_was_committed_is_there_after_reopening() {
    let place = place();
    let (chain_id, head) = {
        let mut store = place.store();
        ok(&mut store, vec![accept("event-1", Some("uuid-1")), entry(1), ship()]);
        store.head().unwrap()
    };
    let store = place.store();
    assert_eq!(store.head().unwrap(), (chain_id, head.clone()));
    assert_eq!(store.verify().unwrap().unwrap(), head);
    let unfinished = store.unfinished().unwrap();
    let Write::Accept(expected) = accept("event-1", Some("uuid-1")) else { unreachable!() };
    assert_eq!(unfinished[0].alert, expected);
    assert_eq!(store.parcels("graylog", 10).unwrap().len(), 1);
}

#[test]
fn a_batch_that_fails_leaves_its_neighbours_and_nothing_of_itself() {
    let place = place();
    let mut store = place.store();
    let answers = store.commit(&[
        vec![entry(1)],
        // The second alert has the first one's event id, but not its alert's.
        vec![entry(2), accept("event", Some("one")), accept("event", Some("other"))],
        vec![ship()],
        vec![entry(3)],
    ]);
    assert!(answers[0].is_ok() && answers[3].is_ok(), "{answers:?}");
    assert!(matches!(&answers[1], Err(JournalError::Write(message)) if message.contains("event_id")), "{answers:?}");
    assert!(matches!(&answers[2], Err(JournalError::Write(message)) if message.contains("graylog")), "{answers:?}");
    assert!(store.takes_writes(), "a caller's mistake says nothing about the disk");
    let bodies: Vec<_> = store.rows_after(0, 10).unwrap().into_iter().map(|row| (row.seq, row.body)).collect();
    assert_eq!(
        bodies,
        [(1, r#"{"action":"kill_pod","number":1}"#.to_owned()), (2, r#"{"action":"kill_pod","number":3}"#.to_owned())]
    );
    assert!(store.unfinished().unwrap().is_empty());
}

#[test]
fn an_alert_that_is_known_is_counted_and_not_stored_even_when_it_is_finished() {
    let place = place();
    let mut store = place.store();
    assert_eq!(ok(&mut store, vec![accept("event-1", Some("same"))]).duplicates, 0);
    assert_eq!(ok(&mut store, vec![accept("event-2", Some("same")), accept("event-3", None)]).duplicates, 1);
    assert_eq!(ok(&mut store, vec![accept("event-4", None)]).duplicates, 0, "alerts without an id are all new");
    ok(&mut store, vec![Write::Finish { event_id: "event-1".into() }]);
    assert_eq!(ok(&mut store, vec![accept("event-5", Some("same"))]).duplicates, 1);
    let waiting: Vec<_> = store.unfinished().unwrap().into_iter().map(|one| one.alert.event_id).collect();
    assert_eq!(waiting, ["event-3", "event-4"]);
    drop(store);
    let connection = rusqlite::Connection::open(&place.path).unwrap();
    let body: String =
        connection.query_row("SELECT body FROM inbox WHERE event_id = 'event-1'", [], |row| row.get(0)).unwrap();
    assert_eq!(body, "", "a finished alert's text is not kept");
}

#[test]
fn an_alert_under_another_id_is_known_by_its_fingerprint_also_after_a_restart() {
    let place = place();
    let of = |event_id: &str, uuid: &str, fingerprint: &str| {
        let Write::Accept(alert) = accept(event_id, Some(uuid)) else { unreachable!() };
        vec![Write::Accept(NewAlert { fingerprint: Some(fingerprint.to_owned()), ..alert })]
    };
    let mut store = place.store();
    // Two at the same time are in one transaction.
    let answers = store.commit(&[of("event-1", "a", "same"), of("event-2", "b", "same")]);
    assert_eq!(answers.into_iter().map(|answer| answer.unwrap().duplicates).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(store.unfinished().unwrap()[0].alert.fingerprint.as_deref(), Some("same"));
    ok(&mut store, vec![Write::Finish { event_id: "event-1".into() }]);
    drop(store);
    let mut store = place.store();
    assert_eq!(ok(&mut store, of("event-3", "c", "same")).duplicates, 1);
    assert_eq!(ok(&mut store, of("event-4", "a", "other")).duplicates, 1);
    assert_eq!(ok(&mut store, of("event-5", "d", "other")).duplicates, 0);
}

#[test]
fn an_unfinished_alert_comes_with_what_was_begun_and_what_was_concluded() {
    let place = place();
    let mut store = place.store();
    ok(&mut store, vec![accept("event", None)]);
    ok(&mut store, vec![record(LogType::Intent, "event", Some("a"), json!({"call": 1, "uri": "/one"}))]);
    ok(&mut store, vec![record(LogType::Result, "event", Some("a"), json!({"call": 1, "status": 200}))]);
    ok(&mut store, vec![record(LogType::Entry, "event", Some("a"), json!({"action": "kill_pod"}))]);
    ok(&mut store, vec![record(LogType::Decision, "event", None, json!({"action": "capture"}))]);
    ok(&mut store, vec![record(LogType::Intent, "event", Some("b"), json!({"call": 1, "uri": "/two"}))]);
    ok(&mut store, vec![record(LogType::Result, "event", Some("b"), json!({"call": 1, "status": 201}))]);
    ok(&mut store, vec![record(LogType::Intent, "event", Some("b"), json!({"call": 2, "uri": "/three"}))]);
    ok(&mut store, vec![record(LogType::Intent, "another", Some("c"), json!({"call": 1}))]);
    let found = store.unfinished().unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].concluded, ["kill_pod", "capture"]);
    let intents: Vec<_> = found[0]
        .intents
        .iter()
        .map(|one| {
            let status = one.result.as_ref().map(|result| result["status"].clone());
            (one.entry_id.as_str(), one.intent["uri"].as_str().unwrap(), status)
        })
        .collect();
    assert_eq!(intents, [("b", "/two", Some(json!(201))), ("b", "/three", None)]);
}

#[test]
fn parcels_wait_in_order_for_each_destination_until_they_are_settled() {
    let place = place();
    let mut store = place.store();
    ok(&mut store, vec![entry(1), ship(), send(1)]);
    ok(&mut store, vec![entry(2), entry(3), ship()]);
    ok(&mut store, vec![send(2)]);
    let graylog = store.parcels("graylog", 10).unwrap();
    let rows = store.rows_after(0, 10).unwrap();
    let shipped: Vec<_> = graylog
        .iter()
        .map(|parcel| match &parcel.content {
            Content::Record { record, chain } => {
                let row = &rows[usize::try_from(chain.seq).unwrap() - 1];
                assert_eq!((&chain.hash, &chain.prev_hash), (&row.hash, &row.prev_hash));
                assert_eq!(chain.chain_id, store.head().unwrap().0);
                assert_eq!(serde_json::to_string(&record.body).unwrap(), row.body);
                record.entry_id.clone().unwrap()
            }
            Content::Payload(payload) => panic!("{payload}"),
        })
        .collect();
    assert_eq!(shipped, ["entry-1", "entry-3"], "the batch's latest record is what is shipped");
    let pages = store.parcels("pagerduty", 1).unwrap();
    assert_eq!(pages.len(), 1);
    let Content::Payload(payload) = &pages[0].content else { panic!("{pages:?}") };
    assert_eq!(payload.to_string(), r#"{"z":1,"a":1}"#);
    store.settle(pages[0].id, None).unwrap();
    store.settle(graylog[1].id, Some("refused")).unwrap();
    assert_eq!(store.parcels("graylog", 10).unwrap(), graylog[..1]);
    let left = store.parcels("pagerduty", 10).unwrap();
    assert_eq!(
        left.iter().map(|parcel| &parcel.content).collect::<Vec<_>>(),
        [&Content::Payload(json!({"z": 2, "a": 1}))]
    );
}

#[test]
fn two_handles_on_one_file_keep_one_chain() {
    let place = place();
    let handles = [place.store(), place.store()];
    std::thread::scope(|scope| {
        for mut store in handles {
            scope.spawn(move || {
                for number in 0..50 {
                    ok(&mut store, vec![entry(number)]);
                }
            });
        }
    });
    assert_eq!(place.store().verify().unwrap().unwrap().seq, 100);
}

#[test]
fn a_newer_schema_is_refused() {
    let place = place();
    drop(place.store());
    place.sql("PRAGMA user_version = 7");
    let error = Store::open(&place.path, &place.ambient).err().unwrap();
    assert!(matches!(error, JournalError::Newer { found: 7, known: schema::VERSION, .. }), "{error}");
}

#[test]
fn files_that_are_no_journal_are_refused_and_left_as_they_were() {
    let place = place();
    let refused = || {
        let before = fs::read(&place.path).unwrap();
        let error = Store::open(&place.path, &place.ambient).err().unwrap().to_string();
        assert_eq!(fs::read(&place.path).unwrap(), before);
        error
    };
    fs::write(&place.path, "not a database, and longer than its magic bytes").unwrap();
    assert!(refused().contains("no SQLite database"));
    fs::write(&place.path, "short").unwrap();
    assert!(refused().contains("no SQLite database"));
    fs::remove_file(&place.path).unwrap();
    place.sql("CREATE TABLE theirs (id INTEGER)");
    assert!(refused().contains("another program's database"));
}

#[test]
fn a_missing_directory_is_named_with_its_remedy() {
    let place = place();
    let path = place.path.with_file_name("missing").join("journal.sqlite");
    let error = Store::open(&path, &place.ambient).err().unwrap().to_string();
    assert!(error.contains("missing does not exist: create it, or mount a volume there"), "{error}");
}

#[test]
fn an_empty_file_becomes_a_journal() {
    let place = place();
    fs::write(&place.path, "").unwrap();
    ok(&mut place.store(), vec![entry(1)]);
}

#[test]
fn a_change_in_the_file_a_cut_and_a_gap_are_found() {
    for (sql, seq, fault) in [
        ("UPDATE chain SET body = replace(body, 'kill', 'pull') WHERE seq = 2", 2, Fault::Changed),
        ("DELETE FROM chain WHERE seq = 2", 2, Fault::Missing),
        ("DELETE FROM chain WHERE seq = 3", 3, Fault::Missing),
    ] {
        let place = place();
        let mut store = place.store();
        ok(&mut store, vec![entry(1), entry(2), entry(3)]);
        place.sql(sql);
        assert_eq!(store.verify().unwrap().unwrap_err(), chain::Broken { seq, fault }, "{sql}");
        // Writing on does not cover it.
        ok(&mut store, vec![entry(4)]);
        assert_eq!(store.verify().unwrap().unwrap_err(), chain::Broken { seq, fault }, "{sql}");
    }
}

#[test]
fn no_query_walks_a_whole_table() {
    let place = place();
    drop(place.store());
    let connection = rusqlite::Connection::open(&place.path).unwrap();
    let retention = [super::retention::OLDEST, super::retention::OLD_PAGES];
    let inbox = [inbox::UNFINISHED, inbox::UNFINISHED_ONE, inbox::RECORDS, inbox::ENTRY, inbox::FINISH];
    let outbox = [outbox::WAITING, outbox::SETTLE];
    let due = [super::due::LATE, super::due::COUNT];
    for sql in retention.into_iter().chain(inbox).chain(outbox).chain(due) {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let parameters = vec!["1"; statement.parameter_count()];
        let plan: Vec<String> = statement
            .query_map(rusqlite::params_from_iter(parameters), |row| row.get("detail"))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        for step in plan {
            // The partial index holds nothing but what is unfinished.
            assert!(!step.contains("SCAN") || step.contains("inbox_unfinished"), "{sql}: {step}");
            assert!(!step.contains("TEMP B-TREE"), "{sql}: {step}");
        }
    }
}

/// SQLite's own steps, which a machine's load does not change.
#[test]
fn an_alert_takes_as_many_steps_in_a_full_journal_as_in_an_empty_one() {
    let place = place();
    let mut store = place.store();
    let connection = rusqlite::Connection::open(&place.path).unwrap();
    let steps = |number: usize| {
        let mut counted = Vec::new();
        let id = format!("counted-{number}");
        for (sql, given) in [
            (inbox::ACCEPT, vec![id.as_str(), &id, "2026-11-24T01:59:59Z", "{}", &id]),
            (inbox::FINISH, vec![&id]),
            (outbox::SETTLE, vec!["0", "never"]),
        ] {
            let mut statement = connection.prepare(sql).unwrap();
            statement.execute(rusqlite::params_from_iter(given)).unwrap();
            assert_eq!(statement.get_status(rusqlite::StatementStatus::FullscanStep), 0, "{sql}");
            counted.push(statement.get_status(rusqlite::StatementStatus::VmStep));
        }
        counted
    };
    let empty = steps(0);
    let full: Vec<_> = (0..5000)
        .map(|number| vec![accept(&format!("event-{number}"), Some(&format!("uuid-{number}"))), entry(number), ship()])
        .collect();
    store.commit(&full).into_iter().for_each(|answer| assert!(answer.is_ok()));
    assert_eq!(steps(1), empty);
}

#[test]
fn one_statement_that_fails_by_itself_leaves_the_others_of_its_group() {
    let place = place();
    let mut store = place.store();
    // The same event under another alert's id, which nothing but a mistake of ours would bring.
    let group = [vec![accept("a", Some("u-1"))], vec![accept("a", Some("u-2"))], vec![accept("b", Some("u-3"))]];
    let answers = store.commit(&group);
    assert!(matches!(&answers[..], [Ok(_), Err(JournalError::Write(_)), Ok(_)]), "{answers:?}");
    let inbox: Vec<_> = store.unfinished().unwrap().into_iter().map(|unfinished| unfinished.alert.alert_uuid).collect();
    assert_eq!(inbox, [Some("u-1".to_owned()), Some("u-3".to_owned())]);
}

#[tokio::test]
async fn callers_at_the_same_time_share_transactions() {
    let place = place();
    let journal = place.journal();
    let before = journal.transactions();
    let all = (0..64).map(|number| {
        let journal = journal.clone();
        tokio::spawn(async move { journal.commit(vec![entry(number)]).await })
    });
    for task in all.collect::<Vec<_>>() {
        task.await.unwrap().unwrap();
    }
    let used = journal.transactions() - before;
    assert!((1..64).contains(&used), "{used} transactions");
    assert_eq!(place.store().verify().unwrap().unwrap().seq, 64);
}

#[tokio::test]
async fn whoever_ships_is_woken() {
    let place = place();
    let journal = place.journal();
    let notify = journal.shipped();
    let woken = notify.notified();
    tokio::pin!(woken);
    woken.as_mut().enable();
    journal.commit(vec![entry(1)]).await.unwrap();
    assert!(tokio::time::timeout(std::time::Duration::from_millis(20), woken.as_mut()).await.is_err());
    journal.commit(vec![entry(2), ship()]).await.unwrap();
    tokio::time::timeout(std::time::Duration::from_secs(5), woken).await.unwrap();
    let parcels = journal.parcels("graylog", 5).await.unwrap();
    journal.settle(vec![Settled { id: parcels[0].id, given_up: None }]).await.unwrap();
    assert!(journal.parcels("graylog", 5).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_closed_journal_has_written_everything_and_takes_no_more() {
    let place = place();
    let journal = place.journal();
    let waiting: Vec<_> = (0..20)
        .map(|number| {
            let journal = journal.clone();
            tokio::spawn(async move { journal.commit(vec![entry(number)]).await })
        })
        .collect();
    tokio::task::yield_now().await;
    journal.close().await;
    let mut stored = 0;
    for task in waiting {
        match task.await.unwrap() {
            Ok(_) => stored += 1,
            Err(JournalError::Closed) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert!(matches!(journal.commit(vec![]).await, Err(JournalError::Closed)));
    assert!(matches!(journal.unfinished().await, Err(JournalError::Closed)));
    assert!(!place.path.with_extension("sqlite-wal").exists());
    assert_eq!(place.store().verify().unwrap().unwrap().seq, stored);
}

#[tokio::test]
async fn a_failed_write_stores_nothing_is_reported_and_recovers_by_itself() {
    let place = place();
    let journal = place.journal();
    journal.commit(vec![entry(1)]).await.unwrap();
    // As a full disk does, this undoes the whole transaction.
    place
        .sql("CREATE TRIGGER full BEFORE UPDATE ON meta BEGIN SELECT raise(ROLLBACK, 'database or disk is full'); END");
    let error = journal.commit(vec![entry(2)]).await.unwrap_err();
    assert!(matches!(error, JournalError::Write(_)), "{error}");
    assert!(!journal.takes_writes());
    place.sql("DROP TRIGGER full");
    let recovered = async {
        while !journal.takes_writes() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), recovered).await.unwrap();
    journal.commit(vec![entry(3)]).await.unwrap();
    assert_eq!(place.store().verify().unwrap().unwrap().seq, 2);
}

mod tampering {
    use proptest::prelude::*;

    use super::super::chain::{Head, Row, genesis, hash, verify};

    const CHAIN: &str = "chain";

    fn build(contents: Vec<(String, String, Option<String>, String)>) -> Vec<Row> {
        let mut prev_hash = genesis(CHAIN);
        let mut rows = Vec::new();
        for (number, (log_type, event_id, entry_id, body)) in contents.into_iter().enumerate() {
            let mut row = Row {
                seq: number as u64 + 1,
                prev_hash: prev_hash.clone(),
                hash: String::new(),
                log_type,
                event_id,
                entry_id,
                body,
            };
            row.hash = hash(&row);
            prev_hash.clone_from(&row.hash);
            rows.push(row);
        }
        rows
    }

    fn rows() -> impl Strategy<Value = Vec<Row>> {
        let content = ("[a-c]{0,3}", "[a-c]{0,3}", proptest::option::of("[a-c]{0,3}"), "[a-c]{0,6}");
        proptest::collection::vec(content, 2..8).prop_map(build)
    }

    fn head(rows: &[Row]) -> Head {
        let last = rows.last().unwrap();
        Head { seq: last.seq, hash: last.hash.clone() }
    }

    /// One more, one fewer or another character, anywhere in the text.
    fn alter(text: &mut String, at: prop::sample::Index, how: u8) {
        let at = at.index(text.len() + 1);
        if how == 0 || at == text.len() {
            text.insert(at, 'x');
        } else if how == 1 {
            text.remove(at);
        } else {
            text.replace_range(at..=at, "x");
        }
    }

    proptest! {
        #[test]
        fn every_change_of_a_row_is_found(
            mut rows in rows(),
            which in any::<prop::sample::Index>(),
            at in any::<prop::sample::Index>(),
            field in 0..7,
            how in 0..3_u8,
        ) {
            let head = head(&rows);
            prop_assert_eq!(verify(CHAIN, &rows, Some(&head)).unwrap(), head.clone());
            let which = which.index(rows.len());
            let row = &mut rows[which];
            let seq = row.seq;
            match field {
                0 => alter(&mut row.prev_hash, at, how),
                1 => alter(&mut row.hash, at, how),
                2 => alter(&mut row.log_type, at, how),
                3 => alter(&mut row.event_id, at, how),
                4 => row.entry_id = match row.entry_id.take() {
                    None => Some(String::new()),
                    Some(id) if id.is_empty() => None,
                    Some(mut id) => { alter(&mut id, at, how); Some(id) }
                },
                5 => alter(&mut row.body, at, how),
                _ => row.seq += 1,
            }
            prop_assert_eq!(verify(CHAIN, &rows, Some(&head)).unwrap_err().seq, seq);
        }

        #[test]
        fn every_removed_row_is_found(mut rows in rows(), which in any::<prop::sample::Index>()) {
            let head = head(&rows);
            let removed = rows.remove(which.index(rows.len()));
            prop_assert_eq!(verify(CHAIN, &rows, Some(&head)).unwrap_err().seq, removed.seq);
        }

        #[test]
        fn rows_that_changed_places_are_found(
            mut rows in rows(),
            one in any::<prop::sample::Index>(),
            other in any::<prop::sample::Index>(),
            renumber in any::<bool>(),
        ) {
            let head = head(&rows);
            let (one, other) = (one.index(rows.len()), other.index(rows.len()));
            prop_assume!(one != other);
            rows.swap(one, other);
            if renumber {
                for (number, row) in rows.iter_mut().enumerate() {
                    row.seq = number as u64 + 1;
                }
            }
            prop_assert_eq!(verify(CHAIN, &rows, Some(&head)).unwrap_err().seq, one.min(other) as u64 + 1);
        }
    }
}
