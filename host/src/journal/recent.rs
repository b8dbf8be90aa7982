//! The end of the chain, for those who must know after a restart what was done shortly before it.

use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use serde_json::{Map, Value};

use super::store::{json, log_type, read_error};
use super::{JournalError, LogType, Record};

const ROWS: &str = "SELECT log_type, event_id, entry_id, body FROM chain ORDER BY seq DESC";
/// However busy it was: a start does not read for minutes.
const MOST: usize = 100_000;
/// Times are cut to whole seconds, and written a moment after they were taken.
const SLACK: SignedDuration = SignedDuration::from_secs(5);

/// The records since about `since` that are `wanted`, oldest first. An entry can speak of a time long before it was
/// written; all others are written when they say, and the first of them that is too old ends the search.
pub(super) fn since(
    connection: &Connection,
    since: Timestamp,
    wanted: impl Fn(&Record) -> bool,
) -> Result<Vec<Record>, JournalError> {
    let mut statement = connection.prepare_cached(ROWS).map_err(read_error)?;
    let rows = statement
        .query_map([], |row| {
            Ok((row.get::<_, String>(0)?, row.get(1)?, row.get::<_, Option<String>>(2)?, row.get::<_, String>(3)?))
        })
        .map_err(read_error)?;
    let oldest = since.saturating_sub(SLACK).unwrap_or(Timestamp::MIN);
    let mut found = Vec::new();
    for row in rows.take(MOST) {
        let (kind, event_id, entry_id, body) = row.map_err(read_error)?;
        let body: Map<String, Value> = json(&body)?;
        let record = Record { log_type: log_type(&kind)?, event_id, entry_id, body };
        let written = record.body.get("timestamp").and_then(Value::as_str).and_then(|text| text.parse().ok());
        if record.log_type != LogType::Entry && written.is_some_and(|written: Timestamp| written < oldest) {
            break;
        }
        if wanted(&record) {
            found.push(record);
        }
    }
    found.reverse();
    Ok(found)
}
