//! `audit`: what the action adds to its entry. Caps it; how it is escaped and where it stands is the journal's and
//! [`crate::respond`]'s.

use sha2::{Digest, Sha256};

use crate::hex::hex;
use crate::plugins::Attachment;
use crate::plugins::bindings::falco_response::plugin::audit::Host;
use crate::plugins::sandbox::{Sandbox, Session};
use crate::plugins::text::{capped, one_line};
use crate::safety::run::Evidence;
use crate::telemetry::log::Level;

const NOTES: usize = 32;
const KEY_LIMIT: usize = 64;
const VALUE_LIMIT: usize = 1 << 10;
const ATTACHMENTS: usize = 8;
const CONTENT_LIMIT: usize = 1 << 20;
const NAME_LIMIT: usize = 128;

/// The entry's own fields and those that its shipping adds: an action's word must not pass for the host's. `isolation`
/// is missing on purpose, since only the action can know it.
#[rustfmt::skip]
const RESERVED: [&str; 39] = [
    "timestamp", "action", "namespace", "pod", "rule", "dry_run", "reason", "operator", "falco_priority",
    "falco_output", "event_id", "alert_uuid", "entry_id", "action_id", "outcome", "failure", "changed", "detail",
    "pod_uid", "owner", "identity_proof", "plugin_sha256", "config_sha256", "cluster", "received_at", "sent_at",
    "accepted_at", "log_type", "decision", "check", "level", "message", "time", "host", "short_message",
    "full_message", "version", "source_system", "replica",
];

impl Host for Sandbox {
    fn note(&mut self, key: String, value: String) -> wasmtime::Result<()> {
        let session = self.enter("audit.note")?;
        if let Err(problem) = note(session, &key, value) {
            // The contract gives the action no answer here; its author finds it in the log.
            let key = one_line(&key, KEY_LIMIT);
            session.say(Level::Warn, &format!("note {key:?} refused: {problem}"));
        }
        Ok(())
    }

    fn attach(&mut self, name: String, media_type: String, content: Vec<u8>) -> wasmtime::Result<Result<(), String>> {
        let session = self.enter("audit.attach")?;
        Ok(attach(session, name, media_type, content).map_err(str::to_owned))
    }
}

fn note(session: &mut Session, key: &str, value: String) -> Result<(), &'static str> {
    if !is_key(key) {
        return Err("a key is a lower-case letter and up to 63 lower-case letters, digits and `_`");
    }
    if RESERVED.contains(&key) || key.starts_with("prev_") || key.starts_with("chain_") {
        return Err("the entry has a field of this name already");
    }
    let value = capped(value, VALUE_LIMIT);
    let known = session.notes.iter().position(|(present, _)| present == key);
    if known.is_none() && session.notes.len() >= NOTES {
        return Err("an entry takes 32 notes");
    }
    if !session.budget.text(key.len() + value.len()) {
        return Err("the limit of text (`plugins.limits.log`) is reached");
    }
    match known {
        Some(index) => session.notes[index].1 = value,
        None => session.notes.push((key.to_owned(), value)),
    }
    Ok(())
}

fn attach(session: &mut Session, name: String, media_type: String, content: Vec<u8>) -> Result<(), &'static str> {
    if !is_file_name(&name) {
        return Err("the name must be at most 128 letters, digits, `.`, `_` and `-`, beginning with a letter or digit");
    }
    if !is_media_type(&media_type) {
        return Err("the media type must look like text/plain");
    }
    if content.len() > CONTENT_LIMIT {
        return Err("an attachment may have 1 MiB");
    }
    if session.attachments.len() >= ATTACHMENTS {
        return Err("an entry takes 8 attachments");
    }
    if session.attachments.iter().any(|present| present.name == name) {
        return Err("there is an attachment of this name already");
    }
    let held: usize = session.attachments.iter().map(|present| present.content.len()).sum();
    if !session.outside.has_room_for_evidence((held + content.len()) as u64) {
        return Err("the journal has no room for attachments: they get half of `audit.max_bytes`");
    }
    let sha256 = hex(&Sha256::digest(&content));
    session.outside.attach(Evidence {
        name: name.clone(),
        media_type: media_type.clone(),
        sha256: sha256.clone(),
        content: content.clone(),
    });
    session.attachments.push(Attachment { name, media_type, content, sha256 });
    Ok(())
}

/// `[a-z][a-z0-9_]{0,63}`
fn is_key(key: &str) -> bool {
    key.len() <= KEY_LIMIT
        && key.starts_with(|first: char| first.is_ascii_lowercase())
        && key.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_')
}

fn is_file_name(name: &str) -> bool {
    name.len() <= NAME_LIMIT
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-'))
}

/// `type/subtype` of RFC 6838, without parameters.
fn is_media_type(text: &str) -> bool {
    let token = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_alphanumeric())
            && part.bytes().all(|c| c.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&c))
    };
    text.len() <= NAME_LIMIT && text.split_once('/').is_some_and(|(main, sub)| token(main) && token(sub))
}
