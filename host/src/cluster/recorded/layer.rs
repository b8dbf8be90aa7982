//! The layer that records. What passes it passes unchanged.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Bytes;
use kube::client::Body;
use serde_json::Value;
use tower::{BoxError, Layer, Service};

use super::redacted::Redactor;
use super::{EVENT_ID, Exchange, Returned, Sent};

/// Where what was exchanged is kept, in the order in which it was sent; cheap to clone.
#[derive(Clone, Default)]
pub struct Recorder(Arc<Mutex<Vec<Exchange>>>);

impl Recorder {
    /// What was exchanged since it was last taken.
    pub fn take(&self) -> Vec<Exchange> {
        std::mem::take(&mut *self.exchanges())
    }

    /// Each change is one push or one assignment.
    fn exchanges(&self) -> MutexGuard<'_, Vec<Exchange>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sent(&self, request: Sent) -> usize {
        let mut exchanges = self.exchanges();
        exchanges.push(Exchange { request, answer: None });
        exchanges.len() - 1
    }

    fn answered(&self, number: usize, answer: Returned) {
        if let Some(exchange) = self.exchanges().get_mut(number) {
            exchange.answer = Some(answer);
        }
    }
}

impl<S> Layer<S> for Recorder {
    type Service = Recording<S>;

    fn layer(&self, inner: S) -> Recording<S> {
        Recording { inner, recorder: self.clone() }
    }
}

pub struct Recording<S> {
    inner: S,
    recorder: Recorder,
}

impl<S, B> Service<Request<Body>> for Recording<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: hyper::body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let body = at_once(body);
        let event_id = event_id(&parts);
        let path = parts.uri.path().to_owned();
        let number = self.recorder.sent(sent(&parts, &body));
        let answering = self.inner.call(Request::from_parts(parts, Body::from(body.to_vec())));
        let recorder = self.recorder.clone();
        Box::pin(async move {
            let (parts, body) = answering.await.map_err(Into::<BoxError>::into)?.into_parts();
            let body = body.collect().await.map_err(Into::<BoxError>::into)?.to_bytes();
            let document = masked(Redactor::default().exchanged(document(&body), &path), event_id.as_deref());
            recorder.answered(number, Returned { status: parts.status.as_u16(), document });
            Ok(Response::from_parts(parts, Body::from(body.to_vec())))
        })
    }
}

/// The request, without its secrets.
pub(super) fn sent(parts: &http::request::Parts, body: &Bytes) -> Sent {
    Sent {
        method: parts.method.to_string(),
        path: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        body: masked(Redactor::default().exchanged(document(body), parts.uri.path()), event_id(parts).as_deref()),
    }
}

/// Shorter than any event's id, and long enough not to stand anywhere by chance.
const SHORTEST_ID: usize = 16;

/// The event that a change is sent for, as its User-Agent has it.
pub(super) fn event_id(parts: &http::request::Parts) -> Option<String> {
    let agent = parts.headers.get(http::header::USER_AGENT)?.to_str().ok()?;
    agent
        .split_whitespace()
        .find_map(|word| word.strip_prefix("event="))
        .filter(|id| id.len() >= SHORTEST_ID)
        .map(str::to_owned)
}

/// Another one each time, and known to be by its place: the same text stands for it in every session.
fn masked(document: Value, event_id: Option<&str>) -> Value {
    match event_id {
        Some(event_id) => replaced(document, event_id, EVENT_ID),
        None => document,
    }
}

/// With one text in the place of the other, wherever it stands.
pub(super) fn replaced(value: Value, from: &str, to: &str) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace(from, to)),
        Value::Array(items) => items.into_iter().map(|item| replaced(item, from, to)).collect(),
        Value::Object(map) => map.into_iter().map(|(key, value)| (key, replaced(value, from, to))).collect(),
        other => other,
    }
}

/// A sealed request holds its body whole, so that nothing has to be waited for.
pub(super) fn at_once(body: Body) -> Bytes {
    let mut collecting = pin!(body.collect_bytes());
    match collecting.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(bytes)) => bytes,
        // Nothing of the kind passes the outermost layer.
        Poll::Ready(Err(_)) | Poll::Pending => Bytes::new(),
    }
}

/// JSON, or the text as it is; null for none.
fn document(bytes: &[u8]) -> Value {
    if bytes.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(bytes).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()))
}
