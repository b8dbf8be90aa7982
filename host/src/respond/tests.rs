//! The pipeline over a simulated cluster and a real journal: alerts that come together, an API server that is away, and
//! ends in the middle.

pub(crate) mod action;
mod ahead;
mod awaited;
mod begun;
mod ends;
mod repeated;
mod together;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::rules::Rules;
use super::{Destinations, Parts, Responder};
use crate::alert::Alert;
use crate::ambient::Ambient;
use crate::cluster::connect::connect_simulated;
use crate::cluster::simulated::{Fault, FaultKind, Simulation};
use crate::cluster::{Reader, Writer};
use crate::config::Config;
use crate::intake::Inlet;
use crate::journal::{Content, Journal, LogType};
use crate::plugins::{Plugins, Source};
use crate::safety::gate::Gate;
use crate::telemetry::log::{Format, Log};
use crate::telemetry::metrics::Metrics;

const MANIFESTS: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: production}
spec: {containers: [{name: c, image: d}]}
---
apiVersion: v1
kind: Pod
metadata: {name: b, namespace: production}
spec: {containers: [{name: c, image: d}]}
"#;

/// Deletes the pod that the alert is about, which is `a`.
const KILL: &str = r#"{"contract":"0.1","name":"kill","summary":"A test.","target":"pods","pages":true,"repeatable":true,
    "permissions":[{"apiGroups":[""],"resources":["pods"],"verbs":["delete"],"scope":"target"}]}"#;
/// The same, and not to be repeated.
const ONCE: &str = r#"{"contract":"0.1","name":"once","summary":"A test.","target":"pods",
    "permissions":[{"apiGroups":[""],"resources":["pods"],"verbs":["delete"],"scope":"target"}]}"#;
/// Deletes `a` for an alert about the namespace.
const SWEEP: &str = r#"{"contract":"0.1","name":"sweep","summary":"A test.","target":"namespaces","repeatable":true,
    "permissions":[{"apiGroups":[""],"resources":["pods"],"verbs":["delete"],"scope":"namespace"}]}"#;
/// Deletes nothing, since it has no target to delete.
const TELL: &str = r#"{"contract":"0.1","name":"tell","summary":"A test.","target":"none"}"#;

const CONFIG: &str = "
dryrun: false
allowed_namespaces: [production]
plugins: {grants: {sweep: [{apiGroups: [''], resources: [pods], verbs: [delete], scope: namespace}]}}
rules:
  - {name: kill, action: kill, audit_reason: because}
  - {name: once, action: once, audit_reason: because}
  - {name: sweep, action: sweep, audit_reason: because}
  - {name: tell, action: tell, audit_reason: because}
  - {name: dry, action: kill, audit_reason: because, dryrun: true}
  - name: both
    audit_reason: because
    actions: [{action: sweep}, {action: kill, on_failure: continue}, {action: tell}]
";

const ACTIONS: &[(&str, &str)] = &[("kill", KILL), ("once", ONCE), ("sweep", SWEEP), ("tell", TELL)];

fn plugins() -> Plugins {
    plugins_of(ACTIONS)
}

fn plugins_of(actions: &[(&str, &str)]) -> Plugins {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, manifest) in actions {
        let text = wat::parse_str(action::text(manifest)).expect("WAT");
        std::fs::write(dir.path().join(format!("{name}.wasm")), text).expect("written");
    }
    let plugins = Plugins::load(&Source::new(dir.path())).expect("loads");
    assert_eq!(plugins.unusable, []);
    plugins
}

fn simulation() -> Simulation {
    Simulation::from_yaml(MANIFESTS, &Ambient::system()).expect("valid")
}

/// One replica.
struct Replica {
    responder: Responder,
    journal: Journal,
    log: Arc<std::sync::Mutex<Vec<u8>>>,
    directory: TempDir,
}

async fn rules(plugins: &Plugins, config: &str) -> Rules {
    let config = Config::parse(Path::new("config.yaml"), config.as_bytes()).expect("a configuration");
    let (rules, problems) = Rules::join(&config, plugins, "test".to_owned()).await;
    assert!(problems.is_empty(), "{problems:?}");
    rules
}

async fn replica(simulation: &Simulation, plugins: &Plugins) -> Replica {
    let directory = tempfile::tempdir().expect("a directory");
    replica_in(directory, simulation, rules(plugins, CONFIG).await, Ambient::system())
}

fn replica_in(directory: TempDir, simulation: &Simulation, rules: Rules, ambient: Ambient) -> Replica {
    replica_on(directory, connect_simulated(simulation.clone()), rules, ambient)
}

fn replica_on(directory: TempDir, (reader, writer): (Reader, Writer), rules: Rules, ambient: Ambient) -> Replica {
    let journal = Journal::open(&directory.path().join("journal.db"), &ambient).expect("opens");
    let (log, lines) = Log::memory(&ambient, Format::Json);
    let responder = Responder::new(Parts {
        rules,
        gate: Gate::new(reader, writer, ambient.clone(), Some(directory.path().join("stop"))),
        journal: journal.clone(),
        ambient,
        log,
        metrics: Metrics::new(),
        destinations: Destinations {
            records: vec!["records".to_owned()],
            pages: vec!["pages".to_owned()],
            ..Destinations::default()
        },
        concurrency: 4,
        observer: None,
    });
    Replica { responder, journal, log: lines, directory }
}

fn alert(rule: &str, pod: &str) -> Alert {
    let now = jiff::Timestamp::now().to_string();
    let body = json!({"output": "o", "priority": "Critical", "rule": rule, "source": "syscall", "time": now,
        "output_fields": {"k8s.ns.name": "production", "k8s.pod.name": pod}});
    Alert::parse(body.to_string().as_bytes()).expect("an alert")
}

impl Replica {
    async fn offer(&self, alert: Alert) {
        self.responder.offer(alert, jiff::Timestamp::now()).await.expect("taken");
    }

    /// Entries and decisions so far, as they are shipped.
    async fn records(&self) -> Vec<(LogType, Map<String, Value>)> {
        let parcels = self.journal.parcels("records", 1000).await.expect("readable");
        parcels
            .into_iter()
            .filter_map(|parcel| match parcel.content {
                Content::Record { record, .. } => Some((record.log_type, record.body)),
                Content::Payload(_) => None,
            })
            .filter(|(kind, _)| *kind != LogType::Followup)
            .collect()
    }

    /// What each record says, once there are `count` of them and the inbox is empty.
    async fn words(&self, count: usize) -> Vec<String> {
        for _ in 0..500 {
            let records = self.records().await;
            if records.len() >= count && self.inbox().await == 0 {
                return records.iter().map(|(_, body)| word(body)).collect();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{:?}\n{}", self.records().await, String::from_utf8_lossy(&self.log.lock().unwrap()))
    }

    async fn inbox(&self) -> usize {
        self.journal.unfinished().await.expect("readable").len()
    }

    async fn pages(&self) -> Vec<Value> {
        let parcels = self.journal.parcels("pages", 1000).await.expect("readable");
        parcels
            .into_iter()
            .filter_map(|parcel| if let Content::Payload(page) = parcel.content { Some(page) } else { None })
            .collect()
    }
}

/// `kill done`, `kill failed/not_sent`, `kill folded duplicate`.
fn word(body: &Map<String, Value>) -> String {
    let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or("").to_owned();
    match (body.get("outcome"), text("failure")) {
        (Some(_), failure) if failure.is_empty() => format!("{} {}", text("action"), text("outcome")),
        (Some(_), failure) => format!("{} {}/{failure}", text("action"), text("outcome")),
        (None, _) => format!("{} {} {}", text("action"), text("decision"), text("check")),
    }
}

/// A list of actions that has begun, and waits for an answer before its second one, a kill. Also how it is configured.
async fn list_that_waits(simulation: &Simulation) -> (Replica, String) {
    let replica = replica(simulation, &plugins()).await;
    let config = CONFIG.replace("{action: sweep}, ", "{action: tell, on_failure: continue}, ");
    replica.responder.install(rules(&plugins(), &config).await);
    let (path_prefix, kind) =
        ("/api/v1/namespaces/production/pods/a".to_owned(), FaultKind::Refuse(StatusCode::SERVICE_UNAVAILABLE));
    simulation.inject(Fault { method: Method::GET, path_prefix, times: 4, kind });
    replica.offer(alert("both", "a")).await;
    while replica.records().await.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (replica, config)
}

fn refuse(simulation: &Simulation, method: Method, times: u32) {
    let kind = FaultKind::Refuse(StatusCode::SERVICE_UNAVAILABLE);
    simulation.inject(Fault { method, path_prefix: "/".to_owned(), times, kind });
}
