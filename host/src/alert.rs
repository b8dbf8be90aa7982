//! A Falco alert as it really arrives: from Falcosidekick's webhook, or from Falco itself.
//!
//! Decides what counts as an alert and nothing else: a body without a rule, a time, a priority or fields is none, and
//! whatever could still be acted on is taken as it is. Falcosidekick rewrites what it forwards (adds `uuid`, trims the
//! time's zeros, cuts long strings in the middle of a character), so little is assumed about form. Where a key comes
//! twice the last one counts, as it does for Falcosidekick.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserializer;
use serde::de::{self, Visitor};
use serde_json::value::RawValue;

/// Falco's priorities, most urgent first, so that `critical <= error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    Emergency,
    Alert,
    Critical,
    Error,
    Warning,
    Notice,
    Informational,
    Debug,
}

impl Priority {
    pub const ALL: [Self; 8] = [
        Self::Emergency,
        Self::Alert,
        Self::Critical,
        Self::Error,
        Self::Warning,
        Self::Notice,
        Self::Informational,
        Self::Debug,
    ];

    /// In any case: `Critical`, `CRITICAL`, `critical`; `info` and `informational` are one.
    pub fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("info") {
            return Some(Self::Informational);
        }
        Self::ALL.into_iter().find(|priority| priority.as_upper().eq_ignore_ascii_case(text))
    }

    /// Upper case, as the audit entry has it: `CRITICAL`.
    pub fn as_upper(self) -> &'static str {
        match self {
            Self::Emergency => "EMERGENCY",
            Self::Alert => "ALERT",
            Self::Critical => "CRITICAL",
            Self::Error => "ERROR",
            Self::Warning => "WARNING",
            Self::Notice => "NOTICE",
            Self::Informational => "INFORMATIONAL",
            Self::Debug => "DEBUG",
        }
    }
}

/// Why a body is no alert: one line, safe to send back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AlertError(pub String);

/// What a field takes beyond its name and value: two allocations, and its place in the map. Measured.
const FIELD: usize = 144;

#[derive(Debug, Clone)]
pub struct Alert {
    /// Minted by Falcosidekick for each alert; Falco alone sends none.
    pub uuid: Option<String>,
    pub output: String,
    pub priority: Priority,
    pub rule: String,
    pub time: Timestamp,
    /// RFC 3339 with the precision that Falco sent.
    pub time_text: String,
    pub source: Option<String>,
    pub tags: Vec<String>,
    pub hostname: Option<String>,
    /// Kept as JSON text: numbers beyond 64 bits and `0.10` stay as they were written.
    fields: BTreeMap<String, Box<RawValue>>,
    /// The body, verbatim.
    raw: Arc<str>,
}

impl Alert {
    /// # Errors
    /// One line that says why `body` is no alert.
    pub fn parse(body: &[u8]) -> Result<Self, AlertError> {
        let raw = std::str::from_utf8(body)
            .map_err(|error| AlertError(format!("the body is not UTF-8 from byte {} on", error.valid_up_to())))?;
        let parts = Parts::read(raw)?;
        parts.require(&["rule", "time", "priority", "output_fields"])?;

        let rule = parts.string("rule")?.unwrap_or_default();
        if rule.is_empty() {
            return Err(AlertError("`rule` is empty".into()));
        }
        let time_text = parts.string("time")?.unwrap_or_default();
        let time = parse_time(&time_text)?;
        let priority = parts.string("priority")?.unwrap_or_default();
        let priority = Priority::parse(&priority).ok_or_else(|| {
            AlertError(format!("`priority` \"{}\" is none of Falco's (Emergency … Debug)", excerpt(&priority)))
        })?;
        Ok(Self {
            uuid: parts.string("uuid")?.filter(|text| !text.is_empty()),
            output: parts.string("output")?.unwrap_or_default(),
            priority,
            rule,
            time,
            time_text,
            source: parts.string("source")?.filter(|text| !text.is_empty()),
            tags: parts.strings("tags")?,
            hostname: parts.string("hostname")?.filter(|text| !text.is_empty()),
            fields: parts.object("output_fields")?,
            raw: raw.into(),
        })
    }

    /// How many bytes of memory it takes, roughly: of many small fields, several times the body's length.
    pub fn weight(&self) -> usize {
        let fields: usize = self.fields.iter().map(|(name, value)| FIELD + name.len() + value.get().len()).sum();
        self.raw.len() + self.output.len() + fields
    }

    /// The body, verbatim.
    pub fn raw(&self) -> &Arc<str> {
        &self.raw
    }

    /// One of the `output_fields`: a string as it is, anything else as JSON; none when absent or null.
    pub fn field(&self, name: &str) -> Option<String> {
        let value = self.fields.get(name)?;
        match value.get() {
            "null" => None,
            json => Some(read_string(value).unwrap_or_else(|| json.to_owned())),
        }
    }

    /// A field that holds a string that is not empty, and not `<NA>`.
    pub fn text(&self, name: &str) -> Option<String> {
        read_string(self.fields.get(name)?).filter(|text| !text.is_empty() && text != "<NA>")
    }
}

/// The top level of a body; keys that nobody asks for are ignored.
struct Parts<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Parts<'a> {
    fn read(raw: &'a str) -> Result<Self, AlertError> {
        // serde_json's own text for a wrong type quotes the value, which is not ours to repeat.
        serde_json::from_str(raw).map(Self).map_err(|error| {
            AlertError(match error.classify() {
                serde_json::error::Category::Data => "the body is not a JSON object".into(),
                _ => format!("the body is not JSON: {error}"),
            })
        })
    }

    fn require(&self, keys: &[&str]) -> Result<(), AlertError> {
        let missing: Vec<_> = keys.iter().filter(|key| self.get(key).is_none()).map(|key| format!("`{key}`")).collect();
        if missing.is_empty() { Ok(()) } else { Err(AlertError(format!("missing {}", missing.join(", ")))) }
    }

    /// Null is Falco's word for absent.
    fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.0.get(key).copied().filter(|value| value.get() != "null")
    }

    fn string(&self, key: &str) -> Result<Option<String>, AlertError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match read_string(value) {
            Some(text) => Ok(Some(text)),
            None => Err(AlertError(format!("`{key}` is {}, not a string", kind(value)))),
        }
    }

    fn strings(&self, key: &str) -> Result<Vec<String>, AlertError> {
        let Some(value) = self.get(key) else { return Ok(Vec::new()) };
        let items: Vec<&RawValue> = serde_json::from_str(value.get())
            .map_err(|_| AlertError(format!("`{key}` is {}, not a list of strings", kind(value))))?;
        let read = |item: &&RawValue| {
            read_string(item).ok_or_else(|| AlertError(format!("`{key}` holds {}, not only strings", kind(item))))
        };
        items.iter().map(read).collect()
    }

    fn object(&self, key: &str) -> Result<BTreeMap<String, Box<RawValue>>, AlertError> {
        let Some(value) = self.get(key) else { return Ok(BTreeMap::new()) };
        serde_json::from_str(value.get()).map_err(|error| {
            AlertError(match error.classify() {
                serde_json::error::Category::Data => format!("`{key}` is {}, not an object", kind(value)),
                _ => format!("`{key}` cannot be read: {error}"),
            })
        })
    }
}

/// What a JSON text is, in an error's words.
fn kind(value: &RawValue) -> &'static str {
    match value.get().as_bytes().first() {
        Some(b'"') => "a string",
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// A JSON string's content; none for any other value. A lone surrogate, which JSON can write and text cannot hold,
/// turns into U+FFFD, as Go's decoder has it: a field that an attacker shaped must not cost us the alert.
fn read_string(value: &RawValue) -> Option<String> {
    struct Lossy;

    impl Visitor<'_> for Lossy {
        type Value = String;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a string")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }

        fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<String, E> {
            Ok(String::from_utf8_lossy(bytes).into_owned())
        }
    }

    // Anything but a string would be visited as a sequence or a number, and refused with an error that nobody reads.
    value
        .get()
        .starts_with('"')
        .then(|| serde_json::Deserializer::from_str(value.get()).deserialize_bytes(Lossy).ok())?
}

/// RFC 3339 and no more: jiff also reads dates without separators and names of time zones, which others would not.
fn parse_time(text: &str) -> Result<Timestamp, AlertError> {
    let bytes = text.as_bytes();
    let at = |index: usize, set: &[u8]| bytes.get(index).is_some_and(|byte| set.contains(byte));
    let plain = bytes.iter().all(|byte| byte.is_ascii_digit() || b"TtZz:+-.".contains(byte));
    let shaped = at(4, b"-") && at(7, b"-") && at(10, b"Tt") && at(13, b":") && at(16, b":");
    let parsed = if plain && shaped { text.parse().ok() } else { None };
    parsed.ok_or_else(|| {
        AlertError(format!("`time` \"{}\" is not RFC 3339 (2023-05-25T13:44:05.478445995Z)", excerpt(text)))
    })
}

/// What an error repeats of somebody else's text: a little of it, in plain ASCII.
fn excerpt(text: &str) -> String {
    const LIMIT: usize = 40;
    let mut short: String = text.chars().take(LIMIT).flat_map(char::escape_default).collect();
    if text.chars().nth(LIMIT).is_some() {
        short.push_str("...");
    }
    short
}

#[cfg(test)]
mod tests;
