//! A Falco alert as it really arrives: from Falcosidekick's webhook, or from Falco itself.
//!
//! Decides what counts as an alert and nothing else: a body without a rule, a time, a priority or fields is none, and
//! whatever could still be acted on is taken as it is. Falcosidekick rewrites what it forwards (adds `uuid`, trims the
//! time's zeros, cuts long strings in the middle of a character), so little is assumed about form. Where a key comes
//! twice the last one counts, as it does for Falcosidekick.

mod fields;
mod parts;

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;

use fields::Fields;
use parts::{Parts, read_string};

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
    fields: Fields,
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

        let owned = |text: Cow<'_, str>| (!text.is_empty()).then(|| text.into_owned());
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
            uuid: parts.string("uuid")?.and_then(owned),
            output: parts.string("output")?.unwrap_or_default().into_owned(),
            priority,
            rule: rule.into_owned(),
            time,
            time_text: time_text.into_owned(),
            source: parts.string("source")?.and_then(owned),
            tags: parts.strings("tags")?,
            hostname: parts.string("hostname")?.and_then(owned),
            fields: parts.fields("output_fields", raw)?,
            raw: raw.into(),
        })
    }

    /// How many bytes of memory it takes, roughly: of many small fields, several times the body's length.
    pub fn weight(&self) -> usize {
        self.raw.len() + self.output.len() + self.fields.weight()
    }

    /// The body, verbatim.
    pub fn raw(&self) -> &Arc<str> {
        &self.raw
    }

    /// One of the `output_fields`: a string as it is, anything else as JSON; none when absent or null.
    pub fn field(&self, name: &str) -> Option<String> {
        match self.fields.get(name, &self.raw)? {
            "null" => None,
            json => Some(read_string(json).unwrap_or(Cow::Borrowed(json)).into_owned()),
        }
    }

    /// A field that holds a string that is not empty, and not `<NA>`.
    pub fn text(&self, name: &str) -> Option<String> {
        let text = read_string(self.fields.get(name, &self.raw)?)?;
        (!text.is_empty() && text != "<NA>").then(|| text.into_owned())
    }
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
