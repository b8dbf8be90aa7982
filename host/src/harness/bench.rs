//! What one run of an action costs: the sandbox, from a fresh store to its end, without the pipeline around it.
//!
//! Each run is a dry one, cleared once before all of them, against a simulated cluster and with a recorder that writes
//! nothing: what differs between two actions is theirs.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;

use super::{Cluster, HarnessError, MOST_MEMORY, SLOTS, Setup};
use crate::alert::Alert;
use crate::ambient::Ambient;
use crate::cluster::simulated::Simulation;
use crate::plugins::engine::Engine;
use crate::plugins::manifest::Target;
use crate::plugins::witness::{Asked, Witness};
use crate::plugins::{End, Limits, Plugin, Plugins, Report, Request};
use crate::respond::rules::{Match, Rule, Rules};
use crate::safety::CallError;
use crate::safety::clearance::{Cleared, NotCleared, Question};
use crate::safety::gate::Gate;
use crate::safety::identity::Subject;
use crate::safety::run::{Bounds, CallRecord, Identity, Intent, Purpose, Recorded, Recorder, Run};
use crate::telemetry::log::{Format, Level, Log};

/// What has to be loaded, mapped and filled is by then.
const WARM_UP: usize = 10;

/// The cluster of an author who names none: a Deployment's pod, on a node.
const CLUSTER: &str = r"
apiVersion: v1
kind: Node
metadata: {name: node-1}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: production}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata:
  name: web-5c6d8
  namespace: production
  ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, controller: true}]
---
apiVersion: v1
kind: Pod
metadata:
  name: web-5c6d8-2lkjh
  namespace: production
  labels: {app: web}
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-5c6d8, controller: true}]
spec: {nodeName: node-1, containers: [{name: web, image: registry.example/web}]}
";

/// What was measured.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Of the component, in bytes.
    pub size: u64,
    /// From the file to code that can be run.
    pub compiled_in: Duration,
    /// Of each run, sorted.
    pub times: Vec<Duration>,
    /// The same without what the changes took beyond the host functions, sorted.
    pub own: Vec<Duration>,
    /// Bytes of linear memory at its largest.
    pub peak_memory: usize,
    /// How the last run ended.
    pub end: End,
    /// How many calls it made to the cluster.
    pub calls: usize,
}

impl Measured {
    /// The time within which that share of the runs ended.
    pub fn within(&self, percent: usize) -> Duration {
        share(&self.times, percent)
    }

    /// As [`Self::within`], of the sandbox by itself.
    pub fn own_within(&self, percent: usize) -> Duration {
        share(&self.own, percent)
    }
}

/// Of times that are sorted, the one within which that share lies.
pub fn share(times: &[Duration], percent: usize) -> Duration {
    let last = times.len().saturating_sub(1);
    times.get(last * percent / 100).copied().unwrap_or_default()
}

#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error(transparent)]
    Harness(#[from] HarnessError),
    #[error("cannot read {}: {message}", file.display())]
    Read { file: std::path::PathBuf, message: String },
    #[error("nothing was run: {0}")]
    NotCleared(String),
}

/// Says that it has recorded what it was told.
struct Nowhere;

impl Recorder for Nowhere {
    fn intent<'a>(&'a self, _: &'a Identity, _: &'a Intent) -> Recorded<'a> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn result<'a>(&'a self, _: &'a Identity, _: &'a Intent, _: &'a CallRecord) -> Recorded<'a> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// An alert about the pod of [`cluster`].
pub fn alert() -> Alert {
    let body = r#"{"output":"A benchmark","priority":"Critical","rule":"Benchmark","time":"2026-01-01T12:00:00Z",
        "output_fields":{"k8s.ns.name":"production","k8s.pod.name":"web-5c6d8-2lkjh"}}"#;
    Alert::parse(body.as_bytes()).expect("the alert is a literal")
}

pub fn cluster(ambient: &Ambient) -> Simulation {
    Simulation::from_yaml(CLUSTER, ambient).expect("the manifests are a literal")
}

/// Runs the action in `file` so often.
///
/// # Errors
/// The file is no action, or the target is not cleared for it.
pub async fn measure(file: &Path, setup: Setup, runs: usize) -> Result<Measured, BenchError> {
    let size = std::fs::metadata(file)
        .map_err(|error| BenchError::Read { file: file.to_owned(), message: error.to_string() })?
        .len();
    let engine = Engine::new(SLOTS, MOST_MEMORY).map_err(HarnessError::from)?;
    let started = Instant::now();
    let limits = Limits { memory: MOST_MEMORY, ..Limits::default() };
    let plugins = Plugins::load_file(&engine, file, limits).map_err(HarnessError::from)?;
    let compiled_in = started.elapsed();
    if let Some(unusable) = plugins.unusable.first() {
        return Err(HarnessError::Unusable { file: file.to_owned(), reason: unusable.reason.clone() }.into());
    }
    let prepared = Prepared::new(&plugins, setup).await?;
    let runs = runs.max(1);
    let (mut times, mut own, mut last, mut peak_memory) = (Vec::with_capacity(runs), Vec::with_capacity(runs), None, 0);
    for number in 0..WARM_UP + runs {
        let once = prepared.once().await;
        if number >= WARM_UP {
            times.push(once.time);
            own.push(once.time.saturating_sub(once.outside));
        }
        peak_memory = once.report.peak_memory.max(peak_memory);
        last = Some((once.report.end, once.calls));
    }
    times.sort_unstable();
    own.sort_unstable();
    let (end, calls) = last.expect("there is at least one run");
    Ok(Measured { size, compiled_in, times, own, peak_memory, end, calls })
}

/// One action, its target cleared, and all that a run needs.
pub(crate) struct Prepared {
    plugin: Arc<Plugin>,
    rules: Rules,
    rule: Arc<Rule>,
    gate: Gate,
    alert: Arc<Alert>,
    received_at: Timestamp,
    cleared: Option<Cleared>,
    log: Log,
    lines: Arc<Mutex<Vec<u8>>>,
}

/// One run of it.
pub(crate) struct Once {
    pub report: Report,
    pub calls: usize,
    pub time: Duration,
    /// How much of it the changes took, from the gate to the cluster and back.
    pub outside: Duration,
}

impl Prepared {
    /// # Errors
    /// The plugins do not suit the setup, or the target is not cleared.
    pub async fn new(plugins: &Plugins, setup: Setup) -> Result<Self, BenchError> {
        let Setup { config, alert, received_at, cluster: Cluster { reader, writer, .. } } = setup;
        let ambient = super::stage::StageClock::at(received_at).ambient();
        let plugins = plugins.within(config.plugins.limits.into());
        let (rules, problems) = Rules::join(&config, &plugins, config.cluster_name.clone()).await;
        if let Some(problem) = problems.first() {
            return Err(HarnessError::Rules(problem.message.clone()).into());
        }
        let Match::Wanted(rule) = rules.find(&alert) else {
            return Err(BenchError::NotCleared("no rule takes the alert".to_owned()));
        };
        let step = rule.steps.first().expect("a rule has at least one action");
        let plugin = step.plugin.as_ref().map(Arc::clone).map_err(|why| BenchError::NotCleared(why.clone()))?;
        let gate = Gate::new(reader, writer.only_dry_runs(), ambient.clone(), None);
        let (log, lines) = Log::memory(&ambient, Format::Json);
        let alert = Arc::new(alert);
        let mut prepared = Self { plugin, rules, rule, gate, alert, received_at, cleared: None, log, lines };
        prepared.cleared = prepared.clear().await?;
        Ok(prepared)
    }

    /// What stands before every run: whether the target may be acted on.
    ///
    /// # Errors
    /// It may not.
    pub async fn clear(&self) -> Result<Option<Cleared>, BenchError> {
        let subject = Subject::of(&self.alert);
        let (policy, rule) = (&self.rules.policy, &self.rule.scope);
        let question = Question { subject: &subject, received_at: self.received_at, policy, rule };
        clear(&question, self.plugin.manifest.target, &self.gate).await
    }

    /// A run that has made no call yet.
    pub fn run(&self) -> Arc<Run> {
        let step = self.rule.steps.first().expect("a rule has at least one action");
        let identity = Identity {
            event_id: "benchmark".to_owned(),
            entry_id: "benchmark".to_owned(),
            action: step.action.clone(),
            plugin_sha256: self.plugin.sha256.clone(),
        };
        let bounds = Bounds {
            purpose: Purpose::default(),
            allowance: None,
            policy: Arc::clone(&self.rules.policy),
            rule: self.rule.scope.clone(),
            permissions: step.permissions.clone(),
            web: step.web.clone(),
            cleared: self.cleared.clone(),
            dry_run: true,
            deadline: tokio::time::Instant::now() + self.plugin.timeout(self.rule.timeout),
        };
        Arc::new(Run::new(identity, bounds, Arc::new(Nowhere)))
    }

    #[cfg(test)]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Runs the action, from a fresh store to its end.
    pub async fn once(&self) -> Once {
        let step = self.rule.steps.first().expect("a rule has at least one action");
        let (run, watch) = (self.run(), Arc::new(Stopwatch::default()));
        let request = Request {
            event_id: "benchmark".to_owned(),
            attempt: 1,
            parameters: step.parameters.clone(),
            reason: self.rule.audit_reason.clone(),
            alert: Arc::clone(&self.alert),
            log: self.log.clone(),
            witness: Some(Arc::clone(&watch) as Arc<dyn Witness>),
        };
        let started = Instant::now();
        let report = self.plugin.run(request, Arc::clone(&run), self.gate.clone(), self.rule.timeout).await;
        let time = started.elapsed();
        run.settle().await;
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Once { report, calls: run.calls().len(), time, outside: watch.outside() }
    }
}

/// Times the changes that an action asks for: what they take is the cluster's, not the sandbox's.
#[derive(Default)]
struct Stopwatch(Mutex<(Option<Instant>, Duration)>);

impl Stopwatch {
    fn outside(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

impl Witness for Stopwatch {
    fn asks(&self, _: usize, asked: Asked) {
        if matches!(asked, Asked::Change(_)) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).0 = Some(Instant::now());
        }
    }

    fn answered(&self, _: usize, _: &Result<Value, CallError>) {
        let (begun, sum) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *sum += begun.take().map(|begun| begun.elapsed()).unwrap_or_default();
    }

    fn said(&self, _: Level, _: &str) {}
}

async fn clear(question: &Question<'_>, target: Target, gate: &Gate) -> Result<Option<Cleared>, BenchError> {
    let cleared = match target {
        Target::Pods => question.pod(gate.reader()).await.map(Some),
        Target::Namespaces => question.namespace().map(Some).map_err(NotCleared::from),
        Target::None => return Ok(None),
        Target::Nodes => question.node(gate.reader()).await.map(Some),
    };
    cleared.map_err(|error| {
        BenchError::NotCleared(match error {
            NotCleared::Refused(refusal) => format!("{} ({})", refusal.detail, refusal.check.id()),
            NotCleared::NoAnswer(error) => error.to_string(),
        })
    })
}
