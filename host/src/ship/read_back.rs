//! Graylog's search API, asked whether the records that its input took are stored.
//!
//! `GET /api/search/messages` answers with a table, `{"schema": [{"field": "hash", …}], "datarows": [["…"]], …}`. A
//! record is known by its hash in the chain, which no other has.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use form_urlencoded::Serializer;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{Request, Response};
use hyper::body::Bytes;
use jiff::Timestamp;
use serde_json::Value;

use super::access;
use super::channel::{EncodeError, ReadBack};
use super::http::{HttpClient, HttpError, client_trusting};
use crate::journal::{Content, Parcel};

/// What is asked for at once: the query stands in the URL, and servers take some 8 KiB of it.
pub(super) const MOST: usize = 64;

pub struct Search {
    url: String,
    token_file: PathBuf,
    client: Option<HttpClient>,
}

impl Search {
    /// `api` is the API's address, `https://graylog:9000/api`; the token is one of a user who may read the stream.
    pub fn new(api: &str, token_file: &Path) -> Self {
        let url = format!("{}/search/messages", api.trim_end_matches('/'));
        Self { url, token_file: token_file.to_owned(), client: None }
    }

    /// With the certificates of `ca_file` as the only trusted roots.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn trusting(self, ca_file: &Path) -> Result<Self, HttpError> {
        Ok(Self { client: Some(client_trusting(ca_file)?), ..self })
    }
}

impl ReadBack for Search {
    fn client(&self) -> Option<HttpClient> {
        self.client.clone()
    }

    fn ask(&self, parcels: &[&Parcel], now: Timestamp) -> Result<Request<Bytes>, EncodeError> {
        // Graylog looks at the records' own times, and after an outage they lie days back.
        let oldest = parcels.iter().map(|parcel| parcel.created_at).min().unwrap_or(now);
        let days = now.duration_since(oldest).as_hours() / 24 + 2;
        let terms: Vec<_> =
            parcels.iter().filter_map(|parcel| hash(parcel)).map(|hash| format!("\"{hash}\"")).collect();
        let query = Serializer::new(String::new())
            .append_pair("query", &format!("hash:({})", terms.join(" OR ")))
            .append_pair("timerange", &format!("{days}d"))
            .append_pair("fields", "hash")
            // What was sent twice is found twice.
            .append_pair("size", &(4 * MOST).to_string())
            .finish();
        let token = access::secret(&self.token_file, "access token")?;
        Request::get(format!("{}?{query}", self.url))
            .header(ACCEPT, "application/json")
            // Graylog takes a token as the name, with this word as the password.
            .header(AUTHORIZATION, access::basic(&token, "token")?)
            .header("X-Requested-By", "falco-response-controller")
            .body(Bytes::new())
            .map_err(|error| EncodeError::Retry(format!("cannot ask {}: {error}", self.url)))
    }

    fn stored(&self, parcels: &[&Parcel], response: &Response<Bytes>) -> Result<HashSet<i64>, String> {
        if !response.status().is_success() {
            return Err(format!("Graylog's search API answered {}", response.status()));
        }
        let table: Value = serde_json::from_slice(response.body())
            .map_err(|error| format!("Graylog's search API answered no JSON: {error}"))?;
        let rows = table.get("datarows").and_then(Value::as_array);
        let rows = rows.ok_or("Graylog's search API answered without `datarows`")?;
        // The one column that was asked for; looking at all of them needs no guess at its place.
        let found: HashSet<&str> =
            rows.iter().filter_map(Value::as_array).flatten().filter_map(Value::as_str).collect();
        Ok(parcels
            .iter()
            .filter(|parcel| hash(parcel).is_some_and(|hash| found.contains(hash)))
            .map(|parcel| parcel.id)
            .collect())
    }
}

fn hash(parcel: &Parcel) -> Option<&str> {
    match &parcel.content {
        Content::Record { chain, .. } => Some(&chain.hash),
        Content::Payload(_) => None,
    }
}
