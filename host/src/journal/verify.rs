//! The chain as it stands in a file, walked record by record: the first that is not what was written, and attachments
//! that are not what their entry says.

use std::collections::BTreeMap;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::chain::{Broken, Fault, Head, Row, Verifier};
use super::store::read_error;
use super::{JournalError, LogType};
use crate::hex::hex;

/// What was looked at, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    pub chain_id: String,
    /// The end of the chain as the journal has noted it.
    pub head: Head,
    /// The last record that retention removed, if it has removed any.
    pub removed: Option<Head>,
    pub records: u64,
    pub findings: Vec<Finding>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// The first bad record; what comes after it is not judged.
    #[error("{broken}{}", entry_id.as_ref().map(|id| format!(" (entry {id})")).unwrap_or_default())]
    Record { broken: Broken, entry_id: Option<String> },
    #[error("attachment {name:?} of entry {entry_id} {fault}")]
    Attachment { entry_id: String, name: String, fault: &'static str },
    /// As SQLite words it.
    #[error("the file is damaged: {0}")]
    File(String),
}

/// Where a chain begins and where it ends, as noted in the file.
pub(super) struct Ends {
    pub chain_id: String,
    pub head: Head,
    pub removed: Option<Head>,
}

pub(super) fn ends(connection: &Connection, version: i64) -> rusqlite::Result<Ends> {
    let removed = if version < 2 { "0, NULL" } else { "pruned_seq, pruned_hash" };
    let sql = format!("SELECT chain_id, head_seq, head_hash, {removed} FROM meta WHERE id = 1");
    connection.prepare_cached(&sql)?.query_row([], |row| {
        let removed = match row.get::<_, i64>(3)? {
            0 => None,
            seq => Some(Head { seq: seq.unsigned_abs(), hash: row.get::<_, Option<String>>(4)?.unwrap_or_default() }),
        };
        let head = Head { seq: row.get::<_, i64>(1)?.unsigned_abs(), hash: row.get(2)? };
        Ok(Ends { chain_id: row.get(0)?, head, removed })
    })
}

/// Walks the chain: all of it, or its last `tail` records, whose first is then believed.
pub(super) fn chain(connection: &Connection, version: i64, tail: Option<u64>) -> Result<Verified, JournalError> {
    // A read transaction, so that the ends and the rows are of one moment; unless the caller has one.
    let alone = connection.is_autocommit();
    let _snapshot = alone.then(|| connection.unchecked_transaction()).transpose().map_err(read_error)?;
    let Ends { chain_id, head, removed } = ends(connection, version).map_err(read_error)?;
    let mut verified = Verified { chain_id, head, removed, records: 0, findings: Vec::new() };
    let start = verified.removed.clone().unwrap_or_else(|| Head::of_empty(&verified.chain_id));
    let before: Option<i64> = connection
        .query_row("SELECT min(seq) FROM chain WHERE seq <= ?1", [signed(start.seq)], |row| row.get(0))
        .map_err(read_error)?;
    if let Some(seq) = before {
        let broken = Broken { seq: u64::try_from(seq).unwrap_or_default(), fault: Fault::Removed };
        verified.findings.push(Finding::Record { broken, entry_id: None });
        return Ok(verified);
    }
    let from = match tail {
        Some(tail) if verified.head.seq.saturating_sub(tail) > start.seq => {
            believed(connection, verified.head.seq - tail)?.unwrap_or(start)
        }
        _ => start,
    };
    if let Err((broken, entry_id)) = walk(connection, from, &mut verified)? {
        verified.findings.push(Finding::Record { broken, entry_id });
    } else if let Some(broken) = unexplained(connection, &verified)? {
        verified.findings.push(Finding::Record { broken, entry_id: None });
    }
    Ok(verified)
}

type Walked = Result<(), (Broken, Option<String>)>;

fn walk(connection: &Connection, from: Head, verified: &mut Verified) -> Result<Walked, JournalError> {
    let mut statement = connection
        .prepare_cached(
            "SELECT seq, prev_hash, hash, log_type, event_id, entry_id, body FROM chain WHERE seq > ?1 ORDER BY seq",
        )
        .map_err(read_error)?;
    let mut rows = statement.query([signed(from.seq)]).map_err(read_error)?;
    let mut last = from.seq;
    let mut verifier = Verifier::after(from);
    loop {
        let row = match rows.next() {
            Ok(Some(row)) => row,
            Ok(None) => break,
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => {
                return Ok(Err((Broken { seq: last + 1, fault: Fault::Unreadable }, None)));
            }
            Err(error) => return Err(read_error(error)),
        };
        let row = match read(row).map_err(read_error)? {
            Ok(row) => row,
            Err(seq) => return Ok(Err((Broken { seq, fault: Fault::Changed }, None))),
        };
        if let Err(broken) = verifier.next(&row) {
            let entry_id = row.entry_id.filter(|_| broken.seq == row.seq);
            return Ok(Err((broken, entry_id)));
        }
        last = row.seq;
        verified.records += 1;
    }
    Ok(verifier.finish(Some(&verified.head)).map(drop).map_err(|broken| (broken, None)))
}

/// A row, or the number of one whose columns hold what was never written there.
fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Result<Row, u64>> {
    let seq = row.get::<_, i64>(0)?.unsigned_abs();
    let text = |index| -> rusqlite::Result<Option<String>> {
        Ok(match row.get_ref(index)? {
            ValueRef::Text(bytes) => std::str::from_utf8(bytes).ok().map(str::to_owned),
            _ => None,
        })
    };
    let entry_id = match row.get_ref(5)? {
        ValueRef::Null => Some(None),
        _ => text(5)?.map(Some),
    };
    let columns = (text(1)?, text(2)?, text(3)?, text(4)?, entry_id, text(6)?);
    let (Some(prev_hash), Some(hash), Some(log_type), Some(event_id), Some(entry_id), Some(body)) = columns else {
        return Ok(Err(seq));
    };
    Ok(Ok(Row { seq, prev_hash, hash, log_type, event_id, entry_id, body }))
}

/// The record that stands before a tail.
fn believed(connection: &Connection, seq: u64) -> Result<Option<Head>, JournalError> {
    let found = connection
        .query_row("SELECT hash FROM chain WHERE seq = ?1", [signed(seq)], |row| row.get(0))
        .map(|hash| Head { seq, hash });
    match found {
        Ok(head) => Ok(Some(head)),
        Err(rusqlite::Error::QueryReturnedNoRows) => Ok(None),
        Err(error) => Err(read_error(error)),
    }
}

/// A chain that does not begin with its first record has to say itself why: the record of retention that the journal
/// notes names the last record that was removed.
fn unexplained(connection: &Connection, verified: &Verified) -> Result<Option<Broken>, JournalError> {
    let Some(removed) = &verified.removed else { return Ok(None) };
    let mut statement = connection
        .prepare_cached("SELECT body FROM chain JOIN meta ON seq = pruned_by WHERE log_type = ?1")
        .map_err(read_error)?;
    let body: Option<String> = match statement.query_row([LogType::Retention.as_str()], |row| row.get(0)) {
        Ok(body) => Some(body),
        Err(rusqlite::Error::QueryReturnedNoRows) => None,
        Err(error) => return Err(read_error(error)),
    };
    let body: Option<Map<String, Value>> = body.and_then(|body| serde_json::from_str(&body).ok());
    let said = body.is_some_and(|body| {
        body.get("last_seq").and_then(Value::as_u64) == Some(removed.seq)
            && body.get("last_hash").and_then(Value::as_str) == Some(&removed.hash)
    });
    Ok((!said).then_some(Broken { seq: removed.seq + 1, fault: Fault::Unexplained }))
}

/// Every attachment that an entry names, against the digest that stands in the entry.
pub(super) fn attachments(connection: &Connection) -> Result<Vec<Finding>, JournalError> {
    let mut entries = connection
        .prepare("SELECT entry_id, body FROM chain WHERE log_type = ?1 AND entry_id IS NOT NULL AND body LIKE '%\"attachments\":%'")
        .map_err(read_error)?;
    let mut contents = connection
        .prepare("SELECT name, content FROM attachments WHERE entry_id = ?1 ORDER BY id")
        .map_err(read_error)?;
    let entries = entries
        .query_map([LogType::Entry.as_str()], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))
        .map_err(read_error)?;
    let mut findings = Vec::new();
    for entry in entries {
        let (entry_id, body) = entry.map_err(read_error)?;
        let body: Map<String, Value> = super::store::json(&body)?;
        let named = body.get("attachments").and_then(Value::as_array).cloned().unwrap_or_default();
        let mut stored: BTreeMap<(String, String), usize> = BTreeMap::new();
        let rows = contents
            .query_map([&entry_id], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?)))
            .map_err(read_error)?;
        for row in rows {
            let (name, content) = row.map_err(read_error)?;
            *stored.entry((name, hex(&Sha256::digest(content)))).or_default() += 1;
        }
        for one in &named {
            let text = |key: &str| one.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            let name = text("name");
            match stored.get_mut(&(name.clone(), text("sha256"))) {
                Some(left) if *left > 0 => *left -= 1,
                _ => findings.push(Finding::Attachment {
                    entry_id: entry_id.clone(),
                    name,
                    fault: "is missing or was changed",
                }),
            }
        }
    }
    Ok(findings)
}

fn signed(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}
