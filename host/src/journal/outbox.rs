//! The outbox: what has yet to leave, in the order in which it was committed, for each destination by itself. Settled
//! parcels stay as the evidence of what became of them.

use jiff::Timestamp;
use rusqlite::{Connection, params};
use serde_json::Value;

use super::store::{json, log_type, read_error, timestamp};
use super::{Backlog, ChainPlace, Content, JournalError, Parcel, Record};

pub(super) const WAITING: &str = "
    SELECT outbox.id, created_at, payload, chain.seq, prev_hash, hash, log_type, event_id, entry_id, body, chain_id
    FROM outbox CROSS JOIN meta LEFT JOIN chain ON chain.seq = outbox.seq
    WHERE destination = ?1 AND settled = 0 AND meta.id = 1 ORDER BY outbox.id LIMIT ?2";
// SQLite takes `created_at` from the row that has the least id.
const BACKLOGS: &str = "
    SELECT destination, count(*), created_at, min(id) FROM outbox WHERE settled = 0 GROUP BY destination";
pub(super) const SETTLE: &str = "UPDATE outbox SET settled = 1, given_up = ?2 WHERE id = ?1";

pub(super) fn ship(connection: &Connection, destination: &str, now: Timestamp, seq: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO outbox (destination, created_at, seq) VALUES (?1, ?2, ?3)")?
        .execute(params![destination, now.to_string(), seq])
        .map(drop)
}

pub(super) fn send(
    connection: &Connection,
    destination: &str,
    now: Timestamp,
    payload: &Value,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO outbox (destination, created_at, payload) VALUES (?1, ?2, ?3)")?
        .execute(params![destination, now.to_string(), payload.to_string()])
        .map(drop)
}

pub(super) fn settle(connection: &Connection, id: i64, given_up: Option<&str>) -> rusqlite::Result<()> {
    connection.prepare_cached(SETTLE)?.execute((id, given_up)).map(drop)
}

pub(super) fn backlogs(connection: &Connection) -> Result<Vec<Backlog>, JournalError> {
    let mut statement = connection.prepare_cached(BACKLOGS).map_err(read_error)?;
    let rows = statement
        .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(2)?)))
        .map_err(read_error)?;
    rows.map(|row| {
        let (destination, waiting, oldest) = row.map_err(read_error)?;
        Ok(Backlog { destination, waiting: waiting.unsigned_abs(), oldest: timestamp(&oldest)? })
    })
    .collect()
}

/// As the columns stand in [`WAITING`].
struct Found {
    id: i64,
    created_at: String,
    payload: Option<String>,
    record: Option<FoundRecord>,
}

struct FoundRecord {
    place: ChainPlace,
    log_type: String,
    event_id: String,
    entry_id: Option<String>,
    body: String,
}

pub(super) fn waiting(connection: &Connection, destination: &str, limit: usize) -> Result<Vec<Parcel>, JournalError> {
    let mut statement = connection.prepare_cached(WAITING).map_err(read_error)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement
        .query_map((destination, limit), |row| {
            let record = match row.get::<_, Option<i64>>(3)? {
                None => None,
                Some(seq) => Some(FoundRecord {
                    place: ChainPlace {
                        chain_id: row.get(10)?,
                        seq: seq.unsigned_abs(),
                        hash: row.get(5)?,
                        prev_hash: row.get(4)?,
                    },
                    log_type: row.get(6)?,
                    event_id: row.get(7)?,
                    entry_id: row.get(8)?,
                    body: row.get(9)?,
                }),
            };
            Ok(Found { id: row.get(0)?, created_at: row.get(1)?, payload: row.get(2)?, record })
        })
        .map_err(read_error)?;
    rows.map(|row| parcel(row.map_err(read_error)?)).collect()
}

fn parcel(found: Found) -> Result<Parcel, JournalError> {
    let content = match (found.payload, found.record) {
        (Some(payload), _) => Content::Payload(json(&payload)?),
        (None, Some(record)) => Content::Record {
            record: Record {
                log_type: log_type(&record.log_type)?,
                event_id: record.event_id,
                entry_id: record.entry_id,
                body: json(&record.body)?,
            },
            chain: record.place,
        },
        (None, None) => return Err(JournalError::Read(format!("parcel {} has lost its record", found.id))),
    };
    Ok(Parcel { id: found.id, created_at: timestamp(&found.created_at)?, content })
}
