use std::path::Path;

use http::Method;
use serde_json::{Value, json};

use super::*;
use crate::cluster::connect::connect_simulated;
use crate::cluster::names::{ApiResource, Namespace, ObjectName, ObjectRef, Uid};
use crate::cluster::simulated::Simulation;
use crate::cluster::{ApiError, Mutation, Sending};
use crate::config::Config;
use crate::plugins::Source;
use crate::respond::tests::action;

const MANIFESTS: &str = "
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: production}
spec: {containers: [{name: c, image: d}]}
";
/// Deletes the pod `production/a`.
const KILL: &str = r#"{"contract":"0.1","name":"kill","summary":"A test.","target":"pods","pages":true,"repeatable":true,
    "permissions":[{"apiGroups":[""],"resources":["pods"],"verbs":["delete"],"scope":"target"}]}"#;
const LIVE: &str = "
dryrun: false
allowed_namespaces: [production]
required_tag: autoresponse
rules:
  - {name: kill, action: kill, audit_reason: because}
  - {name: silent, action: kill, audit_reason: because}
";

fn plugins() -> Plugins {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("kill.wasm"), wat::parse_str(action::text(KILL)).expect("WAT")).expect("written");
    let plugins = Plugins::load(&Source::new(dir.path())).expect("loads");
    assert_eq!(plugins.unusable, []);
    plugins
}

fn alert(rule: &str, time: &str, fields: Value, tag: &str) -> Alert {
    let body = json!({"output": "o", "priority": "Critical", "rule": rule, "time": time, "tags": [tag],
        "uuid": format!("{rule}{time}{fields}"), "output_fields": fields});
    Alert::parse(body.to_string().as_bytes()).expect("an alert")
}

fn about(pod: &str) -> Value {
    json!({"k8s.ns.name": "production", "k8s.pod.name": pod})
}

struct Stage {
    simulation: Simulation,
    rehearsal: Rehearsal,
    report: Report,
}

async fn stage(text: &str) -> Stage {
    let config = Config::parse(Path::new("config.yaml"), text.as_bytes()).expect("valid");
    assert!(!config.dryrun, "the configuration itself is live");
    let config = rehearsal::dry(config);
    let plugins = plugins();
    let clock = StageClock::at("2023-05-25T13:00:00Z".parse().expect("valid"));
    let simulation = Simulation::from_yaml(MANIFESTS, &clock.ambient()).expect("valid");
    let (rules, problems) = Rules::join(&config, &plugins, String::new()).await;
    assert!(problems.is_empty(), "{problems:?}");
    let report = Report::new(&config, &plugins);
    let rehearsal = Rehearsal::new(rules, connect_simulated(simulation.clone()), clock).expect("set up");
    Stage { simulation, rehearsal, report }
}

impl Stage {
    async fn play(&mut self, alert: Alert) -> String {
        let played = self.rehearsal.play(alert.clone()).await.expect("played");
        self.report.played(&alert, &played).join("\n")
    }
}

#[tokio::test]
async fn rehearses_at_the_alerts_own_time_and_changes_nothing() {
    let mut stage = stage(LIVE).await;
    let before = stage.simulation.objects();
    // Years ago: by today's clock it would be stale, and older than the pod.
    let old = alert("kill", "2023-05-25T13:44:05.478445995Z", about("a"), "autoresponse");
    assert_eq!(stage.play(old.clone()).await, "kill production/a rule=\"kill\": would delete pod");
    assert_eq!(stage.play(old).await, "rule=\"kill\": a duplicate: an alert with its uuid came before");
    let gone = alert("kill", "2023-05-25T13:44:06Z", about("b"), "autoresponse");
    assert_eq!(
        stage.play(gone).await,
        "kill production/b rule=\"kill\": refused (pod_absent): cannot tell: the pod is gone (pod production/b does not \
         exist)"
    );
    assert_eq!(stage.simulation.objects(), before);
    let changing: Vec<_> = stage.simulation.requests().into_iter().filter(|seen| seen.method != Method::GET).collect();
    assert_eq!(changing.len(), 1, "the rehearsed delete went out");
    assert_eq!(changing[0].body["dryRun"], json!(["All"]));
}

#[tokio::test]
async fn sums_up_by_rule() {
    let mut stage = stage(LIVE).await;
    let time = "2023-05-25T13:44:05Z";
    stage.play(alert("kill", time, about("a"), "autoresponse")).await;
    // The same moment, the same pod.
    let mut again = about("a");
    again["proc.name"] = json!("sh");
    assert!(stage.play(alert("kill", time, again, "autoresponse")).await.contains("folded"));
    stage.play(alert("kill", "2023-05-25T13:50:00Z", about("a"), "autoresponse")).await;
    let elsewhere = json!({"k8s.ns.name": "default", "k8s.pod.name": "a"});
    stage.play(alert("kill", time, elsewhere, "autoresponse")).await;
    stage.play(alert("kill", time, about("a"), "other")).await;
    assert_eq!(
        stage.play(alert("unknown", time, about("a"), "autoresponse")).await,
        "rule=\"unknown\": unwanted (no_rule)"
    );
    stage.report.malformed(&crate::alert::AlertError("broken".to_owned()));
    let warning = "  warning: none of its alerts carries k8s.pod.uid or a container id, so only name and time tell which \
                   pod is meant, and a new pod of the same name may be taken for it: add %k8s.pod.uid and %container.id \
                   to the output of Falco's rule";
    assert_eq!(
        stage.report.summary(),
        [
            "6 alerts from 2023-05-25T13:44:05Z to 2023-05-25T13:50:00Z, each at its own time; nothing was changed",
            "\"kill\": 4 alerts",
            "  would act 2 (1 object), first: delete pod",
            "  refused (namespace_not_allowed) 1, first: namespace default is not in allowed_namespaces",
            "  folded 1, first: the same action on the same object was under way for another alert when this one came",
            warning,
            "\"silent\": no alerts",
            "unwanted (no_rule) 1: \"unknown\" 1",
            "unwanted (tag) 1: \"kill\" 1",
            "not an alert 1",
        ]
    );
}

#[tokio::test]
async fn one_alert_that_shows_its_pod_is_enough_for_no_warning() {
    for fields in [json!({"k8s.pod.uid": "another"}), json!({"container.id": "ee97d9c4186f"})] {
        let mut stage = stage(LIVE).await;
        stage.play(alert("kill", "2023-05-25T13:44:05Z", about("b"), "autoresponse")).await;
        assert!(stage.report.summary().iter().any(|line| line.contains("warning: ")));
        let mut with = about("b");
        with.as_object_mut().expect("a map").extend(fields.as_object().expect("a map").clone());
        stage.play(alert("kill", "2023-05-25T13:44:06Z", with, "autoresponse")).await;
        let summary = stage.report.summary();
        assert!(!summary.iter().any(|line| line.contains("warning: ")), "{summary:?}");
        assert!(
            summary.contains(&"  certain of its pod 1 of 2 (k8s.pod.uid or a container id)".to_owned()),
            "{summary:?}"
        );
    }
}

/// Both fences hold alone: here the configuration is live.
#[tokio::test]
async fn a_writer_for_dry_runs_sends_nothing_live_even_when_it_is_asked() {
    let simulation = Simulation::from_yaml(MANIFESTS, &crate::ambient::Ambient::system()).expect("valid");
    let (_, writer) = connect_simulated(simulation.clone());
    let writer = writer.only_dry_runs();
    let uid = simulation.object("/api/v1/namespaces/production/pods/a").expect("is there")["metadata"]["uid"].clone();
    let uid = Uid::parse(uid.as_str().expect("text")).expect("valid");
    let object = ObjectRef {
        resource: ApiResource::pods(),
        namespace: Some(Namespace::parse("production").expect("valid")),
        name: ObjectName::parse("a").expect("valid"),
        uid: None,
    };
    let delete =
        Mutation::Delete { object, uid, resource_version: None, grace_period_seconds: Some(1), propagation: None };
    let sending = |dry_run| Sending {
        dry_run,
        field_manager: "x".to_owned(),
        event_id: "e".to_owned(),
        timeout: std::time::Duration::from_secs(30),
    };
    let refused = writer.send(&delete, &sending(false)).await.expect_err("refused");
    assert!(matches!(refused, ApiError::NotSent(_)), "{refused}");
    assert_eq!(simulation.requests().len(), 0);
    writer.send(&delete, &sending(true)).await.expect("a dry run");
}

#[test]
fn numbers_lines_as_an_editor_does_and_skips_blank_ones() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "one\n\n  \r\n two \r\nthree").expect("written");
    let lines: Vec<_> = Lines::open(file.path()).expect("opens").map(|line| line.expect("read")).collect();
    assert_eq!(lines, [(1, b"one".to_vec()), (4, b"two".to_vec()), (5, b"three".to_vec())]);
}
