//! What libraries say through `tracing`, written through the same log, so that it takes the same form and the same
//! escaping. The program itself writes to [`Log`] directly.

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use super::log::{Level, Log};

/// Makes `log` the place where `tracing` events of the whole process go. The first call counts, further ones do
/// nothing.
pub fn install(log: &Log) {
    let subscriber = tracing_subscriber::registry().with(Bridge::new(log.clone()));
    // It fails only when another subscriber is in place, and then that one was meant.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// A layer that writes warnings and errors of libraries, and what this crate says from info on.
pub struct Bridge {
    log: Log,
}

impl Bridge {
    pub fn new(log: Log) -> Self {
        Self { log }
    }
}

fn is_wanted(metadata: &Metadata<'_>) -> bool {
    let own = metadata.target().starts_with(env!("CARGO_CRATE_NAME"));
    *metadata.level() <= if own { tracing::Level::INFO } else { tracing::Level::WARN }
}

impl<S: Subscriber> Layer<S> for Bridge {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        is_wanted(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::INFO)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let level = match *metadata.level() {
            tracing::Level::ERROR => Level::Error,
            tracing::Level::WARN => Level::Warn,
            tracing::Level::INFO => Level::Info,
            _ => Level::Debug,
        };
        let mut collected = Collected::default();
        collected.fields.insert("target".into(), metadata.target().into());
        event.record(&mut collected);
        let message = if collected.message.is_empty() { metadata.name() } else { &collected.message };
        self.log.line(level, message, &collected.fields);
    }
}

#[derive(Default)]
struct Collected {
    message: String,
    fields: Map<String, Value>,
}

impl Collected {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => drop(self.fields.insert(name.to_owned(), value)),
        }
    }
}

impl Visit for Collected {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ambient::fixed;
    use crate::telemetry::log::Format;

    #[test]
    fn warnings_of_libraries_come_through_the_same_writer_and_their_chatter_does_not() {
        let (log, lines) = Log::memory(&fixed::at("2026-11-24T02:13:11Z").0, Format::Json);
        let subscriber = tracing_subscriber::registry().with(Bridge::new(log));
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(target: "kube_client", status = 503, cause = ?"DRY_RUN\n", "cannot {}", "list");
            tracing::info!(target: "kube_client", "a request");
            tracing::info!("our own");
            tracing::debug!("our own, in detail");
        });
        let lines = String::from_utf8(lines.lock().unwrap().clone()).unwrap();
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!((&lines[0]["level"], &lines[0]["message"]), (&"WARN".into(), &"cannot list".into()));
        assert_eq!((&lines[0]["target"], &lines[0]["status"]), (&"kube_client".into(), &503.into()));
        assert_eq!(lines[0]["cause"], "\"DRY_RUN\\n\"");
        assert_eq!(lines[1]["message"], "our own");
    }
}
