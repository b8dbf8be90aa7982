//! A session in the cluster's place: it answers what was asked when it was recorded, in that order and nothing else.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use http::{Request, Response, StatusCode, header};
use kube::client::Body;
use serde_json::Value;
use tower::{BoxError, Service};

use super::layer::{at_once, event_id, replaced, sent};
use super::{EVENT_ID, Exchange, Returned, Sent};

/// Cheap to clone.
#[derive(Clone)]
pub struct Playback(Arc<Mutex<Tape>>);

struct Tape {
    left: VecDeque<Exchange>,
    played: usize,
    /// The first request that was not the recorded one.
    departure: Option<Departure>,
}

/// Where what happened leaves what was recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Departure {
    /// How many exchanges went as recorded before it.
    pub after: usize,
    /// None: the session was over.
    pub expected: Option<Sent>,
    /// None: nothing more was asked.
    pub actual: Option<Sent>,
}

impl Playback {
    pub fn of(exchanges: Vec<Exchange>) -> Self {
        Self(Arc::new(Mutex::new(Tape { left: exchanges.into(), played: 0, departure: None })))
    }

    /// What did not go as recorded. What was recorded and never asked for counts as well.
    pub fn departure(&self) -> Option<Departure> {
        let tape = self.tape();
        let left_over = || {
            let expected = tape.left.front()?.request.clone();
            Some(Departure { after: tape.played, expected: Some(expected), actual: None })
        };
        tape.departure.clone().or_else(left_over)
    }

    /// Nothing panics while it holds the lock.
    fn tape(&self) -> MutexGuard<'_, Tape> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self, request: Sent) -> Result<Option<Returned>, String> {
        let mut tape = self.tape();
        if tape.departure.is_none() {
            match tape.left.front() {
                Some(next) if next.request == request => {
                    tape.played += 1;
                    return Ok(tape.left.pop_front().and_then(|exchange| exchange.answer));
                }
                next => {
                    let expected = next.map(|exchange| exchange.request.clone());
                    tape.departure = Some(Departure { after: tape.played, expected, actual: Some(request.clone()) });
                }
            }
        }
        Err(format!("the session was recorded otherwise, and has no answer to {request}"))
    }
}

impl Service<Request<Body>> for Playback {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let answer = self.next(sent(&parts, &at_once(body)));
        let own = event_id(&parts);
        Box::pin(std::future::ready(match answer {
            Ok(Some(Returned { status, document })) => {
                let document = match own {
                    Some(own) => replaced(document, EVENT_ID, &own),
                    None => document,
                };
                response(Returned { status, document })
            }
            Ok(None) => Err("no answer came when the session was recorded".into()),
            Err(why) => Err(why.into()),
        }))
    }
}

fn response(Returned { status, document }: Returned) -> Result<Response<Body>, BoxError> {
    let (kind, bytes) = match document {
        Value::Null => ("text/plain", Vec::new()),
        Value::String(text) => ("text/plain", text.into_bytes()),
        document => ("application/json", document.to_string().into_bytes()),
    };
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = StatusCode::from_u16(status)?;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    Ok(response)
}
