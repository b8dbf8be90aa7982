//! The journal: one SQLite file with what was accepted (inbox), what was decided and done (a hash chain of records),
//! and what has yet to leave (outbox).
//!
//! [`Store`] is synchronous and does the work; [`Journal`] is a handle to a thread that drives one, and commits in
//! groups. A simulation calls the store inline. What the records mean is not known here.

mod bounds;
pub mod chain;
mod due;
mod inbox;
#[cfg(test)]
mod inline;
mod outbox;
mod reader;
mod recent;
mod retention;
mod schema;
mod soundness;
mod store;
mod verify;
mod wal;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};

pub use bounds::Bounds;
pub use due::Due;
#[cfg(test)]
pub use inline::Disk;
pub use reader::{Attachment, Reader};
pub use store::Store;
pub use verify::{Finding, Verified};
pub use writer::Journal;

/// The closed set of record types in the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogType {
    /// `falco-automated-response`: one for each action started.
    Entry,
    /// `falco-response-decision`
    Decision,
    /// `falco-response-followup`
    Followup,
    /// `falco-response-config`: the configuration or the brake changed.
    Config,
    /// `falco-response-intent`: what is about to be sent. Not shipped.
    Intent,
    /// `falco-response-result`: how the API server answered it. Not shipped.
    Result,
    /// `falco-response-annotation`: what a person has to say about an entry.
    Annotation,
    /// `falco-response-retention`: which records were removed for their age.
    Retention,
}

impl LogType {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Entry => "falco-automated-response",
            Self::Decision => "falco-response-decision",
            Self::Followup => "falco-response-followup",
            Self::Config => "falco-response-config",
            Self::Intent => "falco-response-intent",
            Self::Result => "falco-response-result",
            Self::Annotation => "falco-response-annotation",
            Self::Retention => "falco-response-retention",
        }
    }

    pub const ALL: [Self; 8] = [
        Self::Entry,
        Self::Decision,
        Self::Followup,
        Self::Config,
        Self::Intent,
        Self::Result,
        Self::Annotation,
        Self::Retention,
    ];

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == text)
    }
}

/// A record for the chain. `body`'s key order is kept and is what the hash covers (as compact JSON).
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    pub log_type: LogType,
    pub event_id: String,
    /// Of the action's entry; intents, results, follow-ups and annotations carry the same. Decisions have none.
    pub entry_id: Option<String>,
    pub body: Map<String, Value>,
}

/// One durable step. A batch of them is one transaction.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// A new alert that a rule wants. One whose `alert_uuid` or `fingerprint` is known already is not stored again.
    Accept(NewAlert),
    Record(Record),
    /// Hands the batch's latest record to `destination` (`graylog`).
    Ship {
        destination: String,
    },
    /// Hands `payload` to `destination` (`pagerduty`, `alertmanager`).
    Send {
        destination: String,
        payload: Value,
    },
    Attach {
        entry_id: String,
        name: String,
        media_type: String,
        sha256: String,
        content: Vec<u8>,
    },
    /// The alert's last action ended or was decided against; it leaves the inbox.
    Finish {
        event_id: String,
    },
    /// The entry is to be annotated by then. An annotation of it ends this.
    Due {
        entry_id: String,
        by: Timestamp,
    },
    /// What is in force from now on, in the controller's own words; see [`Journal::configuration`].
    Configure {
        in_force: String,
    },
    /// Somebody was told that the entry's annotation is overdue.
    Reminded {
        entry_id: String,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct NewAlert {
    pub event_id: String,
    pub alert_uuid: Option<String>,
    /// The same for the same event, delivered under another id.
    pub fingerprint: Option<String>,
    pub received_at: Timestamp,
    /// Verbatim.
    pub body: Arc<str>,
}

/// What a committed batch did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Committed {
    /// How many `Accept`s were known already and not stored.
    pub duplicates: usize,
}

/// An alert in the inbox, as found at start.
#[derive(Debug, Clone, PartialEq)]
pub struct Unfinished {
    /// Its place in the inbox; later alerts have larger ones.
    pub position: i64,
    pub alert: NewAlert,
    /// The intents recorded for it, oldest first.
    pub intents: Vec<UnfinishedIntent>,
    /// The actions (by name) of which an entry or decision is in the chain already.
    pub concluded: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct UnfinishedIntent {
    pub entry_id: String,
    pub intent: Map<String, Value>,
    /// The result's body, where one was recorded.
    pub result: Option<Map<String, Value>>,
}

/// Something that waits for delivery.
#[derive(Debug, Clone, PartialEq)]
pub struct Parcel {
    pub id: i64,
    pub created_at: Timestamp,
    pub content: Content,
}

/// A parcel that need not wait any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    pub id: i64,
    /// Why it was given up on; none where it was delivered.
    pub given_up: Option<String>,
}

/// What waits for one destination; something does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    pub destination: String,
    pub waiting: u64,
    /// When the first of it was committed.
    pub oldest: Timestamp,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// A record of the chain, with its place in it.
    Record {
        record: Record,
        chain: ChainPlace,
    },
    Payload(Value),
}

/// Where a record stands in the hash chain; hashes are lower-case hex SHA-256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainPlace {
    pub chain_id: String,
    pub seq: u64,
    pub hash: String,
    pub prev_hash: String,
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum JournalError {
    #[error("cannot open the journal {}: {message}", path.display())]
    Open { path: PathBuf, message: String },
    #[error("the journal {} has schema version {found}, newer than this program's {known}: use a newer program or another file", path.display())]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("the journal {} is damaged: {what}; it was left as it is. Keep it as evidence (`audit verify` says more), and name another file", path.display())]
    Damaged { path: PathBuf, what: String },
    #[error(
        "the journal is full: {used} of `audit.max_bytes` {max_bytes} bytes are in use, and the rest is kept for what is under way"
    )]
    Full { used: u64, max_bytes: u64 },
    #[error("cannot write the journal: {0}")]
    Write(String),
    #[error("cannot read the journal: {0}")]
    Read(String),
    #[error("the journal is closed")]
    Closed,
}

#[cfg(test)]
mod tests;
