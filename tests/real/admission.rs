//! The admission policies that `rbac --admission` prints. The account may do everything as far as RBAC is concerned, so
//! that what is refused the policies refuse.

use std::time::{Duration, Instant};

use integration_tests::account::{Account, create_all};
use integration_tests::alerts::{self, MINER, POOL};
use integration_tests::cluster::Cluster;
use integration_tests::http::Answer;
use serde_json::{Value, json};

use crate::house::{House, Plan};
use crate::lane::{bare_pod, cluster, name, plan, pod_of, pods, versions, workload, workloads};
use crate::rbac::{self, MERGE};

const PLAIN: &str = "application/json";
const CONFIG_MAP: &str = "response-controller-config";

struct Fence {
    account: Account,
    /// Of the account and its ConfigMap.
    home: String,
}

impl Fence {
    /// The policies of this plan, in force, with `config` in the ConfigMap.
    fn new(cluster: &Cluster, plan: &Plan, namespace: &str, config: &str) -> Self {
        let home = format!("{namespace}-falco");
        let account = rbac::account(cluster, plan, &home);
        let subject = json!({"kind": "ServiceAccount", "name": rbac::NAME, "namespace": home});
        let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"});
        let binding = json!({"metadata": {"name": format!("all-{home}")}, "roleRef": role, "subjects": [subject]});
        cluster.create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", &binding).unwrap();
        let map = json!({"metadata": {"name": CONFIG_MAP}, "data": {"config.yaml": config}});
        cluster.create(&format!("/api/v1/namespaces/{home}/configmaps"), &map).unwrap();
        create_all(cluster, &rbac::printed(plan, &home, &["--admission"])).unwrap();
        let fence = Self { account, home };
        let secret = json!({"metadata": {"name": "x"}});
        let secrets = "/api/v1/namespaces/default/secrets?dryRun=All";
        fence.until("the policy is in force", || {
            is_fenced(&fence.send("POST", secrets, PLAIN, &secret), "no configured")
        });
        fence
    }

    fn send(&self, method: &str, path: &str, kind: &str, body: &Value) -> Answer {
        self.account.raw(method, path, kind, body).unwrap()
    }

    fn until(&self, what: &str, done: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !done() {
            assert!(Instant::now() < deadline, "{what}: not within 30 s");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn start(&self, plan: Plan) -> House {
        plan.cluster(&self.account.spec()).start()
    }
}

/// Whether a policy of ours said no, with these words.
fn is_fenced(answer: &Answer, words: &str) -> bool {
    answer.status == 422 && answer.body.contains("ValidatingAdmissionPolicy") && answer.body.contains(words)
}

fn assert_fenced(answer: &Answer, words: &str) {
    assert!(is_fenced(answer, words), "{words}: {} {}", answer.status, answer.body);
}

/// What came of an action that the API server refused.
fn assert_denied(entry: &Value, words: &str) {
    assert_eq!(
        (entry["outcome"].as_str(), entry["failure"].as_str(), entry["changed"].as_bool()),
        (Some("failed"), Some("denied"), Some(false)),
        "{entry}"
    );
    assert!(entry.to_string().contains(words), "{words}: {entry}");
}

const LIVE: &str = "dryrun: false\n";

#[test]
fn lets_the_controller_do_its_work() {
    let Some(cluster) = cluster() else { return };
    cluster.namespace("work").unwrap();
    let plan = plan(cluster, &["work"]);
    let fence = Fence::new(cluster, &plan, "work", LIVE);
    let house = fence.start(plan);
    cluster.create(&workloads("work", "deployments"), &workload("checkout", &json!({"replicas": 1}))).unwrap();
    let pod = pod_of(cluster, "work", "checkout");
    let entry = house.record_of(&alerts::about(MINER, "work", name(&pod)));
    assert_eq!(entry["outcome"], "done", "{entry}");
    assert_eq!(house.wait_for_followup(&entry)["followup"], "gone");
    let entry = house.record_of(&alerts::about(POOL, "work", "miner"));
    assert_eq!((entry["outcome"].as_str(), entry["isolation"].as_str()), (Some("done"), Some("full")), "{entry}");
    let again = house.record_of(&alerts::about(POOL, "work", "miner-2"));
    assert_eq!(again["outcome"], "skipped", "{again}");
    lifts_what_is_ours_as_it_was_read(cluster, &fence, "work");
    // What it asks about itself is answered.
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}});
    let answer = fence.send("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", PLAIN, &review);
    assert_eq!(answer.status, 201, "{}", answer.body);
}

/// The fence alone: the account may delete everything, as far as RBAC is concerned.
fn lifts_what_is_ours_as_it_was_read(cluster: &Cluster, fence: &Fence, namespace: &str) {
    let path = format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies/falco-emergency-isolation");
    let found = cluster.get(&path).unwrap()["metadata"].clone();
    let (uid, version) = (&found["uid"], &found["resourceVersion"]);
    let delete = |preconditions: Value| fence.send("DELETE", &path, PLAIN, &json!({"preconditions": preconditions}));
    assert_fenced(&delete(json!({"uid": uid})), "is ours, and as it was read");
    assert_fenced(&delete(json!({"resourceVersion": version})), "names the UID");
    let label = |value: &str| json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": value}}});
    let foreign = cluster.merge(&path, &label("Helm")).unwrap()["metadata"]["resourceVersion"].clone();
    assert_fenced(&delete(json!({"uid": uid, "resourceVersion": foreign})), "is ours, and as it was read");
    let ours =
        cluster.merge(&path, &label("falco-response-controller")).unwrap()["metadata"]["resourceVersion"].clone();
    assert_eq!(delete(json!({"uid": uid, "resourceVersion": foreign})).status, 409);
    let answer = delete(json!({"uid": uid, "resourceVersion": ours}));
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[test]
fn holds_when_the_gate_does_not() {
    let Some(cluster) = cluster() else { return };
    for namespace in ["alone", "alone-other"] {
        cluster.namespace(namespace).unwrap();
    }
    let plan = || plan(cluster, &["alone"]);
    let fence = Fence::new(cluster, &plan(), "alone", LIVE);
    cluster.create(&workloads("alone", "daemonsets"), &workload("agent", &json!({}))).unwrap();
    let stateful = json!({"serviceName": "database", "replicas": 1});
    cluster.create(&workloads("alone", "statefulsets"), &workload("database", &stateful)).unwrap();
    bare_pod(cluster, "alone-other", "debug", &json!({}));
    bare_pod(cluster, "alone", "debug", &json!({}));
    let owned = ["agent", "database"].map(|app| pod_of(cluster, "alone", app));
    let lists = [pods("alone"), pods("alone-other")];
    let before = versions(cluster, &lists);
    // The fault is there: with this binary nothing but the API server says no.
    let house = fence.start(plan().fault("gate_off"));
    for pod in &owned {
        assert_denied(&house.record_of(&alerts::about(MINER, "alone", name(pod))), "protected owner");
    }
    assert_denied(&house.record_of(&alerts::about(MINER, "alone-other", "debug")), "no configured action");
    assert_denied(&house.record_of(&alerts::about(POOL, "kube-system", "x")), "no configured action");
    assert_eq!(versions(cluster, &lists), before);
    let entry = house.record_of(&alerts::about(MINER, "alone", "debug"));
    assert_eq!(entry["outcome"], "done", "what is allowed is done, by the same binary: {entry}");
}

#[test]
fn holds_a_hostile_plugin_when_the_gate_does_not() {
    let Some(cluster) = cluster() else { return };
    cluster.namespace("raid").unwrap();
    let plan = |behaviour: &str| {
        let rule = format!("    action: hostile\n    parameters: {{{behaviour}}}\n");
        plan(cluster, &["raid"]).hostile().replace("    action: kill_pod\n", &rule)
    };
    let fence = Fence::new(cluster, &plan("behaviour: label"), "raid", LIVE);
    bare_pod(cluster, "raid", "debug", &json!({"labels": {"app": "debug"}}));
    bare_pod(cluster, "raid", "other", &json!({}));
    let lists = [pods("raid"), "/apis/networking.k8s.io/v1/namespaces/raid/networkpolicies".to_owned()];
    let before = versions(cluster, &lists);
    for (behaviour, words) in [
        ("behaviour: delete_other_pod, name: other", "names the UID"),
        ("behaviour: evict_target", "no configured action"),
        ("behaviour: owner_references", "ownerReferences and finalizers"),
        ("behaviour: finalizers", "ownerReferences and finalizers"),
        ("behaviour: json_patch_owner", "ownerReferences and finalizers"),
        ("behaviour: strategic", "new labels and annotations"),
        ("behaviour: foreign_policy", "no configured action"),
        ("behaviour: open_policy", "allows nothing"),
        ("behaviour: create_pod", "no configured action"),
        ("behaviour: create_daemonset", "no configured action"),
    ] {
        let house = fence.start(plan(behaviour).fault("gate_off"));
        assert_denied(&house.record_of(&alerts::about(MINER, "raid", "debug")), words);
        assert_eq!(versions(cluster, &lists), before, "{behaviour}");
    }
    let house = fence.start(plan("behaviour: label").fault("gate_off"));
    let entry = house.record_of(&alerts::about(MINER, "raid", "debug"));
    assert_eq!(entry["outcome"], "done", "{entry}");
}

#[test]
fn lets_through_dry_runs_only_unless_the_config_map_says_otherwise() {
    let Some(cluster) = cluster() else { return };
    cluster.namespace("week").unwrap();
    let rule = "    action: hostile\n    parameters: {behaviour: label}\n";
    let plan = || plan(cluster, &["week"]).hostile().replace("    action: kill_pod\n", rule);
    let fence = Fence::new(cluster, &plan(), "week", "dryrun: true\n");
    bare_pod(cluster, "week", "debug", &json!({}));
    let path = format!("{}/debug", pods("week"));
    let annotate = |query: &str, value: &str| {
        fence.send("PATCH", &format!("{path}{query}"), MERGE, &json!({"metadata": {"annotations": {"seen": value}}}))
    };
    let words = "only dry runs";
    fence.until("the second policy is in force", || is_fenced(&annotate("", "0"), words));
    assert_eq!(annotate("?dryRun=All", "0").status, 200);
    // The gate is off, and so is its dry run: what it sends is live.
    let entry = fence.start(plan().fault("gate_off")).record_of(&alerts::about(MINER, "week", "debug"));
    assert_denied(&entry, words);
    let map = format!("/api/v1/namespaces/{}/configmaps/{CONFIG_MAP}", fence.home);
    let set = |data: &Value| drop(cluster.merge(&map, &json!({"data": data})).unwrap());
    let (live, dry) =
        (json!({"config.yaml": LIVE, "stop": null}), json!({"config.yaml": "dryrun: true\n", "stop": null}));
    let is_live = |number: usize| annotate("", &number.to_string()).status == 200;
    for (number, text) in [
        "allowed_namespaces: [a]\ndryrun: false # since Monday\nrules: []\n",
        "---\ndryrun:   false\r\nrules:\n  - name: x\n    dryrun: true\n",
        "# dryrun: true\nidentity: name\ndryrun:\tfalse \t\n",
    ]
    .into_iter()
    .enumerate()
    {
        set(&dry);
        fence.until("dry", || is_fenced(&annotate("", &format!("dry-{number}")), words));
        set(&json!({"config.yaml": text}));
        fence.until(text, || is_live(number));
    }
    for (number, data) in [
        json!({"config.yaml": "rules: []\n"}),
        json!({"config.yaml": "# dryrun: false\nrules: []\n"}),
        json!({"config.yaml": "rules:\n  - name: x\n    dryrun: false\n"}),
        json!({"config.yaml": " dryrun: false\n"}),
        json!({"config.yaml": "dryrun: falsehood\n"}),
        json!({"config.yaml": "dryrun: False\n"}),
        json!({"config.yaml": "dryrun : false\n"}),
        json!({"config.yaml": "'dryrun': false\n"}),
        json!({"config.yaml": "? dryrun\n: false\n"}),
        json!({"config.yaml": "dryrun:\n  false\n"}),
        json!({"config.yaml": "dryrun: false#\n"}),
        json!({"config.yaml": "dryrun: \"false\"\n"}),
        json!({"config.yaml": "dryrun: false\ndryrun: true\n"}),
        json!({"config.yaml": "dryrun: false\n\"dryrun\": true\n"}),
        json!({"config.yaml": "rules: []\n---\ndryrun: false\n"}),
        json!({"config.yaml": LIVE, "stop": ""}),
        json!({"config.yaml": null, "other.yaml": LIVE}),
    ]
    .into_iter()
    .enumerate()
    {
        set(&live);
        fence.until("live", || is_live(number + 100));
        set(&data);
        fence.until(&data.to_string(), || is_fenced(&annotate("", &format!("x-{number}")), words));
    }
}

#[test]
fn lets_through_what_is_granted_and_not_what_no_grant_can_open() {
    let Some(cluster) = cluster() else { return };
    cluster.namespace("grants").unwrap();
    let grants = r#"plugins:
  grants:
    hostile:
      - {apiGroups: [apps], resources: [deployments, statefulsets], verbs: [patch], scope: namespace, fields: [spec.replicas, metadata.finalizers]}
      - {apiGroups: [""], resources: [configmaps], verbs: [delete], resourceNames: [granted], scope: namespace}
      - {apiGroups: [""], resources: ["pods/eviction"], verbs: [create], scope: target}
"#;
    let plan = plan(cluster, &["grants"]).hostile().replace("action: kill_pod", "action: hostile").and(grants);
    let fence = Fence::new(cluster, &plan, "grants", LIVE);
    cluster.create(&workloads("grants", "deployments"), &workload("checkout", &json!({"replicas": 1}))).unwrap();
    let stateful = json!({"serviceName": "database", "replicas": 1});
    cluster.create(&workloads("grants", "statefulsets"), &workload("database", &stateful)).unwrap();
    let pod = bare_pod(cluster, "grants", "debug", &json!({}));
    let maps = "/api/v1/namespaces/grants/configmaps";
    let [granted, other] = ["granted", "other"].map(|name| {
        let map = cluster.create(maps, &json!({"metadata": {"name": name}})).unwrap();
        json!({"dryRun": ["All"], "preconditions": {"uid": map["metadata"]["uid"]}})
    });
    let patch = |plural: &str, name: &str, document: &Value| {
        fence.send("PATCH", &format!("{}/{name}?dryRun=All", workloads("grants", plural)), MERGE, document)
    };
    let replicas = json!({"spec": {"replicas": 0}});
    assert_eq!(patch("deployments", "checkout", &replicas).status, 200);
    assert_fenced(&patch("deployments", "checkout/scale", &replicas), "no configured action");
    let finalizers = json!({"metadata": {"finalizers": ["example.com/hold"]}});
    assert_fenced(&patch("deployments", "checkout", &finalizers), "ownerReferences and finalizers");
    assert_fenced(&patch("statefulsets", "database", &replicas), "protected kind");
    let delete = |name: &str, options: &Value| fence.send("DELETE", &format!("{maps}/{name}"), PLAIN, options);
    assert_eq!(delete("granted", &granted).status, 200);
    assert_fenced(&delete("granted", &json!({"dryRun": ["All"]})), "names the UID");
    assert_fenced(&delete("other", &other), "no configured action");
    let evict = |options: &Value| {
        let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "debug"}, "deleteOptions": options});
        fence.send("POST", &format!("{}/debug/eviction?dryRun=All", pods("grants")), PLAIN, &eviction)
    };
    let dry = json!({"dryRun": ["All"]});
    assert_fenced(&evict(&dry), "an eviction names the UID");
    let uid = json!({"dryRun": ["All"], "preconditions": {"uid": pod["metadata"]["uid"]}});
    assert_eq!(evict(&uid).status, 201);
}

/// The API server would refuse everybody what a policy whose parameter is missing matches.
#[test]
fn a_missing_config_map_stops_nobody_else() {
    let Some(cluster) = cluster() else { return };
    cluster.namespace("bare-map").unwrap();
    let plan = plan(cluster, &["bare-map"]);
    let fence = Fence::new(cluster, &plan, "bare-map", "dryrun: true\n");
    bare_pod(cluster, "bare-map", "debug", &json!({}));
    let pod = bare_pod(cluster, "bare-map", "kept", &json!({}));
    let path = format!("{}/debug", pods("bare-map"));
    let uid = json!({"preconditions": {"uid": pod["metadata"]["uid"]}});
    let kept = format!("{}/kept", pods("bare-map"));
    fence.until("the second policy is in force", || {
        is_fenced(&fence.send("DELETE", &kept, PLAIN, &uid), "only dry runs")
    });
    cluster.delete(&format!("/api/v1/namespaces/{}/configmaps/{CONFIG_MAP}", fence.home), &Value::Null).unwrap();
    // The account is held by the first policy all the same.
    assert_fenced(&fence.send("DELETE", &path, PLAIN, &json!({"dryRun": ["All"]})), "names the UID");
    cluster.delete(&path, &json!({"gracePeriodSeconds": 0})).unwrap();
    // This is what `Deny` would do, to the administrator, who is not the one whom the policy is about.
    let bindings = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";
    let binding = format!("{bindings}/{}.{}.dry-run", rbac::NAME, fence.home);
    cluster.merge(&binding, &json!({"spec": {"paramRef": {"parameterNotFoundAction": "Deny"}}})).unwrap();
    let dry = json!({"dryRun": ["All"]});
    fence.until("everybody is stopped", || {
        cluster.delete(&kept, &dry).is_err_and(|error| error.contains("failed to configure binding"))
    });
    cluster.delete(&binding, &Value::Null).unwrap();
    fence.until("nobody else is stopped", || cluster.delete(&kept, &dry).is_ok());
}
