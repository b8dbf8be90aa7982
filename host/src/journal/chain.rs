//! The hash chain: each record carries the hash of the one before it, so that a change, a gap or a swap anywhere shows
//! in everything after it. Pure; where the rows come from is not known here.

use sha2::{Digest, Sha256};

use crate::hex::hex;

/// A record as it is stored. Fields are text as they stand in the file, so that every byte counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub seq: u64,
    pub prev_hash: String,
    pub hash: String,
    pub log_type: String,
    pub event_id: String,
    pub entry_id: Option<String>,
    /// Compact JSON, in the order in which the keys were given.
    pub body: String,
}

/// The last record of a chain; an empty chain's has number 0 and the genesis hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub seq: u64,
    pub hash: String,
}

impl Head {
    pub fn of_empty(chain_id: &str) -> Self {
        Self { seq: 0, hash: genesis(chain_id) }
    }
}

/// The first record that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record {seq} {fault}")]
pub struct Broken {
    pub seq: u64,
    pub fault: Fault,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("is missing")]
    Missing,
    #[error("does not continue the record before it")]
    Unlinked,
    #[error("was changed: its hash does not match its content")]
    Changed,
    #[error("cannot be read: the file is damaged there")]
    Unreadable,
    #[error("is beyond the recorded end of the chain")]
    Surplus,
    #[error("is not the recorded end of the chain")]
    OtherEnd,
    #[error("stands where retention has removed everything")]
    Removed,
    #[error("is the first of the chain, and no record of retention says that those before it were removed")]
    Unexplained,
}

/// What stands before a chain's first record.
pub fn genesis(chain_id: &str) -> String {
    hex(&digest(&[b"falco-response-journal/1 genesis", chain_id.as_bytes()]))
}

/// The hash of a record, its own `hash` field aside.
pub fn hash(row: &Row) -> String {
    // The marker keeps "no entry" apart from an entry whose id is empty.
    let (marker, entry_id): (&[u8], &str) = match &row.entry_id {
        Some(id) => (b"1", id),
        None => (b"0", ""),
    };
    hex(&digest(&[
        b"falco-response-journal/1 record",
        &row.seq.to_be_bytes(),
        row.prev_hash.as_bytes(),
        row.log_type.as_bytes(),
        row.event_id.as_bytes(),
        marker,
        entry_id.as_bytes(),
        row.body.as_bytes(),
    ]))
}

/// Checks a whole chain from its first record. `head` is what the last record is known to be (from the journal's own
/// note, or from what was shipped); without it a chain whose end was cut off looks whole.
///
/// # Errors
/// The first record that is wrong.
pub fn verify<'a>(
    chain_id: &str,
    rows: impl IntoIterator<Item = &'a Row>,
    head: Option<&Head>,
) -> Result<Head, Broken> {
    let mut verifier = Verifier::new(chain_id);
    for row in rows {
        verifier.next(row)?;
    }
    verifier.finish(head)
}

/// [`verify`], a row at a time.
pub struct Verifier {
    last: Head,
}

impl Verifier {
    pub fn new(chain_id: &str) -> Self {
        Self::after(Head::of_empty(chain_id))
    }

    /// For a chain whose records up to `anchor`, its own included, were removed.
    pub fn after(anchor: Head) -> Self {
        Self { last: anchor }
    }

    /// # Errors
    /// When `row` is not what follows the row before.
    pub fn next(&mut self, row: &Row) -> Result<(), Broken> {
        let seq = self.last.seq + 1;
        let fault = if row.seq != seq {
            Fault::Missing
        } else if row.prev_hash != self.last.hash {
            Fault::Unlinked
        } else if row.hash != hash(row) {
            Fault::Changed
        } else {
            self.last = Head { seq, hash: row.hash.clone() };
            return Ok(());
        };
        Err(Broken { seq, fault })
    }

    /// # Errors
    /// When the chain ends elsewhere than at `head`.
    pub fn finish(self, head: Option<&Head>) -> Result<Head, Broken> {
        match head {
            Some(head) if head.seq > self.last.seq => Err(Broken { seq: self.last.seq + 1, fault: Fault::Missing }),
            Some(head) if head.seq < self.last.seq => Err(Broken { seq: head.seq + 1, fault: Fault::Surplus }),
            Some(head) if head.hash != self.last.hash => Err(Broken { seq: head.seq, fault: Fault::OtherEnd }),
            _ => Ok(self.last),
        }
    }
}

/// Each part is preceded by its length: no two lists of parts give the same bytes.
fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}
