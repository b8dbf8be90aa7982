//! The inbox: alerts that were answered and are not done with. Finished ones stay for a while, emptied, so that a resent
//! alert is known again.

use rusqlite::{Connection, Params, params};
use serde_json::{Map, Value};

use super::store::{json, log_type, read_error, timestamp};
use super::{JournalError, LogType, NewAlert, Unfinished, UnfinishedIntent};

pub(super) const UNFINISHED: &str = "
    SELECT id, event_id, alert_uuid, received_at, body, fingerprint
    FROM inbox WHERE finished = 0 AND id > ?1 ORDER BY id LIMIT ?2";
pub(super) const UNFINISHED_ONE: &str = "
    SELECT id, event_id, alert_uuid, received_at, body, fingerprint
    FROM inbox WHERE finished = 0 AND event_id = ?1";
pub(super) const RECORDS: &str = "SELECT log_type, entry_id, body FROM chain WHERE event_id = ?1 ORDER BY seq";
pub(super) const ENTRY: &str = "SELECT body FROM chain WHERE entry_id = ?1 AND log_type = ?2 ORDER BY seq LIMIT 1";
pub(super) const ACCEPT: &str = "
    INSERT INTO inbox (event_id, alert_uuid, received_at, body, fingerprint) VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (alert_uuid) DO NOTHING ON CONFLICT (fingerprint) WHERE fingerprint IS NOT NULL DO NOTHING";
pub(super) const FINISH: &str = "UPDATE inbox SET finished = 1, body = '' WHERE event_id = ?1";

/// Whether the alert was new.
pub(super) fn accept(connection: &Connection, alert: &NewAlert) -> rusqlite::Result<bool> {
    let inserted = connection.prepare_cached(ACCEPT)?.execute(params![
        alert.event_id,
        alert.alert_uuid,
        alert.received_at.to_string(),
        alert.body,
        alert.fingerprint
    ])?;
    Ok(inserted == 1)
}

pub(super) fn finish(connection: &Connection, event_id: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(FINISH)?.execute([event_id]).map(drop)
}

pub(super) fn unfinished(connection: &Connection, after: i64, limit: usize) -> Result<Vec<Unfinished>, JournalError> {
    read(connection, UNFINISHED, params![after, i64::try_from(limit).unwrap_or(i64::MAX)])
}

pub(super) fn unfinished_one(connection: &Connection, event_id: &str) -> Result<Option<Unfinished>, JournalError> {
    Ok(read(connection, UNFINISHED_ONE, params![event_id])?.pop())
}

fn read(connection: &Connection, sql: &str, which: impl Params) -> Result<Vec<Unfinished>, JournalError> {
    // One read transaction: an alert's records are those of the moment at which it was found unfinished.
    let snapshot = connection.unchecked_transaction().map_err(read_error)?;
    let mut statement = snapshot.prepare_cached(sql).map_err(read_error)?;
    let alerts = statement
        .query_map(which, |row| {
            let (received_at, body): (String, String) = (row.get(3)?, row.get(4)?);
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, received_at, body, row.get(5)?))
        })
        .map_err(read_error)?;
    let mut found = Vec::new();
    for alert in alerts {
        let (position, event_id, alert_uuid, received_at, body, fingerprint) = alert.map_err(read_error)?;
        let received_at = timestamp(&received_at)?;
        let alert = NewAlert { event_id, alert_uuid, fingerprint, received_at, body: body.into() };
        found.push(with_records(&snapshot, position, alert)?);
    }
    Ok(found)
}

fn with_records(connection: &Connection, position: i64, alert: NewAlert) -> Result<Unfinished, JournalError> {
    let mut statement = connection.prepare_cached(RECORDS).map_err(read_error)?;
    let rows = statement
        .query_map([&alert.event_id], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?, row.get::<_, String>(2)?))
        })
        .map_err(read_error)?;
    let mut intents: Vec<UnfinishedIntent> = Vec::new();
    let mut concluded = Vec::new();
    let mut entered = Vec::new();
    for row in rows {
        let (kind, entry_id, body) = row.map_err(read_error)?;
        let body: Map<String, Value> = json(&body)?;
        match log_type(&kind)? {
            kind @ (LogType::Entry | LogType::Decision) => {
                concluded.extend(body.get("action").and_then(Value::as_str).map(str::to_owned));
                entered.extend(entry_id.filter(|_| kind == LogType::Entry));
            }
            LogType::Intent => {
                let entry_id = entry_id.unwrap_or_default();
                intents.push(UnfinishedIntent { entry_id, intent: body, result: None });
            }
            LogType::Result => {
                let intent = intents.iter_mut().find(|intent| {
                    Some(&intent.entry_id) == entry_id.as_ref() && intent.intent.get("call") == body.get("call")
                });
                if let Some(intent) = intent {
                    intent.result = Some(body);
                }
            }
            LogType::Followup | LogType::Config | LogType::Annotation | LogType::Retention => {}
        }
    }
    intents.retain(|intent| !entered.contains(&intent.entry_id));
    Ok(Unfinished { position, alert, intents, concluded })
}

/// The body of an entry.
pub(super) fn entry(connection: &Connection, entry_id: &str) -> Result<Option<Map<String, Value>>, JournalError> {
    let body: rusqlite::Result<String> = connection
        .prepare_cached(ENTRY)
        .and_then(|mut statement| statement.query_row((entry_id, LogType::Entry.as_str()), |row| row.get(0)));
    match body {
        Ok(body) => json(&body).map(Some),
        Err(rusqlite::Error::QueryReturnedNoRows) => Ok(None),
        Err(error) => Err(read_error(error)),
    }
}
