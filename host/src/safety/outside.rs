//! Requests to servers outside of the cluster, through the gate: asked for what a change is asked that has no object.
//!
//! In this order: the brake; method, URL and headers are of their form; the plugin declares the method and was granted
//! the URL; then, as for every call, the run's share of the budgets, the intent on disk, brake and deadline once more.
//! Namespace, identity and owners were asked before the plugin was started: what is sent is about the same alert.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use hyper::body::Bytes;
use tokio::time::Instant;

use super::checks::{Check, Refusal};
use super::gate::{Gate, Inner, deny};
use super::run::{CallRecord, Effect, Intent, Run};
use super::send::{Outgoing, SHORTEST_REQUEST, announce};
use super::web::WebMethod;
use super::{CallError, Reason};
use crate::cluster::ApiError;
use crate::cluster::names::ObjectName;
use crate::cluster::web::url::Url;
use crate::cluster::web::{Answer, LARGEST_BODY, Message, Sending, Trust, Unread, WebError, is_the_hosts};

const MOST_HEADERS: usize = 32;
const MOST_HEADER_BYTES: usize = 8 << 10;
/// Of what a plugin calls a method, in a record.
const LONGEST_METHOD: usize = 16;

/// A request as the plugin asks for it, nothing of it read yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebRequest {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
}

struct PlannedWeb {
    message: Message,
    trust: Trust,
    /// Method and URL, as records have them.
    shown: String,
}

impl Gate {
    /// Checks, records the intent, sends, records the answer.
    ///
    /// # Errors
    /// Refused by a check or a permission; not sent; no answer, or one that broke off or is too large.
    pub async fn send_outside(&self, run: &Arc<Run>, request: WebRequest) -> Result<Answer, CallError> {
        let (method, url) = (WebMethod::parse(&request.method), Url::parse(&request.url));
        let shown = url.as_ref().map_or_else(|_| "invalid URL".to_owned(), |url| run.bounds.web.shown(url));
        let record = record(method.map_or("?", WebMethod::as_str), &shown);
        if !run.bounds.dry_run
            && let Some(why) = self.braked()
        {
            return Err(deny(run, &record, Refusal::new(Check::Stopped, why)));
        }
        let planned = plan(run, method, url, request).map_err(|refusal| deny(run, &record, refusal))?;
        announce(&self.inner, run, record, planned).await
    }
}

fn record(method: &str, url: &str) -> CallRecord {
    CallRecord {
        verb: "http",
        resource: format!("{method} {url}"),
        namespace: None,
        name: None,
        uid: None,
        is_target: false,
        mutating: true,
        effect: Effect::Unchanged,
        detail: String::new(),
        sent_at: None,
        accepted_at: None,
        attempts: 0,
        undo: None,
    }
}

fn plan(
    run: &Run,
    method: Option<WebMethod>,
    url: Result<Url, crate::cluster::web::url::UrlError>,
    request: WebRequest,
) -> Result<PlannedWeb, Refusal> {
    let Some(method) = method else {
        let known = WebMethod::ALL.map(WebMethod::as_str).join(", ");
        let own = &request.method[..request.method.floor_char_boundary(LONGEST_METHOD)];
        return Err(Refusal::new(Check::InvalidName, format!("{own:?} is none of {known}")));
    };
    let url = url.map_err(|error| Refusal::new(Check::InvalidName, error.to_string()))?;
    let grant = run.bounds.web.permit(&run.identity.action, method, &url)?;
    let headers = headers(&request.headers, &grant.trust)?;
    let body = Bytes::from(request.body.unwrap_or_default());
    if body.len() > LARGEST_BODY {
        let detail = format!("the body has {} bytes, and {LARGEST_BODY} are allowed", body.len());
        return Err(Refusal::new(Check::Document, detail));
    }
    let shown = format!("{} {}", method.as_str(), run.bounds.web.shown(&url));
    let trust = grant.trust.clone();
    Ok(PlannedWeb { message: Message { method: method.method(), url, headers, body }, trust, shown })
}

fn headers(asked: &[(String, String)], trust: &Trust) -> Result<HeaderMap, Refusal> {
    let refuse = |detail: String| Err(Refusal::new(Check::Document, detail));
    let bytes: usize = asked.iter().map(|(name, value)| name.len() + value.len()).sum();
    if asked.len() > MOST_HEADERS || bytes > MOST_HEADER_BYTES {
        return refuse(format!("a request takes {MOST_HEADERS} headers of {MOST_HEADER_BYTES} bytes in all"));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in asked {
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
            return refuse("a header's name is none".to_owned());
        };
        if is_the_hosts(&name) || trust.headers_from.contains_key(name.as_str()) {
            return refuse(format!("the header {name} is the controller's to set; credentials come from the grant"));
        }
        if !trust.lets_write(&name) {
            return refuse(format!(
                "the header {name} may be another method or path to the server; `headers` of the grant can name it"
            ));
        }
        // Line breaks end a header and begin the next.
        let Ok(value) = HeaderValue::from_str(value) else {
            return refuse(format!("the header {name} holds more than one line of plain text"));
        };
        headers.append(name, value);
    }
    Ok(headers)
}

impl Outgoing for PlannedWeb {
    type Answer = Answer;

    fn path(&self) -> String {
        self.shown.clone()
    }

    fn name(&self, _: &CallRecord) -> Option<ObjectName> {
        None
    }

    async fn look_first(&self, _: &Inner, _: &Run) -> Result<(), ApiError> {
        Ok(())
    }

    /// Once: whether a server takes a request twice for two is not known here.
    async fn exchange(
        &self,
        inner: &Inner,
        run: &Run,
        intent: &Intent,
        _: Result<(), ApiError>,
    ) -> Result<Answer, CallError> {
        let sent_at = inner.ambient.now();
        let left = run.bounds.deadline.saturating_duration_since(Instant::now());
        let sending = Sending {
            dry_run: intent.dry_run,
            event_id: run.identity.event_id.clone(),
            timeout: left.max(SHORTEST_REQUEST),
        };
        let result = inner.writer.send_outside(&self.message, &self.trust, &sending).await;
        let answered_at = inner.ambient.now();
        let (effect, detail) = match &result {
            Ok(answer) if (200..300).contains(&answer.status) => (Effect::Changed, String::new()),
            Ok(answer) => (Effect::Api, format!("answered {}", answer.status)),
            Err(error @ WebError::NotSent(_)) => (Effect::NotSent, error.to_string()),
            Err(error @ WebError::NoAnswer(_)) => (Effect::Unknown, error.to_string()),
        };
        run.update(intent.call, |call| {
            call.effect = effect;
            call.detail.clone_from(&detail);
            call.attempts = 1;
            if effect != Effect::NotSent {
                call.sent_at = Some(sent_at);
            }
            if result.is_ok() {
                call.accepted_at = Some(answered_at);
            }
        });
        match result {
            Ok(answer) => match &answer.body {
                Ok(_) => Ok(answer),
                Err(Unread::TooLarge) => {
                    let message = format!("answered {} with more than is handed over", answer.status);
                    Err(CallError { reason: Reason::TooLarge, message })
                }
                Err(Unread::BrokeOff(why)) => {
                    let message = format!("answered {}, and broke off: {why}", answer.status);
                    Err(CallError { reason: Reason::Unavailable, message })
                }
            },
            Err(_) => Err(CallError { reason: Reason::Unavailable, message: detail }),
        }
    }
}
