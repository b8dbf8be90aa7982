//! Servers outside of the cluster: what is sent to them, once the gate has let it pass, and what comes back.
//!
//! [`Web`] belongs to the one [`Writer`](super::Writer), so that nothing goes out but through the gate, and looks at the
//! finished request once more before it does. A dry run sends nothing. Nothing is followed, repeated or kept open.

mod client;
mod outlet;
pub mod script;
pub mod url;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderMap, HeaderName, Method};
use hyper::body::Bytes;

pub use outlet::Web;
use url::Url;

/// The most that one request brings.
pub const LARGEST_BODY: usize = 1 << 20;
/// The most of an answer that is taken.
pub const LARGEST_ANSWER: usize = 256 << 10;

/// A request as an action asks for it, of safe parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub method: Method,
    pub url: Url,
    /// Without those that are the host's ([`is_the_hosts`]).
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// What the operator's grant adds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// Each from the first line of a file, read when it is used.
    pub headers_from: BTreeMap<String, PathBuf>,
    /// PEM; instead of the machine's own roots.
    pub ca_file: Option<PathBuf>,
    /// Further headers that the action may write, in lower case.
    pub headers: Vec<String>,
}

/// How it is sent.
#[derive(Debug, Clone)]
pub struct Sending {
    pub dry_run: bool,
    /// Goes into the User-Agent.
    pub event_id: String,
    pub timeout: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    /// What the server said has its status, also where the rest of it is not here.
    pub body: Result<Bytes, Unread>,
}

/// Why an answer has no body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unread {
    /// Longer than is taken.
    TooLarge,
    /// It ended too early, or not in time.
    BrokeOff(String),
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebError {
    /// Nothing left.
    #[error("not sent: {0}")]
    NotSent(String),
    /// It left, or may have.
    #[error("no answer: {0}")]
    NoAnswer(String),
}

/// Headers that say who asks, where a request goes and how long it is: no grant hands these to an action.
pub fn is_the_hosts(name: &HeaderName) -> bool {
    const OWN: [&str; 17] = [
        "accept-encoding",
        "authorization",
        "connection",
        "content-length",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "http2-settings",
        "keep-alive",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "via",
    ];
    let name = name.as_str();
    OWN.contains(&name) || ["proxy-", "sec-", "x-forwarded-"].iter().any(|start| name.starts_with(start))
}

impl Trust {
    /// Whether an action may write this header: of those that are about its document, and of what the grant names. To many
    /// servers other headers are another method (`X-HTTP-Method-Override`), another path (`X-Original-URL`) or another caller,
    /// and what was granted is one method and one URL.
    pub fn lets_write(&self, name: &HeaderName) -> bool {
        const ABOUT_THE_DOCUMENT: [&str; 9] = [
            "accept",
            "accept-language",
            "content-encoding",
            "content-language",
            "content-type",
            "idempotency-key",
            "if-match",
            "if-modified-since",
            "if-none-match",
        ];
        let text = name.as_str();
        !is_the_hosts(name)
            && !self.headers_from.contains_key(text)
            && (ABOUT_THE_DOCUMENT.contains(&text) || self.headers.iter().any(|own| own == text))
    }
}
