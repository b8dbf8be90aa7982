//! The API server as the controller meets it: the simulated cluster behind a network that delays, loses and repeats
//! nothing by itself, but refuses, hangs and breaks, before the change and after it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Method, Request, Response, StatusCode, header};
use kube::client::Body;
use serde_json::{Value, json};
use tower::BoxError;

use super::pump;
use super::scenario::Happening;
use super::truth::{self, Truth};
use super::world::World;

/// A change that was sent, as it arrived.
#[derive(Debug, Clone)]
pub struct Sent {
    pub event_id: String,
    pub method: Method,
    pub path: String,
    /// The entry of the intent that was on disk by then, and the UID that it names.
    pub entry_id: Option<String>,
    pub announced_uid: Option<String>,
    /// Whether the configuration was dry when it was sent.
    pub dry_by_configuration: bool,
    /// What it did, once it was carried out.
    pub truth: Option<Truth>,
}

/// A request that the API server has, by its number among those sent.
#[derive(Debug, Clone)]
pub struct Late {
    pub request: Request<Vec<u8>>,
    pub sent: Option<usize>,
}

#[derive(Clone)]
pub struct Api(pub Arc<World>);

/// What the network and the API server make of one request.
enum Fate {
    Good,
    /// Nothing left: the connection was refused.
    NotSent,
    LostBefore,
    Hangs,
    /// An answer without a look at the request.
    Says(Response<Vec<u8>>),
    /// Carried out, and then the connection breaks.
    LostAfter,
    /// Carried out, and then something else answers.
    Garbled(Response<Vec<u8>>),
    /// What was read here a moment ago.
    Stale,
}

impl tower::Service<Request<Body>> for Api {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let world = Arc::clone(&self.0);
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect_bytes().await?.to_vec();
            exchange(&world, Request::from_parts(head, body)).await.map(|response| response.map(Body::from))
        })
    }
}

async fn exchange(world: &Arc<World>, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, BoxError> {
    let name = format!("{} {}", request.method(), request.uri().path());
    world.step(|| format!("api < {name}")).await;
    let fate = fate(world, &request);
    let reset = || -> BoxError { std::io::Error::from(std::io::ErrorKind::ConnectionReset).into() };
    match &fate {
        Fate::NotSent => return Err(refused_connection().await),
        Fate::Hangs => std::future::pending().await,
        _ => {}
    }
    let sent = truth::note_sent(world, &request);
    let late = Late { request, sent };
    let arriving = Arriving::new(world, &late);
    tokio::time::sleep(latency(world)).await;
    if world.is_dead() {
        std::future::pending().await
    }
    drop(arriving.arrived());
    let response = match fate {
        Fate::LostBefore => {
            world.note(|| format!("api: lost before {name}"));
            return Err(reset());
        }
        Fate::Says(response) => response,
        Fate::Stale => truth::remembered(world, &late).unwrap_or_else(|| truth::carry_out(world, &late)),
        Fate::LostAfter => {
            truth::carry_out(world, &late);
            world.step(|| format!("api: lost after {name}")).await;
            return Err(reset());
        }
        Fate::Garbled(response) => {
            truth::carry_out(world, &late);
            response
        }
        Fate::Good | Fate::NotSent | Fate::Hangs => truth::carry_out(world, &late),
    };
    if late.sent.is_none() {
        pump::meddle(world, late.request.uri().path());
    }
    world.step(|| format!("api > {} {name}", response.status().as_u16())).await;
    tokio::time::sleep(latency(world)).await;
    Ok(response)
}

/// Takes note of a request that nobody waits for any more before the API server has looked at it: it may do so yet.
struct Arriving {
    world: Arc<World>,
    number: u64,
}

impl Arriving {
    fn new(world: &Arc<World>, late: &Late) -> Self {
        let number = world.number();
        world.state().arriving.insert(number, late.clone());
        Self { world: Arc::clone(world), number }
    }

    fn arrived(self) -> Option<Late> {
        self.world.state().arriving.remove(&self.number)
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        // After a crash, all of them are looked after in their own order.
        if self.world.is_dead() {
            return;
        }
        let left = self.world.state().arriving.remove(&self.number);
        if let Some(late) = left {
            given_up(&self.world, late);
        }
    }
}

/// The client is gone. What it had sent may still be carried out.
pub fn given_up(world: &Arc<World>, late: Late) {
    let changes = late.request.method() != Method::GET;
    if changes && world.dice.chance(500) {
        world.note(|| format!("api: {} {} is still on its way", late.request.method(), late.request.uri().path()));
        world.soon(world.dice.millis(0, 8000), Happening::Arrives(Box::new(late)));
    }
}

fn latency(world: &World) -> Duration {
    let slow = world.is_rough() && world.dice.chance(world.scenario.weather.slow_api);
    if slow { world.dice.millis(50, 7000) } else { world.dice.millis(1, 12) }
}

fn fate(world: &World, request: &Request<Vec<u8>>) -> Fate {
    let weather = &world.scenario.weather;
    if !world.is_rough() {
        return Fate::Good;
    }
    let outage = weather.outages.iter().any(|(from, to)| {
        let at = world.now().duration_since(world.scenario.start).unsigned_abs();
        *from <= at && at < *to
    });
    let reads = request.method() == Method::GET;
    if reads && world.dice.chance(weather.stale) {
        return Fate::Stale;
    }
    if !outage && !world.dice.chance(weather.api_faults) {
        return Fate::Good;
    }
    let status = |code: u16, reason: &str| {
        let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
            "reason": reason, "message": format!("injected {code}")});
        answer(code, "application/json", &body.to_string())
    };
    let proxy = |code: u16| answer(code, "text/html", "<html>no</html>");
    match world.dice.below(if outage { 4 } else { 14 }) {
        0 => Fate::NotSent,
        1 => Fate::LostBefore,
        2 => Fate::Hangs,
        3 => Fate::Says(status(503, "ServiceUnavailable")),
        4 => Fate::Says(if reads { status(403, "Forbidden") } else { status(409, "Conflict") }),
        5 => {
            let mut response = status(429, "TooManyRequests");
            response.headers_mut().insert(header::RETRY_AFTER, http::HeaderValue::from_static("1"));
            Fate::Says(response)
        }
        6 => Fate::Says(status(500, "InternalError")),
        7 => Fate::Says(proxy(502)),
        8 => Fate::Says(proxy(503)),
        9 => Fate::Garbled(status(504, "Timeout")),
        10 => Fate::Garbled(proxy(502)),
        11 => Fate::Garbled(answer(200, "application/json", "{\"kind\": \"Po")),
        _ => Fate::LostAfter,
    }
}

fn answer(code: u16, content_type: &'static str, body: &str) -> Response<Vec<u8>> {
    let mut response = Response::new(body.as_bytes().to_vec());
    *response.status_mut() = StatusCode::from_u16(code).expect("a status");
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}

/// hyper's own error for it, which is how the client tells that nothing left.
async fn refused_connection() -> BoxError {
    use hyper_util::client::legacy::Client;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let connector = tower::service_fn(|_: http::Uri| {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        std::future::ready(Err::<TokioIo<Nowhere>, _>(refused))
    });
    let client = Client::builder(TokioExecutor::new()).build::<_, http_body_util::Empty<hyper::body::Bytes>>(connector);
    match client.get(http::Uri::from_static("http://nowhere/")).await {
        Err(error) => error.into(),
        Ok(_) => unreachable!("nobody answers there"),
    }
}

/// A connection that there never is.
enum Nowhere {}

impl hyper_util::client::legacy::connect::Connection for Nowhere {
    fn connected(&self) -> hyper_util::client::legacy::connect::Connected {
        match *self {}
    }
}

impl tokio::io::AsyncRead for Nowhere {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        match *self {}
    }
}

impl tokio::io::AsyncWrite for Nowhere {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<std::io::Result<usize>> {
        match *self {}
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match *self {}
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match *self {}
    }
}

/// The event that a change is for: it goes with the User-Agent.
pub fn event_of(request: &Request<Vec<u8>>) -> Option<String> {
    let agent = request.headers().get(header::USER_AGENT)?.to_str().ok()?;
    Some(agent.strip_prefix("falco-response-controller/")?.split_once(" event=")?.1.to_owned())
}

/// The UID that a change is pinned to, wherever it stands.
pub fn pinned_uid(body: &Value) -> Option<String> {
    let places = ["/preconditions/uid", "/deleteOptions/preconditions/uid", "/metadata/uid", "/0/value"];
    places.iter().find_map(|place| body.pointer(place)).and_then(Value::as_str).map(str::to_owned)
}
