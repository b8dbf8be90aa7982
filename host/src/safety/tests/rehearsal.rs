//! A dry chain reads and answers what a live one does: for chains of any calls, and for the few that matter by name.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::cluster::{LogOptions, PatchDocument, Selection};

/// One action of a chain, and how many seconds later the next one begins.
#[derive(Debug, Clone)]
struct Action {
    calls: Vec<Call>,
    wait: i64,
}

#[derive(Debug, Clone)]
enum Call {
    Get(&'static str, &'static str),
    Query(&'static str, Selection),
    Logs(&'static str),
    Create(&'static str, &'static str, bool),
    Apply(&'static str, &'static str, usize),
    Merge(&'static str, &'static str, usize),
    Operations(&'static str, &'static str, usize),
    Delete(&'static str, &'static str, Option<u32>),
    Evict(&'static str, Option<u32>),
}

const PLURALS: [&str; 4] = ["pods", "configmaps", "deployments", "networkpolicies"];
const NAMES: [&str; 6] = ["target", "target", "other", "web", "new", "falco-emergency-isolation"];

fn resource(plural: &str) -> ApiResource {
    let group = match plural {
        "deployments" => "apps",
        "networkpolicies" => "networking.k8s.io",
        _ => "",
    };
    ApiResource::parse(group, "v1", plural).expect("valid")
}

fn manifest(plural: &str, name: &str, ours: bool) -> Value {
    let (kind, rest) = match plural {
        "pods" => ("Pod", json!({"containers": [{"name": "c", "image": "d"}]})),
        "deployments" => ("Deployment", json!({"replicas": 1})),
        "networkpolicies" => ("NetworkPolicy", json!({"podSelector": {}, "policyTypes": ["Egress"]})),
        _ => ("ConfigMap", Value::Null),
    };
    let labels = if ours { json!({"app.kubernetes.io/managed-by": "falco-response-controller"}) } else { json!({}) };
    let mut object = json!({
        "apiVersion": resource(plural).api_version(), "kind": kind, "metadata": {"name": name, "labels": labels},
    });
    let key = if plural == "configmaps" { "data" } else { "spec" };
    object[key] = if rest.is_null() { json!({"a": "1"}) } else { rest };
    object
}

const DOCUMENTS: usize = 6;

fn merged(number: usize) -> Value {
    match number {
        0 => json!({"metadata": {"labels": {"quarantine": "yes"}}}),
        1 => json!({"metadata": {"labels": {"quarantine": null, "app": "other"}}}),
        2 => json!({"metadata": {"annotations": {"seen": "once"}, "labels": {"app": null}}}),
        3 => json!({"metadata": {"labels": {"no label": "!"}}}),
        4 => json!({"metadata": {"finalizers": ["example.org/kept"]}}),
        _ => json!({"metadata": {"finalizers": null, "labels": null}}),
    }
}

fn operations(number: usize) -> Value {
    match number {
        0 => json!([{"op": "add", "path": "/metadata/labels", "value": {"quarantine": "yes"}}]),
        1 => json!([{"op": "test", "path": "/metadata/labels/quarantine", "value": "yes"},
            {"op": "remove", "path": "/metadata/labels/quarantine"}]),
        2 => json!([{"op": "replace", "path": "/metadata/labels/app", "value": "other"}]),
        3 => json!([{"op": "add", "path": "/metadata/annotations", "value": {"seen": "twice"}}]),
        4 => json!([{"op": "remove", "path": "/metadata/annotations/seen"}]),
        _ => json!([{"op": "remove", "path": "/metadata/labels"}]),
    }
}

fn call() -> impl Strategy<Value = Call> {
    let of = || (prop::sample::select(PLURALS.to_vec()), prop::sample::select(NAMES.to_vec()));
    let pod = || prop::sample::select(vec!["target", "other", "new"]);
    let grace = || prop::sample::select(vec![None, Some(0), Some(1), Some(30)]);
    let labels = vec![None, Some("app=web"), Some("quarantine"), Some("app!=web,!quarantine"), Some("app in (other)")];
    let selection = (
        prop::sample::select(labels),
        prop::sample::select(vec![None, Some(1), Some(2)]),
        any::<bool>(),
        any::<bool>(),
    );
    prop_oneof![
        of().prop_map(|(plural, name)| Call::Get(plural, name)),
        (of(), selection).prop_map(|((plural, _), (labels, limit, metadata_only, everywhere))| {
            let namespace = (!everywhere).then(|| Namespace::parse("production").expect("valid"));
            let labels = labels.map(str::to_owned);
            Call::Query(plural, Selection { namespace, labels, fields: None, limit, metadata_only })
        }),
        pod().prop_map(Call::Logs),
        (of(), any::<bool>()).prop_map(|((plural, name), ours)| Call::Create(plural, name, ours)),
        (of(), 0..3_usize).prop_map(|((plural, name), form)| Call::Apply(plural, name, form)),
        (of(), 0..DOCUMENTS).prop_map(|((plural, name), number)| Call::Merge(plural, name, number)),
        (of(), 0..DOCUMENTS).prop_map(|((plural, name), number)| Call::Operations(plural, name, number)),
        (of(), grace()).prop_map(|((plural, name), grace)| Call::Delete(plural, name, grace)),
        (pod(), grace()).prop_map(|(name, grace)| Call::Evict(name, grace)),
    ]
}

fn chain() -> impl Strategy<Value = Vec<Action>> {
    let action = (prop::collection::vec(call(), 1..6), prop::sample::select(vec![0, 0, 1, 31]));
    prop::collection::vec(action.prop_map(|(calls, wait)| Action { calls, wait }), 1..4)
}

fn production(plural: &str, name: &str) -> ObjectRef {
    object(resource(plural), "production", name)
}

impl Call {
    async fn make(&self, stage: &Stage, run: &Arc<Run>) -> Result<Value, CallError> {
        let change = |change| stage.gate.change(run, change);
        match self {
            Self::Get(plural, name) => stage.gate.get(run, &production(plural, name)).await,
            Self::Query(plural, selection) => {
                stage.gate.query(run, &resource(plural), selection).await.map(Value::from)
            }
            Self::Logs(name) => stage.gate.logs(run, &pod(name), &LogOptions::default()).await.map(Value::from),
            Self::Create(plural, name, ours) => {
                let (resource, namespace) = (resource(plural), Namespace::parse("production").ok());
                change(Change::Create { resource, namespace, manifest: manifest(plural, name, *ours) }).await
            }
            Self::Apply(plural, name, form) => {
                let mut manifest = manifest(plural, name, true);
                if *form > 0 {
                    manifest["metadata"]["labels"]["form"] = json!(form.to_string());
                }
                change(Change::Apply { object: production(plural, name), manifest, force: *form > 1 }).await
            }
            Self::Merge(plural, name, number) => {
                let document = PatchDocument::Merge(merged(*number));
                change(Change::Patch { object: production(plural, name), document }).await
            }
            Self::Operations(plural, name, number) => {
                let document = PatchDocument::Operations(operations(*number));
                change(Change::Patch { object: production(plural, name), document }).await
            }
            Self::Delete(plural, name, grace) => {
                let (object, grace_period_seconds) = (production(plural, name), *grace);
                // Of what is deleted the API server's answer is not handed on.
                change(Change::Delete { object, grace_period_seconds, propagation: None }).await.map(|_| Value::Null)
            }
            Self::Evict(name, grace) => {
                change(Change::Evict { pod: pod(name), grace_period_seconds: *grace }).await.map(|_| Value::Null)
            }
        }
    }
}

/// Without what differs from one making to the next.
fn settled(mut value: Value) -> Value {
    match &mut value {
        Value::Object(map) => {
            if let Some(metadata) = map.get_mut("metadata").and_then(Value::as_object_mut) {
                for theirs in ["uid", "resourceVersion", "generation"] {
                    metadata.shift_remove(theirs);
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|item| *item = settled(item.take())),
        _ => {}
    }
    value.sort_all_objects();
    value
}

/// What the chain found and did, action by action.
async fn played(chain: &[Action], dry_run: bool) -> Vec<String> {
    let stage = stage();
    let overlay = Overlay::default();
    let mut told = Vec::new();
    for action in chain {
        let reader = if dry_run { stage.reader.rehearsing(&overlay) } else { stage.reader.clone() };
        match stage.clear_by(&reader).await {
            Err(NotCleared::Refused(refusal)) => told.push(format!("refused: {}", refusal.check.id())),
            Err(NotCleared::NoAnswer(error)) => told.push(format!("no answer: {error}")),
            Ok(cleared) => {
                let run = stage.run_on(cleared, granted(&ALL_FIELDS), dry_run, &overlay);
                for call in &action.calls {
                    told.push(match call.make(&stage, &run).await {
                        Ok(answer) => format!("{call:?}: {}", settled(answer)),
                        Err(error) => format!("{call:?}: {:?}", error.reason),
                    });
                }
                told.extend(run.calls().iter().map(|call| format!("{} {}", call.object(), call.effect.as_str())));
            }
        }
        stage.wait(action.wait);
    }
    told
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn a_dry_chain_reads_and_answers_what_a_live_one_does(chain in chain()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            let (dry, live) = (played(&chain, true).await, played(&chain, false).await);
            prop_assert_eq!(dry, live);
            Ok(())
        })?;
    }
}

/// A dry run, and the stage that it is on.
async fn dry() -> (Stage, Arc<Run>) {
    let stage = stage();
    let run = stage.run(granted(&ALL_FIELDS), true).await;
    (stage, run)
}

async fn all(stage: &Stage, run: &Arc<Run>, calls: &[Call]) -> Vec<Result<Value, Reason>> {
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.make(stage, run).await.map_err(|error| error.reason));
    }
    answers
}

fn named(labels: &str) -> Call {
    let selection = Selection { labels: Some(labels.to_owned()), ..in_production() };
    Call::Query("pods", selection)
}

fn in_production() -> Selection {
    Selection { namespace: Namespace::parse("production").ok(), metadata_only: true, ..Selection::default() }
}

fn names(answer: &Result<Value, Reason>) -> Vec<&str> {
    let items = answer.as_ref().expect("a list").as_array().expect("a list");
    items.iter().filter_map(|item| item["metadata"]["name"].as_str()).collect()
}

#[tokio::test]
async fn what_was_created_is_there_and_cannot_be_created_twice() {
    let (stage, run) = dry().await;
    let create = Call::Create("configmaps", "new", false);
    let calls = [create.clone(), Call::Get("configmaps", "new"), create, Call::Query("configmaps", in_production())];
    let answers = all(&stage, &run, &calls).await;
    assert_eq!(answers[1].as_ref().expect("there")["data"], json!({"a": "1"}));
    assert_eq!(answers[0], answers[1], "the plugin is not told that it was dry");
    assert_eq!(answers[2], Err(Reason::AlreadyExists));
    assert_eq!(names(&answers[3]), ["new"]);
    assert!(stage.simulation.object("/api/v1/namespaces/production/configmaps/new").is_none());
}

#[tokio::test]
async fn what_was_patched_reads_so_and_is_found_by_its_labels() {
    let (stage, run) = dry().await;
    let calls = [
        Call::Merge("pods", "target", 0),
        Call::Get("pods", "target"),
        named("quarantine=yes"),
        Call::Merge("pods", "target", 1),
        named("quarantine=yes"),
        named("app=web"),
        Call::Operations("pods", "target", 2),
    ];
    let answers = all(&stage, &run, &calls).await;
    let labels = &answers[1].as_ref().expect("there")["metadata"]["labels"];
    assert_eq!(*labels, json!({"app": "web", "tier": "front", "quarantine": "yes"}));
    assert_eq!(names(&answers[2]), ["target"]);
    assert!(names(&answers[4]).is_empty());
    assert_eq!(names(&answers[5]), ["other"]);
    // What the API server was asked the second time holds the first change, too, and not more than both.
    let requests = stage.simulation.requests();
    let patches: Vec<_> = requests.iter().filter(|seen| seen.method == Method::PATCH).collect();
    assert!(patches.iter().all(|seen| seen.path_and_query.contains("dryRun=All")), "{patches:#?}");
    assert_eq!(patches[1].body["metadata"]["labels"], json!({"app": "other"}));
    assert_eq!(patches[1].body.as_object().map(serde_json::Map::len), Some(1), "{}", patches[1].body);
}

#[tokio::test]
async fn what_was_deleted_is_gone_or_going() {
    let (stage, run) = dry().await;
    let calls = [
        Call::Delete("pods", "target", Some(0)),
        Call::Get("pods", "target"),
        Call::Delete("pods", "target", Some(0)),
        Call::Logs("target"),
    ];
    let answers = all(&stage, &run, &calls).await;
    assert_eq!(answers[1..4], [Err(Reason::NotFound), Err(Reason::NotFound), Err(Reason::NotFound)]);
    assert_eq!(run.calls()[2].effect, Effect::Gone, "as it would be live");

    let (stage, run) = dry().await;
    let answers = all(&stage, &run, &[Call::Delete("pods", "target", Some(30)), Call::Get("pods", "target")]).await;
    assert_eq!(answers[1].as_ref().expect("going")["metadata"]["deletionTimestamp"], "2026-11-24T12:00:30Z");
    stage.wait(31);
    assert_eq!(all(&stage, &run, &[Call::Get("pods", "target")]).await, [Err(Reason::NotFound)]);
    assert!(stage.simulation.object(&path("target")).is_some());
}

#[tokio::test]
async fn the_next_action_of_a_chain_is_refused_what_it_will_be_refused() {
    let stage = stage();
    let overlay = Overlay::default();
    let kill = Call::Delete("pods", "target", Some(1));
    let run = stage.run_on(stage.cleared().await, granted(&[]), true, &overlay);
    kill.make(&stage, &run).await.expect("permitted");
    let check = |cleared: Result<Cleared, NotCleared>| match cleared {
        Err(NotCleared::Refused(refusal)) => refusal.check.id(),
        other => panic!("{other:?}"),
    };
    assert_eq!(check(stage.clear_by(&stage.reader.rehearsing(&overlay)).await), "already_deleting");
    stage.wait(2);
    assert_eq!(check(stage.clear_by(&stage.reader.rehearsing(&overlay)).await), "pod_absent");
    // Another alert, and whoever reads without the overlay, sees the cluster.
    assert!(stage.clear_by(&stage.reader.rehearsing(&Overlay::default())).await.is_ok());
    assert!(stage.try_clear().await.is_ok());
}

#[tokio::test]
async fn a_live_run_never_sees_what_was_rehearsed() {
    let stage = stage();
    let overlay = Overlay::default();
    let rehearsal = stage.run_on(stage.cleared().await, granted(&[]), true, &overlay);
    Call::Delete("pods", "target", Some(0)).make(&stage, &rehearsal).await.expect("permitted");
    let live = stage.run_on(stage.cleared().await, granted(&[]), false, &overlay);
    let calls = [Call::Get("pods", "target"), Call::Delete("pods", "target", Some(0)), Call::Get("pods", "target")];
    let answers = all(&stage, &live, &calls).await;
    assert!(answers[0].is_ok() && answers[1].is_ok(), "{answers:?}");
    assert_eq!(answers[2], Err(Reason::NotFound));
    assert!(stage.simulation.object(&path("target")).is_none());
}

#[tokio::test]
async fn no_record_names_an_object_that_exists_in_the_rehearsal_alone() {
    let (stage, run) = dry().await;
    let calls = [
        Call::Create("configmaps", "new", false),
        Call::Get("configmaps", "new"),
        Call::Merge("configmaps", "new", 0),
        Call::Delete("configmaps", "new", None),
        Call::Create("configmaps", "new", false),
        Call::Delete("configmaps", "new", None),
    ];
    let answers = all(&stage, &run, &calls).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert!(run.calls().iter().all(|call| call.uid.is_none()), "{:#?}", run.calls());
}

#[tokio::test]
async fn what_has_another_uid_by_now_is_not_what_was_rehearsed_on() {
    let (stage, run) = dry().await;
    all(&stage, &run, &[Call::Merge("pods", "other", 0)]).await[0].as_ref().expect("permitted");
    let live = stage.run(granted(&ALL_FIELDS), false).await;
    let again = [Call::Delete("pods", "other", Some(0)), Call::Create("pods", "other", false)];
    assert!(all(&stage, &live, &again).await.iter().all(Result::is_ok));
    let found = all(&stage, &run, &[Call::Get("pods", "other"), named("quarantine")]).await;
    assert_eq!(found[0].as_ref().expect("there")["metadata"].get("labels"), None);
    assert!(names(&found[1]).is_empty());
}

#[tokio::test]
async fn what_others_change_meanwhile_shows() {
    let (stage, run) = dry().await;
    all(&stage, &run, &[Call::Merge("pods", "other", 0)]).await[0].as_ref().expect("permitted");
    let live = stage.run(granted(&ALL_FIELDS), false).await;
    all(&stage, &live, &[Call::Operations("pods", "other", 3)]).await[0].as_ref().expect("permitted");
    let found = &all(&stage, &run, &[Call::Get("pods", "other")]).await[0];
    let metadata = &found.as_ref().expect("there")["metadata"];
    assert_eq!((&metadata["labels"]["quarantine"], &metadata["annotations"]["seen"]), (&json!("yes"), &json!("twice")));
}

#[tokio::test]
async fn what_the_account_may_not_do_is_refused_where_the_api_server_cannot_be_asked_to_do_it() {
    const ROLE: &str = r"
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: some, namespace: production}
rules: [{apiGroups: [''], resources: [configmaps], verbs: [create, get, patch]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: some, namespace: production}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: some}
subjects: [{kind: ServiceAccount, name: falco-response-controller, namespace: falco}]
";
    let stage = stage_of(&format!("{MANIFESTS}{ROLE}"), None);
    let run = stage.run(granted(&ALL_FIELDS), true).await;
    let calls = [
        Call::Create("configmaps", "new", false),
        Call::Merge("configmaps", "new", 0),
        Call::Delete("configmaps", "new", None),
    ];
    let answers = all(&stage, &run, &calls).await;
    assert!(answers[1].is_ok(), "{answers:?}");
    assert_eq!(answers[2], Err(Reason::Denied));
}

#[tokio::test]
async fn what_would_grow_without_end_is_not_rehearsed() {
    let (stage, run) = dry().await;
    let patched = |document| stage.gate.change(&run, Change::Patch { object: production("pods", "target"), document });
    let labelled = json!({"metadata": {"annotations": {"falco-response/x": "y"}}});
    patched(PatchDocument::Merge(labelled)).await.expect("a first change");
    let doubled: Vec<_> = (0..40)
        .map(|n| json!({"op": "copy", "from": "/metadata/annotations", "path": format!("/metadata/annotations/falco-response~1{n}")}))
        .collect();
    let refused = patched(PatchDocument::Operations(doubled.into())).await.expect_err("not rehearsed");
    assert!(matches!(refused.reason, Reason::TooLarge | Reason::Denied), "{refused:?}");
}
