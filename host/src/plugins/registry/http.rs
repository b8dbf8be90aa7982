//! HTTP to registries: one request, its answer whole and bounded, no answer awaited for longer than is sensible.
//!
//! What a registry is called by decides how it is spoken to: https, and plain http only where the operator said so or the
//! registry is on this machine.

use std::error::Error;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Bytes};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::{Instant, timeout, timeout_at};

use crate::ship::http::{connector, failed};

/// Until the head of an answer, and from one piece of its body to the next.
const PATIENCE: Duration = Duration::from_secs(15);
/// For all of an answer: 64 MiB on a slow line.
const WHOLE: Duration = Duration::from_secs(300);

#[derive(Clone)]
pub enum Http {
    Tls(Client<HttpsConnector<HttpConnector>, Full<Bytes>>),
    /// On a machine without trusted certificates, as some images are; with the sentence that says so.
    NoTls(Client<HttpConnector, Full<Bytes>>, String),
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// Whoever answers is nobody that we trust, or does not trust us; another time it will be the same.
    #[error("{0}")]
    Untrusted(String),
    #[error("{0}")]
    Failed(String),
}

/// Which hosts are spoken to without TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plain {
    /// This machine, by address or as `localhost`.
    Loopback,
    /// These and no others, with their ports.
    Hosts(Vec<String>),
}

impl Plain {
    pub fn covers(&self, authority: &str) -> bool {
        match self {
            Self::Hosts(hosts) => hosts.iter().any(|host| host.eq_ignore_ascii_case(authority)),
            Self::Loopback => {
                let name = match authority.rsplit_once(':') {
                    Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
                    _ => authority,
                };
                let name = name.trim_start_matches('[').trim_end_matches(']');
                name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
            }
        }
    }
}

impl Http {
    /// With the certificates of `ca_file` as the only trusted roots, else with the machine's.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn new(ca_file: Option<&Path>) -> Result<Self, String> {
        let builder = Client::builder(TokioExecutor::new());
        match connector(ca_file) {
            Ok(connector) => Ok(Self::Tls(builder.build(connector))),
            Err(error) if ca_file.is_some() => Err(error.to_string()),
            Err(error) => Ok(Self::NoTls(builder.build(HttpConnector::new()), error.to_string())),
        }
    }

    /// # Errors
    /// There is no answer, or it has more than `limit` bytes.
    pub async fn send(&self, request: Request<Bytes>, limit: u64) -> Result<Response<Bytes>, NoAnswer> {
        // What is sent may be as large as what is received.
        let patience = if request.body().is_empty() { PATIENCE } else { WHOLE };
        let late = || NoAnswer::Failed(format!("no answer within {} s", patience.as_secs()));
        let end = Instant::now() + WHOLE;
        let request = request.map(Full::new);
        let sent = match self {
            Self::Tls(client) => client.request(request),
            Self::NoTls(_, missing) if request.uri().scheme_str() == Some("https") => {
                return Err(NoAnswer::Untrusted(missing.clone()));
            }
            Self::NoTls(client, _) => client.request(request),
        };
        let answer = timeout(patience, sent).await.map_err(|_| late())?.map_err(|error| {
            let text = failed(&error).to_string();
            if is_untrusted(&error) { NoAnswer::Untrusted(text) } else { NoAnswer::Failed(text) }
        })?;
        let (head, mut body) = answer.into_parts();
        let broke_off = |why: &str| NoAnswer::Failed(format!("the answer broke off{why}"));
        let too_long = || NoAnswer::Failed(format!("the answer is longer than the {limit} bytes that it may have"));
        if body.size_hint().lower() > limit {
            return Err(too_long());
        }
        let expected = usize::try_from(body.size_hint().lower()).unwrap_or_default();
        // Not by doubling: it may be 64 MiB, of which the limit above holds.
        let mut bytes = Vec::with_capacity(expected);
        loop {
            let until = end.min(Instant::now() + PATIENCE);
            let frame = timeout_at(until, body.frame()).await.map_err(|_| broke_off(""))?;
            let Some(frame) = frame else { break };
            let frame = frame.map_err(|error| broke_off(&format!(": {}", failed(&error))))?;
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() as u64 + data.len() as u64 > limit {
                return Err(too_long());
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Response::from_parts(head, bytes.into()))
    }
}

/// Whether TLS is what failed. An I/O error passes over what it was made of when it is asked for its source.
fn is_untrusted(error: &(dyn Error + 'static)) -> bool {
    let of_io = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>()
        || of_io.is_some_and(|inner| is_untrusted(inner))
        || error.source().is_some_and(is_untrusted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_or_what_was_named_is_spoken_to_without_tls() {
        for host in ["127.0.0.1:5000", "127.1.2.3", "localhost", "localhost:80", "[::1]:5000", "[::1]"] {
            assert!(Plain::Loopback.covers(host), "{host}");
        }
        for host in ["10.0.0.1:5000", "localhost.example.com", "127.0.0.1.example.com", "registry", "[::2]:5000"] {
            assert!(!Plain::Loopback.covers(host), "{host}");
        }
        let named = Plain::Hosts(vec!["registry.lab:5000".to_owned()]);
        assert!(named.covers("Registry.lab:5000") && !named.covers("registry.lab") && !named.covers("127.0.0.1:5000"));
    }

    #[test]
    fn that_nobody_is_trusted_is_found_however_deep_it_lies() {
        let tls = std::io::Error::new(std::io::ErrorKind::InvalidData, rustls::Error::DecryptError);
        assert!(is_untrusted(&std::io::Error::other(tls)));
        assert!(!is_untrusted(&std::io::Error::other(std::io::Error::other("refused"))));
    }
}
