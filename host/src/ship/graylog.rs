//! Graylog's GELF inputs, for the records of the chain.
//!
//! Over HTTP, its 202 says that it has the bytes, before it has looked at them: what it would drop, [`super::gelf`] must
//! not send. Over TCP and UDP nothing is said at all (see [`super::socket`]). Anything but a yes is tried again, in
//! order, without end: an audit record is never given up on, and one that Graylog refuses holds those after it back
//! until somebody looks. Only size is different, since it can be helped: the record is cut until it is taken.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::Compression;
use flate2::write::GzEncoder;
use http::{Request, Response, StatusCode};
use hyper::body::Bytes;

use super::acceptance::Acceptance;
use super::access::Access;
use super::channel::{self, Channel, EncodeError, ReadBack, Verdict};
use super::gelf;
use super::http::{HttpClient, HttpError, client_trusting};
use super::read_back::Search;
use super::socket;
use crate::ambient::Ambient;
use crate::journal::{Content, Parcel};

pub const DESTINATION: &str = "graylog";

/// What is still a record, with its texts cut: an input that takes less takes nothing.
const SMALLEST: usize = 4 << 10;

/// What a message looks like on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    Http,
    Tcp,
    Udp,
}

pub struct Graylog {
    url: String,
    transport: Transport,
    replica: String,
    access: Access,
    client: Option<HttpClient>,
    acceptance: Option<Acceptance>,
    search: Option<Search>,
    /// What the input has been found to take, in bytes before compression; it is asked once, not for every record.
    limit: AtomicUsize,
}

impl Graylog {
    /// `url` with its path, which is `/gelf` for Graylog's own HTTP input, or `gelf+tcp://`, `gelf+tls://`,
    /// `gelf+udp://` with host and port; `replica` is this pod's name.
    pub fn new(url: &str, replica: &str) -> Self {
        let transport = match url.split_once("://") {
            Some(("gelf+tcp" | "gelf+tls", _)) => Transport::Tcp,
            Some(("gelf+udp", _)) => Transport::Udp,
            _ => Transport::Http,
        };
        Self {
            url: url.to_owned(),
            transport,
            replica: replica.to_owned(),
            access: Access::default(),
            client: None,
            acceptance: None,
            search: None,
            limit: AtomicUsize::new(gelf::LIMIT),
        }
    }

    #[must_use]
    pub fn with_access(self, access: Access) -> Self {
        Self { access, ..self }
    }

    /// Sets up the way there, where it is not the shared client's: a CA of our own, or a bare socket.
    ///
    /// # Errors
    /// When the CA's file cannot be used.
    pub fn connected(mut self, ca_file: Option<&Path>, ambient: &Ambient) -> Result<Self, HttpError> {
        self.client = match (self.transport, ca_file) {
            (Transport::Http, None) => None,
            (Transport::Http, Some(file)) => Some(client_trusting(file)?),
            (Transport::Tcp, file) if self.url.starts_with("gelf+tls") => Some(socket::tls(file)?),
            (Transport::Tcp, _) => Some(socket::tcp()),
            (Transport::Udp, _) => Some(socket::udp(ambient)),
        };
        Ok(self)
    }

    /// Tells those who wait for an intent that it was accepted.
    #[must_use]
    pub fn announcing(self, acceptance: Acceptance) -> Self {
        Self { acceptance: Some(acceptance), ..self }
    }

    /// Counts a record as delivered only once `search` finds it stored.
    #[must_use]
    pub fn confirmed_by(self, search: Search) -> Self {
        Self { search: Some(search), ..self }
    }
}

impl Channel for Graylog {
    fn destination(&self) -> &'static str {
        DESTINATION
    }

    fn encode(&self, parcel: &Parcel) -> Result<Request<Bytes>, EncodeError> {
        let Content::Record { record, chain } = &parcel.content else {
            return Err(EncodeError::Never("the parcel is a page, not a record".to_owned()));
        };
        let limit = self.limit.load(Ordering::Relaxed);
        let message = gelf::encode(record, chain, &self.replica, parcel.created_at, limit);
        match self.transport {
            // Their frames are found by their ends, and cannot be compressed.
            Transport::Tcp => channel::post(&self.url, None, message),
            Transport::Udp => channel::post(&self.url, None, packed(&message)?),
            Transport::Http => {
                let mut request = channel::post(&self.url, Some("gzip"), packed(&message)?)?;
                self.access.apply(&mut request)?;
                Ok(request)
            }
        }
    }

    fn judge(&self, response: &Response<Bytes>) -> Verdict {
        match response.status() {
            StatusCode::ACCEPTED | StatusCode::OK | StatusCode::NO_CONTENT => Verdict::Delivered,
            StatusCode::PAYLOAD_TOO_LARGE => {
                let limit = self.limit.load(Ordering::Relaxed);
                if limit / 2 < SMALLEST {
                    return channel::retry(response);
                }
                self.limit.store(limit / 2, Ordering::Relaxed);
                Verdict::Smaller { why: format!("Graylog takes no {limit} bytes (413); records are cut to half of it") }
            }
            _ => channel::retry(response),
        }
    }

    fn client(&self) -> Option<HttpClient> {
        self.client.clone()
    }

    fn acceptance(&self) -> Option<&Acceptance> {
        self.acceptance.as_ref()
    }

    fn read_back(&self) -> Option<&dyn ReadBack> {
        self.search.as_ref().map(|search| search as &dyn ReadBack)
    }
}

fn packed(message: &[u8]) -> Result<Vec<u8>, EncodeError> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    let packed = packer.write_all(message).and_then(|()| packer.finish());
    packed.map_err(|error| EncodeError::Retry(format!("cannot compress the record: {error}")))
}
