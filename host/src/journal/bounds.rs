//! How much the journal may hold, and for how long.
//!
//! `max_bytes` has two lines. Once the pages in use and the write-ahead log pass the first, no new alert and no intent
//! is taken: nothing new is begun, and what runs has the reserve between the lines for its results, entries and pages.
//! The second is `max_bytes` itself; SQLite enforces it for the file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;

/// The part of `max_bytes` that is kept for what was begun.
const RESERVE: u64 = 8;
/// The part of `max_bytes` that may come unmeasured.
const TOLERANCE: u64 = 256;
/// How far below the first line the use has to fall before new alerts are taken again: a part of `max_bytes`.
const MARGIN: u64 = 64;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bounds {
    /// None: as much as the disk takes.
    pub max_bytes: Option<u64>,
    /// How long records stay; none: for good.
    pub keep: Option<Duration>,
    /// How long a finished alert is known again; none: for good.
    pub keep_alerts: Option<Duration>,
    /// Where the records of retention are shipped.
    pub destinations: Vec<String>,
}

/// What is in use, and whether that is too much.
pub(super) struct Gauge {
    wal: PathBuf,
    /// It never changes; 0 while nobody has asked.
    page_size: i64,
    max_bytes: Option<u64>,
    used: u64,
    full: bool,
}

impl Gauge {
    pub fn new(path: &Path) -> Self {
        let mut wal = path.as_os_str().to_owned();
        wal.push("-wal");
        Self { wal: wal.into(), page_size: 0, max_bytes: None, used: 0, full: false }
    }

    pub fn limit(&mut self, connection: &Connection, max_bytes: Option<u64>) -> rusqlite::Result<()> {
        self.max_bytes = max_bytes;
        if let Some(max_bytes) = max_bytes {
            let page_size: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
            let pages = i64::try_from(max_bytes).unwrap_or(i64::MAX) / page_size.max(1);
            // A file that is larger already does not grow.
            connection
                .query_row(&format!("PRAGMA max_page_count = {}", pages.max(1)), [], |row| row.get::<_, i64>(0))?;
        }
        self.measure(connection)
    }

    /// Free pages inside the file are room: SQLite uses them before the file grows.
    pub fn measure(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        // Asked often: as a query of three functions it takes ten times as long.
        let pragma = |sql: &str| connection.prepare_cached(sql)?.query_row([], |row| row.get::<_, i64>(0));
        if self.page_size == 0 {
            self.page_size = pragma("PRAGMA page_size")?;
        }
        let in_file = (pragma("PRAGMA page_count")? - pragma("PRAGMA freelist_count")?) * self.page_size;
        // Absent while nothing was written.
        let in_wal = std::fs::metadata(&self.wal).map_or(0, |found| found.len());
        self.used = in_file.unsigned_abs().saturating_add(in_wal);
        if let Some(max_bytes) = self.max_bytes {
            let line = max_bytes - max_bytes / RESERVE;
            self.full = self.used > if self.full { line - max_bytes / MARGIN } else { line };
        }
        Ok(())
    }

    /// How much may come before it is measured again: little beside the reserve, so that none of it is used up unseen.
    pub fn tolerance(&self) -> u64 {
        const MOST: u64 = 4 << 20;
        self.max_bytes.map_or(MOST, |max_bytes| (max_bytes / TOLERANCE).min(MOST))
    }

    pub fn used(&self) -> u64 {
        self.used
    }

    /// The bound, when no new alert and no intent is taken.
    pub fn full(&self) -> Option<u64> {
        self.max_bytes.filter(|_| self.full)
    }
}
