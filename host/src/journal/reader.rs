//! A journal as a command sees it that only reads: beside a running controller, or of a file that was put away. Nothing
//! is checked on the way in, so that a damaged chain can be looked at.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use super::chain::{Head, Row};
use super::schema::{self, Found};
use super::store::{read_error, rows_after};
use super::verify::{self, Ends, Finding, Verified};
use super::{JournalError, LogType, soundness, wal};

/// How many records are in memory at once.
const PAGE: i64 = 512;

pub struct Reader {
    connection: Connection,
    path: PathBuf,
    version: i64,
}

/// What an action kept beside its entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    pub name: String,
    pub media_type: String,
    pub sha256: String,
    pub content: Vec<u8>,
}

impl Reader {
    /// # Errors
    /// When there is no file, or it is no journal, newer, or cannot be read at all.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let failed = |message: String| JournalError::Open { path: path.to_owned(), message };
        schema::refuse_other_formats(path).map_err(failed)?;
        let sqlite = |error: rusqlite::Error| soundness::opening(path, &error);
        let connection = soundness::read_only(path).map_err(sqlite)?;
        let version = match schema::identify(&connection, path)? {
            // Or what was written cannot be read.
            Found::Nothing => {
                let nothing = || failed("it is empty: nothing was ever written to it".to_owned());
                let damage = wal::damage(path).ok().flatten();
                return Err(damage.map_or_else(nothing, |what| soundness::damaged(path, what)));
            }
            Found::Journal { version } => version,
        };
        // One moment for everything that is read, however long a controller writes beside us.
        connection.execute_batch("BEGIN").map_err(sqlite)?;
        Ok(Self { connection, path: path.to_owned(), version })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The chain's identity, its last record, and the last one that retention removed.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn ends(&self) -> Result<(String, Head, Option<Head>), JournalError> {
        let Ends { chain_id, head, removed } = verify::ends(&self.connection, self.version).map_err(read_error)?;
        Ok((chain_id, head, removed))
    }

    /// The whole file: SQLite's own check, every record, every attachment.
    ///
    /// # Errors
    /// When the file cannot be read, for another reason than that it is damaged.
    pub fn verify(&self) -> Result<Verified, JournalError> {
        let mut verified = verify::chain(&self.connection, self.version, None)?;
        if verified.findings.is_empty() {
            verified.findings.extend(verify::attachments(&self.connection)?);
        }
        let log = wal::damage(&self.path)
            .map_err(|error| JournalError::Read(format!("cannot read the write-ahead log: {error}")))?;
        verified.findings.extend(log.map(Finding::File));
        let mut statement = self.connection.prepare("PRAGMA integrity_check(10)").map_err(read_error)?;
        let said = statement.query_map([], |row| row.get::<_, String>(0)).map_err(read_error)?;
        for line in said {
            let line = line.map_err(read_error)?;
            if line != "ok" {
                verified.findings.push(Finding::File(line));
            }
        }
        verified.findings.extend(self.definitions()?);
        Ok(verified)
    }

    /// Tables whose definition nobody could write with any more: of a file that it may not change, SQLite does not read the
    /// constraints. Here they are compiled, apart from the file, and not run.
    fn definitions(&self) -> Result<Vec<Finding>, JournalError> {
        let apart = Connection::open_in_memory().map_err(read_error)?;
        let mut statement = self
            .connection
            .prepare("SELECT sql FROM sqlite_schema WHERE type = 'table' AND sql IS NOT NULL")
            .map_err(read_error)?;
        let mut rows = statement.query([]).map_err(read_error)?;
        let mut findings = Vec::new();
        while let Some(row) = rows.next().map_err(read_error)? {
            let sql = row.get_ref(0).and_then(|sql| sql.as_bytes().map_err(Into::into)).map_err(read_error)?;
            if let Err(error) = apart.prepare(&String::from_utf8_lossy(sql)) {
                findings.push(Finding::File(format!("the definition of a table is damaged: {error}")));
            }
        }
        Ok(findings)
    }

    /// Hands every record to `each`, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read, or `each` fails.
    pub fn for_each<E: From<JournalError>>(&self, mut each: impl FnMut(Row) -> Result<(), E>) -> Result<(), E> {
        let mut after = 0;
        loop {
            let rows = rows_after(&self.connection, after, PAGE).map_err(read_error)?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.seq;
            rows.into_iter().try_for_each(&mut each)?;
        }
    }

    /// The record with this number.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn record(&self, seq: u64) -> Result<Option<Row>, JournalError> {
        let rows = rows_after(&self.connection, seq.saturating_sub(1), 1).map_err(read_error)?;
        Ok(rows.into_iter().find(|row| row.seq == seq))
    }

    /// Everything about one alert: `id` is its event id, or the entry id of one of its actions. Oldest first; empty
    /// where nothing is known by that id.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn about(&self, id: &str) -> Result<Vec<Row>, JournalError> {
        let events = "SELECT ?1 UNION SELECT event_id FROM chain WHERE entry_id = ?1";
        let sql = format!(
            "SELECT seq FROM chain WHERE event_id IN ({events}) AND event_id <> '' UNION
             SELECT seq FROM chain WHERE entry_id IN (SELECT entry_id FROM chain WHERE event_id IN ({events}) AND event_id <> '')
             ORDER BY seq"
        );
        let mut statement = self.connection.prepare_cached(&sql).map_err(read_error)?;
        let seqs = statement.query_map([id], |row| row.get::<_, i64>(0)).map_err(read_error)?;
        let mut rows = Vec::new();
        for seq in seqs {
            rows.extend(self.record(seq.map_err(read_error)?.unsigned_abs())?);
        }
        Ok(rows)
    }

    /// # Errors
    /// When the file cannot be read.
    pub fn attachments(&self, entry_id: &str) -> Result<Vec<Attachment>, JournalError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT name, media_type, sha256, content FROM attachments WHERE entry_id = ?1 ORDER BY id")
            .map_err(read_error)?;
        let rows = statement
            .query_map([entry_id], |row| {
                let (name, media_type, sha256) = (row.get(0)?, row.get(1)?, row.get(2)?);
                Ok(Attachment { name, media_type, sha256, content: row.get(3)? })
            })
            .map_err(read_error)?;
        rows.collect::<Result<_, _>>().map_err(read_error)
    }

    /// Where the record with this number was handed to, delivered or not.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn destinations(&self, seq: u64) -> Result<Vec<String>, JournalError> {
        let seq = i64::try_from(seq).unwrap_or(i64::MAX);
        let mut statement = self
            .connection
            .prepare_cached("SELECT DISTINCT destination FROM outbox WHERE seq = ?1 ORDER BY destination")
            .map_err(read_error)?;
        let rows = statement.query_map([seq], |row| row.get(0)).map_err(read_error)?;
        rows.collect::<Result<_, _>>().map_err(read_error)
    }

    /// The records that `destination` has taken, by number and type, and how many still wait for it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn delivered(&self, destination: &str) -> Result<(Vec<(u64, LogType)>, u64), JournalError> {
        let waiting: i64 = self
            .connection
            .query_row(
                "SELECT count(*) FROM outbox WHERE destination = ?1 AND settled = 0 AND seq IS NOT NULL",
                [destination],
                |row| row.get(0),
            )
            .map_err(read_error)?;
        let mut statement = self
            .connection
            .prepare(
                "SELECT chain.seq, log_type FROM outbox JOIN chain ON chain.seq = outbox.seq
                 WHERE destination = ?1 AND settled = 1 AND given_up IS NULL ORDER BY chain.seq",
            )
            .map_err(read_error)?;
        let rows = statement
            .query_map(params![destination], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))
            .map_err(read_error)?;
        let mut delivered = Vec::new();
        for row in rows {
            let (seq, log_type) = row.map_err(read_error)?;
            delivered.extend(LogType::parse(&log_type).map(|log_type| (seq.unsigned_abs(), log_type)));
        }
        Ok((delivered, waiting.unsigned_abs()))
    }
}
