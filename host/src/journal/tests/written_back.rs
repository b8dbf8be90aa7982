//! The write-ahead log under load: written back between groups, and no longer than it has to be.

use super::*;

#[tokio::test]
async fn the_log_is_written_back_while_there_is_load() {
    let place = place();
    let journal = place.journal();
    let body = "x".repeat(4000);
    let fill = |number: usize| {
        let id = format!("event-{number}");
        record(LogType::Entry, &id, Some(&id), json!({"action": "kill_pod", "detail": body}))
    };
    for group in 0..300 {
        journal.commit((group * 10..(group + 1) * 10).map(fill).collect::<Vec<_>>()).await.unwrap();
    }
    let length = |suffix: &str| {
        let mut path = place.path.clone().into_os_string();
        path.push(suffix);
        fs::metadata(path).unwrap().len()
    };
    // Of some 12 MB, what was written last is all that the log holds.
    assert!(length("") > 6 << 20, "{} bytes", length(""));
    assert!(length("-wal") <= 8 << 20, "{} bytes", length("-wal"));
    journal.close().await;
    assert_eq!(place.store().verify().unwrap().unwrap().seq, 3000);
}
