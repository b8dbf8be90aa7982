use super::*;

const MEBIBYTE: usize = 1 << 20;

/// 32 MiB: the first line is at 28.
fn bounds() -> Bounds {
    Bounds { max_bytes: Some(32 << 20), ..Bounds::default() }
}

fn attach(mebibytes: usize) -> Vec<Write> {
    let attachment = Write::Attach {
        entry_id: "entry".into(),
        name: "memory".into(),
        media_type: "application/octet-stream".into(),
        sha256: String::new(),
        content: vec![1; mebibytes * MEBIBYTE],
    };
    vec![entry(1), attachment]
}

fn intent() -> Write {
    record(LogType::Intent, "event", Some("entry"), json!({"call": 1}))
}

#[test]
fn a_full_journal_begins_nothing_and_ends_what_was_begun() {
    let place = place();
    let mut store = place.store();
    store.keep_within(bounds()).unwrap();
    ok(&mut store, vec![accept("event", None), intent()]);
    for _ in 0..6 {
        ok(&mut store, attach(3));
    }
    assert!(store.takes_writes(), "{} bytes", store.used_bytes());
    for _ in 0..3 {
        ok(&mut store, attach(3));
    }
    assert!(!store.takes_writes(), "{} bytes", store.used_bytes());
    let answers = store.commit(&[
        vec![accept("another", None)],
        vec![intent()],
        vec![record(LogType::Result, "event", Some("entry"), json!({"call": 1})), entry(2), ship(), send(1)],
        vec![Write::Finish { event_id: "event".into() }],
    ]);
    assert!(matches!(answers[0], Err(JournalError::Full { max_bytes: 33_554_432, .. })), "{answers:?}");
    assert!(matches!(answers[1], Err(JournalError::Full { .. })), "{answers:?}");
    assert!(answers[2].is_ok() && answers[3].is_ok(), "{answers:?}");
    assert_eq!(store.unfinished().unwrap(), []);
    assert!(store.verify().unwrap().is_ok());
}

#[test]
fn the_file_never_outgrows_its_bound() {
    let place = place();
    let mut store = place.store();
    store.keep_within(bounds()).unwrap();
    let mut stored = 0;
    for _ in 0..40 {
        stored += usize::from(store.commit(&[attach(1)])[0].is_ok());
    }
    assert!((28..=31).contains(&stored), "{stored}");
    let error = store.commit(&[attach(1)]).remove(0).unwrap_err();
    assert!(matches!(error, JournalError::Write(_)), "{error}");
    drop(store);
    assert!(fs::metadata(&place.path).unwrap().len() <= 32 << 20);
    assert!(place.store().verify().unwrap().is_ok());
}

#[tokio::test]
async fn room_that_comes_back_is_found_without_help() {
    let place = place();
    let journal = Journal::open_within(&place.path, &place.ambient, bounds()).unwrap();
    for _ in 0..10 {
        journal.commit(attach(3)).await.unwrap();
        if journal.is_full() {
            break;
        }
    }
    assert!(journal.is_full() && !journal.takes_writes());
    assert!(matches!(journal.commit(vec![accept("event", None)]).await, Err(JournalError::Full { .. })));
    place.sql("DELETE FROM attachments");
    let room = async {
        while !journal.takes_writes() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), room).await.unwrap();
    journal.commit(vec![accept("event", None)]).await.unwrap();
}

#[tokio::test]
async fn evidence_gets_half_of_the_room() {
    let place = place();
    let journal = Journal::open_within(&place.path, &place.ambient, bounds()).unwrap();
    let mebibytes = |count: u64| count * MEBIBYTE as u64;
    assert!(journal.has_room_for_evidence(mebibytes(8)));
    assert!(!journal.has_room_for_evidence(mebibytes(16)), "something is in use already");
    for _ in 0..3 {
        journal.commit(attach(3)).await.unwrap();
    }
    assert!(!journal.has_room_for_evidence(mebibytes(8)));
    assert!(!journal.is_full(), "records find room all the same");
    let endless = Journal::open_within(&place.path.with_extension("other"), &place.ambient, Bounds::default()).unwrap();
    assert!(endless.has_room_for_evidence(mebibytes(1 << 20)));
}
