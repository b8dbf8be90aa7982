//! Alertmanager's API v2: one alert for each page.
//!
//! The labels are an alert's identity, so they hold what stays the same between two pages about one thing, and the rest
//! are annotations. It fires for 24 hours after the page: we send it once and not again and again as Prometheus does,
//! and without an end Alertmanager would call it resolved after its `resolve_timeout` of minutes. Another page about the
//! same thing moves the end; one that says that it is over brings it.

use http::{Request, Response};
use hyper::body::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::Page;
use super::channel::{self, Channel, EncodeError, Verdict};
use crate::journal::Parcel;

pub const DESTINATION: &str = "alertmanager";

const ALERT_NAME: &str = "FalcoResponse";

const FIRES_FOR: SignedDuration = SignedDuration::from_hours(24);

/// An end that lies in the future by Alertmanager's clock would lose to the later one that it knows.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(1);

pub struct Alertmanager {
    url: String,
}

impl Alertmanager {
    /// `base_url` is the address under which its own pages are found, without `/api/v2/alerts`.
    pub fn new(base_url: &str) -> Self {
        Self { url: format!("{}/api/v2/alerts", base_url.trim_end_matches('/')) }
    }
}

impl Channel for Alertmanager {
    fn destination(&self) -> &'static str {
        DESTINATION
    }

    fn encode(&self, parcel: &Parcel) -> Result<Request<Bytes>, EncodeError> {
        let page = channel::page(parcel)?;
        let at: Timestamp = page
            .timestamp
            .parse()
            .map_err(|error| EncodeError::Never(format!("the page's timestamp is no RFC 3339 time: {error}")))?;
        let ends_at = at
            .checked_add(if page.resolved { -CLOCK_SKEW } else { FIRES_FOR })
            .map_err(|error| EncodeError::Never(format!("the page's timestamp is out of range: {error}")))?;
        let alerts = json!([{
            "labels": labels(&page),
            "annotations": annotations(&page),
            "startsAt": at.min(ends_at),
            "endsAt": ends_at,
        }]);
        channel::post(&self.url, None, alerts.to_string().into_bytes())
    }

    fn judge(&self, response: &Response<Bytes>) -> Verdict {
        channel::judge_page(response)
    }

    fn pages(&self) -> bool {
        true
    }
}

fn labels(page: &Page) -> Map<String, Value> {
    let mut labels = Map::new();
    labels.insert("alertname".to_owned(), ALERT_NAME.into());
    labels.insert("severity".to_owned(), json!(page.severity));
    for name in ["action", "namespace"] {
        // An empty label is no label.
        if let Some(value) = page.details.get(name).map(text).filter(|value| !value.is_empty()) {
            labels.insert(name.to_owned(), value.into());
        }
    }
    labels.insert("dedup_key".to_owned(), page.dedup_key.as_str().into());
    labels
}

/// Each detail by itself, for templates, and all of them as `description`, for those who have none.
fn annotations(page: &Page) -> Map<String, Value> {
    let mut annotations = Map::new();
    annotations.insert("summary".to_owned(), page.summary.as_str().into());
    let lines: Vec<_> = page.details.iter().map(|(name, value)| format!("{name}: {}", text(value))).collect();
    annotations.insert("description".to_owned(), lines.join("\n").into());
    for (name, value) in &page.details {
        annotations.entry(annotation_name(name)).or_insert_with(|| text(value).into());
    }
    annotations
}

/// What older Alertmanagers take, and what a template can name: `[a-zA-Z_][a-zA-Z0-9_]*`.
fn annotation_name(name: &str) -> String {
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if plain.starts_with(|first: char| first.is_ascii_alphabetic()) { plain } else { format!("_{plain}") }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
