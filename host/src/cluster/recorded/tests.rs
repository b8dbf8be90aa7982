//! A session against the simulated cluster, recorded and played back.

use serde_json::json;

use super::*;
use crate::ambient::Ambient;
use crate::cluster::connect::{connect_playback, connect_simulated_recorded};
use crate::cluster::names::{ApiResource, Namespace, ObjectName, ObjectRef, Uid};
use crate::cluster::simulated::Simulation;
use crate::cluster::{LogOptions, Mutation, Reader, Selection, Sending, Writer, uid_str};

const MANIFESTS: &str = r#"
apiVersion: v1
kind: Pod
metadata:
  name: x
  namespace: production
  labels: {app: web}
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: '{"spec":{"containers":[{"env":[{"name":"A","value":"hunter2"}]}]}}'
spec:
  containers:
    - name: c
      image: d
      args: ["--password=hunter2"]
      env: [{name: PASSWORD, value: hunter2}, {name: FROM, valueFrom: {secretKeyRef: {name: s, key: k}}}]
---
apiVersion: v1
kind: Secret
metadata: {name: s, namespace: production}
data: {k: aHVudGVyMg==}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: c, namespace: production}
data: {db_password: hunter2, url: "postgres://app:hunter2@db/app", plain: text}
"#;

fn object(resource: ApiResource, name: &str) -> ObjectRef {
    let namespace = Namespace::parse("production").ok();
    ObjectRef { resource, namespace, name: ObjectName::parse(name).expect("valid"), uid: None }
}

fn sending() -> Sending {
    Sending {
        dry_run: true,
        field_manager: "falco-response-controller/test".to_owned(),
        event_id: "01941f29-7c00-7000-8000-000000000000".to_owned(),
        timeout: std::time::Duration::from_secs(1),
    }
}

/// Reads everything there is and deletes the pod, dry; how often decides what differs.
async fn session((reader, writer): (Reader, Writer), pods: usize) -> Vec<String> {
    let mut told = Vec::new();
    let mut uid = String::new();
    for _ in 0..pods {
        let pod = reader.get(&object(ApiResource::pods(), "x")).await;
        told.push(pod.is_ok().to_string());
        uid = pod.as_ref().ok().and_then(uid_str).unwrap_or("none").to_owned();
    }
    let selection = Selection { namespace: Namespace::parse("production").ok(), ..Selection::default() };
    for plural in ["secrets", "configmaps"] {
        let list = reader.list(&ApiResource::core(plural), &selection).await.expect("listed");
        told.push(format!("{plural} {}", list.len()));
    }
    let absent = reader.get(&object(ApiResource::pods(), "absent")).await.expect_err("not there");
    told.push(absent.to_string());
    told.push(reader.logs(&object(ApiResource::pods(), "x"), &LogOptions::default()).await.expect("a log"));
    let delete = Mutation::Delete {
        object: object(ApiResource::pods(), "x"),
        uid: Uid::parse(&uid).expect("valid"),
        resource_version: None,
        grace_period_seconds: Some(1),
        propagation: None,
    };
    told.push(format!("{:?}", writer.send(&delete, &sending()).await.map(|answer| answer.code)));
    told
}

async fn recorded() -> (Vec<String>, Vec<Exchange>) {
    let simulation = Simulation::from_yaml(MANIFESTS, &Ambient::system()).expect("valid");
    let recorder = Recorder::default();
    let told = session(connect_simulated_recorded(simulation, &recorder), 1).await;
    (told, recorder.take())
}

#[tokio::test]
async fn what_was_recorded_plays_back_the_same() {
    let (told, exchanges) = recorded().await;
    assert_eq!(exchanges.len(), 6);
    assert_eq!(
        exchanges.last().expect("the delete").request.to_string(),
        "DELETE /api/v1/namespaces/production/pods/x (dry run)"
    );
    let written: Vec<_> = exchanges.iter().map(Exchange::to_json).collect();
    let read: Vec<_> = written.iter().map(|exchange| Exchange::from_json(exchange).expect("sound")).collect();
    assert_eq!(read, exchanges);
    let playback = Playback::of(read);
    assert_eq!(session(connect_playback(playback.clone()), 1).await, told);
    assert_eq!(playback.departure(), None);
}

#[tokio::test]
async fn no_secret_is_kept() {
    let (_, exchanges) = recorded().await;
    let text = Value::from_iter(exchanges.iter().map(Exchange::to_json)).to_string();
    assert!(!text.contains("hunter2") && !text.contains("aHVudGVyMg"), "{text}");
    assert!(!text.contains("managedFields"), "{text}");
    let pod = &exchanges[0].answer.as_ref().expect("answered").document;
    assert_eq!(pod["spec"]["containers"][0]["env"][0], json!({"name": "PASSWORD", "value": "[redacted]"}));
    assert_eq!(pod["spec"]["containers"][0]["env"][1]["valueFrom"]["secretKeyRef"], json!({"name": "s", "key": "k"}));
    let config_map = &exchanges[2].answer.as_ref().expect("answered").document["items"][0]["data"];
    assert_eq!(config_map["plain"], "text", "{config_map}");
}

#[tokio::test]
async fn a_request_too_many_or_in_another_order_is_a_departure() {
    let (_, exchanges) = recorded().await;
    let playback = Playback::of(exchanges.clone());
    let (reader, _) = connect_playback(playback.clone());
    reader.get(&object(ApiResource::pods(), "x")).await.expect("as recorded");
    let error = reader.get(&object(ApiResource::pods(), "x")).await.expect_err("not as recorded");
    assert!(error.to_string().contains("recorded otherwise"), "{error}");
    let departure = playback.departure().expect("one");
    assert_eq!(departure.after, 1);
    let paths = (departure.expected.map(|sent| sent.path), departure.actual.map(|sent| sent.path));
    assert_eq!(
        paths,
        (
            Some("/api/v1/namespaces/production/secrets?limit=500".to_owned()),
            Some("/api/v1/namespaces/production/pods/x".to_owned())
        )
    );
    // From here on nothing is answered, not even what was recorded.
    assert!(reader.list(&ApiResource::core("secrets"), &Selection::default()).await.is_err());
}

#[tokio::test]
async fn what_was_recorded_and_is_never_asked_for_is_a_departure() {
    let (_, exchanges) = recorded().await;
    let playback = Playback::of(exchanges);
    let (reader, _) = connect_playback(playback.clone());
    reader.get(&object(ApiResource::pods(), "x")).await.expect("as recorded");
    let departure = playback.departure().expect("one");
    assert_eq!((departure.after, departure.actual), (1, None));
}

#[test]
fn an_exchange_that_is_none_is_refused() {
    for (broken, expected) in [
        (json!([]), "a map"),
        (json!({"request": "GET"}), "a method and a path"),
        (json!({"request": "GET /x"}), "has no `status`"),
        (json!({"request": "GET /x", "status": 7}), "no HTTP status"),
        (json!({"request": "GET /x", "status": 200, "reply": {}}), "unknown key `reply`"),
        (json!({"request": "DELETE /x", "dry_run": true, "status": 200}), "not what the request says"),
    ] {
        let error = Exchange::from_json(&broken).expect_err("refused");
        assert!(error.contains(expected), "{error}");
    }
}
