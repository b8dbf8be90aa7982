//! Pages: what is sent where, when it is given up, and when it is overdue.

use super::*;
use crate::ship::access::Access;
use crate::ship::webhook::Webhook;

pub(super) fn webhook(place: &Place) -> Webhook {
    let headers = place.directory.path().join("headers");
    std::fs::write(&headers, "Authorization: Bearer S3CR3T\n").unwrap();
    Webhook::new("https://pager.example/hook", Access { basic: None, headers_file: Some(headers) }, "golem")
}

impl Place {
    fn gauge(&self, name: &str, destination: &str) -> f64 {
        let name = format!("falco_response_{name}{{destination=\"{destination}\"}} ");
        let text = self.metrics.render();
        text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(-1.0)
    }

    async fn until(&self, what: &str, mut wanted: impl FnMut() -> bool) {
        let wait = async {
            while !wanted() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENT, wait).await.unwrap_or_else(|_| panic!("{what}:\n{}", self.log()));
    }
}

#[tokio::test]
async fn a_webhook_gets_the_documented_body_and_its_headers() {
    let place = Place::new();
    place.page("webhook").await;
    let far = Far::default();
    let shipper = place.start(FAST, far.client(), webhook(&place));
    place.emptied("webhook").await;
    shipper.flush_and_stop(PATIENT).await;
    let expected = json!({
        "version": "1", "status": "firing", "dedup_key": "isolate_namespace/production", "severity": "critical",
        "summary": "production was isolated", "timestamp": "2026-11-24T02:00:00Z", "source": "golem",
        "details": {"rule": "Terminal shell", "action": "isolate_namespace", "namespace": "production",
                    "undo": "kubectl delete networkpolicy", "pods": 3},
    });
    assert_eq!(far.bodies(), [expected]);
    let seen = far.seen.lock().unwrap();
    assert_eq!(seen[0].1.headers()["authorization"], "Bearer S3CR3T");
    assert!(!format!("{:?}", seen[0].1).contains("S3CR3T"), "marked as sensitive");
}

#[tokio::test]
async fn a_file_of_headers_that_is_none_is_named_by_its_line_and_not_quoted() {
    let place = Place::new();
    place.page("webhook").await;
    let channel = webhook(&place);
    std::fs::write(place.directory.path().join("headers"), "X-Fine: 1\nS3CR3T\n").unwrap();
    let far = Far::default();
    let shipper = place.start(FAST, far.client(), channel);
    place.until("the file is blamed", || place.log().contains("headers:2: write `Name: value`")).await;
    assert!(!place.log().contains("S3CR3T") && far.bodies().is_empty());
    drop(shipper);
}

#[tokio::test]
async fn what_is_refused_is_given_up_and_what_failed_is_tried_again() {
    for status in [400, 413, 422] {
        let place = Place::new();
        place.page("webhook").await;
        let far = Far::default().says(status, &[]);
        let shipper = place.start(FAST, far.client(), webhook(&place));
        place.emptied("webhook").await;
        shipper.flush_and_stop(PATIENT).await;
        assert_eq!((far.bodies().len(), place.counted("webhook", "given_up")), (1, "1".into()), "{status}");
    }
    let place = Place::new();
    place.page("webhook").await;
    let far = Far::default().says(500, &[]).hangs_up().says(429, &[]).says(408, &[]).says(401, &[]).says(302, &[]);
    let shipper = place.start(FAST, far.client(), webhook(&place));
    place.emptied("webhook").await;
    shipper.flush_and_stop(PATIENT).await;
    assert_eq!((place.counted("webhook", "delivered"), place.counted("webhook", "retried")), ("1".into(), "6".into()));
}

#[tokio::test]
async fn what_is_over_is_said_to_be_over_to_each_in_its_way() {
    let place = Place::new();
    let key = place.directory.path().join("key");
    std::fs::write(&key, "k").unwrap();
    let payload = json!({"dedup_key": "d", "severity": "error", "summary": "s", "timestamp": "2026-11-24T02:00:00Z",
        "details": {}, "resolved": true});
    for destination in ["pagerduty", "alertmanager", "webhook"] {
        let payload = payload.clone();
        place.journal.commit(vec![Write::Send { destination: destination.into(), payload }]).await.unwrap();
    }
    let far = Far::default();
    for channel in [
        Box::new(PagerDuty::new("https://pager/v2/enqueue", &key, "golem")) as Box<dyn Channel>,
        Box::new(Alertmanager::new("http://alertmanager:9093")),
        Box::new(webhook(&place)),
    ] {
        let destination = channel.destination();
        let shipper = place.start_all(FAST, far.client(), vec![channel]);
        place.emptied(destination).await;
        shipper.flush_and_stop(PATIENT).await;
    }
    let bodies = far.bodies();
    assert_eq!((&bodies[0]["event_action"], &bodies[0]["dedup_key"]), (&json!("resolve"), &json!("d")));
    assert_eq!(bodies[1][0]["endsAt"], "2026-11-24T01:59:00Z");
    assert_eq!(bodies[2]["status"], "resolved");
}

#[tokio::test]
async fn a_real_alertmanager_hears_of_an_incident_its_repetition_and_its_end() {
    let Some(real) = integration_tests::alertmanager::start() else { return };
    let place = Place::new();
    let url = format!("http://{}", real.address);
    let shipper = place.start(FAST, crate::ship::http::client().unwrap(), Alertmanager::new(&url));
    let say = async |summary: &str, resolved: bool| {
        let payload = json!({"dedup_key": "d", "severity": "error", "summary": summary,
            "timestamp": Timestamp::now().to_string(), "details": {"cluster": "golem"}, "resolved": resolved});
        place.journal.commit(vec![Write::Send { destination: "alertmanager".into(), payload }]).await.unwrap();
        place.emptied("alertmanager").await;
    };
    let says = |summary: &str| {
        let alerts = real.until(|alerts| alerts.iter().any(|alert| alert["annotations"]["summary"] == summary));
        assert_eq!(alerts.unwrap().len(), 1);
    };
    say("away", false).await;
    says("away");
    say("still away", false).await;
    says("still away");
    say("back", true).await;
    real.until(<[Value]>::is_empty).unwrap();
    say("away again", false).await;
    says("away again");
    shipper.flush_and_stop(PATIENT).await;
    assert_eq!(
        (place.counted("alertmanager", "delivered"), place.counted("alertmanager", "given_up")),
        ("4".into(), "0".into())
    );
}

#[tokio::test]
async fn a_page_that_waits_five_minutes_is_an_error_once_a_minute() {
    let place = Place::new();
    place.page("webhook").await;
    let far = (0..100_000).fold(Far::default(), |far, _| far.says(503, &[]));
    let shipper = place.start(FAST, far.client(), webhook(&place));
    let errors = || place.log().matches("a page has not been delivered").count();
    let pass = |seconds| *place.clock.0.lock().unwrap() += SignedDuration::from_secs(seconds);
    place.until("it is counted", || place.gauge("outbox_waiting", "webhook") == 1.0).await;
    pass(299);
    place.until("its age is shown", || place.gauge("outbox_oldest_age_seconds", "webhook") == 299.0).await;
    assert_eq!((errors(), place.gauge("pages_overdue", "webhook")), (0, 0.0));
    pass(1);
    place.until("an error", || errors() == 1).await;
    assert_eq!(place.gauge("pages_overdue", "webhook"), 1.0);
    pass(59);
    place.until("its age is shown", || place.gauge("outbox_oldest_age_seconds", "webhook") == 359.0).await;
    assert_eq!(errors(), 1);
    pass(1);
    place.until("a reminder", || errors() == 2).await;
    far.script.lock().unwrap().clear();
    place.emptied("webhook").await;
    place.until("all is well", || place.gauge("pages_overdue", "webhook") == 0.0).await;
    assert_eq!(place.gauge("outbox_waiting", "webhook"), 0.0);
    shipper.flush_and_stop(PATIENT).await;
}

#[tokio::test]
async fn a_destination_that_hangs_keeps_nobody_waiting() {
    let place = Place::new();
    place.record(1).await;
    place.page("webhook").await;
    let far = Far::default();
    let (theirs, answers) = (far.client(), far.clone());
    // Graylog never answers.
    let client: HttpClient = BoxCloneSyncService::new(tower::service_fn(move |request: Request<Bytes>| {
        let theirs = theirs.clone();
        async move {
            if request.uri().path() == "/gelf" {
                std::future::pending::<()>().await;
            }
            theirs.oneshot(request).await
        }
    }));
    let shipper = place.start_all(FAST, client, vec![Box::new(graylog()), Box::new(webhook(&place))]);
    place.emptied("webhook").await;
    assert_eq!(answers.bodies().len(), 1);
    assert_eq!(place.journal.parcels("graylog", 9).await.unwrap().len(), 1);
    drop(shipper);
}

#[tokio::test]
async fn parcels_for_a_destination_that_is_gone_are_mentioned() {
    let place = Place::new();
    place.page("pagerduty").await;
    let shipper = place.start(FAST, Far::default().client(), webhook(&place));
    place.until("a word", || place.log().contains("a destination that is not configured")).await;
    assert!(place.log().contains("\"pagerduty\""));
    shipper.flush_and_stop(PATIENT).await;
}
