//! Outgoing HTTP: a service that is passed in, and the real one for production.

use std::error::Error;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::TokioExecutor;
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

/// hyper's own message is "client error (Connect)"; what happened is in its causes.
fn failed(error: &(dyn Error + 'static)) -> HttpError {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        message.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    HttpError::Failed(message)
}
