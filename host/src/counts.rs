//! The hot paths, one at a time and so often, for somebody who counts their instructions: `cargo xtask counts` runs this
//! test under callgrind, twice, and divides the difference by the difference in runs. What a start costs, and what the
//! program is made ready with, is in both and falls out.
//!
//! A count repeats where a time does not. It belongs to one build; this one is the tests' own, not optimized, so that CI
//! has nothing to build for it. Twice the work is twice the count in any build.

use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::watch;

use crate::ambient::Ambient;
use crate::config::Config;
use crate::harness::bench::{self, Prepared};
use crate::harness::{Cluster, MOST_MEMORY, SLOTS, Setup, setup, stage::StageClock};
use crate::intake::server::{Patience, converse};
use crate::intake::{Intake, alerts, token::Tokens};
use crate::journal::Journal;
use crate::plugins::engine::Engine;
use crate::plugins::native::{Action, Ending, Host};
use crate::plugins::{End, Limits, Plugins, Source, manifest};
use crate::respond::rules::Rules;
use crate::respond::{Destinations, Parts, Responder};
use crate::safety::gate::{Change, Gate};
use crate::telemetry::log::{Format, Log};
use crate::telemetry::metrics::Metrics;

const TOKEN: &str = "token-of-at-least-16-bytes";
const ALERT: &str = include_str!("../../tests/fixtures/alerts/falcosidekick/terminal-shell-critical.json");
const WARM_UP: usize = 20;

/// The same calls as the component's.
const KILL: &str = r#"{"contract": "0.1", "name": "kill_pod", "summary": "Deletes the pod.", "target": "pods",
    "permissions": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["delete"], "scope": "target"}]}"#;

#[tokio::test]
#[ignore = "cargo xtask counts runs it, under callgrind"]
async fn hot_path() {
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is set by cargo xtask counts"));
    let path = variable("COUNTS_PATH");
    let runs = WARM_UP + variable("COUNTS_RUNS").parse::<usize>().unwrap();
    match path.as_str() {
        "intake" => intake(10, runs).await,
        "intake_1000_rules" => intake(1000, runs).await,
        "durable" => durable(runs).await,
        "gate" => gate(runs).await,
        "native" => run(&native(), runs).await,
        "sandbox" => run(&component(Path::new(&variable("COUNTS_PLUGINS"))), runs).await,
        other => panic!("there is no path {other}"),
    }
}

/// From an alert's bytes on a connection to the bytes of its answer, where no rule wants it.
async fn intake(rules: usize, runs: usize) {
    let mut served = Served::new(rules).await;
    let request = request(ALERT);
    for _ in 0..runs {
        served.post(&request).await;
    }
}

/// The same where a rule wants each, and it is in the journal before it is answered. What is done about it then is not
/// part of it: none of the rules has a plugin.
async fn durable(runs: usize) {
    let mut served = Served::new(10).await;
    for number in 0..runs {
        let body = ALERT.replace("Terminal shell in container", "rule 1");
        let body =
            body.replace("d3948133-eed2-49a0-9525-b5e863c05d67", &format!("d3948133-eed2-49a0-9525-{number:012}"));
        served.post(&request(&body)).await;
    }
}

struct Served {
    client: DuplexStream,
    answer: Vec<u8>,
    _stop: watch::Sender<bool>,
    _directory: tempfile::TempDir,
}

impl Served {
    async fn new(rules: usize) -> Self {
        let ambient = Ambient::system();
        let directory = tempfile::tempdir().unwrap();
        let rules: String = (0..rules)
            .map(|number| format!("  - {{name: \"rule {number}\", action: kill_pod, audit_reason: because}}\n"))
            .collect();
        let config = format!("allowed_namespaces: [production]\nrules:\n{rules}");
        let config = Config::parse(Path::new("config.yaml"), config.as_bytes()).unwrap();
        let (rules, _without_plugin) = Rules::join(&config, &Plugins::default(), String::new()).await;
        let (reader, writer) = crate::cluster::connect::connect_simulated(bench::cluster(&ambient));
        let (log, _lines) = Log::memory(&ambient, Format::Json);
        let metrics = Metrics::new();
        let responder = Responder::new(Parts {
            rules,
            gate: Gate::new(reader, writer, ambient.clone(), None),
            journal: Journal::open_scratch(&directory.path().join("journal.db"), &ambient).unwrap(),
            ambient: ambient.clone(),
            log: log.clone(),
            metrics: metrics.clone(),
            destinations: Destinations::default(),
            concurrency: 1,
            observer: None,
        });
        // Nothing of what is taken in is begun.
        responder.drain(std::time::Duration::ZERO).await;
        let intake = Intake::new(Arc::new(responder), Tokens::parse(TOKEN).unwrap(), &ambient, &log, &metrics);
        let (client, server) = tokio::io::duplex(64 * 1024);
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(converse(server, alerts(intake), Patience::default(), stopped));
        Self { client, answer: vec![0; 4096], _stop: stop, _directory: directory }
    }

    async fn post(&mut self, request: &[u8]) {
        self.client.write_all(request).await.unwrap();
        let mut filled = 0;
        while !self.answer[..filled].ends_with(b"\r\n\r\n") {
            filled += self.client.read(&mut self.answer[filled..]).await.unwrap();
        }
        assert!(self.answer.starts_with(b"HTTP/1.1 204 "), "{}", String::from_utf8_lossy(&self.answer[..filled]));
    }
}

/// As Falcosidekick writes it.
fn request(body: &str) -> Vec<u8> {
    format!(
        "POST /alert HTTP/1.1\r\nHost: falco-response-controller.falco:8080\r\nUser-Agent: Falcosidekick\r\n\
         Content-Length: {}\r\nContent-Type: application/json; charset=utf-8\r\nX-Falco-Token: {TOKEN}\r\n\
         Accept-Encoding: gzip\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// What stands between an alert that a rule wants and the answer to its DELETE: the target is read and cleared, the
/// call is judged, and sent to a simulated cluster as a dry run.
async fn gate(runs: usize) {
    let prepared = prepared(&native()).await;
    for _ in 0..runs {
        let cleared = prepared.clear().await.unwrap().expect("kill_pod has a target");
        let change = Change::Delete { object: cleared.object, grace_period_seconds: Some(1), propagation: None };
        prepared.gate().change(&prepared.run(), change).await.unwrap();
    }
}

/// One run of kill_pod, what it calls included.
async fn run(plugins: &Plugins, runs: usize) {
    let prepared = prepared(plugins).await;
    for _ in 0..runs {
        let once = prepared.once().await;
        assert!(matches!(once.report.end, End::Acted(_)), "{:?}", once.report.end);
    }
}

async fn prepared(plugins: &Plugins) -> Prepared {
    let alert = bench::alert();
    let wishes = setup::Wishes::dry(&serde_json::json!({}));
    let config = setup::config(Path::new("counts"), "kill_pod", &alert, &wishes).unwrap();
    let received_at = alert.time;
    let cluster = Cluster::simulated(bench::cluster(&StageClock::at(received_at).ambient()));
    Prepared::new(plugins, Setup { config, alert, received_at, cluster }).await.unwrap()
}

/// What the component does, as a function of this program: what a run of the component takes beyond it is the sandbox's.
fn native() -> Plugins {
    struct Kill;

    impl Action for Kill {
        fn act<'a>(&'a self, host: &'a Host) -> Ending<'a> {
            Box::pin(async move {
                let object = host.target().expect("kill_pod has a target").object.clone();
                let name = object.name.to_string();
                match host.change(Change::Delete { object, grace_period_seconds: Some(1), propagation: None }).await {
                    Ok(_) => End::Acted(format!("deleted pod {name}")),
                    Err(error) => End::Trap(error.message),
                }
            })
        }
    }

    let manifest = manifest::parse(KILL.as_bytes()).unwrap();
    Plugins::native(vec![(manifest, Arc::new(Kill))], Limits::default())
}

fn component(directory: &Path) -> Plugins {
    let engine = Engine::new(SLOTS, MOST_MEMORY).unwrap();
    let source = Source { cache_dir: Some(directory.join("counts-cache")), ..Source::new(directory) };
    let plugins = Plugins::load_with(&engine, &source).unwrap();
    assert!(plugins.get("kill_pod").is_some(), "{:?}", plugins.unusable);
    plugins
}
