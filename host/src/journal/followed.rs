//! Which entries nobody has followed up: a controller that stops takes its followers with it.

use rusqlite::Connection;
use serde_json::{Map, Value};

use super::store::{json, log_type, read_error};
use super::{JournalError, LogType, UnfinishedIntent, Unfollowed};

/// How far back in the chain is looked: a follow-up comes within seconds, so what was left is near the end.
const ROWS: i64 = 4096;

pub(super) const UNFOLLOWED: &str = "
    SELECT event_id, entry_id, body FROM chain AS entry
    WHERE seq > (SELECT head_seq FROM meta WHERE id = 1) - ?1 AND log_type = 'falco-automated-response'
        AND NOT EXISTS (SELECT 1 FROM chain AS later
            WHERE later.entry_id = entry.entry_id AND later.log_type = 'falco-response-followup')
    ORDER BY seq";
pub(super) const CALLS: &str = "SELECT log_type, body FROM chain WHERE entry_id = ?1 ORDER BY seq";

pub(super) fn unfollowed(connection: &Connection) -> Result<Vec<Unfollowed>, JournalError> {
    let snapshot = connection.unchecked_transaction().map_err(read_error)?;
    let mut statement = snapshot.prepare_cached(UNFOLLOWED).map_err(read_error)?;
    let rows = statement
        .query_map([ROWS], |row| Ok((row.get(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?)))
        .map_err(read_error)?;
    let mut found = Vec::new();
    for row in rows {
        let (event_id, entry_id, body) = row.map_err(read_error)?;
        let intents = calls(&snapshot, &entry_id)?;
        if !intents.is_empty() {
            found.push(Unfollowed { event_id, entry: json(&body)?, intents });
        }
    }
    Ok(found)
}

fn calls(connection: &Connection, entry_id: &str) -> Result<Vec<UnfinishedIntent>, JournalError> {
    let mut statement = connection.prepare_cached(CALLS).map_err(read_error)?;
    let rows = statement
        .query_map([entry_id], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))
        .map_err(read_error)?;
    let mut intents: Vec<UnfinishedIntent> = Vec::new();
    for row in rows {
        let (kind, body) = row.map_err(read_error)?;
        let body: Map<String, Value> = json(&body)?;
        match log_type(&kind)? {
            LogType::Intent => {
                intents.push(UnfinishedIntent { entry_id: entry_id.to_owned(), intent: body, result: None });
            }
            LogType::Result => {
                let intent = intents.iter_mut().find(|intent| intent.intent.get("call") == body.get("call"));
                if let Some(intent) = intent {
                    intent.result = Some(body);
                }
            }
            _ => {}
        }
    }
    Ok(intents)
}
