//! The routes through a router, and the server through real sockets.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::body::Body;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tower::ServiceExt;

use super::routes::{MAX_BODY, MAX_OFFERS};
use super::server::{Patience, serve, serve_alerts};
use super::token::Tokens;
use super::*;
use crate::ambient::fixed;
use crate::telemetry::log::Format;

const TOKEN: &str = "token-of-at-least-16-bytes";
const NOW: &str = "2026-11-24T02:00:00Z";
const ALERT: &[u8] = include_bytes!("../../../tests/fixtures/alerts/falcosidekick/terminal-shell-critical.json");

/// Keeps what it is offered, and answers as told.
#[derive(Default)]
struct Inbox {
    taken: Mutex<Vec<(Alert, Timestamp)>>,
    turn: Mutex<Option<String>>,
    /// Waits for this before it takes an alert.
    gate: Option<Notify>,
    unready: AtomicBool,
}

impl Inlet for Inbox {
    fn offer(
        &self,
        alert: Alert,
        received_at: Timestamp,
    ) -> Pin<Box<dyn Future<Output = Result<(), Turned>> + Send + '_>> {
        Box::pin(async move {
            if let Some(gate) = &self.gate {
                gate.notified().await;
            }
            if let Some(reason) = self.turn.lock().unwrap().clone() {
                return Err(Turned(reason));
            }
            self.taken.lock().unwrap().push((alert, received_at));
            Ok(())
        })
    }

    fn readiness(&self) -> (bool, Value) {
        let ready = !self.unready.load(Ordering::Relaxed);
        (ready, json!({"journal": ready, "rules_without_plugin": []}))
    }
}

struct Setup {
    inbox: Arc<Inbox>,
    intake: Intake,
    metrics: Metrics,
    lines: Arc<Mutex<Vec<u8>>>,
}

fn setup(inbox: Inbox) -> Setup {
    let (ambient, _) = fixed::at(NOW);
    let (log, lines) = Log::memory(&ambient, Format::Json);
    let (inbox, metrics) = (Arc::new(inbox), Metrics::new());
    let intake = Intake::new(inbox.clone(), Tokens::parse(TOKEN).unwrap(), &ambient, &log, &metrics);
    Setup { inbox, intake, metrics, lines }
}

impl Setup {
    async fn send(&self, request: Request<Body>) -> (StatusCode, String, http::HeaderMap) {
        taken_apart(alerts(self.intake.clone()).oneshot(request).await.unwrap()).await
    }

    fn taken(&self) -> usize {
        self.inbox.taken.lock().unwrap().len()
    }

    fn counted(&self, result: &str) -> bool {
        let line = format!("falco_response_alerts_total{{result=\"{result}\"}} 1");
        self.metrics.render().lines().any(|found| found == line)
    }

    fn log(&self) -> String {
        String::from_utf8(self.lines.lock().unwrap().clone()).unwrap()
    }
}

async fn taken_apart(response: Response<Body>) -> (StatusCode, String, http::HeaderMap) {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status, String::from_utf8(body.to_vec()).unwrap(), parts.headers)
}

fn post(body: impl Into<Body>) -> Request<Body> {
    Request::post("/alert").header("X-Falco-Token", TOKEN).body(body.into()).unwrap()
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn an_alert_that_was_taken_in_is_answered_without_a_body() {
    let setup = setup(Inbox::default());
    let (status, body, _) = setup.send(post(ALERT)).await;
    assert_eq!((status, body.as_str()), (StatusCode::NO_CONTENT, ""));
    let taken = setup.inbox.taken.lock().unwrap();
    assert_eq!(taken.len(), 1);
    assert_eq!((taken[0].0.raw().as_bytes(), taken[0].1), (ALERT, NOW.parse().unwrap()));
    drop(taken);
    assert_eq!(setup.log(), "");
}

#[tokio::test]
async fn without_the_token_nothing_is_read() {
    let setup = setup(Inbox::default());
    let with = |tokens: &[&str]| {
        let request =
            tokens.iter().fold(Request::post("/alert"), |request, token| request.header("x-falco-token", *token));
        // Its size and content would be refused, too; the token comes first.
        request.header("content-length", "99999999").body(Body::from("{}")).unwrap()
    };
    for (tokens, reason) in [
        (vec![], "the X-Falco-Token header is missing\n"),
        (vec![""], "the X-Falco-Token header holds no known token\n"),
        (vec!["token-of-at-least-16-byte"], "the X-Falco-Token header holds no known token\n"),
        (vec![TOKEN, TOKEN], "there is more than one X-Falco-Token header\n"),
    ] {
        let (status, body, _) = setup.send(with(&tokens)).await;
        assert_eq!((status, body.as_str()), (StatusCode::UNAUTHORIZED, reason));
    }
    assert_eq!(setup.taken(), 0);
    assert!(setup.metrics.render().contains("{result=\"unauthorized\"} 4\n"));
    let log = setup.log();
    assert!(log.lines().count() == 1 && log.contains("`customHeaders`") && !log.contains(TOKEN), "{log}");
}

#[tokio::test]
async fn what_is_no_alert_is_refused_in_one_line() {
    let setup = setup(Inbox::default());
    let (status, body, _) = setup.send(post("{}")).await;
    let reason = "missing `rule`, `time`, `priority`, `output_fields`\n";
    assert_eq!((status, body.as_str()), (StatusCode::BAD_REQUEST, reason));
    assert!(setup.counted("malformed") && setup.taken() == 0);
    assert!(setup.log().contains("refused an alert: missing `rule`"));
}

#[tokio::test]
async fn a_body_above_the_limit_is_refused_announced_or_not() {
    for announced in [true, false] {
        let setup = setup(Inbox::default());
        let bytes = vec![b' '; MAX_BODY + 1];
        let body = if announced {
            Body::from(bytes)
        } else {
            let chunks = bytes.chunks(1 << 16).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect::<Vec<_>>();
            Body::new(Chunks(chunks.into()))
        };
        let (status, body, _) = setup.send(post(body)).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(body, "the body is longer than 1048576 bytes\n");
        assert!(setup.counted("too_large") && setup.taken() == 0);
    }
    // The limit itself is fine: an alert with blanks behind it.
    let setup = setup(Inbox::default());
    let mut bytes = ALERT.to_vec();
    bytes.resize(MAX_BODY, b' ');
    assert_eq!(setup.send(post(bytes)).await.0, StatusCode::NO_CONTENT);
}

/// A body without an announced length.
struct Chunks(std::collections::VecDeque<std::io::Result<Vec<u8>>>);

impl hyper::body::Body for Chunks {
    type Data = axum::body::Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<std::io::Result<hyper::body::Frame<Self::Data>>>> {
        let chunk = self.0.pop_front();
        std::task::Poll::Ready(chunk.map(|chunk| chunk.map(|bytes| hyper::body::Frame::data(bytes.into()))))
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    struct Silent;
    impl hyper::body::Body for Silent {
        type Data = axum::body::Bytes;
        type Error = std::io::Error;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<std::io::Result<hyper::body::Frame<Self::Data>>>> {
            std::task::Poll::Pending
        }
    }
    let setup = setup(Inbox::default());
    let (status, body, _) = setup.send(post(Body::new(Silent))).await;
    assert_eq!((status, body.as_str()), (StatusCode::REQUEST_TIMEOUT, "the body did not come within 10 s\n"));
    assert!(setup.counted("malformed"));
}

#[tokio::test]
async fn other_methods_and_paths_are_refused() {
    let setup = setup(Inbox::default());
    for method in ["GET", "PUT", "DELETE"] {
        let request = Request::builder().method(method).uri("/alert").header("X-Falco-Token", TOKEN);
        let (status, _, headers) = setup.send(request.body(Body::from(ALERT)).unwrap()).await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(headers["allow"], "POST");
    }
    let posted = Request::post("/healthz").body(Body::empty()).unwrap();
    let (status, _, headers) = setup.send(posted).await;
    assert_eq!((status, headers["allow"].as_bytes()), (StatusCode::METHOD_NOT_ALLOWED, &b"GET,HEAD"[..]));
    for path in ["/", "/alert/", "/metrics", "/Alert"] {
        assert_eq!(setup.send(get(path)).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(setup.taken(), 0);
}

#[tokio::test]
async fn an_alert_that_the_inlet_turns_away_is_not_acknowledged() {
    let setup = setup(Inbox::default());
    *setup.inbox.turn.lock().unwrap() = Some("the journal\ncannot be written".into());
    let (status, body, _) = setup.send(post(ALERT)).await;
    assert_eq!((status, body.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "the journal cannot be written\n"));
}

#[tokio::test(start_paused = true)]
async fn a_slow_inlet_is_not_waited_for_and_still_gets_its_alert() {
    let setup = setup(Inbox { gate: Some(Notify::new()), ..Inbox::default() });
    let (status, body, _) = setup.send(post(ALERT)).await;
    assert_eq!((status, body.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "taking the alert in takes too long\n"));
    assert!(setup.counted("overloaded") && setup.taken() == 0);
    setup.inbox.gate.as_ref().unwrap().notify_one();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(setup.taken(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_inlet_that_hangs_is_not_offered_more_and_more() {
    let setup = setup(Inbox { gate: Some(Notify::new()), ..Inbox::default() });
    let waiting: Vec<_> =
        (0..MAX_OFFERS).map(|_| tokio::spawn(alerts(setup.intake.clone()).oneshot(post(ALERT)))).collect();
    tokio::time::sleep(Duration::from_millis(1)).await;
    let (status, body, _) = setup.send(post(ALERT)).await;
    assert_eq!((status, body.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "too many alerts wait to be taken in\n"));
    // Also when their senders are long gone; and there is room again as soon as one was taken.
    for answer in waiting {
        assert_eq!(answer.await.unwrap().unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!(setup.send(post(ALERT)).await.1, "too many alerts wait to be taken in\n");
    setup.inbox.gate.as_ref().unwrap().notify_one();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(setup.send(post(ALERT)).await.1, "taking the alert in takes too long\n");
}

#[tokio::test(start_paused = true)]
async fn what_is_on_its_way_in_takes_a_bounded_part_of_the_memory() {
    let setup = setup(Inbox { gate: Some(Notify::new()), ..Inbox::default() });
    let with = |change: &dyn Fn(&mut Value)| {
        let mut alert: Value = serde_json::from_slice(ALERT).unwrap();
        change(&mut alert);
        alert.to_string()
    };
    let long = with(&|alert| alert["output"] = "x".repeat(900_000).into());
    let many = with(&|alert| (0..60_000).for_each(|number| alert["output_fields"][number.to_string()] = 0.into()));
    assert!(many.len() < MAX_BODY, "{}", many.len());
    for (body, most) in [(long, 32), (many, 11)] {
        let senders: Vec<_> =
            (0..40).map(|_| tokio::spawn(alerts(setup.intake.clone()).oneshot(post(body.clone())))).collect();
        tokio::time::sleep(Duration::from_millis(1)).await;
        let (status, text, _) = setup.send(post(body.clone())).await;
        assert_eq!((status, text.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "too much is being taken in at once\n"));
        let mut waited = 0;
        let begun = tokio::time::Instant::now();
        for sender in senders {
            let answer = sender.await.unwrap().unwrap();
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
            let text = answer.into_body().collect().await.unwrap().to_bytes();
            waited += usize::from(text.starts_with(b"taking the alert in takes too long"));
        }
        assert!((1..=most).contains(&waited) && begun.elapsed() < Duration::from_secs(60), "{waited}");
        // There is room again once they are taken.
        for _ in 0..waited {
            setup.inbox.gate.as_ref().unwrap().notify_one();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_hangs_up_does_not_stop_its_alert() {
    let setup = setup(Inbox { gate: Some(Notify::new()), ..Inbox::default() });
    let answer = tokio::time::timeout(Duration::from_secs(1), setup.send(post(ALERT))).await;
    assert!(answer.is_err());
    setup.inbox.gate.as_ref().unwrap().notify_one();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(setup.taken(), 1);
}

#[tokio::test]
async fn an_inlet_that_panics_costs_one_answer() {
    let inbox = Inbox::default();
    let poison = std::panic::AssertUnwindSafe(|| {
        let _held = inbox.turn.lock();
        panic!("on purpose");
    });
    assert!(std::panic::catch_unwind(poison).is_err());
    let setup = setup(inbox);
    for _ in 0..2 {
        let (status, text, _) = setup.send(post(ALERT)).await;
        assert_eq!((status, text.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "taking the alert in failed\n"));
    }
    assert!(setup.metrics.render().contains("{result=\"overloaded\"} 2\n"));
}

#[tokio::test]
async fn readiness_is_the_inlets_until_shutdown_begins() {
    let setup = setup(Inbox::default());
    let (status, body, _) = setup.send(get("/healthz")).await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, "ok"));
    let (status, body, headers) = setup.send(get("/readyz")).await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, r#"{"journal":true,"rules_without_plugin":[]}"#));
    assert_eq!(headers["content-type"], "application/json");
    setup.inbox.unready.store(true, Ordering::Relaxed);
    let (status, body, _) = setup.send(get("/readyz")).await;
    assert_eq!(
        (status, body.as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, r#"{"journal":false,"rules_without_plugin":[]}"#)
    );
    setup.inbox.unready.store(false, Ordering::Relaxed);
    setup.intake.begin_shutdown();
    let (status, body, _) = setup.send(get("/readyz")).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.contains("\"stopping\":true"));
    assert_eq!(setup.send(get("/healthz")).await.0, StatusCode::OK);
    assert_eq!(setup.send(post(ALERT)).await.0, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn metrics_are_served_on_their_own() {
    let metrics = Metrics::new();
    metrics.alert("accepted");
    let (status, body, headers) = taken_apart(admin(metrics.clone()).oneshot(get("/metrics")).await.unwrap()).await;
    assert_eq!((status, body), (StatusCode::OK, metrics.render()));
    assert!(headers["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    let response = admin(metrics).oneshot(post(ALERT)).await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// What Falcosidekick's HTTP client writes.
fn on_the_wire(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /alert HTTP/1.1\r\nHost: falco-response-controller.falco:8080\r\nUser-Agent: Falcosidekick\r\n\
         Content-Length: {}\r\nContent-Type: application/json; charset=utf-8\r\nX-Falco-Token:  {TOKEN}\r\n\
         Accept-Encoding: gzip\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// The answer's head, as far as it came.
async fn answer(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        match tokio::time::timeout(Duration::from_secs(10), stream.read_u8()).await.expect("an answer or an end") {
            Ok(byte) => bytes.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn real_alerts_come_in_over_one_connection_and_it_ends_in_order() {
    let setup = setup(Inbox::default());
    let (listener, address) = listen().await;
    let (stop, stopped) = oneshot::channel::<()>();
    let delay = Duration::from_millis(300);
    let server = tokio::spawn(serve_alerts(listener, setup.intake.clone(), delay, async { drop(stopped.await) }));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let alerts: [&[u8]; 3] = [
        ALERT,
        include_bytes!("../../../tests/fixtures/alerts/falcosidekick/k8s-audit-exec.json"),
        include_bytes!("../../../tests/fixtures/alerts/falcosidekick/terminal-shell-null-fields.json"),
    ];
    for body in alerts {
        stream.write_all(&on_the_wire(body)).await.unwrap();
        let answer = answer(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 204 No Content\r\n"), "{answer}");
        assert!(!answer.to_lowercase().contains("connection: close"), "{answer}");
    }
    let rules: Vec<_> = setup.inbox.taken.lock().unwrap().iter().map(|(alert, _)| alert.rule.clone()).collect();
    assert_eq!(rules, ["Terminal shell in container", "Attach/Exec Pod", "Terminal shell in container"]);

    let begun = Instant::now();
    stop.send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    // Not ready any more, and still taking alerts until the delay is over.
    let mut probe = TcpStream::connect(address).await.unwrap();
    probe.write_all(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(answer(&mut probe).await.starts_with("HTTP/1.1 503 "));
    stream.write_all(&on_the_wire(ALERT)).await.unwrap();
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 204 "));
    // The idle connections do not hold it up.
    tokio::time::timeout(Duration::from_secs(5), server).await.expect("it stops").unwrap();
    assert!(begun.elapsed() >= delay);
    assert_eq!(answer(&mut stream).await, "");
    assert!(TcpStream::connect(address).await.is_err());
    assert_eq!(setup.taken(), 4);
}

#[tokio::test]
async fn a_head_that_comes_drop_by_drop_is_cut_and_an_idle_connection_is_not() {
    let setup = setup(Inbox::default());
    let (listener, address) = listen().await;
    let (stop, stopped) = oneshot::channel::<()>();
    let patience = Patience { head: Duration::from_millis(400), idle: Duration::from_secs(30) };
    let server = tokio::spawn(serve(listener, alerts(setup.intake.clone()), patience, async { drop(stopped.await) }));
    let mut idle = TcpStream::connect(address).await.unwrap();
    idle.write_all(&on_the_wire(ALERT)).await.unwrap();
    assert!(answer(&mut idle).await.starts_with("HTTP/1.1 204 "));

    let mut slow = TcpStream::connect(address).await.unwrap();
    let begun = Instant::now();
    let cut = async {
        loop {
            let dropped = slow.write_all(b"X").await.is_err();
            let mut byte = [0];
            let read = tokio::time::timeout(Duration::from_millis(50), slow.read(&mut byte)).await;
            if dropped || matches!(read, Ok(Ok(0) | Err(_))) {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), cut).await.expect("the slow one is cut");
    assert!(begun.elapsed() >= Duration::from_millis(350), "{:?}", begun.elapsed());

    // The idle one has waited longer than a head may take, and goes on.
    tokio::time::sleep(Duration::from_millis(200)).await;
    idle.write_all(&on_the_wire(ALERT)).await.unwrap();
    assert!(answer(&mut idle).await.starts_with("HTTP/1.1 204 "));
    stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(5), server).await.expect("it stops").unwrap();
}

#[tokio::test]
async fn an_alert_that_is_being_taken_in_is_answered_before_the_end() {
    let setup = setup(Inbox { gate: Some(Notify::new()), ..Inbox::default() });
    let (listener, address) = listen().await;
    let (stop, stopped) = oneshot::channel::<()>();
    let stop_it = async { drop(stopped.await) };
    let server = tokio::spawn(serve_alerts(listener, setup.intake.clone(), Duration::ZERO, stop_it));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&on_the_wire(ALERT)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    stop.send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!server.is_finished());
    setup.inbox.gate.as_ref().unwrap().notify_one();
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 204 "));
    tokio::time::timeout(Duration::from_secs(5), server).await.expect("it stops").unwrap();
    assert_eq!(setup.taken(), 1);
}
