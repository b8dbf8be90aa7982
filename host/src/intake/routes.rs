//! What is answered where. A request to `/alert` is judged in the order of what it costs: method and path, token, size,
//! content.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;

use super::throttle::Kind;
use super::token::Refusal;
use super::{Intake, Turned};
use crate::alert::Alert;
use crate::telemetry::metrics::{self, Metrics};

/// Falcosidekick cuts strings above 4 KiB of payload; an alert of this size is none.
pub const MAX_BODY: usize = 1 << 20;
/// For the whole body, however slowly it comes.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Falcosidekick has no timeout of its own, and waits with the next alert for this answer.
pub const OFFER_TIMEOUT: Duration = Duration::from_secs(5);
/// An inlet that hangs must not fill the memory with what it was offered.
pub const MAX_OFFERS: usize = 1024;

/// For all alerts that are on their way to the inlet, in bytes of memory: a thousand connections with a mebibyte each would
/// be more than the container has.
pub const ROOM: usize = 32 << 20;
/// What is counted of it.
pub const UNIT: usize = 1 << 10;

/// `/alert`, `/healthz` and `/readyz`.
pub fn alerts(intake: Intake) -> Router {
    Router::new()
        .route("/alert", post(alert))
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(readyz))
        .with_state(intake)
}

/// `/metrics`.
pub fn admin(metrics: Metrics) -> Router {
    let render = move || async move { ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics.render()) };
    Router::new().route("/metrics", get(render))
}

async fn alert(State(intake): State<Intake>, request: Request) -> Response {
    match take(&intake, request).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(refused) => {
            if let Some(kind) = refused.kind {
                intake.inner.metrics.alert(kind.as_str());
                let hint = refused.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
                intake.inner.refusals.report(kind, &format!("{}{hint}", refused.reason));
            }
            (refused.status, refused.reason + "\n").into_response()
        }
    }
}

struct Refused {
    status: StatusCode,
    /// One line.
    reason: String,
    /// For the operator, not for the sender.
    hint: Option<&'static str>,
    /// None: it was counted and said.
    kind: Option<Kind>,
}

impl Refused {
    fn new(status: StatusCode, kind: Kind, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into(), hint: None, kind: Some(kind) }
    }
}

async fn take(intake: &Intake, request: Request) -> Result<(), Refused> {
    intake.inner.tokens.load().admit(request.headers()).map_err(unauthorized)?;
    let body = request.into_body();
    let most = body.size_hint().upper().and_then(|bytes| usize::try_from(bytes).ok());
    let mut room = room(intake, most.unwrap_or(MAX_BODY).min(MAX_BODY))?;
    let body = read(body).await?;
    let received_at = intake.inner.ambient.now();
    let alert = Alert::parse(&body)
        .map_err(|error| Refused::new(StatusCode::BAD_REQUEST, Kind::Malformed, error.to_string()))?;
    room.merge(self::room(intake, alert.weight().saturating_sub(body.len()))?);
    drop(body);

    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    let Ok(place) = intake.inner.offers.clone().try_acquire_owned() else {
        return Err(Refused::new(unavailable, Kind::Overloaded, "too many alerts wait to be taken in"));
    };
    let inlet = intake.inner.inlet.clone();
    let offer = async move {
        let _held = (place, room);
        inlet.offer(alert, received_at).await
    };
    match tokio::time::timeout(OFFER_TIMEOUT, TakingIn(Some(Box::pin(offer)))).await {
        Ok(Some(Ok(()))) => Ok(()),
        Ok(Some(Err(turned))) => {
            let reason = one_line(&turned.0);
            // The inlet has counted it; the log says it, once a second.
            intake.inner.refusals.report(Kind::TurnedAway, &reason);
            Err(Refused { status: unavailable, reason, hint: None, kind: None })
        }
        Ok(None) => Err(Refused::new(unavailable, Kind::Overloaded, "taking the alert in failed")),
        Err(_elapsed) => Err(Refused::new(unavailable, Kind::Overloaded, "taking the alert in takes too long")),
    }
}

/// An offer on its way; none comes of it when it panics.
///
/// It is polled where the answer is waited for: a task of its own would cost an alert that no rule wants more than the rest of
/// the answer, and others another way between two threads. An alert that was offered is taken in to the end all the same: when
/// nobody waits any more, because the sender has hung up or was told 503, what is left of it becomes a task.
struct TakingIn(Option<Offer>);

type Offer = Pin<Box<dyn Future<Output = Result<(), Turned>> + Send>>;

impl Future for TakingIn {
    type Output = Option<Result<(), Turned>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(offer) = &mut self.0 else { return Poll::Ready(None) };
        let turn = catch_unwind(AssertUnwindSafe(|| offer.as_mut().poll(context)));
        if matches!(turn, Ok(Poll::Pending)) {
            return Poll::Pending;
        }
        self.0 = None;
        match turn {
            Ok(taken) => taken.map(Some),
            Err(_panicked) => Poll::Ready(None),
        }
    }
}

impl Drop for TakingIn {
    fn drop(&mut self) {
        // Where there is no runtime any more, the program has ended before it answered.
        if let (Some(offer), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(offer);
        }
    }
}

/// Memory for so many bytes.
fn room(intake: &Intake, bytes: usize) -> Result<OwnedSemaphorePermit, Refused> {
    let units = u32::try_from(bytes / UNIT + 1).unwrap_or(u32::MAX);
    intake.inner.room.clone().try_acquire_many_owned(units).map_err(|_| {
        let reason = "too much is being taken in at once";
        Refused::new(StatusCode::SERVICE_UNAVAILABLE, Kind::Overloaded, reason)
    })
}

fn unauthorized(refusal: Refusal) -> Refused {
    let mut refused = Refused::new(StatusCode::UNAUTHORIZED, Kind::Unauthorized, refusal.to_string());
    if refusal == Refusal::Missing {
        refused.hint = Some(
            "if it comes from Falcosidekick, its header is not configured: the key is `customHeaders`, a map \
             (in the chart a text `X-Falco-Token:…`), and with `customheaders` as a text it sends none",
        );
    }
    refused
}

async fn read(body: Body) -> Result<axum::body::Bytes, Refused> {
    let too_large = || {
        let reason = format!("the body is longer than {MAX_BODY} bytes");
        Refused::new(StatusCode::PAYLOAD_TOO_LARGE, Kind::TooLarge, reason)
    };
    // What is announced as too large is not even begun.
    if body.size_hint().lower() > MAX_BODY as u64 {
        return Err(too_large());
    }
    match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Refused::new(StatusCode::BAD_REQUEST, Kind::Malformed, "the body ends too early")),
        Err(_elapsed) => {
            let reason = format!("the body did not come within {} s", BODY_TIMEOUT.as_secs());
            Err(Refused::new(StatusCode::REQUEST_TIMEOUT, Kind::Malformed, reason))
        }
    }
}

fn one_line(text: &str) -> String {
    text.split(|c: char| c.is_control()).collect::<Vec<_>>().join(" ")
}

async fn readyz(State(intake): State<Intake>) -> Response {
    let (ready, mut body) = intake.inner.inlet.readiness();
    let stopping = intake.is_stopping();
    if stopping && let Value::Object(body) = &mut body {
        body.insert("stopping".into(), true.into());
    }
    let status = if ready && !stopping { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let json = HeaderValue::from_static("application/json");
    (status, [(header::CONTENT_TYPE, json)], body.to_string()).into_response()
}
