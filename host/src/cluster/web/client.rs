//! The connection: TLS with the roots that the grant names, and no address that is a machine's own.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};
use std::{fs, io, vec};

use http::Request;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::client::legacy::{Client as HyperClient, Error as HyperError};
use hyper_util::rt::TokioExecutor;
use tokio::time::Instant;
use tower::Service;

use super::url::is_link_local;
use super::{Answer, LARGEST_ANSWER, Unread, WebError};
use crate::ship::http::{trusting, with_causes};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Where the API server is, as a pod is told.
const API_SERVER: &str = "KUBERNETES_SERVICE_HOST";

/// A client for one set of trusted roots. Cheap to clone.
#[derive(Clone)]
pub(super) struct Client {
    hyper: HyperClient<HttpsConnector<HttpConnector<Elsewhere>>, Full<Bytes>>,
    roots_changed_at: Option<SystemTime>,
}

impl Client {
    /// # Errors
    /// Why its TLS cannot be set up.
    pub fn new(ca_file: Option<&Path>) -> Result<Self, String> {
        let mut http =
            HttpConnector::new_with_resolver(Elsewhere { inner: GaiResolver::new(), api_server: api_server() });
        http.enforce_http(false);
        http.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let https = match ca_file {
            Some(file) => HttpsConnectorBuilder::new().with_tls_config(trusting(file)?),
            None => HttpsConnectorBuilder::new()
                .with_native_roots()
                .map_err(|error| format!("https needs trusted CA certificates, and this machine has none: {error}"))?,
        };
        let connector = https.https_or_http().enable_http1().wrap_connector(http);
        // Each request has a connection of its own: one that the server is about to close would lose a request, and none
        // is sent a second time.
        let mut hyper = HyperClient::builder(TokioExecutor::new());
        hyper.pool_max_idle_per_host(0).retry_canceled_requests(false);
        Ok(Self { hyper: hyper.build(connector), roots_changed_at: changed_at(ca_file) })
    }

    /// Whether the roots are those of the file as it is now.
    pub fn is_current(&self, ca_file: Option<&Path>) -> bool {
        self.roots_changed_at == changed_at(ca_file)
    }

    /// # Errors
    /// Not sent, or not answered in time; an answer whose status is here is one.
    pub async fn exchange(&self, request: Request<Bytes>, timeout: Duration) -> Result<Answer, WebError> {
        let (deadline, within) = (Instant::now() + timeout, format!("nothing within {} ms", timeout.as_millis()));
        let answer = tokio::time::timeout_at(deadline, self.hyper.request(request.map(Full::new))).await;
        let answer = answer.map_err(|_| WebError::NoAnswer(within.clone()))?.map_err(|error| failed(&error))?;
        let (parts, body) = answer.into_parts();
        let body = match tokio::time::timeout_at(deadline, Limited::new(body, LARGEST_ANSWER).collect()).await {
            Ok(Ok(collected)) => Ok(collected.to_bytes()),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(Unread::TooLarge),
            Ok(Err(error)) => Err(Unread::BrokeOff(error.to_string())),
            Err(_) => Err(Unread::BrokeOff(within)),
        };
        let headers = parts
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
        Ok(Answer { status: parts.status.as_u16(), headers: headers.collect(), body })
    }
}

/// None outside of a cluster.
pub(super) fn api_server() -> Option<IpAddr> {
    std::env::var(API_SERVER).ok().and_then(|address| address.parse().ok())
}

fn changed_at(ca_file: Option<&Path>) -> Option<SystemTime> {
    ca_file.and_then(|file| fs::metadata(file).ok()).and_then(|metadata| metadata.modified().ok())
}

/// Of a connection that never came about, TLS included, nothing was asked.
fn failed(error: &HyperError) -> WebError {
    let message = with_causes(error);
    if error.is_connect() { WebError::NotSent(message) } else { WebError::NoAnswer(message) }
}

/// Names resolve as the machine resolves them, but to no address that is a machine's own or the API server's: whoever
/// writes the name's DNS entry decides where it leads, and that is not always the operator.
#[derive(Clone)]
struct Elsewhere {
    inner: GaiResolver,
    api_server: Option<IpAddr>,
}

impl Service<Name> for Elsewhere {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, io::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        self.inner.poll_ready(context).map_err(io::Error::other)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let (asked, api_server) = (name.to_string(), self.api_server);
        let found = self.inner.call(name);
        Box::pin(async move {
            let found: Vec<_> = found.await?.collect();
            allowed(&asked, &found, api_server)?;
            Ok(found.into_iter())
        })
    }
}

fn allowed(name: &str, found: &[SocketAddr], api_server: Option<IpAddr>) -> io::Result<()> {
    for address in found.iter().map(SocketAddr::ip) {
        let what = if address.is_loopback() || address.is_unspecified() {
            "this machine itself; a grant can name 127.0.0.1, and a name can lead anywhere"
        } else if is_link_local(address) {
            "a link-local address, where clouds keep the node's credentials"
        } else if Some(address) == api_server {
            "the cluster's own API server"
        } else {
            continue;
        };
        return Err(io::Error::other(format!("{name} leads to {address}, {what}; no grant opens it")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_to_a_machines_own_services_is_not_connected_to() {
        let at = |address: &str| SocketAddr::new(address.parse().unwrap(), 443);
        let (good, api) = (at("192.0.2.7"), "10.96.0.1".parse().ok());
        assert!(allowed("hooks.example.com", &[good, at("2001:db8::1"), at("10.0.0.7")], api).is_ok());
        for bad in
            ["169.254.169.254", "fe80::1", "fd00:ec2::254", "::ffff:169.254.169.254", "10.96.0.1", "127.0.0.1", "::1"]
        {
            let error = allowed("hooks.example.com", &[good, at(bad)], api).unwrap_err();
            assert!(error.to_string().contains("no grant opens it"), "{bad}: {error}");
        }
    }
}
