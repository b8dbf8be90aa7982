//! The gate over a simulated cluster: what an action with every grant there is still cannot do, and what the record
//! says of calls whose answers were lost.

mod answers;
mod denials;
mod dependents;
mod documents;
mod escalation;
mod exec;
mod lifting;
mod mock;
mod nodes;
mod outside;
mod properties;
mod rehearsal;
mod table;
mod timing;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use serde_json::Value;
use tokio::time::Instant;

use super::checks::fixtures;
use super::clearance::{Cleared, NotCleared, Question};
use super::gate::{Change, Gate};
use super::identity::Subject;
use super::permissions::{Permission, Permissions, Scope, Verb};
use super::policy::{Policy, RuleScope};
use super::run::{Bounds, CallRecord, Effect, Identity, Intent, Purpose, Recorded, Recorder, Run};
use super::web::WebPermissions;
use super::{CallError, Reason};
use crate::ambient::{Ambient, fixed};
use crate::cluster::Reader;
use crate::cluster::connect::connect_simulated;
use crate::cluster::names::{ApiResource, Namespace, ObjectName, ObjectRef};
use crate::cluster::overlay::Overlay;
use crate::cluster::simulated::{Fault, FaultKind, Simulation};

const NOW: &str = "2026-11-24T12:00:00Z";

const MANIFESTS: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: production}
---
apiVersion: v1
kind: Pod
metadata:
  name: target
  namespace: production
  labels: {app: web, tier: front}
  annotations: {kept: "yes"}
  ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, controller: true}]
spec: {nodeName: n1, containers: [{name: c, image: d, env: [{name: PASSWORD, value: secret}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: other, namespace: production, labels: {app: web}}
spec: {containers: [{name: c, image: d}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent, namespace: production}
---
apiVersion: v1
kind: Pod
metadata:
  name: agent-1
  namespace: production
  ownerReferences: [{apiVersion: apps/v1, kind: DaemonSet, name: agent, controller: true}]
spec: {containers: [{name: c, image: d}]}
---
apiVersion: v1
kind: Pod
metadata: {name: dns, namespace: kube-system}
spec: {containers: [{name: c, image: d}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: dns, namespace: kube-system}
---
apiVersion: v1
kind: Pod
metadata: {name: graphs, namespace: monitoring}
spec: {containers: [{name: c, image: d}]}
---
apiVersion: v1
kind: Node
metadata: {name: n1}
"#;

/// What a recorder is told, in order; it can be slow, or refuse.
#[derive(Default)]
struct Notes {
    written: Mutex<Vec<String>>,
    slow: Duration,
    full: bool,
    /// Done while an intent is written.
    meanwhile: Option<Box<dyn Fn() + Send + Sync>>,
}

impl Recorder for Notes {
    fn intent<'a>(&'a self, _: &'a Identity, intent: &'a Intent) -> Recorded<'a> {
        Box::pin(async move {
            tokio::time::sleep(self.slow).await;
            if let Some(meanwhile) = &self.meanwhile {
                meanwhile();
            }
            if self.full {
                return Err("disk full".to_owned());
            }
            self.written.lock().unwrap().push(format!("intent {}", intent.verb));
            Ok(())
        })
    }

    fn result<'a>(&'a self, _: &'a Identity, intent: &'a Intent, call: &'a CallRecord) -> Recorded<'a> {
        Box::pin(async move {
            self.written.lock().unwrap().push(format!("result {} {}", intent.verb, call.effect.as_str()));
            Ok(())
        })
    }
}

struct Stage {
    simulation: Simulation,
    reader: Reader,
    gate: Gate,
    ambient: Ambient,
    clock: Arc<fixed::FixedClock>,
}

fn stage() -> Stage {
    stage_with(None)
}

fn stage_with(stop_file: Option<std::path::PathBuf>) -> Stage {
    stage_of(MANIFESTS, stop_file)
}

fn stage_of(manifests: &str, stop_file: Option<std::path::PathBuf>) -> Stage {
    let (ambient, clock) = fixed::at(NOW);
    let simulation = Simulation::from_yaml(manifests, &ambient).expect("valid");
    let (reader, writer) = connect_simulated(simulation.clone());
    Stage { simulation, gate: Gate::new(reader.clone(), writer, ambient.clone(), stop_file), reader, ambient, clock }
}

impl Stage {
    async fn cleared(&self) -> Cleared {
        self.try_clear().await.expect("the target is cleared")
    }

    async fn try_clear(&self) -> Result<Cleared, NotCleared> {
        self.clear_by(&self.reader).await
    }

    async fn clear_by(&self, reader: &Reader) -> Result<Cleared, NotCleared> {
        let subject = Subject {
            namespace: Some("production".to_owned()),
            pod: Some("target".to_owned()),
            pod_uid: None,
            container_id: None,
            time: self.ambient.now(),
        };
        let (policy, rule) = (fixtures::policy(), RuleScope::default());
        let question = Question { subject: &subject, received_at: self.ambient.now(), policy: &policy, rule: &rule };
        question.pod(reader).await
    }

    /// A run on the target, with these permissions.
    async fn run(&self, permissions: Permissions, dry_run: bool) -> Arc<Run> {
        self.run_of(permissions, dry_run, Duration::from_secs(10), Arc::new(Notes::default())).await
    }

    async fn run_of(
        &self,
        permissions: Permissions,
        dry_run: bool,
        within: Duration,
        notes: Arc<dyn Recorder>,
    ) -> Arc<Run> {
        Arc::new(Run::new(identity(), self.bounds(self.cleared().await, permissions, dry_run, within), notes))
    }

    /// A run after others of the same alert.
    fn run_on(&self, cleared: Cleared, permissions: Permissions, dry_run: bool, overlay: &Overlay) -> Arc<Run> {
        let bounds = self.bounds(cleared, permissions, dry_run, Duration::from_secs(10));
        Arc::new(Run::new(identity(), bounds, Arc::new(Notes::default())).after(overlay))
    }

    fn bounds(&self, cleared: Cleared, permissions: Permissions, dry_run: bool, within: Duration) -> Bounds {
        Bounds {
            purpose: Purpose::default(),
            allowance: Some(super::budget::Allowance::unlimited()),
            policy: Arc::new(policy()),
            rule: RuleScope::default(),
            permissions,
            web: WebPermissions::default(),
            cleared: Some(cleared),
            dry_run,
            deadline: Instant::now() + within,
        }
    }

    fn wait(&self, seconds: i64) {
        let mut now = self.clock.0.lock().expect("not poisoned");
        *now += jiff::SignedDuration::from_secs(seconds);
    }

    /// What reached the cluster that was no GET.
    fn sent(&self) -> Vec<String> {
        let requests = self.simulation.requests();
        requests
            .iter()
            .filter(|seen| seen.method != Method::GET)
            .map(|seen| format!("{} {}", seen.method, seen.path_and_query))
            .collect()
    }

    fn fault(&self, method: Method, kind: FaultKind, times: u32) {
        self.simulation.inject(Fault { method, path_prefix: "/".to_owned(), times, kind });
    }
}

fn identity() -> Identity {
    Identity {
        event_id: "e".to_owned(),
        entry_id: "n".to_owned(),
        action: "test_action".to_owned(),
        plugin_sha256: String::new(),
    }
}

fn policy() -> Policy {
    fixtures::policy()
}

const EVERY_VERB: [Verb; 5] = [Verb::Get, Verb::List, Verb::Create, Verb::Patch, Verb::Delete];

/// Every verb on every kind that the tests know, everywhere, down to the fields given.
fn everything(fields: &[&str]) -> Permission {
    let resources = [
        "pods",
        "pods/eviction",
        "pods/log",
        "pods/status",
        "deployments",
        "deployments/scale",
        "daemonsets",
        "statefulsets",
        "nodes",
        "namespaces",
        "networkpolicies",
        "configmaps",
    ];
    Permission {
        api_groups: ["", "apps", "networking.k8s.io"].map(str::to_owned).to_vec(),
        resources: resources.map(str::to_owned).to_vec(),
        verbs: EVERY_VERB.to_vec(),
        resource_names: Vec::new(),
        scope: Scope::Cluster,
        fields: fields.iter().map(|field| (*field).to_owned()).collect(),
    }
}

/// Declares everything, and is granted nothing beyond the default.
fn ungranted() -> Permissions {
    Permissions { declared: vec![everything(&[])], granted: Vec::new() }
}

fn granted(fields: &[&str]) -> Permissions {
    Permissions { declared: vec![everything(&[])], granted: vec![everything(fields)] }
}

/// All that can be granted by name, the deadly included.
const ALL_FIELDS: [&str; 9] = [
    "spec",
    "status",
    "data",
    "strategic",
    "metadata.labels",
    "metadata.annotations",
    "metadata.ownerReferences",
    "metadata.finalizers",
    "metadata.deletionTimestamp",
];

fn object(resource: ApiResource, namespace: &str, name: &str) -> ObjectRef {
    ObjectRef {
        resource,
        namespace: Some(Namespace::parse(namespace).expect("valid")),
        name: ObjectName::parse(name).expect("valid"),
        uid: None,
    }
}

fn pod(name: &str) -> ObjectRef {
    object(ApiResource::pods(), "production", name)
}

fn delete(object: ObjectRef) -> Change {
    Change::Delete { object, grace_period_seconds: Some(1), propagation: None }
}

fn effects(run: &Run) -> Vec<&'static str> {
    run.calls().iter().map(|call| call.effect.as_str()).collect()
}

fn path(name: &str) -> String {
    format!("/api/v1/namespaces/production/pods/{name}")
}

fn message(result: Result<Value, CallError>) -> String {
    result.map_or_else(|error| error.message, |_| "done".to_owned())
}
