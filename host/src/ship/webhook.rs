//! Any receiver of pages that takes JSON by `POST`. The body is part of our documentation:
//!
//! ```json
//! {"version": "1", "status": "firing", "dedup_key": "…", "severity": "critical", "summary": "…",
//!  "timestamp": "2026-11-24T02:13:11Z", "source": "prod-eu", "details": {"rule": "…", "undo": "…"}}
//! ```
//!
//! `status` is `firing` or `resolved`; pages of one `dedup_key` are about one incident. Any 2xx is a receipt.

use http::{Request, Response};
use hyper::body::Bytes;
use serde_json::json;

use super::access::Access;
use super::channel::{self, Channel, EncodeError, Verdict};
use crate::journal::Parcel;

pub const DESTINATION: &str = "webhook";

pub struct Webhook {
    url: String,
    access: Access,
    source: String,
}

impl Webhook {
    /// `source` is the cluster's name.
    pub fn new(url: &str, access: Access, source: &str) -> Self {
        Self { url: url.to_owned(), access, source: source.to_owned() }
    }
}

impl Channel for Webhook {
    fn destination(&self) -> &'static str {
        DESTINATION
    }

    fn encode(&self, parcel: &Parcel) -> Result<Request<Bytes>, EncodeError> {
        let page = channel::page(parcel)?;
        let body = json!({
            "version": "1",
            "status": if page.resolved { "resolved" } else { "firing" },
            "dedup_key": page.dedup_key,
            "severity": page.severity,
            "summary": page.summary,
            "timestamp": page.timestamp,
            "source": self.source,
            "details": page.details,
        });
        let mut request = channel::post(&self.url, None, body.to_string().into_bytes())?;
        self.access.apply(&mut request)?;
        Ok(request)
    }

    fn judge(&self, response: &Response<Bytes>) -> Verdict {
        channel::judge_page(response)
    }

    fn pages(&self) -> bool {
        true
    }
}
