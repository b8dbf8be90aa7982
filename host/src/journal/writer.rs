//! The handle to the journal, and the thread behind it.
//!
//! The thread takes whatever is waiting and commits it at once as one group: a lone caller waits for nobody, and under
//! load a group is what came in while the disk was busy with the one before, but that results wait a moment for company.
//! Reads have a connection of their own and see what was committed; one that can be long has another, so that no page
//! waits for it.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _};
use tokio::sync::{Notify, oneshot};

use super::store::Order;
use super::{
    Backlog, Bounds, Committed, Due, JournalError, LogType, Parcel, Record, Settled, Store, Unfinished, Write, due,
    inbox, outbox, recent, schema, soundness,
};
use crate::ambient::Ambient;
use crate::faults;

/// How much goes into one transaction at most.
pub(super) const GROUP: usize = 1024;

/// How long a group that only tells what was done waits for others, while there are others: each is a wait for the disk.
const LINGERS: Duration = Duration::from_millis(1);

/// How often a journal that did not take a write is tried again while nobody writes.
const PROBE: Duration = Duration::from_secs(1);

/// How often it is looked whether something is old enough to go; while there is, and after a failure.
const RETAIN: Duration = Duration::from_secs(60);
const RETAIN_MORE: Duration = Duration::from_millis(100);
const RETAIN_AGAIN: Duration = Duration::from_secs(10);

/// A handle; cheap to clone. Every method waits until the work is on disk.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    driver: Driver,
    /// None once closed.
    reader: Arc<Mutex<Option<Connection>>>,
    state: Arc<State>,
}

enum Driver {
    Thread(mpsc::Sender<Job>),
    /// No thread: the caller's task does the work.
    #[cfg(test)]
    Inline(super::inline::Inline),
}

pub(super) struct State {
    shipped: Arc<Notify>,
    takes_writes: AtomicBool,
    closing: AtomicBool,
    full: AtomicBool,
    used_bytes: AtomicU64,
    max_bytes: AtomicU64,
    transactions: AtomicU64,
}

impl State {
    fn new() -> Self {
        Self {
            shipped: Arc::new(Notify::new()),
            takes_writes: AtomicBool::new(true),
            closing: AtomicBool::new(false),
            full: AtomicBool::new(false),
            used_bytes: AtomicU64::new(0),
            max_bytes: AtomicU64::new(u64::MAX),
            transactions: AtomicU64::new(0),
        }
    }
}

enum Job {
    Task(Task),
    Close { done: oneshot::Sender<()> },
}

pub(super) struct Task {
    pub work: Work,
    pub answer: oneshot::Sender<Result<Committed, JournalError>>,
}

pub(super) enum Work {
    /// Shared, so that whoever has to try again need not copy it for every try.
    Batch(Arc<Vec<Write>>),
    Settle(Vec<Settled>),
}

impl Work {
    /// Whether it only says what was done: nobody waits for it but the same run's next step.
    fn tells(&self) -> bool {
        let told = |write: &Write| match write {
            Write::Record(record) => matches!(record.log_type, LogType::Result | LogType::Followup),
            Write::Ship { .. } => true,
            _ => false,
        };
        match self {
            Self::Batch(writes) => writes.iter().all(told),
            Self::Settle(_) => true,
        }
    }
}

#[cfg(test)]
impl State {
    /// A group that the simulation failed.
    pub fn failed(&self) {
        self.takes_writes.store(false, Ordering::Release);
    }
}

#[cfg(test)]
impl Work {
    pub fn writes(&self) -> &[Write] {
        match self {
            Self::Batch(writes) => writes,
            Self::Settle(_) => &[],
        }
    }
}

impl Journal {
    /// Opens or creates the file and starts the thread that writes it.
    ///
    /// # Errors
    /// When the file is no journal, is newer, cannot be written, or is another handle's: two controllers that take up
    /// one inbox would act twice. Commands that use a [`Store`] are not kept out.
    pub fn open(path: &Path, ambient: &Ambient) -> Result<Self, JournalError> {
        Self::open_within(path, ambient, Bounds::default())
    }

    /// [`Self::open`], and keeps it within `bounds` from then on.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_within(path: &Path, ambient: &Ambient, bounds: Bounds) -> Result<Self, JournalError> {
        let mut store = Store::open(path, ambient)?;
        store.keep_within(bounds)?;
        Self::start(path, store)
    }

    /// [`Self::open`] for a file that nobody will read after a crash of the machine: nothing waits for the disk.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_scratch(path: &Path, ambient: &Ambient) -> Result<Self, JournalError> {
        let store = Store::open_scratch(path, ambient)?;
        Self::start(path, store)
    }

    fn start(path: &Path, mut store: Store) -> Result<Self, JournalError> {
        let lock = lock_for_good(path)?;
        store.leave_write_ahead_log()?;
        // Readiness speaks of writes: find out now whether the file takes one.
        store.run(&[Order::Probe]).into_iter().try_for_each(|answer| answer.map(drop))?;
        let reader = Arc::new(Mutex::new(Some(schema::open_reader(path)?)));
        let state = Arc::new(State::new());
        publish(&store, &state);
        let (jobs, waiting) = mpsc::channel();
        let theirs = Arc::clone(&state);
        thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || write(store, lock, &waiting, &theirs))
            .map_err(|error| JournalError::Open { path: path.to_owned(), message: error.to_string() })?;
        Ok(Self { inner: Arc::new(Inner { path: path.to_owned(), driver: Driver::Thread(jobs), reader, state }) })
    }

    /// A journal without a thread, driven by the tasks that call it; for a simulation. `disk` is asked about each write.
    ///
    /// # Errors
    /// As [`Self::open`].
    #[cfg(test)]
    pub fn inline(path: &Path, ambient: &Ambient, disk: Arc<dyn super::Disk>) -> Result<Self, JournalError> {
        let mut store = Store::open_scratch(path, ambient)?;
        store.run(&[Order::Probe]).into_iter().try_for_each(|answer| answer.map(drop))?;
        let reader = Arc::new(Mutex::new(Some(schema::open_reader(path)?)));
        let driver = Driver::Inline(super::inline::Inline::new(store, disk));
        Ok(Self { inner: Arc::new(Inner { path: path.to_owned(), driver, reader, state: Arc::new(State::new()) }) })
    }

    /// Commits `writes` as one transaction (together with whatever else is waiting), and returns once it is on disk.
    ///
    /// # Errors
    /// Nothing of the batch was stored.
    pub async fn commit(&self, writes: impl Into<Arc<Vec<Write>>>) -> Result<Committed, JournalError> {
        self.order(Work::Batch(writes.into())).await
    }

    /// The inbox, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn unfinished(&self) -> Result<Vec<Unfinished>, JournalError> {
        self.unfinished_after(0, usize::MAX).await
    }

    /// Up to `limit` alerts of the inbox whose [`Unfinished::position`] is larger than `after`, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn unfinished_after(&self, after: i64, limit: usize) -> Result<Vec<Unfinished>, JournalError> {
        self.read(move |connection| inbox::unfinished(connection, after, limit)).await
    }

    /// One alert, if it is in the inbox.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn unfinished_one(&self, event_id: &str) -> Result<Option<Unfinished>, JournalError> {
        let event_id = event_id.to_owned();
        self.read(move |connection| inbox::unfinished_one(connection, &event_id)).await
    }

    /// Up to `limit` entries whose annotation is late and of which nobody was told yet, and how many are late in all.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn overdue(&self, now: Timestamp, limit: usize) -> Result<(Vec<Due>, usize), JournalError> {
        self.read(move |connection| Ok((due::late(connection, now, limit)?, due::count(connection, now)?))).await
    }

    /// What was last said to be in force; none in a journal that was not told yet.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn configuration(&self) -> Result<Option<String>, JournalError> {
        let sql = "SELECT in_force FROM configuration WHERE id = 1";
        let read = move |connection: &Connection| connection.query_row(sql, [], |row| row.get(0)).optional();
        self.read(move |connection| read(connection).map_err(super::store::read_error)).await
    }

    /// The bodies of an entry, as the chain has it; none where there is no such entry.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn entry(
        &self,
        entry_id: &str,
    ) -> Result<Option<serde_json::Map<String, serde_json::Value>>, JournalError> {
        let entry_id = entry_id.to_owned();
        self.read(move |connection| inbox::entry(connection, &entry_id)).await
    }

    /// The records since about `since` that are `wanted`, by their type and their text, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn recent(
        &self,
        since: Timestamp,
        wanted: impl Fn(LogType, &str) -> bool + Send + 'static,
    ) -> Result<Vec<Record>, JournalError> {
        let (path, state) = (self.inner.path.clone(), Arc::clone(&self.inner.state));
        let closing = move || state.closing.load(Ordering::Acquire);
        self.blocking(move || recent::since(&schema::open_reader(&path)?, since, wanted, closing)).await
    }

    /// The oldest `limit` parcels for `destination` that are not delivered yet.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn parcels(&self, destination: &str, limit: usize) -> Result<Vec<Parcel>, JournalError> {
        let destination = destination.to_owned();
        self.read(move |connection| outbox::waiting(connection, &destination, limit)).await
    }

    /// How much waits for each destination that has something waiting.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn backlogs(&self) -> Result<Vec<Backlog>, JournalError> {
        self.read(outbox::backlogs).await
    }

    /// Marks parcels as delivered or given up on, all of them or none.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn settle(&self, parcels: Vec<Settled>) -> Result<(), JournalError> {
        self.order(Work::Settle(parcels)).await.map(drop)
    }

    /// Woken whenever something for any destination was committed.
    pub fn shipped(&self) -> Arc<Notify> {
        Arc::clone(&self.inner.state.shipped)
    }

    /// Whether there is no room for new alerts.
    pub fn is_full(&self) -> bool {
        self.inner.state.full.load(Ordering::Acquire)
    }

    /// Bytes in use, of `audit.max_bytes`.
    pub fn used_bytes(&self) -> u64 {
        self.inner.state.used_bytes.load(Ordering::Acquire)
    }

    /// Whether there is room for attachments of so many bytes: they get the first half and no more, since whoever can
    /// raise alerts can have them made, and records must find room all the same.
    pub fn has_room_for_evidence(&self, bytes: u64) -> bool {
        let half = self.inner.state.max_bytes.load(Ordering::Acquire) / 2;
        self.used_bytes().saturating_add(bytes) <= half
    }

    /// Whether the last write succeeded, and there is room for new alerts; readiness.
    pub fn takes_writes(&self) -> bool {
        self.inner.state.takes_writes.load(Ordering::Acquire)
    }

    /// How many transactions the thread has tried since it started.
    pub fn transactions(&self) -> u64 {
        self.inner.state.transactions.load(Ordering::Acquire)
    }

    /// Finishes what is waiting and closes the file.
    pub async fn close(&self) {
        // The reader first: the last connection to close writes the WAL back into the file and removes it.
        self.inner.state.closing.store(true, Ordering::Release);
        let reader = Arc::clone(&self.inner.reader);
        #[allow(clippy::infallible_destructuring_match, reason = "a test build has a second driver")]
        let jobs = match &self.inner.driver {
            Driver::Thread(jobs) => jobs,
            #[cfg(test)]
            Driver::Inline(inline) => {
                drop(lock(&reader).take());
                return inline.close().await;
            }
        };
        // A panic while reading has left nothing to wait for.
        let _ = tokio::task::spawn_blocking(move || drop(lock(&reader).take())).await;
        let (done, closed) = oneshot::channel();
        if jobs.send(Job::Close { done }).is_ok() {
            // An error says that the thread has ended, which is what is waited for.
            let _ = closed.await;
        }
    }

    async fn order(&self, work: Work) -> Result<Committed, JournalError> {
        #[allow(clippy::infallible_destructuring_match, reason = "a test build has a second driver")]
        let jobs = match &self.inner.driver {
            Driver::Thread(jobs) => jobs,
            #[cfg(test)]
            Driver::Inline(inline) => return inline.order(work, Arc::clone(&self.inner.state)).await,
        };
        let (answer, answered) = oneshot::channel();
        jobs.send(Job::Task(Task { work, answer })).map_err(|_| JournalError::Closed)?;
        answered.await.unwrap_or(Err(JournalError::Closed))
    }

    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        let reader = Arc::clone(&self.inner.reader);
        self.blocking(move || lock(&reader).as_ref().ok_or(JournalError::Closed).and_then(query)).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        #[cfg(test)]
        if matches!(self.inner.driver, Driver::Inline(_)) {
            return read();
        }
        tokio::task::spawn_blocking(read).await.map_err(|error| JournalError::Read(error.to_string()))?
    }
}

/// Held until the file that is returned is closed; a process that is killed holds nothing. In a file of its own, since
/// closing any descriptor of the database would give up SQLite's locks.
fn lock_for_good(path: &Path) -> Result<File, JournalError> {
    let failed = |message: String| JournalError::Open { path: path.to_owned(), message };
    let beside = soundness::beside(path, ".lock");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(&beside).map_err(|error| failed(format!("cannot create a lock beside it: {error}")))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(failed("another controller works with it: each needs a journal of its own".to_owned()))
        }
        Err(TryLockError::Error(error)) => Err(failed(format!("cannot lock it: {error}"))),
    }
}

/// A connection that a panic left behind is as good as before: it is only read from.
fn lock(reader: &Mutex<Option<Connection>>) -> std::sync::MutexGuard<'_, Option<Connection>> {
    reader.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says that nothing is written any more, however the thread ends.
struct Ending<'a>(&'a State);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.takes_writes.store(false, Ordering::Release);
    }
}

/// The thread: ends when it is told to close, or when the last handle is gone.
fn write(mut store: Store, lock: File, waiting: &mpsc::Receiver<Job>, state: &State) {
    let _ending = Ending(state);
    let mut next_retention = Instant::now();
    let mut under_load = false;
    loop {
        // Also under load that never ends: one small step between two groups.
        if next_retention <= Instant::now() {
            next_retention = Instant::now()
                + match store.retain() {
                    Ok(true) => RETAIN_MORE,
                    Ok(false) => RETAIN,
                    Err(_) => RETAIN_AGAIN,
                };
            publish(&store, state);
        }
        let retention = next_retention.saturating_duration_since(Instant::now());
        let first = waiting.recv_timeout(if store.takes_writes() { retention } else { PROBE.min(retention) });
        let mut closing = None;
        match first {
            Ok(first) => {
                let tasks;
                (tasks, closing) = group(first, waiting, under_load.then_some(LINGERS));
                under_load = tasks.len() > 1;
                commit_group(&mut store, tasks, state);
                // Whoever waited has the answer, and what comes meanwhile is the next group.
                store.write_back();
            }
            Err(RecvTimeoutError::Timeout) if store.takes_writes() => {}
            Err(RecvTimeoutError::Timeout) => {
                // What it answers is in the store's state.
                let _ = store.run(&[Order::Probe]);
                publish(&store, state);
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if let Some(done) = closing {
            drop(store);
            drop(lock);
            // Whoever asked may have stopped waiting.
            let _ = done.send(());
            return;
        }
    }
}

/// What goes into the next transaction: all that waits already, and where all of it only tells, what comes while it `lingers`.
/// Also whoever is to hear that nothing comes after it.
fn group(
    first: Job,
    waiting: &mpsc::Receiver<Job>,
    lingers: Option<Duration>,
) -> (Vec<Task>, Option<oneshot::Sender<()>>) {
    let mut until = lingers.map(|lingers| Instant::now() + lingers);
    let (mut tasks, mut next) = (Vec::new(), Some(first));
    while let Some(job) = next.take() {
        match job {
            Job::Close { done } => return (tasks, Some(done)),
            Job::Task(task) => {
                until = until.filter(|_| task.work.tells());
                tasks.push(task);
            }
        }
        if tasks.len() < GROUP {
            next = waiting.try_recv().ok().or_else(|| {
                let left = until?.saturating_duration_since(Instant::now());
                // Whether it is late or nobody is left to send it: this is the group.
                waiting.recv_timeout(left).ok()
            });
        }
    }
    (tasks, None)
}

pub(super) fn commit_group(store: &mut Store, tasks: Vec<Task>, state: &State) {
    if tasks.is_empty() {
        return;
    }
    let orders: Vec<_> = tasks
        .iter()
        .map(|task| match &task.work {
            Work::Batch(writes) => Order::Batch(writes),
            Work::Settle(parcels) => Order::Settle(parcels),
        })
        .collect();
    tasks.iter().for_each(|task| crash_point("before", &task.work));
    let answers = store.run(&orders);
    tasks.iter().for_each(|task| crash_point("after", &task.work));
    publish(store, state);
    let mut ships = false;
    for (task, result) in tasks.into_iter().zip(answers) {
        ships |= result.is_ok() && hands_over(&task.work);
        // Whoever asked may have stopped waiting; the work is on disk all the same.
        let _ = task.answer.send(result);
    }
    if ships {
        state.shipped.notify_waiters();
    }
}

/// For tests: the program may be told to die here.
fn crash_point(when: &str, work: &Work) {
    if !cfg!(feature = "faults") {
        return;
    }
    let is = |wanted: LogType| {
        let record = |write: &Write| matches!(write, Write::Record(record) if record.log_type == wanted);
        matches!(work, Work::Batch(writes) if writes.iter().any(record))
    };
    let holds = |wanted: fn(&Write) -> bool| matches!(work, Work::Batch(writes) if writes.iter().any(wanted));
    let what = match work {
        Work::Settle(_) => "settle",
        Work::Batch(writes) if writes.iter().any(|write| matches!(write, Write::Accept(_))) => "accept",
        // What was looked up after a crash is recorded with what it says.
        Work::Batch(_) if is(LogType::Entry) || is(LogType::Decision) => "conclude",
        Work::Batch(_) if is(LogType::Intent) => "intent",
        Work::Batch(_) if is(LogType::Result) => "result",
        Work::Batch(_) if is(LogType::Followup) => "followup",
        Work::Batch(_) if holds(|write| matches!(write, Write::Configure { .. })) => "configure",
        Work::Batch(_) if is(LogType::Config) => "notice",
        Work::Batch(_) if holds(|write| matches!(write, Write::Reminded { .. })) => "remind",
        Work::Batch(_) if holds(|write| matches!(write, Write::Send { .. })) => "page",
        Work::Batch(_) if holds(|write| matches!(write, Write::Finish { .. })) => "finish",
        Work::Batch(_) => return,
    };
    faults::point(&format!("{when}:{what}"));
}

fn hands_over(work: &Work) -> bool {
    matches!(work, Work::Batch(writes) if writes.iter().any(|write| matches!(write, Write::Ship { .. } | Write::Send { .. })))
}

fn publish(store: &Store, state: &State) {
    state.takes_writes.store(store.takes_writes(), Ordering::Release);
    state.full.store(store.full().is_some(), Ordering::Release);
    state.used_bytes.store(store.used_bytes(), Ordering::Release);
    state.max_bytes.store(store.max_bytes(), Ordering::Release);
    state.transactions.store(store.transactions(), Ordering::Release);
}

#[cfg(test)]
mod tests;
