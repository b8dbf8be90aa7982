//! PagerDuty's Events API v2: one `trigger` for each page, folded into an incident by its key; `resolve` ends it.

use std::path::{Path, PathBuf};

use http::{Request, Response};
use hyper::body::Bytes;
use serde_json::json;

use super::access;
use super::channel::{self, Channel, EncodeError, Verdict};
use crate::journal::Parcel;

pub const DESTINATION: &str = "pagerduty";

/// The API's limits, in characters.
const SUMMARY: usize = 1024;
const DEDUP_KEY: usize = 255;

pub struct PagerDuty {
    url: String,
    routing_key_file: PathBuf,
    source: String,
}

impl PagerDuty {
    /// `source` is what the incident says it came from: the cluster's name.
    pub fn new(url: &str, routing_key_file: &Path, source: &str) -> Self {
        Self { url: url.to_owned(), routing_key_file: routing_key_file.to_owned(), source: source.to_owned() }
    }
}

impl Channel for PagerDuty {
    fn destination(&self) -> &'static str {
        DESTINATION
    }

    fn encode(&self, parcel: &Parcel) -> Result<Request<Bytes>, EncodeError> {
        let page = channel::page(parcel)?;
        let event = json!({
            "routing_key": access::secret(&self.routing_key_file, "routing key")?,
            "event_action": if page.resolved { "resolve" } else { "trigger" },
            "dedup_key": first(&page.dedup_key, DEDUP_KEY),
            "payload": {
                "summary": first(&page.summary, SUMMARY),
                "source": self.source,
                "severity": page.severity,
                "timestamp": page.timestamp,
                "custom_details": page.details,
            },
        });
        channel::post(&self.url, None, event.to_string().into_bytes())
    }

    fn judge(&self, response: &Response<Bytes>) -> Verdict {
        channel::judge_page(response)
    }

    fn pages(&self) -> bool {
        true
    }
}

fn first(text: &str, characters: usize) -> &str {
    text.char_indices().nth(characters).map_or(text, |(end, _)| &text[..end])
}
