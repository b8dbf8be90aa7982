//! Whether a file that is about to be opened is whole, as far as that can be told in bounded time. What is not is
//! refused and left as it is: SQLite would go on with the part that it can read. The same holds for the write-ahead log
//! beside it ([`super::wal`]).
//!
//! A small file is read whole: SQLite's own check of its pages, and the chain from its first record. Of a larger one,
//! only its length and the last records of the chain; `audit verify` reads the rest.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::schema::{self, Found};
use super::{JournalError, verify, wal};

/// Files up to this size are read whole: some tens of milliseconds.
const WHOLE: i64 = 16 << 20;

/// How many of the last records are looked at in a larger file.
const TAIL: u64 = 512;

/// `created`: it was not there before.
///
/// # Errors
/// When the file is no journal, newer or damaged. One that is empty and new passes.
pub(super) fn check(path: &Path, created: bool) -> Result<(), JournalError> {
    let length = fs::metadata(path).map_err(|error| opening_failed(path, error.to_string()))?.len();
    if length == 0 {
        return if created { Ok(()) } else { new(path) };
    }
    let sqlite = |error: rusqlite::Error| opening(path, &error);
    // Before SQLite reads it, and takes what it cannot read for the traces of a crash.
    match wal::damage(path) {
        Ok(None) => {}
        Ok(Some(what)) => return Err(damaged(path, what)),
        Err(error) => return Err(opening_failed(path, format!("cannot read its write-ahead log: {error}"))),
    }
    let connection = read_only(path).map_err(sqlite)?;
    let version = match schema::identify(&connection, path)? {
        // A program that stopped while it created the file; not one that had come so far as to lock it.
        Found::Nothing if fs::metadata(beside(path, ".lock")).is_ok() => {
            let what = "it holds nothing, and a controller has worked with it before: its write-ahead log is lost \
                        (a `.lock` beside it that was left by another journal is to be removed)";
            return Err(damaged(path, what.to_owned()));
        }
        Found::Nothing => return Ok(()),
        Found::Journal { version } => version,
    };
    let bytes: i64 = connection
        .query_row("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size", [], |row| row.get(0))
        .map_err(sqlite)?;
    let tail = if bytes <= WHOLE {
        let found: String = connection.pragma_query_value(None, "quick_check", |row| row.get(0)).map_err(sqlite)?;
        if found != "ok" {
            return Err(damaged(path, found));
        }
        None
    } else {
        Some(TAIL)
    };
    let verified = verify::chain(&connection, version, tail).map_err(|error| damaged(path, error.to_string()))?;
    match verified.findings.first() {
        None => Ok(()),
        Some(finding) => Err(damaged(path, finding.to_string())),
    }
}

/// An empty file is what a program that stopped right after creating it leaves behind; but not beside the traces of a
/// controller that has worked with it.
fn new(path: &Path) -> Result<(), JournalError> {
    let traced = |suffix: &str| fs::metadata(beside(path, suffix));
    let wal = traced("-wal").is_ok_and(|found| found.len() > 0);
    if wal || traced(".lock").is_ok() {
        let what = format!(
            "it is empty, and a controller has worked with it before ({} lies beside it)",
            beside(path, if wal { "-wal" } else { ".lock" }).display()
        );
        return Err(damaged(path, what));
    }
    Ok(())
}

pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A connection that cannot change the file. In a directory that cannot be written either, SQLite reads a journal only
/// when told that nobody else writes it.
pub(super) fn read_only(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(schema::BUSY)?;
    let readable = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()));
    let no_log = match fs::metadata(beside(path, "-wal")) {
        Ok(found) => found.len() == 0,
        Err(error) => error.kind() == ErrorKind::NotFound,
    };
    match readable {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::CannotOpen) && no_log => {
            let path: String = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
            let address = format!("file:{path}?immutable=1");
            Connection::open_with_flags(address, flags | OpenFlags::SQLITE_OPEN_URI)
        }
        // The caller meets any other error again, and tells it.
        _ => Ok(connection),
    }
}

/// What SQLite says while a journal is opened.
pub(super) fn opening(path: &Path, error: &rusqlite::Error) -> JournalError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => damaged(path, error.to_string()),
        _ => opening_failed(path, error.to_string()),
    }
}

fn opening_failed(path: &Path, message: String) -> JournalError {
    JournalError::Open { path: path.to_owned(), message }
}

pub(super) fn damaged(path: &Path, what: String) -> JournalError {
    JournalError::Damaged { path: path.to_owned(), what }
}
