//! Graylog's HTTP input, for the records of the chain.
//!
//! Its 202 says that it has the bytes, before it has looked at them: what it would drop, [`super::gelf`] must not send.
//! Anything else is tried again, in order, without end: an audit record is never given up on, and one that Graylog
//! refuses holds those after it back until somebody looks.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::{Request, Response, StatusCode};
use hyper::body::Bytes;

use super::channel::{self, Channel, EncodeError, Verdict};
use super::gelf;
use crate::journal::{Content, Parcel};

pub const DESTINATION: &str = "graylog";

pub struct Graylog {
    url: String,
    replica: String,
}

impl Graylog {
    /// `url` with its path, which is `/gelf` for Graylog's own input; `replica` is this pod's name.
    pub fn new(url: &str, replica: &str) -> Self {
        Self { url: url.to_owned(), replica: replica.to_owned() }
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
        let message = gelf::encode(record, chain, &self.replica, parcel.created_at);
        let mut packer = GzEncoder::new(Vec::new(), Compression::default());
        let packed = packer.write_all(&message).and_then(|()| packer.finish());
        let packed = packed.map_err(|error| EncodeError::Retry(format!("cannot compress the record: {error}")))?;
        channel::post(&self.url, Some("gzip"), packed)
    }

    fn judge(&self, response: &Response<Bytes>) -> Verdict {
        match response.status() {
            StatusCode::ACCEPTED | StatusCode::OK | StatusCode::NO_CONTENT => Verdict::Delivered,
            _ => channel::retry(response),
        }
    }
}
