//! A record of the chain, read for people: its fields, and its line.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::Problem;
use crate::journal::LogType;
use crate::journal::chain::Row;
use crate::telemetry::escape;

pub(super) struct Record {
    pub row: Row,
    pub log_type: LogType,
    pub body: Map<String, Value>,
}

impl Record {
    pub fn read(row: Row) -> Result<Self, Problem> {
        let log_type = LogType::parse(&row.log_type);
        let body = serde_json::from_str(&row.body).ok();
        let (Some(log_type), Some(body)) = (log_type, body) else {
            return Err(Problem::runtime(format!("record {} cannot be read: run `audit verify`", row.seq)));
        };
        Ok(Self { row, log_type, body })
    }

    /// A field's text; empty where there is none.
    pub fn text(&self, key: &str) -> &str {
        self.body.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    pub fn is(&self, key: &str) -> bool {
        self.body.get(key) == Some(&Value::Bool(true))
    }

    pub fn at(&self) -> Option<Timestamp> {
        self.text("timestamp").parse().ok()
    }

    pub fn entry_id(&self) -> &str {
        self.row.entry_id.as_deref().unwrap_or_default()
    }

    /// `done`, `refused namespace_denied`, `gone`, …
    pub fn result(&self) -> String {
        let text = |key| self.text(key).to_owned();
        match self.log_type {
            LogType::Entry if self.text("failure").is_empty() => text("outcome"),
            LogType::Entry => format!("{} {}", self.text("outcome"), self.text("failure")),
            LogType::Decision => format!("{} {}", self.text("decision"), self.text("check")),
            LogType::Followup => text("followup"),
            LogType::Intent => text("verb"),
            LogType::Result => text("effect"),
            LogType::Annotation => format!("by {}", self.text("by")),
            LogType::Retention => "removed".to_owned(),
            LogType::Config => text("change"),
        }
    }

    /// One line, safe to show.
    pub fn line(&self) -> String {
        let what = match self.log_type {
            LogType::Intent => self.text("path").to_owned(),
            LogType::Result | LogType::Retention | LogType::Config => self.text("detail").to_owned(),
            LogType::Annotation => format!("{:?}", self.text("annotation")),
            LogType::Entry | LogType::Decision | LogType::Followup => {
                let rule = format!("{}/{} rule={:?}", self.text("namespace"), self.text("pod"), self.text("rule"));
                if self.is("dry_run") { format!("{rule} (dry run)") } else { rule }
            }
        };
        let id = if self.entry_id().is_empty() { &self.row.event_id } else { self.entry_id() };
        let action = if self.text("action").is_empty() { "-" } else { self.text("action") };
        let parts = [
            self.text("timestamp"),
            &self.row.seq.to_string(),
            short(self.log_type),
            action,
            &self.result(),
            &what,
            if id.is_empty() { "-" } else { id },
        ];
        parts.map(escape::text).join("  ")
    }
}

/// `entry` for `falco-automated-response`, and so on.
pub(super) fn short(log_type: LogType) -> &'static str {
    match log_type {
        LogType::Entry => "entry",
        other => other.as_str().trim_start_matches("falco-response-"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_text_from_outside_without_its_tricks() {
        let body = r#"{"timestamp":"2026-11-24T12:00:00Z","action":"kill_pod","namespace":"production","pod":"a",
            "rule":"DRY_RUN \u001b[2J\nforged","outcome":"failed","failure":"api","dry_run":true}"#;
        let row = Row {
            seq: 7,
            prev_hash: String::new(),
            hash: String::new(),
            log_type: LogType::Entry.as_str().to_owned(),
            event_id: "event".to_owned(),
            entry_id: Some("entry-id".to_owned()),
            body: body.to_owned(),
        };
        let Ok(record) = Record::read(row) else { panic!("it is a record") };
        let line = record.line();
        assert!(line.starts_with("2026-11-24T12:00:00Z  7  entry  kill_pod  failed api  production/a rule="), "{line}");
        assert!(line.ends_with("(dry run)  entry-id"), "{line}");
        assert!(!line.contains("DRY_RUN") && !line.contains(char::is_control), "{line:?}");
    }
}
