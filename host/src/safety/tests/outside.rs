//! Requests to servers outside of the cluster: the same gate as for every change.

use super::*;
use crate::cluster::web::script::{Made, Reply, Script};
use crate::cluster::web::url::Url;
use crate::safety::WebRequest;
use crate::safety::checks::Check;
use crate::safety::web::{WebGrant, WebMethod, WebPermissions};

const HOOK: &str = "https://hooks.example.com/falco";

fn asked(url: &str) -> WebRequest {
    let headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
    WebRequest { method: "POST".to_owned(), url: url.to_owned(), headers, body: Some(b"{}".to_vec()) }
}

struct Outside {
    stage: Stage,
    web: Script,
    notes: Arc<Notes>,
}

fn outside(notes: Notes, stop_file: Option<std::path::PathBuf>) -> Outside {
    let (ambient, clock) = fixed::at(NOW);
    let simulation = Simulation::from_yaml(MANIFESTS, &ambient).expect("valid");
    let (reader, writer) = connect_simulated(simulation.clone());
    let web = Script::default();
    let gate = Gate::new(reader.clone(), writer.web_scripted(web.clone()), ambient.clone(), stop_file);
    Outside { stage: Stage { simulation, gate, reader, ambient, clock }, web, notes: Arc::new(notes) }
}

impl Outside {
    async fn run(&self, change: impl FnOnce(&mut Bounds)) -> Arc<Run> {
        let mut bounds = self.stage.bounds(self.stage.cleared().await, ungranted(), false, Duration::from_secs(10));
        let trust = crate::cluster::web::Trust {
            headers_from: [("x-token".to_owned(), "/nowhere".into())].into(),
            ..crate::cluster::web::Trust::default()
        };
        let urls = vec![Url::parse(HOOK).expect("valid")];
        bounds.web = WebPermissions {
            declared: vec![WebMethod::Post],
            granted: vec![WebGrant { urls, methods: vec![WebMethod::Post], trust, secret_path: false }],
        };
        change(&mut bounds);
        Arc::new(Run::new(identity(), bounds, Arc::clone(&self.notes) as Arc<dyn Recorder>))
    }

    async fn send(&self, run: &Arc<Run>, request: WebRequest) -> Result<u16, Reason> {
        let answer = self.stage.gate.send_outside(run, request).await;
        answer.map(|answer| answer.status).map_err(|error| error.reason)
    }

    fn written(&self) -> Vec<String> {
        self.notes.written.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn a_request_is_on_record_before_it_leaves_and_its_answer_after() {
    let outside = outside(Notes::default(), None);
    let run = outside.run(|_| {}).await;
    assert_eq!(outside.send(&run, asked(HOOK)).await, Ok(200));
    assert_eq!(outside.web.sent().len(), 1);
    assert_eq!(outside.written(), ["intent http", "result http changed"]);
    let [call] = run.calls().try_into().expect("one call");
    assert_eq!((call.object().as_str(), call.mutating), ("POST https://hooks.example.com/falco", true));
    assert!(call.sent_at.is_some() && call.accepted_at.is_some());
}

#[tokio::test]
async fn what_is_not_granted_or_no_request_is_refused_and_nothing_leaves() {
    let with = |name: &str, value: &str| {
        let headers = vec![(name.to_owned(), value.to_owned())];
        WebRequest { headers, ..asked(HOOK) }
    };
    let cases = [
        (asked("https://other.example.com/falco"), "permission"),
        (asked("https://hooks.example.com/falco?x=1"), "permission"),
        (asked("http://hooks.example.com/falco"), "permission"),
        (asked("https://hooks.example.com:8443/falco"), "permission"),
        (WebRequest { method: "DELETE".to_owned(), ..asked(HOOK) }, "permission"),
        (asked("http://169.254.169.254/latest/meta-data/"), "invalid_name"),
        (asked("https://kubernetes.default.svc/api/v1/pods"), "invalid_name"),
        (asked("https://user@hooks.example.com/falco"), "invalid_name"),
        (asked("https://hooks.example.com/a/../falco"), "invalid_name"),
        (asked("file:///etc/passwd"), "invalid_name"),
        (WebRequest { method: "CONNECT".to_owned(), ..asked(HOOK) }, "invalid_name"),
        (WebRequest { method: "post".to_owned(), ..asked(HOOK) }, "invalid_name"),
        (with("Authorization", "Bearer mine"), "document"),
        (with("X-Token", "mine"), "document"),
        (with("Host", "elsewhere"), "document"),
        (with("Content-Length", "0"), "document"),
        (with("Transfer-Encoding", "chunked"), "document"),
        (with("X-HTTP-Method-Override", "DELETE"), "document"),
        (with("X-Original-URL", "/admin"), "document"),
        (with("X-A", "b\r\nHost: elsewhere"), "document"),
        (with("Content-Type", "b\r\nHost: elsewhere"), "document"),
        (with("X-A\r\nHost", "elsewhere"), "document"),
        (WebRequest { body: Some(vec![0; (1 << 20) + 1]), ..asked(HOOK) }, "document"),
    ];
    for (request, check) in cases {
        for dry_run in [false, true] {
            let outside = outside(Notes::default(), None);
            let run = outside.run(|bounds| bounds.dry_run = dry_run).await;
            assert_eq!(outside.send(&run, request.clone()).await, Err(Reason::Denied), "{request:?}");
            let [call] = run.calls().try_into().expect("one call");
            let Effect::Denied(Some(found)) = call.effect else { panic!("{call:?}") };
            assert_eq!(found.id(), check, "{request:?}");
            assert!(!call.detail.contains("mine") && !call.resource.contains("x=1"), "{call:?}");
            assert_eq!((outside.web.sent(), outside.written()), (vec![], vec![]), "{request:?}");
        }
    }
}

#[tokio::test]
async fn a_dry_run_sends_nothing_and_is_on_record_as_one() {
    let outside = outside(Notes::default(), None);
    let run = outside.run(|bounds| bounds.dry_run = true).await;
    assert_eq!(outside.send(&run, asked(HOOK)).await, Ok(200));
    assert_eq!(outside.web.sent(), []);
    assert_eq!(run.calls()[0].effect, Effect::Changed);
    assert_eq!(outside.written(), ["intent http", "result http changed"]);
}

#[tokio::test]
async fn brake_budget_and_journal_stop_it() {
    let braked = outside(Notes::default(), None);
    let run = braked.run(|_| {}).await;
    braked.stage.gate.brake(Some("stop".to_owned()));
    assert_eq!(braked.send(&run, asked(HOOK)).await, Err(Reason::Denied));
    assert_eq!(run.calls()[0].effect, Effect::Denied(Some(Check::Stopped)));

    let poor = outside(Notes::default(), None);
    let run = poor.run(|bounds| bounds.allowance = None).await;
    assert_eq!(poor.send(&run, asked(HOOK)).await, Err(Reason::Denied));
    assert_eq!(run.calls()[0].effect, Effect::Denied(Some(Check::ClusterBudget)));

    let full = outside(Notes { full: true, ..Notes::default() }, None);
    let run = full.run(|_| {}).await;
    assert_eq!(full.send(&run, asked(HOOK)).await, Err(Reason::Unavailable));
    assert_eq!(run.calls()[0].effect, Effect::Denied(Some(Check::Journal)));
    for outside in [braked, poor, full] {
        assert_eq!(outside.web.sent(), []);
    }
}

#[tokio::test]
async fn an_answer_is_told_by_its_status_and_silence_is_never_repeated() {
    let body = hyper::body::Bytes::new();
    let answer = |status| Made::Answer { status, headers: Vec::new(), body: body.clone() };
    for (made, effect, result, sent) in [
        (answer(204), Effect::Changed, Ok(204), 1),
        (answer(302), Effect::Api, Ok(302), 1),
        (answer(404), Effect::Api, Ok(404), 1),
        (answer(503), Effect::Api, Ok(503), 1),
        (Made::Lost, Effect::Unknown, Err(Reason::Unavailable), 1),
        (Made::Refused, Effect::NotSent, Err(Reason::Unavailable), 0),
    ] {
        let outside = outside(Notes::default(), None);
        let url = Url::parse(HOOK).expect("valid");
        outside.web.say(Reply { method: None, url, answer: made.clone(), times: u32::MAX });
        let run = outside.run(|_| {}).await;
        assert_eq!(outside.send(&run, asked(HOOK)).await, result, "{made:?}");
        let [call] = run.calls().try_into().expect("one call");
        assert_eq!((call.effect, call.attempts, outside.web.sent().len()), (effect, 1, sent), "{made:?}");
        assert_eq!(call.sent_at.is_some(), effect != Effect::NotSent, "{made:?}");
    }
}
