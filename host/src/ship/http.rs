//! Outgoing HTTP: a service that is passed in, and the real one for production.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tower::util::BoxCloneSyncService;

pub type HttpClient = BoxCloneSyncService<Request<Bytes>, Response<Bytes>, HttpError>;

/// For a whole exchange, from the connection to the last byte of the answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// More than any answer that is looked at.
const LARGEST_ANSWER: usize = 64 * 1024;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    Timeout,
    #[error("the answer is longer than {LARGEST_ANSWER} bytes")]
    TooLarge,
    #[error("{0}")]
    Failed(String),
}

/// Speaks http and https, the latter with the machine's own trusted roots. Where there are none, as in an image without
/// CA certificates, http works and https says what is missing.
///
/// # Errors
/// None today; a client that cannot be built must not stop at a panic.
pub fn client() -> Result<HttpClient, HttpError> {
    match HttpsConnectorBuilder::new().with_native_roots() {
        Ok(builder) => Ok(service(builder.https_or_http().enable_http1().build(), None)),
        Err(error) => {
            let missing = format!("https needs trusted CA certificates, and this machine has none: {error}");
            Ok(service(HttpConnector::new(), Some(missing)))
        }
    }
}

/// As [`client`], with the certificates of `ca_file` (PEM) as the only trusted roots.
///
/// # Errors
/// When the file cannot be read or holds no certificate.
pub fn client_trusting(ca_file: &Path) -> Result<HttpClient, HttpError> {
    Ok(service(connector(Some(ca_file))?, None))
}

/// What TLS is spoken with, also by those who speak no HTTP over it.
///
/// # Errors
/// When the file cannot be read or holds no certificate; without a file, when the machine has no roots.
pub(crate) fn connector(ca_file: Option<&Path>) -> Result<HttpsConnector<HttpConnector>, HttpError> {
    let Some(file) = ca_file else {
        let builder = HttpsConnectorBuilder::new().with_native_roots();
        let builder = builder.map_err(|error| HttpError::Failed(format!("no trusted CA certificates: {error}")))?;
        return Ok(builder.https_or_http().enable_http1().build());
    };
    let config = trusting(file).map_err(HttpError::Failed)?;
    Ok(HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().build())
}

/// TLS with the certificates of a file (PEM) as the only trusted roots.
///
/// # Errors
/// When the file cannot be read or holds no certificate.
pub(crate) fn trusting(file: &Path) -> Result<ClientConfig, String> {
    let unusable = |what: String| format!("cannot use the CA certificates in {}: {what}", file.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| unusable(error.to_string()))? {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unusable("there is none".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let versions = versions.map_err(|error| format!("cannot set up TLS: {error}"))?;
    Ok(versions.with_root_certificates(roots).with_no_client_auth())
}

fn service<C>(connector: C, no_tls: Option<String>) -> HttpClient
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let client = Client::builder(TokioExecutor::new()).build::<_, Full<Bytes>>(connector);
    BoxCloneSyncService::new(tower::service_fn(move |request: Request<Bytes>| {
        let (client, no_tls) = (client.clone(), no_tls.clone());
        async move {
            if let Some(missing) = no_tls.filter(|_| request.uri().scheme_str() == Some("https")) {
                return Err(HttpError::Failed(missing));
            }
            let exchange = async {
                let answer = client.request(request.map(Full::new)).await.map_err(|error| failed(&error))?;
                let (parts, body) = answer.into_parts();
                let body = Limited::new(body, LARGEST_ANSWER).collect().await.map_err(|error| {
                    if error.is::<LengthLimitError>() { HttpError::TooLarge } else { failed(error.as_ref()) }
                })?;
                Ok(Response::from_parts(parts, body.to_bytes()))
            };
            tokio::time::timeout(TIMEOUT, exchange).await.unwrap_or(Err(HttpError::Timeout))
        }
    }))
}

pub(crate) fn failed(error: &(dyn Error + 'static)) -> HttpError {
    HttpError::Failed(with_causes(error))
}

/// hyper's own message is "client error (Connect)"; what happened is in its causes.
pub(crate) fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        message.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    message
}
