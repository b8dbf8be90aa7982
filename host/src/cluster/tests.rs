//! Reader, writer and outermost layer against the simulation: a table of behaviours, and dry runs that change nothing.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::connect::connect_simulated;
use super::simulated::{Fault, FaultKind, Simulation};
use super::*;
use crate::ambient::fixed;

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

const MANIFESTS: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: a, namespace: p, labels: {app: x}}
spec: {containers: [{name: c, image: d}]}
---
apiVersion: v1
kind: Pod
metadata: {name: b, namespace: p, labels: {app: second}}
spec: {nodeName: n1, containers: [{name: c, image: d}]}
---
apiVersion: v1
kind: Pod
metadata: {name: held, namespace: p, finalizers: [example.com/x]}
spec: {containers: [{name: c, image: d}]}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: budget, namespace: p}
spec: {selector: {matchLabels: {app: second}}}
status: {disruptionsAllowed: 0}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: falco-theirs, namespace: p}
spec: {podSelector: {}, policyTypes: [Egress], egress: [{}]}
"#;

struct Stage {
    simulation: Simulation,
    reader: Reader,
    writer: Writer,
    clock: Arc<fixed::FixedClock>,
}

fn stage() -> Stage {
    let (ambient, clock) = fixed::at("2026-11-24T12:00:00Z");
    let simulation = Simulation::from_yaml(MANIFESTS, &ambient).expect("valid");
    let (reader, writer) = connect_simulated(simulation.clone());
    Stage { simulation, reader, writer, clock }
}

fn object(resource: ApiResource, name: &str) -> ObjectRef {
    ObjectRef {
        resource,
        namespace: Some(Namespace::parse("p").expect("valid")),
        name: ObjectName::parse(name).expect("valid"),
        uid: None,
    }
}

fn pod(name: &str) -> ObjectRef {
    object(ApiResource::pods(), name)
}

fn policies() -> ApiResource {
    ApiResource::parse("networking.k8s.io", "v1", "networkpolicies").expect("valid")
}

fn policy(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name, "namespace": "p"}, "spec": spec})
}

impl Stage {
    fn uid(&self, path: &str) -> Uid {
        let object = self.simulation.object(path).unwrap_or(Value::Null);
        Uid::parse(text(&object, "/metadata/uid")).unwrap_or_else(|_| Uid::parse("nobody").expect("valid"))
    }

    async fn send(&self, mutation: &Mutation, dry_run: bool) -> Result<Answer, ApiError> {
        let sending = Sending {
            dry_run,
            field_manager: "falco-response-controller/x".to_owned(),
            event_id: "e".to_owned(),
            timeout: Duration::from_millis(500),
        };
        self.writer.look_first(mutation).await?;
        self.writer.send(mutation, &sending).await
    }

    fn delete(&self, name: &str, grace: Option<u32>) -> Mutation {
        let uid = self.uid(&format!("/api/v1/namespaces/p/pods/{name}"));
        Mutation::Delete {
            object: pod(name),
            uid,
            resource_version: None,
            grace_period_seconds: grace,
            propagation: None,
        }
    }

    fn apply(&self, name: &str, spec: Value, force: bool) -> Mutation {
        let uid = self
            .simulation
            .object(&format!("/apis/networking.k8s.io/v1/namespaces/p/networkpolicies/{name}"))
            .map(|found| Uid::parse(text(&found, "/metadata/uid")).expect("valid"));
        Mutation::Apply { object: object(policies(), name), uid, manifest: policy(name, spec), force }
    }
}

fn code(result: &Result<Answer, ApiError>) -> (u16, String) {
    match result {
        Ok(answer) => (answer.code, String::new()),
        Err(ApiError::Status { code, reason, .. }) => (*code, reason.clone()),
        Err(other) => (0, other.to_string()),
    }
}

#[tokio::test]
async fn deletes_a_pod_with_grace_and_then_it_is_gone() {
    let stage = stage();
    let answer = stage.send(&stage.delete("a", Some(1)), false).await.expect("accepted");
    assert_eq!(answer.object["metadata"]["deletionTimestamp"], "2026-11-24T12:00:01Z");
    assert!(stage.reader.get(&pod("a")).await.is_ok(), "accepted is not gone");
    *stage.clock.0.lock().expect("not poisoned") = "2026-11-24T12:00:02Z".parse().expect("valid");
    assert!(stage.reader.get(&pod("a")).await.expect_err("gone").is_not_found());
    assert_eq!(
        code(
            &stage
                .send(
                    &Mutation::Delete {
                        object: pod("a"),
                        uid: Uid::parse("u").expect("valid"),
                        resource_version: None,
                        grace_period_seconds: None,
                        propagation: None
                    },
                    false
                )
                .await
        )
        .0,
        404
    );
}

#[tokio::test]
async fn a_finalizer_holds_a_deleted_pod() {
    let stage = stage();
    assert_eq!(code(&stage.send(&stage.delete("held", Some(0)), false).await).0, 200);
    let found = stage.reader.get(&pod("held")).await.expect("still there");
    assert!(found["metadata"]["deletionTimestamp"].is_string());
}

#[tokio::test]
async fn a_uid_that_is_not_the_objects_is_a_conflict_dry_and_live() {
    let stage = stage();
    let other = Uid::parse("11111111-1111-4111-8111-111111111111").expect("valid");
    let document = PatchDocument::Merge(json!({"metadata": {"labels": {"q": "1"}}}));
    let operations = PatchDocument::Operations(json!([{"op": "add", "path": "/metadata/labels/q", "value": "1"}]));
    for dry_run in [true, false] {
        for mutation in [
            Mutation::Delete {
                object: pod("a"),
                uid: other.clone(),
                resource_version: None,
                grace_period_seconds: Some(0),
                propagation: None,
            },
            Mutation::Evict { pod: pod("a"), uid: other.clone(), grace_period_seconds: None },
            Mutation::Patch { object: pod("a"), uid: other.clone(), document: document.clone() },
            Mutation::Patch { object: pod("a"), uid: other.clone(), document: operations.clone() },
            Mutation::Apply {
                object: object(policies(), "falco-theirs"),
                uid: Some(other.clone()),
                manifest: policy("falco-theirs", json!({})),
                force: true,
            },
            Mutation::Apply {
                object: object(policies(), "absent"),
                uid: Some(other.clone()),
                manifest: policy("absent", json!({})),
                force: false,
            },
        ] {
            let (code, reason) = code(&stage.send(&mutation, dry_run).await);
            assert_eq!((code, reason.as_str()), (409, "Conflict"), "{mutation:?}");
        }
    }
    // A real API server would answer that one after ten seconds.
    assert!(stage.simulation.requests().iter().all(|seen| !seen.path_and_query.contains("/eviction")));
}

#[tokio::test]
async fn applies_patches_creates_and_evicts() {
    let stage = stage();
    let isolated = json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": []});
    assert_eq!(code(&stage.send(&stage.apply("falco-x", isolated.clone(), false), false).await).0, 201);
    assert_eq!(code(&stage.send(&stage.apply("falco-x", isolated.clone(), false), false).await).0, 200);
    assert_eq!(
        code(&stage.send(&stage.apply("falco-theirs", isolated.clone(), false), false).await),
        (409, "Conflict".to_owned())
    );
    assert_eq!(code(&stage.send(&stage.apply("falco-theirs", isolated.clone(), true), false).await).0, 200);
    assert_eq!(
        code(&stage.send(&stage.apply("falco-y", json!({"polcyTypes": []}), false), false).await),
        (422, "Invalid".to_owned()),
        "a real API server says 500, which is no outage here"
    );
    let create = |name: &str| Mutation::Create {
        resource: policies(),
        namespace: Namespace::parse("p").ok(),
        name: ObjectName::parse(name).expect("valid"),
        manifest: policy(name, isolated.clone()),
    };
    assert_eq!(code(&stage.send(&create("falco-x"), false).await), (409, "AlreadyExists".to_owned()));
    assert_eq!(code(&stage.send(&create("falco-z"), false).await).0, 201);
    let evict = |name: &str| Mutation::Evict {
        pod: pod(name),
        uid: stage.uid(&format!("/api/v1/namespaces/p/pods/{name}")),
        grace_period_seconds: Some(1),
    };
    assert_eq!(code(&stage.send(&evict("b"), false).await), (429, "TooManyRequests".to_owned()));
    assert_eq!(code(&stage.send(&evict("a"), false).await).0, 201);
}

#[tokio::test]
async fn lists_by_labels_fields_and_pages() {
    let stage = stage();
    let select = |labels: Option<&str>, fields: Option<&str>, limit| Selection {
        namespace: Namespace::parse("p").ok(),
        labels: labels.map(str::to_owned),
        fields: fields.map(str::to_owned),
        limit,
        metadata_only: false,
    };
    let names = |list: Vec<Value>| list.iter().map(|item| text(item, "/metadata/name").to_owned()).collect::<Vec<_>>();
    assert_eq!(
        names(stage.reader.list(&ApiResource::pods(), &select(Some("app=x"), None, None)).await.expect("listed")),
        ["a"]
    );
    assert_eq!(
        names(
            stage
                .reader
                .list(&ApiResource::pods(), &select(None, Some("spec.nodeName=n1"), None))
                .await
                .expect("listed")
        ),
        ["b"]
    );
    assert_eq!(
        names(stage.reader.list(&ApiResource::pods(), &select(None, None, Some(2))).await.expect("listed")).len(),
        2
    );
    let metadata = Selection { metadata_only: true, ..select(None, None, None) };
    let found = stage.reader.list(&ApiResource::pods(), &metadata).await.expect("listed");
    assert_eq!((found.len(), found[0].get("spec"), &found[0]["kind"]), (3, None, &json!("PartialObjectMetadata")));
    // A selector is text from a plugin: it stays inside of its parameter.
    let odd = stage.reader.list(&ApiResource::pods(), &select(Some("app=x&limit=0#"), None, None)).await;
    assert!(matches!(odd, Err(ApiError::Status { code: 400, .. })), "it is no selector: {odd:?}");
    let asked = stage.simulation.requests().pop().expect("it was sent").path_and_query;
    assert!(asked.ends_with("labelSelector=app%3Dx%26limit%3D0%23"), "{asked}");
}

#[tokio::test]
async fn a_lost_answer_and_a_lost_request_look_the_same_from_here() {
    let stage = stage();
    for (kind, carried_out) in [(FaultKind::Hang, false), (FaultKind::LoseAnswer, true)] {
        stage.simulation.inject(Fault {
            method: Method::DELETE,
            path_prefix: "/api/v1/namespaces/p/pods/a".to_owned(),
            times: 1,
            kind,
        });
        let answer = stage.send(&stage.delete("a", Some(30)), false).await;
        assert!(matches!(answer, Err(ApiError::NoAnswer(_))), "{answer:?}");
        let found = stage.reader.get(&pod("a")).await.expect("there");
        assert_eq!(found["metadata"]["deletionTimestamp"].is_string(), carried_out);
    }
}

fn mutations(stage: &Stage) -> impl Strategy<Value = Mutation> + use<> {
    let uids: Vec<_> = ["a", "b", "held"]
        .iter()
        .map(|name| (pod(name), stage.uid(&format!("/api/v1/namespaces/p/pods/{name}"))))
        .collect();
    let target = prop::sample::select(uids);
    let labels = json!({"metadata": {"labels": {"q": "1"}}});
    prop_oneof![
        (target.clone(), prop::option::of(0_u32..40)).prop_map(|((object, uid), grace)| Mutation::Delete {
            object,
            uid,
            resource_version: None,
            grace_period_seconds: grace,
            propagation: None
        }),
        target.clone().prop_map(|(pod, uid)| Mutation::Evict { pod, uid, grace_period_seconds: Some(0) }),
        target.clone().prop_map(move |(object, uid)| Mutation::Patch {
            object,
            uid,
            document: PatchDocument::Merge(labels.clone())
        }),
        target.prop_map(|(object, uid)| Mutation::Patch {
            object,
            uid,
            document: PatchDocument::Operations(
                json!([{"op": "add", "path": "/metadata/annotations", "value": {"a": "b"}}])
            )
        }),
        "falco-[a-z]{1,3}".prop_map(|name| Mutation::Apply {
            object: object(policies(), &name),
            uid: None,
            manifest: policy(&name, json!({"egress": []})),
            force: true
        }),
        "falco-[a-z]{1,3}".prop_map(|name| Mutation::Create {
            resource: policies(),
            namespace: Namespace::parse("p").ok(),
            name: ObjectName::parse(&name).expect("valid"),
            manifest: policy(&name, json!({}))
        }),
    ]
}

#[test]
fn no_dry_run_changes_anything() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    // The client's buffer lives in the runtime it is made in.
    let stage = runtime.block_on(async { stage() });
    let before = stage.simulation.objects();
    proptest!(ProptestConfig::with_cases(64), |(all in prop::collection::vec(mutations(&stage), 1..6))| {
        let changes = || stage.simulation.requests().iter().filter(|seen| seen.method != Method::GET).count();
        let sent = changes();
        for mutation in &all {
            // Whatever the answer: it is the cluster that counts.
            let _ = runtime.block_on(stage.send(mutation, true));
        }
        prop_assert_eq!(changes(), sent + all.len(), "each was really sent");
        prop_assert_eq!(stage.simulation.objects(), before.clone());
    });
}

#[test]
fn a_no_is_final_where_it_is_about_the_object() {
    let is_transient = |code| {
        let (reason, message) = (String::new(), String::new());
        ApiError::Status { code, reason, message, retry_after: None }.is_transient()
    };
    assert!([400, 403, 404, 409, 413, 415, 422].into_iter().all(|code| !is_transient(code)));
    // Of 401: who asks is not known to the API server, or not yet.
    assert!([401, 429, 500, 502, 503, 504].into_iter().all(is_transient));
}
