use std::collections::VecDeque;
use std::io::Read;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use flate2::read::GzDecoder;
use http::{Request, Response};
use hyper::body::Bytes;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::util::BoxCloneSyncService;

use super::*;
use crate::ambient::fixed::{self, FixedClock};
use crate::journal::{LogType, Record, Write};
use crate::ship::alertmanager::Alertmanager;
use crate::ship::graylog::Graylog;
use crate::ship::http::HttpError;
use crate::ship::pagerduty::PagerDuty;
use crate::telemetry::log::Format;

mod crowd;
mod graylog;
mod pages;

const FAST: Pace = Pace {
    shortest: Duration::from_millis(20),
    longest: Duration::from_millis(40),
    gather: Duration::from_millis(10),
    gives_way: Duration::from_millis(50),
    poll: Duration::from_millis(100),
    ask: Duration::from_millis(30),
    resend: Duration::from_millis(300),
};
const PATIENT: Duration = Duration::from_secs(20);

type Answer = Result<Response<Bytes>, HttpError>;
type Seen = (Instant, Request<Bytes>);

/// Answers from a script, then with 202; keeps what it was sent.
#[derive(Clone, Default)]
struct Far {
    script: Arc<Mutex<VecDeque<Answer>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Far {
    fn says(self, status: u16, headers: &[(&str, &str)]) -> Self {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        self.script.lock().unwrap().push_back(Ok(response.body(Bytes::from("told why")).unwrap()));
        self
    }

    fn hangs_up(self) -> Self {
        self.script.lock().unwrap().push_back(Err(HttpError::Timeout));
        self
    }

    fn client(&self) -> HttpClient {
        let far = self.clone();
        BoxCloneSyncService::new(tower::service_fn(move |request| {
            far.seen.lock().unwrap().push((Instant::now(), request));
            let next = far.script.lock().unwrap().pop_front();
            let fine = || Ok(Response::builder().status(202).body(Bytes::new()).unwrap());
            std::future::ready(next.unwrap_or_else(fine))
        }))
    }

    fn bodies(&self) -> Vec<Value> {
        self.seen.lock().unwrap().iter().map(|(_, request)| body(request)).collect()
    }

    fn numbers(&self) -> Vec<Value> {
        self.bodies().iter().map(|body| body["_number"].clone()).collect()
    }
}

fn body(request: &Request<Bytes>) -> Value {
    if request.headers().get("content-encoding").is_some_and(|encoding| encoding == "gzip") {
        let mut text = String::new();
        GzDecoder::new(request.body().as_ref()).read_to_string(&mut text).unwrap();
        return serde_json::from_str(&text).unwrap();
    }
    serde_json::from_slice(request.body()).unwrap()
}

struct Place {
    directory: TempDir,
    journal: Journal,
    ambient: Ambient,
    clock: Arc<FixedClock>,
    log: Log,
    lines: Arc<Mutex<Vec<u8>>>,
    metrics: Metrics,
    crowded: Arc<AtomicBool>,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (ambient, clock) = fixed::at("2026-11-24T02:00:00Z");
        let journal = Journal::open(&directory.path().join("journal.sqlite"), &ambient).unwrap();
        let (log, lines) = Log::memory(&ambient, Format::Json);
        Self { directory, journal, ambient, clock, log, lines, metrics: Metrics::new(), crowded: Arc::default() }
    }

    fn start(&self, pace: Pace, http: HttpClient, channel: impl Channel + 'static) -> ShipperHandle {
        self.start_all(pace, http, vec![Box::new(channel)])
    }

    fn start_all(&self, pace: Pace, http: HttpClient, channels: Vec<Box<dyn Channel>>) -> ShipperHandle {
        let crowded = Arc::clone(&self.crowded);
        let parts = Parts {
            journal: self.journal.clone(),
            ambient: self.ambient.clone(),
            http,
            channels,
            log: self.log.clone(),
            metrics: self.metrics.clone(),
            crowded: Arc::new(move || crowded.load(Ordering::Relaxed)),
        };
        Shipper::start_at(pace, parts)
    }

    async fn record(&self, number: u32) {
        let body = json!({"timestamp": "2026-11-24T02:00:00Z", "action": "kill_pod", "number": number});
        let record = Record {
            log_type: LogType::Entry,
            event_id: format!("event-{number}"),
            entry_id: Some(format!("entry-{number}")),
            body: body.as_object().unwrap().clone(),
        };
        let ship = Write::Ship { destination: "graylog".into() };
        self.journal.commit(vec![Write::Record(record), ship]).await.unwrap();
    }

    async fn page(&self, destination: &str) {
        let payload = json!({
            "dedup_key": "isolate_namespace/production", "severity": "critical", "summary": "production was isolated",
            "timestamp": "2026-11-24T02:00:00Z",
            "details": {"rule": "Terminal shell", "action": "isolate_namespace", "namespace": "production",
                        "undo": "kubectl delete networkpolicy", "pods": 3},
        });
        self.journal.commit(vec![Write::Send { destination: destination.into(), payload }]).await.unwrap();
    }

    async fn emptied(&self, destination: &str) {
        let empty = async {
            while !self.journal.parcels(destination, 1).await.unwrap().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENT, empty).await.expect("the outbox empties");
    }

    fn log(&self) -> String {
        String::from_utf8(self.lines.lock().unwrap().clone()).unwrap()
    }

    fn counted(&self, destination: &str, result: &str) -> String {
        let name = format!("falco_response_deliveries_total{{destination=\"{destination}\",result=\"{result}\"}} ");
        let text = self.metrics.render();
        text.lines().find_map(|line| line.strip_prefix(&name)).unwrap_or("0").to_owned()
    }
}

fn graylog() -> Graylog {
    Graylog::new("http://graylog:12201/gelf", "controller-0")
}

#[tokio::test]
async fn records_arrive_in_order_although_deliveries_fail() {
    let place = Place::new();
    for number in 1..=3 {
        place.record(number).await;
    }
    // Even what looks like a refusal for good: an audit record is never dropped.
    let far = Far::default().says(500, &[]).hangs_up().says(400, &[]).says(202, &[]).says(401, &[]);
    let shipper = place.start(FAST, far.client(), graylog());
    place.emptied("graylog").await;
    place.record(4).await;
    place.emptied("graylog").await;
    shipper.flush_and_stop(PATIENT).await;
    assert_eq!(far.numbers(), [1, 1, 1, 1, 2, 2, 3, 4].map(|number| json!(number)));
    assert_eq!((place.counted("graylog", "delivered"), place.counted("graylog", "retried")), ("4".into(), "4".into()));
    let bodies = far.bodies();
    assert_eq!((&bodies[0]["_seq"], &bodies[0]["_replica"]), (&json!(1), &json!("controller-0")));
    assert_eq!(bodies[4]["_prev_hash"], bodies[0]["_hash"]);
}

#[tokio::test]
async fn what_is_committed_is_sent_at_once() {
    let place = Place::new();
    let far = Far::default();
    let pace = Pace { poll: Duration::from_secs(3600), ..FAST };
    let shipper = place.start(pace, far.client(), graylog());
    for number in 1..=20 {
        place.record(number).await;
        place.emptied("graylog").await;
    }
    shipper.flush_and_stop(PATIENT).await;
    assert_eq!(far.numbers().len(), 20);
}

/// Each note is a write to the disk, and a burst has enough of those.
#[tokio::test]
async fn records_are_noted_together_and_a_page_by_itself() {
    let place = Place::new();
    for number in 1..=20 {
        place.record(number).await;
        place.page("webhook").await;
    }
    let far = Far::default();
    let carried = async |shipper: ShipperHandle, destination| {
        let before = place.journal.transactions();
        place.emptied(destination).await;
        shipper.flush_and_stop(PATIENT).await;
        place.journal.transactions() - before
    };
    let records = carried(place.start(FAST, far.client(), graylog()), "graylog").await;
    let pages = carried(place.start(FAST, far.client(), pages::webhook(&place)), "webhook").await;
    assert_eq!(far.bodies().len(), 40);
    assert!(records < 10 && pages >= 19, "{records} {pages}");
}

#[tokio::test]
async fn a_destination_is_left_alone_for_as_long_as_it_asks() {
    let place = Place::new();
    place.record(1).await;
    let far = Far::default().says(429, &[("retry-after", "1")]);
    let shipper = place.start(FAST, far.client(), graylog());
    place.emptied("graylog").await;
    shipper.flush_and_stop(PATIENT).await;
    let seen = far.seen.lock().unwrap();
    assert!(seen[1].0.duration_since(seen[0].0) >= Duration::from_millis(990));
}

#[test]
fn pauses_grow_up_to_a_minute_and_are_half_a_matter_of_chance() {
    let seconds = |failures, chance| PACE.pause(failures, chance).as_secs_f64();
    assert_eq!([1, 2, 3, 5, 6, 60].map(|failures| seconds(failures, 0)), [1.0, 2.0, 4.0, 16.0, 30.0, 30.0]);
    assert_eq!([1, 6, 60].map(|failures| seconds(failures, 128)), [1.5, 45.0, 45.0]);
    assert!((0..=255).all(|chance| (1.0..60.0).contains(&seconds(60, chance))));
}

#[tokio::test(start_paused = true)]
async fn over_an_outage_of_three_days_nothing_is_lost_and_the_order_stays() {
    const HOURS: u32 = 72;
    let place = Place::new();
    let (away, tries) = (Arc::new(Mutex::new(true)), Arc::new(Mutex::new(0)));
    let far = Far::default();
    let (works, is_away, tried) = (far.client(), Arc::clone(&away), Arc::clone(&tries));
    let client: HttpClient = BoxCloneSyncService::new(tower::service_fn(move |request| {
        *tried.lock().unwrap() += 1;
        let (works, away) = (works.clone(), *is_away.lock().unwrap());
        async move { if away { Err(HttpError::Timeout) } else { works.oneshot(request).await } }
    }));
    let shipper = place.start(Pace { poll: Duration::from_secs(600), ..PACE }, client, graylog());
    for number in 1..=HOURS {
        place.record(number).await;
        tokio::time::sleep(Duration::from_secs(3600)).await;
    }
    assert!(far.bodies().is_empty());
    let tries = *tries.lock().unwrap();
    assert!((HOURS * 60..HOURS * 121).contains(&tries), "once or twice a minute, not {tries} times");
    *away.lock().unwrap() = false;
    while !place.journal.parcels("graylog", 1).await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(far.numbers(), (1..=HOURS).map(|number| json!(number)).collect::<Vec<_>>());
    shipper.flush_and_stop(PATIENT).await;
}

#[tokio::test]
async fn trouble_is_mentioned_once_and_then_every_five_minutes_until_it_ends() {
    let place = Place::new();
    place.record(1).await;
    let far = Far::default().says(503, &[]).says(503, &[]).says(503, &[]);
    let shipper = place.start(FAST, far.client(), graylog());
    place.emptied("graylog").await;
    shipper.flush_and_stop(PATIENT).await;
    assert_eq!(place.log().matches("delivery fails").count(), 1, "{}", place.log());
    assert_eq!(place.log().matches("delivery works again").count(), 1);
    assert!(place.log().contains("503 Service Unavailable: told why"));

    place.record(2).await;
    let far = (0..400).fold(Far::default(), |far, _| far.says(503, &[]));
    let shipper = place.start(FAST, far.client(), graylog());
    let mentioned = |times| {
        let place = &place;
        let wait = async move {
            while place.log().matches("delivery fails").count() < times {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENT, wait)
    };
    mentioned(2).await.unwrap();
    *place.clock.0.lock().unwrap() += SignedDuration::from_secs(301);
    mentioned(3).await.unwrap();
    drop(shipper);
}

#[tokio::test]
async fn a_page_that_is_refused_for_good_makes_room_for_the_next() {
    let place = Place::new();
    let key = place.directory.path().join("key");
    std::fs::write(&key, "0123456789abcdef0123456789abcdef\n").unwrap();
    place.page("pagerduty").await;
    place.page("pagerduty").await;
    let far = Far::default().says(400, &[]);
    let channel = PagerDuty::new("https://events.pagerduty.com/v2/enqueue", &key, "golem");
    let shipper = place.start(FAST, far.client(), channel);
    place.emptied("pagerduty").await;
    shipper.flush_and_stop(PATIENT).await;
    assert_eq!(place.counted("pagerduty", "given_up"), "1");
    assert_eq!(place.counted("pagerduty", "delivered"), "1");
    assert!(place.log().contains("delivery given up") && place.log().contains("told why"), "{}", place.log());
    let expected = json!({
        "routing_key": "0123456789abcdef0123456789abcdef", "event_action": "trigger",
        "dedup_key": "isolate_namespace/production",
        "payload": {
            "summary": "production was isolated", "source": "golem", "severity": "critical",
            "timestamp": "2026-11-24T02:00:00Z",
            "custom_details": {"rule": "Terminal shell", "action": "isolate_namespace", "namespace": "production",
                               "undo": "kubectl delete networkpolicy", "pods": 3},
        },
    });
    assert_eq!(far.bodies(), [expected.clone(), expected]);
}

#[tokio::test]
async fn a_page_waits_for_its_routing_key() {
    let place = Place::new();
    let key = place.directory.path().join("key");
    place.page("pagerduty").await;
    let far = Far::default();
    let shipper = place.start(FAST, far.client(), PagerDuty::new("https://pager/v2/enqueue", &key, "golem"));
    while !place.log().contains("cannot read the routing key") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(far.bodies().is_empty());
    std::fs::write(&key, "late").unwrap();
    place.emptied("pagerduty").await;
    shipper.flush_and_stop(PATIENT).await;
    assert_eq!(far.bodies()[0]["routing_key"], "late");
}

#[tokio::test]
async fn alertmanager_gets_what_its_routes_and_its_reader_need() {
    let place = Place::new();
    place.page("alertmanager").await;
    let far = Far::default().says(200, &[]);
    let shipper = place.start(FAST, far.client(), Alertmanager::new("http://alertmanager:9093/"));
    place.emptied("alertmanager").await;
    shipper.flush_and_stop(PATIENT).await;
    let expected = json!([{
        "labels": {"alertname": "FalcoResponse", "severity": "critical", "action": "isolate_namespace",
                   "namespace": "production", "dedup_key": "isolate_namespace/production"},
        "annotations": {
            "summary": "production was isolated",
            "description": "rule: Terminal shell\naction: isolate_namespace\nnamespace: production\n\
                            undo: kubectl delete networkpolicy\npods: 3",
            "rule": "Terminal shell", "action": "isolate_namespace", "namespace": "production",
            "undo": "kubectl delete networkpolicy", "pods": "3",
        },
        "startsAt": "2026-11-24T02:00:00Z", "endsAt": "2026-11-25T02:00:00Z",
    }]);
    assert_eq!(far.bodies(), [expected]);
    assert_eq!(far.seen.lock().unwrap()[0].1.uri(), "http://alertmanager:9093/api/v2/alerts");
}

#[tokio::test]
async fn stopping_tries_once_more_although_the_destination_was_away() {
    let place = Place::new();
    place.record(1).await;
    place.record(2).await;
    let far = Far::default().says(503, &[("retry-after", "300")]);
    let shipper = place.start(FAST, far.client(), graylog());
    while !place.log().contains("delivery fails") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let begun = Instant::now();
    shipper.flush_and_stop(PATIENT).await;
    assert!(begun.elapsed() < PATIENT / 2);
    assert!(place.journal.parcels("graylog", 1).await.unwrap().is_empty());
    assert_eq!(far.numbers(), [json!(1), json!(1), json!(2)]);
}

#[tokio::test]
async fn stopping_does_not_wait_for_a_destination_that_hangs() {
    let place = Place::new();
    place.record(1).await;
    let hanging: HttpClient = BoxCloneSyncService::new(tower::service_fn(|_| std::future::pending()));
    let shipper = place.start(FAST, hanging, graylog());
    let begun = Instant::now();
    shipper.flush_and_stop(Duration::from_millis(50)).await;
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(place.journal.parcels("graylog", 1).await.unwrap().len(), 1, "it waits for the next start");
}

#[tokio::test]
async fn the_real_client_delivers_over_the_network() {
    let place = Place::new();
    let (received, mut arrived) = tokio::sync::mpsc::unbounded_channel();
    let app = axum::Router::new().route(
        "/gelf",
        axum::routing::post(move |headers: http::HeaderMap, bytes: Bytes| {
            received.send((headers, bytes)).unwrap();
            std::future::ready(http::StatusCode::ACCEPTED)
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/gelf", listener.local_addr().unwrap());
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    place.record(1).await;
    let http = crate::ship::http::client().unwrap();
    let shipper = place.start(FAST, http, Graylog::new(&url, "controller-0"));
    place.emptied("graylog").await;
    shipper.flush_and_stop(PATIENT).await;
    let (headers, bytes) = arrived.recv().await.unwrap();
    assert_eq!(headers["content-type"], "application/json");
    let mut request = Request::new(bytes);
    *request.headers_mut() = headers;
    assert_eq!(body(&request)["short_message"], "kill_pod -/-");
    server.abort();
}
