//! The log on standard output: one line for each thing, JSON or text, and nothing in it that text from outside could
//! forge ([`super::escape`]).

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};

use super::escape::{self, MARKER};
use crate::ambient::Ambient;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Warn => "WARN",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
        }
    }

    /// As it is written outside of the log: `info`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// Writes whole lines; cheap to clone.
#[derive(Clone)]
pub struct Log {
    inner: Arc<Inner>,
}

struct Inner {
    ambient: Ambient,
    format: Format,
    writer: Mutex<Box<dyn Write + Send>>,
}

impl Log {
    /// Standard output.
    pub fn stdout(ambient: &Ambient, format: Format) -> Self {
        Self::to(ambient, format, io::stdout())
    }

    /// Into memory, with the lines so far as the second half; for tests.
    pub fn memory(ambient: &Ambient, format: Format) -> (Self, Arc<Mutex<Vec<u8>>>) {
        let memory = Memory::default();
        let lines = Arc::clone(&memory.0);
        (Self::to(ambient, format, memory), lines)
    }

    /// Any writer. A line that it does not take is lost: the log is for people, the journal is the record.
    pub fn to(ambient: &Ambient, format: Format, writer: impl Write + Send + 'static) -> Self {
        let writer = Mutex::new(Box::new(writer) as Box<dyn Write + Send>);
        Self { inner: Arc::new(Inner { ambient: ambient.clone(), format, writer }) }
    }

    /// One operational line or decision. Neither `message` nor a field can contain the marker `DRY_RUN`, a line break
    /// or a control character: they are broken or escaped.
    pub fn line(&self, level: Level, message: &str, fields: &Map<String, Value>) {
        self.operational(level, "", message, fields);
    }

    /// As [`Self::line`], with the host's own `DRY_RUN ` in front of the message.
    pub fn dry_run(&self, level: Level, message: &str, fields: &Map<String, Value>) {
        self.operational(level, "DRY_RUN ", message, fields);
    }

    /// An audit entry: the bare object, in either format.
    pub fn entry(&self, entry: &Map<String, Value>) {
        self.write(escape::json(entry));
    }

    fn operational(&self, level: Level, prefix: &str, message: &str, fields: &Map<String, Value>) {
        let time = self.time();
        self.write(match self.inner.format {
            Format::Json => json_line(&time, level, prefix, message, fields),
            Format::Text => text_line(&time, level, prefix, message, fields),
        });
    }

    /// RFC 3339, UTC, to the millisecond.
    fn time(&self) -> String {
        format!("{:.3}", self.inner.ambient.now())
    }

    fn write(&self, mut line: String) {
        line.push('\n');
        // A panic while the lock was held left at worst half a line behind.
        let mut writer = self.inner.writer.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody is left to tell when standard output fails, and the response must go on without it.
        let _ = writer.write_all(line.as_bytes()).and_then(|()| writer.flush());
    }
}

fn json_line(time: &str, level: Level, prefix: &str, message: &str, fields: &Map<String, Value>) -> String {
    // Only here does the prefix pass the escaping by: it is ours, plain ASCII, and goes in behind the opening quote.
    let message = escape::json(&message);
    let mut line = format!(
        r#"{{"time":"{time}","level":"{}","message":"{prefix}{}"#,
        level.as_str(),
        message.strip_prefix('"').unwrap_or(&message)
    );
    for (key, value) in fields {
        // A field cannot speak in the line's own name.
        let taken = matches!(key.as_str(), "time" | "level" | "message");
        let key = if taken { escape::json(&format!("{key}_")) } else { escape::json(key) };
        line.push_str(&format!(",{key}:{}", escape::json(value)));
    }
    line.push('}');
    line
}

fn text_line(time: &str, level: Level, prefix: &str, message: &str, fields: &Map<String, Value>) -> String {
    let mut line = format!("{time} {} {prefix}{}", level.as_str(), escape::text(message));
    for (key, value) in fields {
        let value = match value {
            Value::String(text) if is_bare(text) => text.clone(),
            other => escape::json_in_text(other),
        };
        line.push_str(&format!(" {}={value}", escape::text(key)));
    }
    line
}

/// Whether a value can stand without quotes and be told from its neighbours.
fn is_bare(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'=' | b'\\' | b'\''))
        && !text.contains(MARKER)
}

#[derive(Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
