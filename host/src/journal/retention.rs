//! What goes for its age: the oldest records of the chain once they are delivered, alerts that need not be known again,
//! settled pages. A small step at a time, so that nobody waits for it.
//!
//! Only a whole beginning of the chain goes. What is left begins with the hash of the last record that went, and a record
//! of the chain says so: [`super::verify`] asks for it.
//!
//! Everything is found from the front of its table, where the oldest stands: an index would cost every alert something.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, TransactionBehavior, params};
use serde_json::{Map, Value, json};

use super::store::{Refusal, append};
use super::{Bounds, LogType, Record, outbox};
use crate::ambient::Ambient;
use crate::faults;

/// How many records, alerts or pages go in one step at most.
const STEP: u16 = 256;
/// How many bytes of records and attachments.
const STEP_BYTES: i64 = 8 << 20;
/// A removal leaves a record, so a few records are not worth one until they are this part of `keep` overdue.
const FEW: usize = 64;
const PATIENCE: u32 = 16;

pub(super) const OLDEST: &str = "
    SELECT seq, hash, body,
        EXISTS (SELECT 1 FROM inbox WHERE inbox.event_id = chain.event_id AND finished = 0),
        length(body) + CASE log_type WHEN 'falco-automated-response' THEN
            (SELECT ifnull(sum(length(content)), 0) FROM attachments WHERE attachments.entry_id = chain.entry_id)
            ELSE 0 END
    FROM chain WHERE seq > ?1 ORDER BY seq LIMIT ?2";
const ALERTS: &str = "SELECT id, finished, received_at FROM inbox ORDER BY id";
const PARCELS: &str = "SELECT id, seq FROM outbox ORDER BY id";
/// The first of each destination, since its records were handed over in their order: with a receiver that is away, a million
/// of them may wait.
pub(super) const WAITING: &str = "
    WITH RECURSIVE destinations (name) AS (
        SELECT min(destination) FROM outbox INDEXED BY outbox_waiting WHERE settled = 0
        UNION ALL
        SELECT (SELECT min(destination) FROM outbox INDEXED BY outbox_waiting WHERE settled = 0 AND destination > name)
        FROM destinations WHERE name IS NOT NULL)
    SELECT min((SELECT seq FROM outbox INDEXED BY outbox_waiting
        WHERE destination = name AND settled = 0 AND seq IS NOT NULL ORDER BY id LIMIT 1))
    FROM destinations WHERE name IS NOT NULL";
pub(super) const OLD_PAGES: &str = "
    DELETE FROM outbox
    WHERE id IN (SELECT id FROM outbox WHERE settled = 1 AND seq IS NULL AND created_at < ?1 LIMIT ?2)";

/// Whether there is more to remove at once.
pub(super) fn step(connection: &mut Connection, ambient: &Ambient, bounds: &Bounds) -> Result<bool, Refusal> {
    // Without an index, SQLite would look through the outbox for each record that goes. None is left there that needs it.
    connection.pragma_update(None, "foreign_keys", false)?;
    let more = in_transaction(connection, ambient, bounds);
    connection.pragma_update(None, "foreign_keys", true)?;
    more
}

fn in_transaction(connection: &mut Connection, ambient: &Ambient, bounds: &Bounds) -> Result<bool, Refusal> {
    let now = ambient.now();
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut removed = false;
    let mut more = false;
    if let Some(keep) = bounds.keep {
        if let Some(prefix) = removable(&transaction, now, keep)? {
            more |= prefix.more;
            removed = true;
            remove(&transaction, now, bounds, keep, &prefix)?;
        }
        let pages = transaction.prepare_cached(OLD_PAGES)?.execute(params![before(now, keep), STEP])?;
        removed |= pages > 0;
        more |= pages == usize::from(STEP);
    }
    if let Some(keep) = bounds.keep_alerts {
        let alerts = remove_alerts(&transaction, &before(now, keep))?;
        removed |= alerts > 0;
        more |= alerts == usize::from(STEP);
    }
    // Without a change, nothing reaches the disk.
    if removed {
        faults::point("before:retain");
        transaction.commit()?;
        faults::point("after:retain");
    } else {
        transaction.rollback()?
    }
    Ok(more)
}

fn remove_alerts(connection: &Connection, horizon: &str) -> rusqlite::Result<usize> {
    let mut statement = connection.prepare_cached(ALERTS)?;
    let mut rows = statement.query([])?;
    let mut old: Vec<i64> = Vec::new();
    while let Some(row) = rows.next()? {
        if row.get_ref(2)?.as_str().is_ok_and(|received_at| received_at >= horizon) || old.len() == usize::from(STEP) {
            break;
        }
        if row.get(1)? {
            old.push(row.get(0)?);
        }
    }
    remove_by_id(connection, "DELETE FROM inbox WHERE id = ?1", &old)
}

/// The parcels of records up to `last`: they were handed over in the order of the records.
fn remove_parcels(connection: &Connection, last: i64) -> rusqlite::Result<usize> {
    let mut statement = connection.prepare_cached(PARCELS)?;
    let mut rows = statement.query([])?;
    let mut old = Vec::new();
    while let Some(row) = rows.next()? {
        match row.get::<_, Option<i64>>(1)? {
            Some(seq) if seq > last => break,
            Some(_) => old.push(row.get(0)?),
            None => {}
        }
    }
    remove_by_id(connection, "DELETE FROM outbox WHERE id = ?1", &old)
}

fn remove_by_id(connection: &Connection, sql: &str, ids: &[i64]) -> rusqlite::Result<usize> {
    let mut statement = connection.prepare_cached(sql)?;
    ids.iter().try_fold(0, |removed, id| Ok(removed + statement.execute([id])?))
}

struct Prefix {
    first: i64,
    last: i64,
    last_hash: String,
    records: usize,
    oldest: Option<Timestamp>,
    newest: Option<Timestamp>,
    more: bool,
}

/// The records that can go: old, with nothing to deliver, and of no alert that is still worked on.
fn removable(connection: &Connection, now: Timestamp, keep: Duration) -> rusqlite::Result<Option<Prefix>> {
    let anchor: i64 =
        connection.prepare_cached("SELECT pruned_seq FROM meta WHERE id = 1")?.query_row([], |row| row.get(0))?;
    let horizon = earlier(now, keep);
    let mut waiting: Option<i64> = None;
    let mut statement = connection.prepare_cached(OLDEST)?;
    let mut rows = statement.query(params![anchor, STEP])?;
    let mut found: Option<Prefix> = None;
    let (mut looked_at, mut bytes, mut ended) = (0, 0, false);
    while let Some(row) = rows.next()? {
        looked_at += 1;
        bytes += row.get::<_, i64>(4)?;
        let at = timestamp(&row.get::<_, String>(2)?);
        ended = row.get(3)? || at.is_some_and(|at| at >= horizon) || (bytes > STEP_BYTES && looked_at > 1);
        if ended {
            break;
        }
        let first_waiting = match waiting {
            Some(seq) => seq,
            None => first_waiting(connection)?,
        };
        waiting = Some(first_waiting);
        if row.get::<_, i64>(0)? >= first_waiting {
            ended = true;
            break;
        }
        // One that does not say when it was written goes with a later one that does.
        let Some(at) = at else { continue };
        let before = found.take();
        found = Some(Prefix {
            first: anchor + 1,
            last: row.get(0)?,
            last_hash: row.get(1)?,
            records: looked_at,
            oldest: before.and_then(|before| before.oldest).or(Some(at)),
            newest: Some(at),
            more: false,
        });
    }
    let full = looked_at == usize::from(STEP) || bytes > STEP_BYTES;
    let worth_it = |prefix: &Prefix| {
        let long_ago = earlier(now, keep.saturating_add(keep / PATIENCE));
        full || prefix.records >= FEW || prefix.oldest.is_some_and(|oldest| oldest < long_ago)
    };
    Ok(found.filter(worth_it).map(|prefix| Prefix { more: full && (!ended || bytes > STEP_BYTES), ..prefix }))
}

/// The first record that is not delivered yet.
fn first_waiting(connection: &Connection) -> rusqlite::Result<i64> {
    let first: Option<i64> = connection.prepare_cached(WAITING)?.query_row([], |row| row.get(0))?;
    Ok(first.unwrap_or(i64::MAX))
}

fn remove(
    connection: &Connection,
    now: Timestamp,
    bounds: &Bounds,
    keep: Duration,
    prefix: &Prefix,
) -> Result<(), Refusal> {
    let range = (prefix.first, prefix.last);
    let entries = "SELECT entry_id FROM chain
         WHERE seq BETWEEN ?1 AND ?2 AND log_type = 'falco-automated-response' AND entry_id IS NOT NULL";
    connection.prepare_cached(&format!("DELETE FROM attachments WHERE entry_id IN ({entries})"))?.execute(range)?;
    connection.prepare_cached(&format!("DELETE FROM due WHERE entry_id IN ({entries})"))?.execute(range)?;
    remove_parcels(connection, prefix.last)?;
    connection.prepare_cached("DELETE FROM chain WHERE seq BETWEEN ?1 AND ?2")?.execute(range)?;
    let record = record(now, keep, prefix);
    let seq = append(connection, &record)?;
    connection
        .prepare_cached("UPDATE meta SET pruned_seq = ?1, pruned_hash = ?2, pruned_by = ?3")?
        .execute(params![prefix.last, prefix.last_hash, seq])?;
    for destination in &bounds.destinations {
        outbox::ship(connection, destination, now, seq)?;
    }
    Ok(())
}

fn record(now: Timestamp, keep: Duration, prefix: &Prefix) -> Record {
    let time = |at: Option<Timestamp>| at.map(|at| format!("{at:.0}"));
    let body = [
        ("timestamp", json!(format!("{now:.0}"))),
        ("first_seq", json!(prefix.first)),
        ("last_seq", json!(prefix.last)),
        ("last_hash", json!(prefix.last_hash)),
        ("oldest", json!(time(prefix.oldest))),
        ("newest", json!(time(prefix.newest))),
        ("keep_seconds", json!(keep.as_secs())),
        ("detail", json!(format!("records {} to {} were older than audit.keep", prefix.first, prefix.last))),
    ];
    Record {
        log_type: LogType::Retention,
        event_id: String::new(),
        entry_id: None,
        body: body.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
    }
}

fn timestamp(body: &str) -> Option<Timestamp> {
    let body: Map<String, Value> = serde_json::from_str(body).ok()?;
    body.get("timestamp")?.as_str()?.parse().ok()
}

fn earlier(now: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| now.checked_sub(by).ok()).unwrap_or(Timestamp::MIN)
}

fn before(now: Timestamp, keep: Duration) -> String {
    earlier(now, keep).to_string()
}
