//! PagerDuty's Events API v2: one `trigger` for each page, folded into an incident by its key.

use std::fs;
use std::path::{Path, PathBuf};

use http::{Request, Response};
use hyper::body::Bytes;
use serde_json::json;

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

    /// Read for every page: a mounted secret changes while the program runs.
    fn routing_key(&self) -> Result<String, EncodeError> {
        let path = self.routing_key_file.display();
        let key = fs::read_to_string(&self.routing_key_file)
            .map_err(|error| EncodeError::Retry(format!("cannot read the routing key from {path}: {error}")))?;
        match key.trim() {
            "" => Err(EncodeError::Retry(format!("the routing key's file {path} is empty"))),
            key => Ok(key.to_owned()),
        }
    }
}

impl Channel for PagerDuty {
    fn destination(&self) -> &'static str {
        DESTINATION
    }

    fn encode(&self, parcel: &Parcel) -> Result<Request<Bytes>, EncodeError> {
        let page = channel::page(parcel)?;
        let event = json!({
            "routing_key": self.routing_key()?,
            "event_action": "trigger",
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
}

fn first(text: &str, characters: usize) -> &str {
    text.char_indices().nth(characters).map_or(text, |(end, _)| &text[..end])
}
