//! The end of the chain, for those who must know after a restart what was done shortly before it.

use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use serde_json::{Map, Value};

use super::store::{json, log_type, read_error};
use super::{JournalError, LogType, Record};

const ROWS: &str = "SELECT log_type, event_id, entry_id, body FROM chain ORDER BY seq DESC";
/// However busy it was: a start reads for some seconds at most.
const MOST: usize = 2_000_000;
/// How often the time is looked at between records that nobody wants. A flood of decisions must neither take long nor
/// hide what came before it.
const STRIDE: usize = 256;
/// An entry can speak of a time long before it was written, where an action was cut off by a crash; of so many in a row, which
/// are more than can be under way at once, none does. A journal of rehearsals has little else than entries.
const OLD_ENTRIES: usize = 4096;
/// Times are cut to whole seconds, and written a moment after they were taken.
const SLACK: SignedDuration = SignedDuration::from_secs(5);

/// The records since about `since` that are `wanted`, by their type and their text, oldest first. All but entries are written
/// when they say, and the first of them that is too old ends the search, as a long row of entries does. `closing` ends it too.
pub(super) fn since(
    connection: &Connection,
    since: Timestamp,
    wanted: impl Fn(LogType, &str) -> bool,
    closing: impl Fn() -> bool,
) -> Result<Vec<Record>, JournalError> {
    let mut statement = connection.prepare_cached(ROWS).map_err(read_error)?;
    let mut rows = statement.query([]).map_err(read_error)?;
    let oldest = since.saturating_sub(SLACK).unwrap_or(Timestamp::MIN);
    let mut found = Vec::new();
    let mut young = 0;
    for number in 0..MOST {
        let Some(row) = rows.next().map_err(read_error)? else { break };
        let text = |index: usize| row.get_ref(index)?.as_str().map_err(rusqlite::Error::from);
        let (kind, body) = (log_type(text(0).map_err(read_error)?)?, text(3).map_err(read_error)?);
        let wanted = wanted(kind, body);
        if !wanted && !number.is_multiple_of(STRIDE) {
            continue;
        }
        if closing() {
            return Err(JournalError::Closed);
        }
        let body: Map<String, Value> = json(body)?;
        let written = body.get("timestamp").and_then(Value::as_str).and_then(|text| text.parse().ok());
        if written.is_none_or(|written: Timestamp| written >= oldest) {
            young = number;
        } else if kind != LogType::Entry || number - young >= OLD_ENTRIES {
            break;
        }
        if wanted {
            let (event_id, entry_id) = (row.get(1).map_err(read_error)?, row.get(2).map_err(read_error)?);
            found.push(Record { log_type: kind, event_id, entry_id, body });
        }
    }
    found.reverse();
    Ok(found)
}
