//! Entries that somebody has to annotate by some time.

use jiff::Timestamp;
use rusqlite::Connection;

use super::JournalError;
use super::store::read_error;

/// An entry whose annotation is late.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    pub entry_id: String,
    pub by: Timestamp,
}

pub(super) const LATE: &str =
    "SELECT entry_id, deadline FROM due WHERE reminded = 0 AND deadline < ?1 ORDER BY deadline LIMIT ?2";
pub(super) const COUNT: &str = "SELECT count(*) FROM due WHERE deadline < ?1";

pub(super) fn expect(connection: &Connection, entry_id: &str, by: Timestamp) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO due (entry_id, deadline) VALUES (?1, ?2) ON CONFLICT (entry_id) DO NOTHING")?
        .execute((entry_id, by.as_second()))
        .map(drop)
}

pub(super) fn reminded(connection: &Connection, entry_id: &str) -> rusqlite::Result<()> {
    connection.prepare_cached("UPDATE due SET reminded = 1 WHERE entry_id = ?1")?.execute([entry_id]).map(drop)
}

pub(super) fn annotated(connection: &Connection, entry_id: &str) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM due WHERE entry_id = ?1")?.execute([entry_id]).map(drop)
}

/// Those that are late and of which nobody was told, longest first.
pub(super) fn late(connection: &Connection, now: Timestamp, limit: usize) -> Result<Vec<Due>, JournalError> {
    let mut statement = connection.prepare_cached(LATE).map_err(read_error)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement
        .query_map((now.as_second(), limit), |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))
        .map_err(read_error)?;
    rows.map(|row| {
        let (entry_id, by) = row.map_err(read_error)?;
        let by = Timestamp::from_second(by)
            .map_err(|error| JournalError::Read(format!("a stored time is damaged: {error}")))?;
        Ok(Due { entry_id, by })
    })
    .collect()
}

/// How many are late, told or not.
pub(super) fn count(connection: &Connection, now: Timestamp) -> Result<usize, JournalError> {
    let count: i64 = connection
        .prepare_cached(COUNT)
        .and_then(|mut statement| statement.query_row([now.as_second()], |row| row.get(0)))
        .map_err(read_error)?;
    Ok(usize::try_from(count).unwrap_or_default())
}
