use serde_json::Map;

use super::*;

const LONG: Duration = Duration::from_secs(3600);

fn record(log_type: LogType) -> Job {
    let record = Record { log_type, event_id: "event".to_owned(), entry_id: None, body: Map::new() };
    Job::Task(Task { work: Work::Batch(Arc::new(vec![Write::Record(record)])), answer: oneshot::channel().0 })
}

fn settle() -> Job {
    Job::Task(Task { work: Work::Settle(Vec::new()), answer: oneshot::channel().0 })
}

/// How many are in the group of `first`, of those that come a little after it.
fn grouped(first: Job, later: Vec<Job>, lingers: Duration) -> usize {
    let (sender, waiting) = mpsc::channel();
    let late = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        later.into_iter().try_for_each(|job| sender.send(job)).unwrap();
    });
    let (tasks, _) = group(first, &waiting, Some(lingers));
    late.join().unwrap();
    tasks.len()
}

/// Whether the group of `first` is complete without anybody else, who may still come.
fn is_alone(first: Job, lingers: Option<Duration>) -> bool {
    let (sender, waiting) = mpsc::channel();
    let (done, complete) = mpsc::channel();
    thread::spawn(move || done.send(group(first, &waiting, lingers).0.len()));
    let alone = complete.recv_timeout(Duration::from_secs(20)) == Ok(1);
    drop(sender);
    alone
}

#[test]
fn what_only_tells_waits_for_what_something_waits_for() {
    let later = || vec![settle(), record(LogType::Followup), record(LogType::Intent)];
    for first in [record(LogType::Result), record(LogType::Followup), settle()] {
        assert_eq!(grouped(first, later(), LONG), 4);
    }
}

#[test]
fn it_waits_for_so_long_and_for_nobody_who_is_gone() {
    assert!(is_alone(record(LogType::Result), Some(Duration::from_millis(1))));
    assert_eq!(grouped(record(LogType::Result), Vec::new(), LONG), 1);
}

#[test]
fn an_intent_an_entry_and_a_lone_caller_wait_for_nobody() {
    for log_type in [LogType::Intent, LogType::Entry, LogType::Decision, LogType::Config] {
        assert!(is_alone(record(log_type), Some(LONG)), "{log_type:?}");
    }
    assert!(is_alone(record(LogType::Result), None));
}

#[test]
fn all_that_waits_already_is_one_group_up_to_the_end() {
    let (sender, waiting) = mpsc::channel();
    let (done, _) = oneshot::channel();
    for job in [record(LogType::Intent), record(LogType::Result), Job::Close { done }, record(LogType::Result)] {
        sender.send(job).unwrap();
    }
    let (tasks, closing) = group(waiting.recv().unwrap(), &waiting, Some(LONG));
    assert_eq!((tasks.len(), closing.is_some()), (2, true));
}

/// As of `.cargo/config.toml`: a build without it works, and waits for the disk longer than it has to.
#[test]
fn sqlite_is_told_that_there_is_fdatasync() {
    assert!(option_env!("LIBSQLITE3_FLAGS").is_some_and(|flags| flags.contains("HAVE_FDATASYNC")));
}
