use proptest::prelude::*;

use super::super::{Fault, FaultKind};
use super::*;

#[test]
fn lists_by_label_field_and_page() {
    let cluster = Cluster::new();
    let pods = "/api/v1/namespaces/production/pods";
    for (query, expected) in [
        ("", vec!["guarded", "held", "qi"]),
        ("?labelSelector=app%3Dqi", vec!["qi"]),
        ("?labelSelector=app%21%3Dqi%2Capp", vec!["guarded", "held"]),
        ("?labelSelector=%21app", vec![]),
        ("?labelSelector=app%20in%20%28qi%2Cheld%29", vec!["held", "qi"]),
        ("?labelSelector=app%20notin%20%28qi%2Cheld%29", vec!["guarded"]),
        ("?fieldSelector=spec.nodeName%3Dnode-1", vec!["qi"]),
        ("?fieldSelector=status.phase%3DRunning%2Cmetadata.name%21%3Dqi", vec!["guarded", "held"]),
    ] {
        assert_eq!(names(&cluster.get(&format!("{pods}{query}")).1), expected, "{query}");
    }
    let (_, first) = cluster.get(&format!("{pods}?limit=2"));
    assert_eq!((names(&first), &first["kind"]), (vec!["guarded", "held"], &json!("PodList")));
    let token = first["metadata"]["continue"].as_str().unwrap();
    let (_, last) = cluster.get(&format!("{pods}?limit=2&continue={token}"));
    assert_eq!((names(&last), last["metadata"].get("continue")), (vec!["qi"], None));
    assert_eq!(cluster.get(&format!("{pods}?fieldSelector=spec.colour%3Dred")).0, 400);
}

#[test]
fn deletes_only_what_the_preconditions_name() {
    let cluster = Cluster::new();
    let uid = cluster.uid(QI);
    let wrong = json!({ "gracePeriodSeconds": 0, "preconditions": { "uid": "other" } });
    let (code, status) = cluster.send("DELETE", QI, wrong);
    let message = format!(
        "Operation cannot be fulfilled on Pod \"qi\": the UID in the precondition (other) does not match the UID in \
         record ({uid}). The object might have been deleted and then recreated"
    );
    assert_eq!((code, &status["reason"], &status["message"]), (409, &json!("Conflict"), &json!(message)));
    let stale = json!({ "preconditions": { "uid": uid, "resourceVersion": "0" } });
    assert_eq!(cluster.send("DELETE", QI, stale).0, 409);
    let right = json!({ "gracePeriodSeconds": 0, "preconditions": { "uid": uid } });
    assert_eq!(cluster.send("DELETE", QI, right.clone()).0, 200);
    assert!(cluster.simulation.object(QI).is_none());
    assert_eq!(cluster.send("DELETE", QI, right).1["message"], "pods \"qi\" not found");
}

#[test]
fn a_delete_with_a_body_ignores_dry_run_in_the_query() {
    let cluster = Cluster::new();
    let path = format!("{QI}?dryRun=All");
    assert_eq!(cluster.send("DELETE", &path, Value::Null).0, 200);
    assert!(cluster.simulation.object(QI).unwrap()["metadata"].get("deletionTimestamp").is_none());
    assert_eq!(cluster.send("DELETE", QI, json!({ "dryRun": ["all"] })).0, 422);
    assert_eq!(cluster.send("DELETE", QI, json!({ "dryRun": ["All"], "gracePeriodSeconds": 0 })).0, 200);
    assert!(cluster.simulation.object(QI).is_some());
    assert_eq!(cluster.send("DELETE", &path, json!({ "gracePeriodSeconds": 0 })).0, 200);
    assert!(cluster.simulation.object(QI).is_none());
}

#[test]
fn a_pod_goes_when_its_grace_period_is_over() {
    let cluster = Cluster::new();
    let (code, pod) = cluster.send("DELETE", QI, json!({}));
    assert_eq!((code, &pod["metadata"]["deletionGracePeriodSeconds"]), (200, &json!(30)));
    assert_eq!(pod["metadata"]["deletionTimestamp"], "2026-03-01T12:00:30Z");
    let (_, pod) = cluster.send("DELETE", QI, json!({ "gracePeriodSeconds": 60 }));
    assert_eq!(pod["metadata"]["deletionGracePeriodSeconds"], 30);
    let (_, pod) = cluster.send("DELETE", QI, json!({ "gracePeriodSeconds": 5 }));
    assert_eq!(pod["metadata"]["deletionTimestamp"], "2026-03-01T12:00:05Z");
    cluster.pass(4);
    assert_eq!(cluster.get(QI).0, 200);
    cluster.pass(1);
    assert_eq!(cluster.get(QI).0, 404);
}

#[test]
fn finalizers_hold_an_object_until_the_last_is_removed() {
    let cluster = Cluster::new();
    let held = "/api/v1/namespaces/production/pods/held";
    assert_eq!(cluster.send("DELETE", held, json!({ "gracePeriodSeconds": 1 })).0, 200);
    cluster.pass(60);
    assert!(cluster.get(held).1["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(cluster.send("PATCH", &format!("merge {held}"), json!({ "metadata": { "finalizers": null } })).0, 200);
    assert_eq!(cluster.get(held).0, 404);
}

#[test]
fn eviction_asks_the_disruption_budget_and_reads_only_delete_options() {
    let cluster = Cluster::new();
    let evict = |name: &str, query: &str, extra: Value| {
        let mut body = json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": name } });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        cluster.send("POST", &format!("/api/v1/namespaces/production/pods/{name}/eviction{query}"), body)
    };
    let (code, status) = evict("guarded", "", json!({}));
    assert_eq!((code, &status["reason"]), (429, &json!("TooManyRequests")));
    assert_eq!(status["details"]["causes"][0]["reason"], "DisruptionBudget");
    assert_eq!(evict("qi", "", json!({ "deleteOptions": { "preconditions": { "uid": "other" } } })).0, 409);
    assert_eq!(evict("qi", "?dryRun=All", json!({})).0, 201);
    assert_eq!(evict("qi", "", json!({ "deleteOptions": { "dryRun": ["All"] } })).0, 201);
    assert!(cluster.simulation.object(QI).unwrap()["metadata"].get("deletionTimestamp").is_none());
    // The misspelt field means nothing: this is a live eviction.
    let misspelt = json!({ "delete_options": { "dryRun": ["All"], "preconditions": { "uid": "other" } } });
    assert_eq!(evict("qi", "", misspelt).0, 201);
    assert!(cluster.simulation.object(QI).unwrap()["metadata"]["deletionTimestamp"].is_string());
}

#[test]
fn creates_once_and_only_where_the_namespace_exists() {
    let cluster = Cluster::new();
    let mut ours = policy(json!([]));
    ours["metadata"] = json!({ "name": "ours" });
    assert_eq!(cluster.send("POST", POLICIES, ours.clone()).0, 201);
    let (code, status) = cluster.send("POST", POLICIES, ours.clone());
    let message = "networkpolicies.networking.k8s.io \"ours\" already exists";
    assert_eq!((code, status["message"].as_str()), (409, Some(message)));
    let (code, status) = cluster.send("POST", &POLICIES.replace("production", "nowhere"), ours.clone());
    assert_eq!((code, status["message"].as_str()), (404, Some("namespaces \"nowhere\" not found")));
    ours["metadata"]["name"] = json!("misspelt");
    ours["spec"]["polcyTypes"] = json!([]);
    let (code, status) = cluster.send("POST", &format!("{POLICIES}?fieldValidation=Strict"), ours);
    assert_eq!((code, status["message"].as_str().unwrap().contains("spec.polcyTypes")), (400, true));
}

#[test]
fn apply_creates_keeps_and_meets_conflicts() {
    let cluster = Cluster::new();
    let path = format!("{POLICIES}/ours");
    let apply = format!("apply {path}?fieldManager=frc");
    let (code, created) = cluster.send("PATCH", &apply, policy(json!([])));
    assert_eq!((code, created["spec"].get("egress")), (201, None), "an empty list is not stored");
    let (code, again) = cluster.send("PATCH", &apply, policy(json!([])));
    assert_eq!((code, &again["spec"]), (200, &created["spec"]));
    assert_eq!(again["metadata"]["generation"], 2, "but asking for it again is a change each time");
    // A person opens it: now egress is theirs.
    let open = json!({ "spec": { "egress": [{}] } });
    assert_eq!(cluster.send("PATCH", &format!("merge {path}?fieldManager=kubectl-edit"), open).0, 200);
    let (code, status) = cluster.send("PATCH", &apply, policy(json!([])));
    let message =
        "Apply failed with 1 conflict: conflict with \"kubectl-edit\" using networking.k8s.io/v1: .spec.egress";
    assert_eq!((code, status["message"].as_str()), (409, Some(message)));
    // Without egress there is nothing to conflict over, and the person's stays in force.
    let mut silent = policy(json!([]));
    silent["spec"].as_object_mut().unwrap().shift_remove("egress");
    let (code, kept) = cluster.send("PATCH", &apply, silent);
    assert_eq!((code, &kept["spec"]["egress"]), (200, &json!([{}])));
    let (code, forced) = cluster.send("PATCH", &format!("{apply}&force=true"), policy(json!([])));
    assert_eq!((code, forced["spec"].get("egress")), (200, None));
    let human = format!("apply {POLICIES}/human?fieldManager=frc");
    assert_eq!(cluster.send("PATCH", &human, policy(json!([]))).0, 409);
}

#[test]
fn a_uid_in_the_document_pins_the_object() {
    let cluster = Cluster::new();
    let pinned = json!({ "metadata": { "uid": "other", "labels": { "a": "b" } } });
    let (code, status) = cluster.send("PATCH", &format!("merge {QI}"), pinned);
    let message = "Pod \"qi\" is invalid: metadata.uid: Invalid value: \"other\": field is immutable";
    assert_eq!((code, status["message"].as_str()), (422, Some(message)));
    let test = json!([{ "op": "test", "path": "/metadata/uid", "value": "other" }]);
    assert_eq!(cluster.send("PATCH", &format!("json {QI}"), test).0, 422);
    let mut absent = policy(json!([]));
    absent["metadata"] = json!({ "uid": "other" });
    assert_eq!(cluster.send("PATCH", &format!("apply {POLICIES}/absent?fieldManager=frc"), absent.clone()).0, 409);
    assert_eq!(cluster.send("PATCH", &format!("apply {POLICIES}/human?fieldManager=frc&force=true"), absent).0, 422);
    // A cluster would do it.
    assert_eq!(cluster.send("PATCH", &format!("strategic-merge {QI}"), json!({})).0, 501);
    let right = json!({ "metadata": { "uid": cluster.uid(QI), "labels": { "quarantine": "true" } } });
    let (code, pod) = cluster.send("PATCH", &format!("merge {QI}"), right);
    assert_eq!((code, &pod["metadata"]["labels"]), (200, &json!({ "app": "qi", "quarantine": "true" })));
}

#[test]
fn refuses_collections_other_paths_and_other_methods() {
    let cluster = Cluster::new();
    for (method, path, code) in [
        ("DELETE", "/api/v1/namespaces/production/pods", 405),
        ("DELETE", "/api/v1/namespaces/production/pods/", 405),
        ("GET", "/api/v1/namespaces/production/pods/x/exec", 404),
        ("GET", "/api/v1/pods/x", 404),
        ("GET", "/apis/example.org/v1/things", 404),
        ("GET", "/metrics", 404),
        ("GET", "/api/v1/namespaces/production/pods/absent/log", 404),
        ("GET", "/api/v1/namespaces/production/pods/qi/log", 200),
        ("GET", "/version", 200),
        ("GET", "/readyz", 200),
    ] {
        assert_eq!(cluster.send(method, path, Value::Null).0, code, "{method} {path}");
    }
    assert_eq!(cluster.simulation.requests().len(), 10);
    assert_eq!(cluster.simulation.requests()[0].user_agent, "tester/1");
}

#[tokio::test]
async fn injected_faults_refuse_lose_the_answer_or_hang() {
    let cluster = Cluster::new();
    let inject = |kind| {
        let path_prefix = "/api/v1/namespaces/production/pods".into();
        cluster.simulation.inject(Fault { method: Method::DELETE, path_prefix, times: 1, kind });
    };
    let delete = || {
        let body = json!({ "gracePeriodSeconds": 0 }).to_string().into_bytes();
        cluster.simulation.respond(Request::delete(QI).body(body).unwrap())
    };
    inject(FaultKind::Refuse(http::StatusCode::SERVICE_UNAVAILABLE));
    assert_eq!(delete().await.unwrap().status(), 503);
    inject(FaultKind::Hang);
    assert!(tokio::time::timeout(std::time::Duration::from_millis(50), delete()).await.is_err());
    assert!(cluster.simulation.object(QI).is_some());
    inject(FaultKind::LoseAnswer);
    assert!(delete().await.is_err());
    assert!(cluster.simulation.object(QI).is_none());
}

#[tokio::test]
async fn serves_a_kube_client() {
    let client = kube::Client::new(Cluster::new().simulation, "default");
    let request = Request::get(QI).body(Vec::new()).unwrap();
    let pod: Value = client.request(request).await.unwrap();
    assert_eq!(pod["metadata"]["name"], "qi");
    let absent = Request::get(format!("{QI}-absent")).body(Vec::new()).unwrap();
    let error = client.request::<Value>(absent).await.unwrap_err();
    assert!(matches!(error, kube::Error::Api(status) if status.is_not_found()));
}

/// A dry request of any shape: method, path, body.
fn dry_request() -> impl Strategy<Value = (&'static str, String, Value)> {
    let name = prop::sample::select(vec!["qi", "held", "guarded", "absent"]);
    let policy_name = prop::sample::select(vec!["human", "new"]);
    let grace = prop::option::of(0..60_i64);
    let egress = prop::sample::select(vec![json!([]), json!([{}])]);
    (0..6, name, policy_name, grace, egress, any::<bool>()).prop_map(
        |(shape, name, policy_name, grace, egress, force)| {
            let pod = format!("/api/v1/namespaces/production/pods/{name}");
            let options = json!({ "gracePeriodSeconds": grace, "dryRun": ["All"] });
            let labels = json!({ "metadata": { "labels": { "a": "b" }, "finalizers": null } });
            let mut policy = policy(egress);
            match shape {
                0 => ("DELETE", pod, options),
                1 => {
                    let eviction = json!({ "apiVersion": "policy/v1", "kind": "Eviction", "deleteOptions": options });
                    ("POST", format!("{pod}/eviction?dryRun=All"), eviction)
                }
                2 => ("PATCH", format!("merge {pod}?dryRun=All"), labels),
                3 => {
                    policy["metadata"] = json!({ "name": policy_name });
                    ("POST", format!("{POLICIES}?dryRun=All"), policy)
                }
                4 => ("DELETE", format!("{pod}?dryRun=All"), Value::Null),
                _ => {
                    let query = format!("fieldManager=frc&dryRun=All&force={force}");
                    ("PATCH", format!("apply {POLICIES}/{policy_name}?{query}"), policy)
                }
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_dry_run_answers_like_a_live_one_and_changes_nothing((method, path, body) in dry_request()) {
        let cluster = Cluster::new();
        let before = cluster.simulation.objects();
        let (dry, _) = cluster.send(method, &path, body.clone());
        cluster.pass(3600);
        prop_assert_eq!(cluster.simulation.objects(), before);

        let live = Cluster::new();
        let mut body = body;
        for options in ["/dryRun", "/deleteOptions/dryRun"] {
            if let Some(values) = body.pointer_mut(options) {
                *values = json!([]);
            }
        }
        let (code, _) = live.send(method, &path.replace("dryRun=All", "x=y"), body);
        prop_assert_eq!(code, dry);
    }
}

/// The answer to the question whether the controller may do it.
fn may(cluster: &Cluster, attributes: Value) -> bool {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": { "resourceAttributes": attributes },
    });
    let (code, answer) = cluster.send("POST", super::super::access::PATH, review);
    assert_eq!(code, 201, "{answer}");
    answer["status"]["allowed"].as_bool().unwrap()
}

#[test]
fn says_what_the_bound_roles_say_of_the_controller_and_yes_where_none_are_bound() {
    let delete = |namespace: &str| json!({ "verb": "delete", "group": "", "resource": "pods", "namespace": namespace });
    assert!(may(&Cluster::new(), delete("anywhere")));
    let (ambient, clock) = fixed::at("2026-03-01T12:00:00.4Z");
    let role = |kind: &str, metadata: &str, rules: &str| {
        format!("---\napiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata: {metadata}\n{rules}\n")
    };
    let bind = |kind: &str, metadata: &str, subject: &str, role: &str| {
        format!(
            "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata: {metadata}\nsubjects: [{{kind: \
             ServiceAccount, name: {subject}, namespace: falco}}]\nroleRef: {role}\n"
        )
    };
    let own = "falco-response-controller";
    let text = [
        role(
            "Role",
            "{name: r, namespace: production}",
            "rules: [{apiGroups: [''], resources: [pods], verbs: [delete]}]",
        ),
        role("Role", "{name: r, namespace: staging}", "rules: [{apiGroups: ['*'], resources: ['*'], verbs: ['*']}]"),
        role(
            "ClusterRole",
            "{name: c}",
            "rules: [{apiGroups: [''], resources: [nodes, '*/log'], resourceNames: [n1], verbs: [get]}]",
        ),
        bind("RoleBinding", "{name: b, namespace: production}", own, "{kind: Role, name: r}"),
        bind("RoleBinding", "{name: b, namespace: staging}", "somebody-else", "{kind: Role, name: r}"),
        bind("ClusterRoleBinding", "{name: b}", own, "{kind: ClusterRole, name: c}"),
    ];
    let cluster = Cluster { simulation: Simulation::from_yaml(&text.concat(), &ambient).unwrap(), clock };
    assert!(may(&cluster, delete("production")));
    assert!(!may(&cluster, delete("staging")), "bound to somebody else");
    assert!(!may(&cluster, delete("")), "bound in one namespace");
    let get = |resource: &str, name: &str| json!({ "verb": "get", "group": "", "resource": resource, "name": name });
    assert!(may(&cluster, get("nodes", "n1")));
    assert!(!may(&cluster, get("nodes", "n2")) && !may(&cluster, get("nodes", "")));
    let log = json!({ "verb": "get", "group": "", "resource": "pods", "subresource": "log", "name": "n1" });
    assert!(may(&cluster, log));
}
