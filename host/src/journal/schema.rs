//! The journal's file: its tables, and what may be opened as one. A file that is something else, or damaged, is refused
//! and left as it was.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::{JournalError, chain, soundness};
use crate::ambient::Ambient;

/// Written to `PRAGMA user_version`.
pub(super) const VERSION: i64 = 1 + MIGRATIONS.len() as i64;

/// `FRCJ`: tells our files from other programs' SQLite databases.
const APPLICATION_ID: i64 = 0x4652_434a;

/// What every SQLite database begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// How long to wait for a command that writes to the same file.
pub(super) const BUSY: Duration = Duration::from_secs(5);

/// How much of the write-ahead log stays on disk between bursts: as long as it is before it is written back, and the group
/// that comes on top. A file that is cut and grows again makes the disk wait for more than what is written.
const WAL_BYTES: i64 = 8 << 20;

// The tables of version 1. A new file is made of these and of every migration, so that it is what an old one becomes.
// `head_seq` and `head_hash` repeat the last row of the chain: a chain whose end was cut off no longer matches them, and
// the next record leaves a gap instead of covering the cut.
const TABLES: &str = "
CREATE TABLE meta (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    chain_id TEXT NOT NULL,
    head_seq INTEGER NOT NULL,
    head_hash TEXT NOT NULL,
    probes INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE inbox (
    id INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    alert_uuid TEXT UNIQUE,
    received_at TEXT NOT NULL,
    body TEXT NOT NULL,
    finished INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX inbox_unfinished ON inbox (id) WHERE finished = 0;
CREATE TABLE chain (
    seq INTEGER PRIMARY KEY,
    prev_hash TEXT NOT NULL,
    hash TEXT NOT NULL,
    log_type TEXT NOT NULL,
    event_id TEXT NOT NULL,
    entry_id TEXT,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX chain_event ON chain (event_id, seq);
CREATE INDEX chain_entry ON chain (entry_id, seq) WHERE entry_id IS NOT NULL;
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY,
    destination TEXT NOT NULL,
    created_at TEXT NOT NULL,
    seq INTEGER REFERENCES chain (seq),
    payload TEXT,
    settled INTEGER NOT NULL DEFAULT 0,
    given_up TEXT,
    CHECK ((seq IS NULL) <> (payload IS NULL))
) STRICT;
CREATE INDEX outbox_waiting ON outbox (destination, id) WHERE settled = 0;
CREATE TABLE attachments (
    id INTEGER PRIMARY KEY,
    entry_id TEXT NOT NULL,
    name TEXT NOT NULL,
    media_type TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    content BLOB NOT NULL
) STRICT;
CREATE INDEX attachments_entry ON attachments (entry_id, id);
";

/// Each makes a file of one version a file of the next; the first, of version 1. Never changed once released.
pub(super) const MIGRATIONS: [&str; 3] = [
    "
-- The last record that retention removed, and the record that says so; 0 and null while it has removed none.
ALTER TABLE meta ADD COLUMN pruned_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN pruned_hash TEXT;
ALTER TABLE meta ADD COLUMN pruned_by INTEGER;
CREATE INDEX outbox_settled_payloads ON outbox (created_at) WHERE settled = 1 AND seq IS NULL;
CREATE TABLE due (
    entry_id TEXT PRIMARY KEY,
    deadline INTEGER NOT NULL,
    reminded INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX due_deadline ON due (deadline, reminded);
",
    "
-- An alert that is delivered again under another id is known by it.
ALTER TABLE inbox ADD COLUMN fingerprint TEXT;
CREATE UNIQUE INDEX inbox_fingerprint ON inbox (fingerprint) WHERE fingerprint IS NOT NULL;
-- What was last in force, for the next start to compare itself with.
ALTER TABLE meta ADD COLUMN configuration TEXT;
",
    "
-- Apart from the head of the chain, which every commit writes: with thousands of rules it is a megabyte.
CREATE TABLE configuration (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    in_force TEXT NOT NULL
) STRICT;
INSERT INTO configuration (id, in_force) SELECT 1, configuration FROM meta WHERE configuration IS NOT NULL;
ALTER TABLE meta DROP COLUMN configuration;
",
];

/// What a commit waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    /// The disk: what was committed outlives a crash of the machine.
    ForTheDisk,
    /// Nothing: nobody will read the file after a crash.
    ForNothing,
}

impl Waits {
    fn synchronous(self) -> &'static str {
        match self {
            Self::ForTheDisk => "FULL",
            Self::ForNothing => "OFF",
        }
    }
}

/// Opens the journal for writing, and creates it where nothing is.
pub(super) fn open(path: &Path, ambient: &Ambient, waits: Waits) -> Result<Connection, JournalError> {
    let failed = |message: String| JournalError::Open { path: path.to_owned(), message };
    let created = create_private(path).map_err(failed)?;
    refuse_other_formats(path).map_err(failed)?;
    let sqlite = |error: rusqlite::Error| soundness::opening(path, &error);
    // By a connection that cannot write: what is damaged stays as it is.
    soundness::check(path, created)?;
    let mut connection = connect(path).map_err(sqlite)?;
    // Before anything is set: switching to WAL would already change another program's file.
    identify(&connection, path)?;
    connection.pragma_update(None, "synchronous", waits.synchronous()).map_err(sqlite)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(sqlite)?;
    connection.pragma_update(None, "foreign_keys", true).map_err(sqlite)?;
    // An alert that is done with is blanked, and what it said must not stay in the file's unused corners.
    connection.pragma_update(None, "secure_delete", true).map_err(sqlite)?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES).map_err(sqlite)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sqlite)?;
    // Again, now that nobody else can be creating it at the same moment.
    let from = match identify(&transaction, path)? {
        Found::Nothing => {
            create(&transaction, ambient).map_err(sqlite)?;
            1
        }
        Found::Journal { version } => version,
    };
    let steps = usize::try_from(from - 1).map_or(&[][..], |done| &MIGRATIONS[done.min(MIGRATIONS.len())..]);
    for migration in steps {
        transaction.execute_batch(migration).map_err(|error| match error.sqlite_error_code() {
            // A statement that does not fit: the tables are not those of the version that the file names.
            None | Some(ErrorCode::Unknown) => {
                soundness::damaged(path, format!("its tables are not those of schema version {from}: {error}"))
            }
            Some(_) => sqlite(error),
        })?;
    }
    if from < VERSION {
        transaction.pragma_update(None, "user_version", VERSION).map_err(sqlite)?;
    }
    transaction.commit().map_err(sqlite)?;
    Ok(connection)
}

fn create(connection: &Connection, ambient: &Ambient) -> rusqlite::Result<()> {
    let chain_id = ambient.uuid().to_string();
    connection.execute_batch(TABLES)?;
    connection.execute(
        "INSERT INTO meta (id, chain_id, head_seq, head_hash) VALUES (1, ?1, 0, ?2)",
        (&chain_id, chain::genesis(&chain_id)),
    )?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", 1)
}

/// A second connection to a journal that is open already; it cannot write.
pub(super) fn open_reader(path: &Path) -> Result<Connection, JournalError> {
    let open = || {
        let connection = connect(path)?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(connection)
    };
    open().map_err(|error: rusqlite::Error| JournalError::Open { path: path.to_owned(), message: error.to_string() })
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

#[derive(PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    Journal { version: i64 },
}

pub(super) fn identify(connection: &Connection, path: &Path) -> Result<Found, JournalError> {
    let failed = |message: String| JournalError::Open { path: path.to_owned(), message };
    let sqlite = |error: rusqlite::Error| soundness::opening(path, &error);
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(sqlite);
    let (application, version) = (pragma("application_id")?, pragma("user_version")?);
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(sqlite)?;
    if application == 0 && version == 0 && tables == 0 {
        return Ok(Found::Nothing);
    }
    if application != APPLICATION_ID {
        return Err(failed("it is another program's database: name another file, this one was left as it is".into()));
    }
    if version > VERSION {
        return Err(JournalError::Newer { path: path.to_owned(), found: version, known: VERSION });
    }
    if version < 1 {
        return Err(soundness::damaged(path, format!("its schema has the impossible version {version}")));
    }
    Ok(Found::Journal { version })
}

/// SQLite would create it with the process's umask; its WAL takes the mode over from the file. Whether there was none.
fn create_private(path: &Path) -> Result<bool, String> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match fs::metadata(directory) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(format!("{} is not a directory", directory.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(format!(
                "the directory {} does not exist: create it, or mount a volume there",
                directory.display()
            ));
        }
        Err(error) => return Err(format!("cannot look into the directory {}: {error}", directory.display())),
    }
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(format!("cannot create it in {}: {error}", directory.display())),
    }
}

pub(super) fn refuse_other_formats(path: &Path) -> Result<(), String> {
    let mut start = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut start))
        .map_err(|error| error.to_string())?;
    // An empty file is what a program that stopped right after creating it leaves behind.
    if start.is_empty() || start == MAGIC {
        Ok(())
    } else {
        Err("it is no SQLite database: name another file, this one was left as it is".to_owned())
    }
}
