//! The synchronous journal: one connection, one transaction for a group of batches, one savepoint for each of them.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior, params};

use super::bounds::Gauge;
use super::chain::{self, Broken, Head, Row};
use super::schema::{self, Waits};
use super::verify::{self, Finding};
use super::{Bounds, Committed, JournalError, LogType, Parcel, Record, Settled, Unfinished, Write};
use super::{due, inbox, outbox, retention, wal};
use crate::ambient::Ambient;

pub struct Store {
    connection: Connection,
    ambient: Ambient,
    bounds: Bounds,
    gauge: Gauge,
    transactions: u64,
    /// Orders since somebody looked how long the write-ahead log is.
    since_written_back: usize,
    /// Bytes that may have come since the journal was measured.
    unmeasured: u64,
    last_reached_the_disk: bool,
}

/// One caller's share of a transaction.
#[derive(Clone, Copy)]
pub(super) enum Order<'a> {
    Batch(&'a [Write]),
    Settle(&'a [Settled]),
    /// Changes nothing that anyone reads, but has to reach the disk.
    Probe,
}

/// What a group adds to the write-ahead log beside what it says: whole pages, of tables and of indexes.
const PAGES_OF_A_GROUP: u64 = 64 << 10;

impl Order<'_> {
    /// About how many bytes it adds; more rather than less.
    fn weight(&self) -> u64 {
        const PAGES: u64 = 16 << 10;
        let of_write = |write: &Write| match write {
            Write::Accept(alert) => alert.body.len(),
            Write::Record(record) => record.body.values().map(|value| value.as_str().map_or(0, str::len)).sum(),
            Write::Attach { content, .. } => content.len(),
            Write::Configure { in_force } => in_force.len(),
            _ => 0,
        };
        match self {
            Self::Batch(writes) => writes.iter().map(|write| PAGES + 2 * of_write(write) as u64).sum(),
            Self::Settle(parcels) => PAGES * parcels.len() as u64,
            Self::Probe => PAGES,
        }
    }
}

impl Store {
    /// Opens or creates the file.
    ///
    /// # Errors
    /// When the file is no journal, is newer, damaged, or cannot be written.
    pub fn open(path: &Path, ambient: &Ambient) -> Result<Self, JournalError> {
        Self::open_waiting(path, ambient, Waits::ForTheDisk)
    }

    /// As [`Self::open`], of a file that nobody will read after a crash of the machine: a simulation's, a rehearsal's.
    pub(super) fn open_scratch(path: &Path, ambient: &Ambient) -> Result<Self, JournalError> {
        Self::open_waiting(path, ambient, Waits::ForNothing)
    }

    fn open_waiting(path: &Path, ambient: &Ambient, waits: Waits) -> Result<Self, JournalError> {
        let connection = schema::open(path, ambient, waits)?;
        let gauge = Gauge::new(path);
        let (bounds, ambient) = (Bounds::default(), ambient.clone());
        Ok(Self {
            connection,
            ambient,
            bounds,
            gauge,
            transactions: 0,
            since_written_back: 0,
            unmeasured: 0,
            last_reached_the_disk: true,
        })
    }

    /// From now on the journal keeps within `bounds`; without this it has none.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn keep_within(&mut self, bounds: Bounds) -> Result<(), JournalError> {
        self.gauge.limit(&self.connection, bounds.max_bytes).map_err(read_error)?;
        self.bounds = bounds;
        Ok(())
    }

    /// Removes a little of what is older than its bounds; whether there is more to remove at once.
    ///
    /// # Errors
    /// When it cannot be written; nothing was removed then.
    pub fn retain(&mut self) -> Result<bool, JournalError> {
        if self.bounds.keep.is_none() && self.bounds.keep_alerts.is_none() {
            return Ok(false);
        }
        let more = retention::step(&mut self.connection, &self.ambient, &self.bounds).map_err(refused);
        self.measure();
        more
    }

    /// Commits all batches in one transaction; one that fails leaves the others as they are.
    pub fn commit(&mut self, batches: &[Vec<Write>]) -> Vec<Result<Committed, JournalError>> {
        let orders: Vec<_> = batches.iter().map(|batch| Order::Batch(batch)).collect();
        self.run(&orders)
    }

    /// Marks a parcel as delivered, or as given up on for the reason `given_up`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn settle(&mut self, id: i64, given_up: Option<&str>) -> Result<(), JournalError> {
        let settled = Settled { id, given_up: given_up.map(str::to_owned) };
        self.run(&[Order::Settle(&[settled])]).into_iter().try_for_each(|answer| answer.map(drop))
    }

    pub(super) fn run(&mut self, orders: &[Order<'_>]) -> Vec<Result<Committed, JournalError>> {
        let full = self.full();
        let result = transact(&mut self.connection, &self.ambient, full.as_ref(), orders);
        self.transactions += 1;
        self.since_written_back = self.since_written_back.saturating_add(orders.len());
        self.last_reached_the_disk = result.is_ok();
        self.unmeasured += PAGES_OF_A_GROUP + orders.iter().map(Order::weight).sum::<u64>();
        // Room that is free again is seen at once.
        if self.unmeasured >= self.gauge.tolerance() || self.gauge.full().is_some() {
            self.measure();
        }
        result.unwrap_or_else(|error| {
            let error = write_error(&error);
            orders.iter().map(|_| Err(error.clone())).collect()
        })
    }

    /// Whether the last transaction reached the disk, and there is room for new alerts.
    pub fn takes_writes(&self) -> bool {
        self.last_reached_the_disk && self.full().is_none()
    }

    /// The error that new alerts and intents get while there is no room for them.
    pub fn full(&self) -> Option<JournalError> {
        let max_bytes = self.gauge.full()?;
        Some(JournalError::Full { used: self.gauge.used(), max_bytes })
    }

    /// Bytes in use: pages that hold something, and the write-ahead log.
    pub fn used_bytes(&self) -> u64 {
        self.gauge.used()
    }

    /// What may be in use.
    pub fn max_bytes(&self) -> u64 {
        self.bounds.max_bytes.unwrap_or(u64::MAX)
    }

    /// A failure to measure is a failure to read, which the next transaction meets as well.
    fn measure(&mut self) {
        self.unmeasured = 0;
        self.last_reached_the_disk &= self.gauge.measure(&self.connection).is_ok();
    }

    /// From now on the caller says when the write-ahead log is written back; see [`Self::write_back`].
    ///
    /// # Errors
    /// When the file cannot be used.
    pub(super) fn leave_write_ahead_log(&mut self) -> Result<(), JournalError> {
        self.connection.pragma_update(None, "wal_autocheckpoint", wal::MOST_PAGES).map_err(read_error)
    }

    /// Writes the log back into the file once it is long enough. What fails is tried again by the next transaction, which
    /// meets the reason as well.
    pub(super) fn write_back(&mut self) {
        if self.since_written_back < wal::LOOK {
            return;
        }
        self.since_written_back = 0;
        let pages = |how: &str| -> rusqlite::Result<i64> {
            let sql = format!("PRAGMA wal_checkpoint = {how}");
            self.connection.prepare_cached(&sql)?.query_row([], |row| row.get(1))
        };
        if pages("NOOP").is_ok_and(|pages| pages >= wal::PAGES) {
            // It was written back, or is next time.
            let _ = pages("PASSIVE");
        }
    }

    /// How many transactions were tried.
    pub fn transactions(&self) -> u64 {
        self.transactions
    }

    /// # Errors
    /// When the file cannot be read.
    pub fn unfinished(&self) -> Result<Vec<Unfinished>, JournalError> {
        inbox::unfinished(&self.connection, 0, usize::MAX)
    }

    /// Up to `limit` alerts of the inbox whose [`Unfinished::position`] is larger than `after`, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn unfinished_after(&self, after: i64, limit: usize) -> Result<Vec<Unfinished>, JournalError> {
        inbox::unfinished(&self.connection, after, limit)
    }

    /// # Errors
    /// When the file cannot be read.
    pub fn parcels(&self, destination: &str, limit: usize) -> Result<Vec<Parcel>, JournalError> {
        outbox::waiting(&self.connection, destination, limit)
    }

    /// The chain's identity and the note of its last record.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn head(&self) -> Result<(String, Head), JournalError> {
        read_head(&self.connection).map_err(read_error)
    }

    /// Up to `limit` rows of the chain that come after `seq`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn rows_after(&self, seq: u64, limit: i64) -> Result<Vec<Row>, JournalError> {
        rows_after(&self.connection, seq, limit).map_err(read_error)
    }

    /// Walks the whole chain as it stood when this was called.
    ///
    /// # Errors
    /// Outside: when the file cannot be read. Inside: the first record that is not what was written.
    pub fn verify(&self) -> Result<Result<Head, Broken>, JournalError> {
        let verified = verify::chain(&self.connection, schema::VERSION, None)?;
        let broken = verified.findings.into_iter().find_map(|finding| match finding {
            Finding::Record { broken, .. } => Some(broken),
            Finding::Attachment { .. } | Finding::File(_) => None,
        });
        Ok(broken.map_or(Ok(verified.head), Err))
    }
}

type Answers = Vec<Result<Committed, JournalError>>;

fn transact(
    connection: &mut Connection,
    ambient: &Ambient,
    full: Option<&JournalError>,
    orders: &[Order<'_>],
) -> rusqlite::Result<Answers> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut answers = Vec::with_capacity(orders.len());
    for order in orders {
        if let (Some(full), Order::Batch(writes)) = (full, order)
            && writes.iter().any(begins)
        {
            answers.push(Err(full.clone()));
            continue;
        }
        let savepoint = Savepoint::before(&transaction, *order)?;
        match carry_out(&transaction, ambient, *order) {
            Ok(committed) => {
                savepoint.release(&transaction)?;
                answers.push(Ok(committed));
            }
            Err(Refusal::Sqlite(error)) if !concerns_one_batch(&error) => return Err(error),
            Err(refusal) => {
                savepoint.take_back(&transaction)?;
                answers.push(Err(refused(refusal)));
            }
        }
    }
    transaction.commit()?;
    Ok(answers)
}

/// What an order that fails is taken back to. One statement by itself is carried out wholly or not at all, and that is what
/// most orders are: a new alert, a delivery.
struct Savepoint {
    needed: bool,
}

impl Savepoint {
    fn before(connection: &Connection, order: Order<'_>) -> rusqlite::Result<Self> {
        let needed = !matches!(order, Order::Batch([Write::Accept(_)]) | Order::Settle([_]) | Order::Probe);
        let savepoint = Self { needed };
        savepoint.say(connection, "SAVEPOINT one_order")?;
        Ok(savepoint)
    }

    fn release(self, connection: &Connection) -> rusqlite::Result<()> {
        self.say(connection, "RELEASE one_order")
    }

    fn take_back(self, connection: &Connection) -> rusqlite::Result<()> {
        self.say(connection, "ROLLBACK TO one_order")?;
        self.release(connection)
    }

    fn say(&self, connection: &Connection, sql: &str) -> rusqlite::Result<()> {
        if self.needed { connection.prepare_cached(sql)?.execute([]).map(drop) } else { Ok(()) }
    }
}

/// Whether it begins something new. The rest of a full journal is for what was begun.
fn begins(write: &Write) -> bool {
    match write {
        Write::Accept(_) => true,
        Write::Record(record) => record.log_type == LogType::Intent,
        _ => false,
    }
}

fn refused(refusal: Refusal) -> JournalError {
    match refusal {
        Refusal::Sqlite(error) => write_error(&error),
        Refusal::Caller(message) => JournalError::Write(message),
    }
}

/// Why a batch was not carried out.
pub(super) enum Refusal {
    Sqlite(rusqlite::Error),
    Caller(String),
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// A constraint speaks about the batch. A full disk or a failed write speaks about the file, and SQLite may have rolled
/// the whole transaction back already.
fn concerns_one_batch(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::ConstraintViolation | rusqlite::ErrorCode::TooBig))
}

fn carry_out(connection: &Connection, ambient: &Ambient, order: Order<'_>) -> Result<Committed, Refusal> {
    match order {
        Order::Batch(writes) => batch(connection, ambient, writes),
        Order::Settle(parcels) => {
            for Settled { id, given_up } in parcels {
                outbox::settle(connection, *id, given_up.as_deref())?;
            }
            Ok(Committed::default())
        }
        Order::Probe => {
            connection.prepare_cached("UPDATE meta SET probes = probes + 1")?.execute([])?;
            Ok(Committed::default())
        }
    }
}

fn batch(connection: &Connection, ambient: &Ambient, writes: &[Write]) -> Result<Committed, Refusal> {
    let mut committed = Committed::default();
    let mut latest = None;
    for write in writes {
        match write {
            Write::Accept(alert) => committed.duplicates += usize::from(!inbox::accept(connection, alert)?),
            Write::Record(record) => latest = Some(append(connection, record)?),
            Write::Ship { destination } => {
                let Some(seq) = latest else {
                    return Err(Refusal::Caller(format!(
                        "nothing was recorded before the order to ship it to {destination}"
                    )));
                };
                outbox::ship(connection, destination, ambient.now(), seq)?;
            }
            Write::Send { destination, payload } => outbox::send(connection, destination, ambient.now(), payload)?,
            Write::Attach { entry_id, name, media_type, sha256, content } => {
                connection
                    .prepare_cached(
                        "INSERT INTO attachments (entry_id, name, media_type, sha256, content) VALUES (?1, ?2, ?3, ?4, ?5)",
                    )?
                    .execute(params![entry_id, name, media_type, sha256, content])?;
            }
            Write::Finish { event_id } => inbox::finish(connection, event_id)?,
            Write::Configure { in_force } => {
                let sql = "INSERT INTO configuration (id, in_force) VALUES (1, ?1)
                    ON CONFLICT (id) DO UPDATE SET in_force = excluded.in_force";
                connection.prepare_cached(sql)?.execute([in_force])?;
            }
            Write::Due { entry_id, by } => due::expect(connection, entry_id, *by)?,
            Write::Reminded { entry_id } => due::reminded(connection, entry_id)?,
        }
    }
    Ok(committed)
}

/// The head is read here, inside the transaction: another process may have appended since our last one.
pub(super) fn append(connection: &Connection, record: &Record) -> Result<i64, Refusal> {
    let (_, head) = read_head(connection)?;
    let mut row = Row {
        seq: head.seq + 1,
        prev_hash: head.hash,
        hash: String::new(),
        log_type: record.log_type.as_str().to_owned(),
        event_id: record.event_id.clone(),
        entry_id: record.entry_id.clone(),
        body: serde_json::to_string(&record.body).map_err(|error| Refusal::Caller(error.to_string()))?,
    };
    row.hash = chain::hash(&row);
    let seq = i64::try_from(row.seq).map_err(|_| Refusal::Caller("the chain is full".to_owned()))?;
    connection
        .prepare_cached(
            "INSERT INTO chain (seq, prev_hash, hash, log_type, event_id, entry_id, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![seq, row.prev_hash, row.hash, row.log_type, row.event_id, row.entry_id, row.body])?;
    connection.prepare_cached("UPDATE meta SET head_seq = ?1, head_hash = ?2")?.execute((seq, row.hash))?;
    if record.log_type == LogType::Annotation
        && let Some(entry_id) = &record.entry_id
    {
        due::annotated(connection, entry_id)?;
    }
    Ok(seq)
}

pub(super) fn read_head(connection: &Connection) -> rusqlite::Result<(String, Head)> {
    connection
        .prepare_cached("SELECT chain_id, head_seq, head_hash FROM meta WHERE id = 1")?
        .query_row([], |row| Ok((row.get(0)?, Head { seq: row.get::<_, i64>(1)?.unsigned_abs(), hash: row.get(2)? })))
}

pub(super) fn rows_after(connection: &Connection, seq: u64, limit: i64) -> rusqlite::Result<Vec<Row>> {
    connection
        .prepare_cached(
            "SELECT seq, prev_hash, hash, log_type, event_id, entry_id, body FROM chain WHERE seq > ?1 ORDER BY seq LIMIT ?2",
        )?
        .query_map((i64::try_from(seq).unwrap_or(i64::MAX), limit), |row| {
            Ok(Row {
                seq: row.get::<_, i64>(0)?.unsigned_abs(),
                prev_hash: row.get(1)?,
                hash: row.get(2)?,
                log_type: row.get(3)?,
                event_id: row.get(4)?,
                entry_id: row.get(5)?,
                body: row.get(6)?,
            })
        })?
        .collect()
}

/// A JSON column, read back; what was stored as JSON and is none any more is a damaged file.
pub(super) fn json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, JournalError> {
    serde_json::from_str(text).map_err(|error| JournalError::Read(format!("a stored document is damaged: {error}")))
}

pub(super) fn timestamp(text: &str) -> Result<jiff::Timestamp, JournalError> {
    text.parse().map_err(|error| JournalError::Read(format!("a stored time is damaged: {error}")))
}

pub(super) fn log_type(text: &str) -> Result<LogType, JournalError> {
    LogType::parse(text).ok_or_else(|| JournalError::Read(format!("a stored record has the unknown type {text:?}")))
}

pub(super) fn read_error(error: rusqlite::Error) -> JournalError {
    JournalError::Read(error.to_string())
}

fn write_error(error: &rusqlite::Error) -> JournalError {
    JournalError::Write(error.to_string())
}
