//! Every function of `cluster.wit`, called as an action calls it: what changes the cluster passes the gate, and a dry
//! run is one on the wire. A function that the contract gains fails here until it is classified.

use std::time::Duration;

use http::Method;
use serde_json::json;
use wit_parser::Resolve;

use super::*;
use crate::ambient::fixed;
use crate::cluster::connect::connect_simulated;
use crate::cluster::simulated::{Seen, Simulation};
use crate::plugins::bindings::falco_response::plugin::{cluster as wit, types};
use crate::plugins::outside::Gated;
use crate::safety::checks::fixtures;
use crate::safety::clearance::Question;
use crate::safety::gate::Gate;
use crate::safety::identity::Subject;
use crate::safety::permissions::{Permission, Permissions, Scope, Verb};
use crate::safety::policy::RuleScope;
use crate::safety::run::{Bounds, CallRecord, Identity, Intent, Purpose, Recorded, Recorder, Run};
use crate::safety::web::WebPermissions;
use crate::telemetry::log::{Format, Log};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Reads,
    Changes,
}

const FUNCTIONS: [(&str, Class); 8] = [
    ("get", Class::Reads),
    ("query", Class::Reads),
    ("logs", Class::Reads),
    ("create", Class::Changes),
    ("apply", Class::Changes),
    ("patch", Class::Changes),
    ("remove", Class::Changes),
    ("evict", Class::Changes),
];

/// What reaches out of the sandbox beside `cluster`, and where it is shown that it passes the gate.
const FURTHER: [(&str, &str, &str); 2] =
    [("exec", "run", "safety/tests/exec.rs"), ("http", "send", "safety/tests/outside.rs")];
/// What reaches nothing: what was asked, and words.
const WITHIN: [&str; 3] = ["audit", "log", "request"];

#[test]
fn each_interface_of_the_contract_is_classified() {
    let mut resolve = Resolve::default();
    resolve.push_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit")).expect("the contract parses");
    for (_, interface) in resolve.interfaces.iter() {
        let name = interface.name.as_deref().unwrap_or_default();
        let functions: Vec<_> = interface.functions.keys().map(String::as_str).collect();
        let further: Vec<_> = FURTHER.iter().filter(|(of, ..)| *of == name).map(|(_, function, _)| *function).collect();
        let known = functions.is_empty() || name == "cluster" || name == "action" || WITHIN.contains(&name);
        assert!(
            known || functions == further,
            "classify {name} in this test, and put it behind the gate: {functions:?}"
        );
    }
    for (_, _, tests) in FURTHER {
        assert!(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).join(tests).is_file(), "{tests}");
    }
}

/// As the file says, not as the bindings do.
fn functions_of_the_contract() -> Vec<String> {
    let mut resolve = Resolve::default();
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../wit");
    resolve.push_dir(directory).expect("the contract parses");
    let interface = resolve.interfaces.iter().find(|(_, found)| found.name.as_deref() == Some("cluster"));
    interface.expect("there is an interface `cluster`").1.functions.keys().cloned().collect()
}

#[test]
fn each_function_of_the_contract_is_classified() {
    let mut found = functions_of_the_contract();
    let mut known: Vec<_> = FUNCTIONS.iter().map(|(name, _)| (*name).to_owned()).collect();
    found.sort();
    known.sort();
    assert_eq!(found, known, "classify a new function in this test, and put a change behind Gate::change");
}

const MANIFESTS: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: target, namespace: production}
spec: {containers: [{name: c, image: d}]}
---
apiVersion: v1
kind: Pod
metadata: {name: other, namespace: production}
spec: {containers: [{name: c, image: d}]}
---
apiVersion: v1
kind: Pod
metadata: {name: other, namespace: kube-system}
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
"#;

struct Unrecorded;

impl Recorder for Unrecorded {
    fn intent<'a>(&'a self, _: &'a Identity, _: &'a Intent) -> Recorded<'a> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn result<'a>(&'a self, _: &'a Identity, _: &'a Intent, _: &'a CallRecord) -> Recorded<'a> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Every verb on pods and all that hangs on them, down to every field.
fn everything() -> Permission {
    let own = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    Permission {
        api_groups: own(&[""]),
        resources: own(&["pods", "pods/eviction", "pods/log"]),
        verbs: vec![Verb::Get, Verb::List, Verb::Create, Verb::Patch, Verb::Delete],
        resource_names: Vec::new(),
        scope: Scope::Cluster,
        fields: own(&["metadata.labels", "metadata.finalizers", "metadata.ownerReferences", "spec"]),
    }
}

/// A sandbox on the target over a simulation of its own; the operator granted everything or nothing.
async fn stage(all_granted: bool, dry_run: bool) -> (Simulation, Sandbox) {
    let (ambient, _) = fixed::at("2026-11-24T12:00:00Z");
    let simulation = Simulation::from_yaml(MANIFESTS, &ambient).expect("valid");
    let (reader, writer) = connect_simulated(simulation.clone());
    let (policy, rule, now) = (fixtures::policy(), RuleScope::default(), ambient.now());
    let subject = Subject {
        namespace: Some("production".to_owned()),
        pod: Some("target".to_owned()),
        pod_uid: None,
        container_id: None,
        time: now,
    };
    let question = Question { subject: &subject, received_at: now, policy: &policy, rule: &rule };
    let cleared = question.pod(&reader).await.expect("cleared");
    let granted = if all_granted { vec![everything()] } else { Vec::new() };
    let identity = Identity {
        event_id: "e".to_owned(),
        entry_id: "n".to_owned(),
        action: "test_action".to_owned(),
        plugin_sha256: String::new(),
    };
    let declared = vec![Permission { fields: Vec::new(), ..everything() }];
    let bounds = Bounds {
        purpose: Purpose::default(),
        allowance: Some(crate::safety::budget::Allowance::unlimited()),
        policy: Arc::new(policy),
        rule,
        permissions: Permissions { declared, granted },
        web: WebPermissions::default(),
        cleared: Some(cleared),
        dry_run,
        deadline: tokio::time::Instant::now() + Duration::from_secs(10),
    };
    let run = Arc::new(Run::new(identity, bounds, Arc::new(Unrecorded)));
    let gate = Gate::new(reader, writer, ambient.clone(), None);
    let (log, _) = Log::memory(&ambient, Format::Json);
    let outside = Gated::new(gate, run, log, None, "test_action", "e");
    (simulation, Sandbox::new(Limits::default(), asked(), Arc::new(outside)))
}

/// Calls the function on that pod, and answers with the error it got.
async fn call(sandbox: &mut Sandbox, function: &str, namespace: &str, name: &str) -> Option<wit::Reason> {
    use wit::Host;
    let pods = || types::ApiResource { group: String::new(), version: "v1".to_owned(), plural: "pods".to_owned() };
    let pod = || types::ObjectRef {
        resource: pods(),
        namespace: Some(namespace.to_owned()),
        name: name.to_owned(),
        uid: None,
    };
    let labelled = json!({"metadata": {"labels": {"q": "1"}}}).to_string();
    let manifest = |name: &str| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"q": "1"}}}).to_string()
    };
    let selection = wit::Selection {
        namespace: Some(namespace.to_owned()),
        labels: None,
        fields: None,
        limit: None,
        metadata_only: false,
    };
    let no_trap = "no call of this test is beyond the budget";
    let error = match function {
        "get" => sandbox.get(pod()).await.expect(no_trap).err(),
        "query" => sandbox.query(pods(), selection).await.expect(no_trap).err(),
        "logs" => {
            let options = wit::LogOptions { container: None, previous: false, tail_lines: None };
            sandbox.logs(pod(), options).await.expect(no_trap).err()
        }
        "create" => {
            // What is created has to be whole: the API server takes no pod without containers.
            let new = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("new-{name}")},
                "spec": {"containers": [{"name": "a", "image": "b"}]}});
            let new = new.to_string();
            sandbox.create(pods(), Some(namespace.to_owned()), new).await.expect(no_trap).err()
        }
        "apply" => sandbox.apply(pod(), manifest(name), true).await.expect(no_trap).err(),
        "patch" => sandbox.patch(pod(), wit::PatchDocument::Merge(labelled)).await.expect(no_trap).err(),
        "remove" => {
            let options = wit::DeleteOptions { grace_period_seconds: Some(0), propagation: None };
            sandbox.remove(pod(), options).await.expect(no_trap).err()
        }
        "evict" => sandbox.evict(pod(), Some(0)).await.expect(no_trap).err(),
        unknown => panic!("{unknown} is not called here"),
    };
    error.map(|error| error.reason)
}

fn changes(simulation: &Simulation) -> Vec<Seen> {
    simulation.requests().into_iter().filter(|seen| seen.method != Method::GET).collect()
}

#[tokio::test]
async fn what_reads_sends_nothing_but_gets() {
    for (function, _) in FUNCTIONS.iter().filter(|(_, class)| *class == Class::Reads) {
        let (simulation, mut sandbox) = stage(true, false).await;
        let before = simulation.requests().len();
        call(&mut sandbox, function, "production", "target").await;
        assert!(simulation.requests().len() > before, "{function}");
        assert_eq!(changes(&simulation), [], "{function}");
    }
}

#[tokio::test]
async fn what_changes_is_refused_in_kube_system_and_on_a_daemonsets_pod_whatever_is_granted() {
    for (function, _) in FUNCTIONS.iter().filter(|(_, class)| *class == Class::Changes) {
        for (namespace, name) in [("kube-system", "other"), ("production", "agent-1")] {
            // A pod that is made anew is no DaemonSet's.
            if *function == "create" && namespace == "production" {
                continue;
            }
            for dry_run in [false, true] {
                let (simulation, mut sandbox) = stage(true, dry_run).await;
                let objects = simulation.objects();
                let refused = call(&mut sandbox, function, namespace, name).await;
                // An apply on what is there and not ours is a conflict before it is anything else.
                assert!(
                    matches!(refused, Some(wit::Reason::Denied | wit::Reason::Conflict)),
                    "{function} {namespace}/{name}: {refused:?}"
                );
                assert_eq!((changes(&simulation), simulation.objects()), (vec![], objects), "{function}");
            }
        }
    }
}

#[tokio::test]
async fn what_changes_is_refused_on_another_pod_unless_it_is_granted() {
    for (function, _) in FUNCTIONS.iter().filter(|(_, class)| *class == Class::Changes) {
        let (simulation, mut sandbox) = stage(false, false).await;
        let refused = call(&mut sandbox, function, "production", "other").await;
        assert_eq!((refused, changes(&simulation)), (Some(wit::Reason::Denied), vec![]), "{function}");
    }
}

#[tokio::test]
async fn what_changes_carries_its_dry_run_where_the_api_server_looks_for_it() {
    for (function, _) in FUNCTIONS.iter().filter(|(_, class)| *class == Class::Changes) {
        let (simulation, mut sandbox) = stage(true, true).await;
        let objects = simulation.objects();
        let refused = call(&mut sandbox, function, "production", "target").await;
        let sent = changes(&simulation);
        assert_eq!((refused, sent.len()), (None, 1), "{function}");
        let in_query = sent[0].path_and_query.contains("dryRun=All");
        let expected = match *function {
            "remove" => !in_query && sent[0].body["dryRun"] == json!(["All"]),
            "evict" => in_query && sent[0].body["deleteOptions"]["dryRun"] == json!(["All"]),
            _ => in_query,
        };
        assert!(expected, "{function}: {:?}", sent[0]);
        assert_eq!(simulation.objects(), objects, "{function}");

        let (simulation, mut sandbox) = stage(true, false).await;
        assert_eq!(call(&mut sandbox, function, "production", "target").await, None, "{function}");
        let sent = changes(&simulation);
        assert!(!format!("{sent:?}").contains("dryRun"), "live, {function}: {sent:?}");
        assert_ne!(simulation.objects(), objects, "the same call, live, does change something: {function}");
    }
}
