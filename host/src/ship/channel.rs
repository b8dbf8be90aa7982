//! What a destination has to know: how a parcel is written for it, and what its answers mean. It neither sends nor
//! waits; that is the shipper's.

use std::collections::HashSet;
use std::time::Duration;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use hyper::body::Bytes;
use jiff::Timestamp;
use serde::Deserialize;

use super::Page;
use super::acceptance::Acceptance;
use super::http::HttpClient;
use crate::journal::{Content, Parcel};

/// However long a destination asks us to stay away, it is asked again after this.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// How much of an answer's body is worth telling.
const TOLD: usize = 200;

pub trait Channel: Send + Sync {
    /// The name in the outbox.
    fn destination(&self) -> &'static str;

    /// # Errors
    /// When this parcel cannot be written now, or never.
    fn encode(&self, parcel: &Parcel) -> Result<Request<Bytes>, EncodeError>;

    fn judge(&self, response: &Response<Bytes>) -> Verdict;

    /// Its own way out, where the shared client will not do.
    fn client(&self) -> Option<HttpClient> {
        None
    }

    /// Whether its parcels are pages, which somebody waits for.
    fn pages(&self) -> bool {
        false
    }

    /// Who waits for single parcels to be accepted.
    fn acceptance(&self) -> Option<&Acceptance> {
        None
    }

    /// How to ask whether what was accepted is stored; without it, accepted is delivered.
    fn read_back(&self) -> Option<&dyn ReadBack> {
        None
    }
}

/// Asks a destination for what it has stored.
pub trait ReadBack: Send + Sync {
    /// Its own way there, where the shared client will not do.
    fn client(&self) -> Option<HttpClient>;

    /// # Errors
    /// When the question cannot be written now.
    fn ask(&self, parcels: &[&Parcel], now: Timestamp) -> Result<Request<Bytes>, EncodeError>;

    /// The ids of those parcels that are stored.
    ///
    /// # Errors
    /// Why the answer is none.
    fn stored(&self, parcels: &[&Parcel], response: &Response<Bytes>) -> Result<HashSet<i64>, String>;
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// Something outside is missing; it may come.
    #[error("{0}")]
    Retry(String),
    /// The parcel itself is wrong.
    #[error("{0}")]
    Never(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Delivered,
    Retry {
        after: Option<Duration>,
        why: String,
    },
    /// Too large as it was; the channel writes it smaller, and it is sent again at once.
    Smaller {
        why: String,
    },
    Never {
        why: String,
    },
}

/// "Later", with the pause that the answer asks for. Only seconds are understood; a date is taken for none.
pub(super) fn retry(response: &Response<Bytes>) -> Verdict {
    let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Verdict::Retry { after: after.map(|seconds| Duration::from_secs(seconds).min(LONGEST_PAUSE)), why: why(response) }
}

/// The verdict that the pagers share: a refused document stays refused, anything else may pass.
pub(super) fn judge_page(response: &Response<Bytes>) -> Verdict {
    match response.status() {
        status if status.is_success() => Verdict::Delivered,
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
            Verdict::Never { why: why(response) }
        }
        _ => retry(response),
    }
}

pub(super) fn page(parcel: &Parcel) -> Result<Page, EncodeError> {
    match &parcel.content {
        Content::Payload(payload) => {
            Page::deserialize(payload).map_err(|error| EncodeError::Never(format!("the parcel is no page: {error}")))
        }
        Content::Record { .. } => Err(EncodeError::Never("the parcel is a record, not a page".to_owned())),
    }
}

/// `POST` of a JSON document. An address that is none may be mended in the configuration while the parcel waits.
pub(super) fn post(url: &str, encoding: Option<&'static str>, body: Vec<u8>) -> Result<Request<Bytes>, EncodeError> {
    let mut request = Request::post(url).header(CONTENT_TYPE, "application/json");
    if let Some(encoding) = encoding {
        request = request.header(CONTENT_ENCODING, encoding);
    }
    request.body(body.into()).map_err(|error| EncodeError::Retry(format!("cannot post to {url}: {error}")))
}

fn why(response: &Response<Bytes>) -> String {
    let text = String::from_utf8_lossy(response.body());
    let text = text.trim();
    let told = &text[..text.floor_char_boundary(TOLD)];
    if told.is_empty() { response.status().to_string() } else { format!("{}: {told}", response.status()) }
}
