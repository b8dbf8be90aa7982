use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use serde_json::json;

use super::super::{JournalError, LogType};
use super::{ok, place, record};

#[tokio::test]
async fn what_was_announced_is_found_behind_a_flood_of_decisions_and_no_further_than_asked() {
    let place = place();
    let at = |second: i64| (place.ambient.now() + jiff::SignedDuration::from_secs(second)).to_string();
    let of = |log_type, number: i64, second| {
        record(log_type, "event", Some("entry"), json!({"timestamp": at(second), "number": number, "check": "stale"}))
    };
    let mut store = place.store();
    ok(&mut store, vec![of(LogType::Intent, 1, -600), of(LogType::Intent, 2, 0)]);
    // More than were once looked at.
    for batch in 0..11 {
        ok(&mut store, (0..10_000).map(|number| of(LogType::Decision, number, batch)).collect());
    }
    ok(&mut store, vec![of(LogType::Intent, 3, 12)]);
    drop(store);
    let journal = place.journal();
    let since = place.ambient.now() - jiff::SignedDuration::from_secs(60);
    let found = journal.recent(since, |log_type, _| log_type == LogType::Intent).await.unwrap();
    let numbers: Vec<_> = found.iter().map(|record| record.body["number"].as_i64()).collect();
    assert_eq!(numbers, [Some(2), Some(3)]);
}

#[tokio::test]
async fn a_journal_of_rehearsals_is_not_read_to_its_beginning_and_a_few_late_entries_hide_nothing() {
    let place = place();
    let at = |second: i64| (place.ambient.now() + jiff::SignedDuration::from_secs(second)).to_string();
    let of = |log_type, second| record(log_type, "event", Some("entry"), json!({"timestamp": at(second)}));
    let mut store = place.store();
    for _ in 0..4 {
        ok(&mut store, (0..5_000).map(|_| of(LogType::Entry, -600)).collect());
    }
    ok(&mut store, vec![of(LogType::Intent, 0)]);
    // What a crash cut off long ago, with its times.
    ok(&mut store, (0..1_024).map(|_| of(LogType::Entry, -3_600)).collect());
    drop(store);
    let journal = place.journal();
    let read = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&read);
    let wanted = move |log_type, _: &str| {
        counted.fetch_add(1, Ordering::Relaxed);
        log_type == LogType::Intent
    };
    let found = journal.recent(place.ambient.now() - jiff::SignedDuration::from_secs(60), wanted).await.unwrap();
    assert_eq!(found.len(), 1);
    assert!(read.load(Ordering::Relaxed) < 7_000, "{read:?}");
}

#[tokio::test]
async fn what_reads_for_long_keeps_no_other_read_waiting_and_ends_when_the_journal_closes() {
    let place = place();
    let mut store = place.store();
    let body = json!({"timestamp": place.ambient.now().to_string()});
    ok(&mut store, (0..2_000).map(|_| record(LogType::Entry, "event", Some("entry"), body.clone())).collect());
    drop(store);
    let journal = place.journal();
    let (first, begun) = mpsc::channel();
    let (go_on, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let wanted = move |_, _: &str| {
        // Both end with the test, whatever it finds.
        let _ = first.send(());
        let _ = held.lock().unwrap().recv();
        false
    };
    let long = tokio::spawn({
        let (journal, since) = (journal.clone(), place.ambient.now() - jiff::SignedDuration::from_secs(60));
        async move { journal.recent(since, wanted).await }
    });
    tokio::task::spawn_blocking(move || begun.recv()).await.unwrap().unwrap();
    let others = async {
        journal.parcels("gelf", 1).await.unwrap();
        journal.close().await;
    };
    tokio::time::timeout(Duration::from_secs(30), others).await.expect("nobody waits for it");
    drop(go_on);
    assert!(matches!(long.await.unwrap(), Err(JournalError::Closed)));
}
