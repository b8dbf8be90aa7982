//! Files that somebody else wrote, read up to a limit and never from a pipe.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::hex::hex;

/// Of a component. An action in Python has 18 MB.
pub const COMPONENT_LIMIT: u64 = 64 << 20;

/// # Errors
/// It cannot be read, is no regular file, or is larger than `limit` bytes.
pub fn content(file: &Path, limit: u64) -> Result<Vec<u8>, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let too_large = || {
        let limit = if limit >= 1 << 20 { format!("{} MiB", limit >> 20) } else { format!("{} KiB", limit >> 10) };
        format!("is larger than {limit}, the limit for such a file")
    };
    // Before it is opened: opening a pipe would wait for a writer.
    let found = fs::metadata(file).map_err(unreadable)?;
    if !found.is_file() {
        return Err("is not a regular file".to_owned());
    }
    if found.len() > limit {
        return Err(too_large());
    }
    let mut content = Vec::new();
    File::open(file).and_then(|opened| opened.take(limit + 1).read_to_end(&mut content)).map_err(unreadable)?;
    if content.len() as u64 > limit { Err(too_large()) } else { Ok(content) }
}

/// SHA-256 in lower-case hex.
pub fn digest(content: &[u8]) -> String {
    hex(&Sha256::digest(content))
}
