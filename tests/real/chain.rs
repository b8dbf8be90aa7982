//! All actions on one pod, by an account that may do what `rbac` prints and nothing else, behind the admission policies.

use std::time::{Duration, Instant};

use integration_tests::account::{Account, create_all};
use integration_tests::alerts::{self, MINER};
use integration_tests::cluster::Cluster;
use serde_json::{Value, json};

use crate::house::Plan;
use crate::lane::{self, bare_pod, cluster, name, pod_of, pods, template, workload, workloads};
use crate::rbac::{self, printed};

const POLICIES: &str = "/apis/networking.k8s.io/v1/namespaces";

const ALL: &str = "    actions:
      - {action: keep_evidence, on_failure: continue}
      - {action: label_pod, parameters: {labels: {falco-response/suspect: \"true\"}, annotations: {why: a miner}}}
      - {action: isolate_pod, parameters: {ingress: true}}
      - {action: kill_pod}
";

const EVIDENCE: &str = "    keep_evidence:
      - {apiGroups: [''], resources: [pods/log], verbs: [get], scope: target}
      - {apiGroups: [''], resources: [events], verbs: [list], scope: namespace}
";

/// A namespace, and a plan with these actions and grants in it.
fn plan(cluster: &Cluster, namespace: &str, actions: &str, grants: &str) -> Plan {
    cluster.namespace(namespace).unwrap();
    lane::plan(cluster, &[namespace])
        .replace("    action: kill_pod\n", actions)
        .and(&format!("plugins:\n  grants:\n{grants}"))
}

/// Both fences in force around an account of its own.
fn fenced(cluster: &Cluster, plan: &Plan, namespace: &str) -> Account {
    let home = format!("{namespace}-falco");
    let account = rbac::account(cluster, plan, &home);
    let map = json!({"metadata": {"name": "response-controller-config"}, "data": {"config.yaml": "dryrun: false\n"}});
    cluster.create(&format!("/api/v1/namespaces/{home}/configmaps"), &map).unwrap();
    create_all(cluster, &printed(plan, &home, &["--admission"])).unwrap();
    // RBAC lets it patch a pod's image; only the policies do not.
    bare_pod(cluster, namespace, "probe", &json!({}));
    let image = json!({"spec": {"containers": [{"name": "app", "image": "registry.example/other:1"}]}});
    let path = format!("{}/probe?dryRun=All", pods(namespace));
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = account.raw("PATCH", &path, "application/strategic-merge-patch+json", &image).unwrap();
        if answer.status == 422 && answer.body.contains("new labels and annotations") {
            return account;
        }
        assert!(Instant::now() < deadline, "the policies are not in force: {} {}", answer.status, answer.body);
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A pod of a Deployment for which there is no scheduler: without a node the API server answers for its log itself.
fn waiting_pod(cluster: &Cluster, namespace: &str) -> Value {
    let mut deployment = workload("checkout", &json!({"replicas": 1}));
    deployment["spec"]["template"]["spec"]["schedulerName"] = json!("nobody");
    cluster.create(&workloads(namespace, "deployments"), &deployment).unwrap();
    let path = format!("{}?labelSelector=app%3Dcheckout", pods(namespace));
    let there = |list: &Value| list["items"].as_array().is_some_and(|items| !items.is_empty());
    cluster.until(&path, there).unwrap()["items"][0].clone()
}

/// An alert that names the pod by its UID: it need not run then.
fn alert_about(namespace: &str, pod: &Value) -> Value {
    let mut alert = alerts::about(MINER, namespace, name(pod));
    alert["output_fields"]["k8s.pod.uid"] = pod["metadata"]["uid"].clone();
    alert
}

#[test]
fn evidence_a_mark_an_isolation_and_the_kill_need_no_more_than_rbac_prints() {
    let Some(cluster) = cluster() else { return };
    let plan = plan(cluster, "chain", ALL, EVIDENCE);
    let account = fenced(cluster, &plan, "chain");
    let pod = waiting_pod(cluster, "chain");
    let involved = json!({"apiVersion": "v1", "kind": "Pod", "namespace": "chain", "name": name(&pod), "uid": pod["metadata"]["uid"]});
    let event = json!({"metadata": {"name": "checkout.1"}, "involvedObject": involved, "reason": "Seen", "message": "m", "type": "Normal"});
    cluster.create("/api/v1/namespaces/chain/events", &event).unwrap();
    let house = plan.cluster(&account.spec()).start();
    let alert = alert_about("chain", &pod);
    house.post(&alert);
    let found = house.records_of(&alert, 4);
    let outcomes: Vec<_> = found.iter().map(|record| (record["action"].as_str(), record["outcome"].as_str())).collect();
    let expected = [("keep_evidence", "skipped"), ("label_pod", "done"), ("isolate_pod", "done"), ("kill_pod", "done")];
    assert_eq!(outcomes, expected.map(|(action, outcome)| (Some(action), Some(outcome))), "{found:#?}");
    let kept: Vec<_> = found[0]["attachments"].as_array().unwrap().iter().map(|one| one["name"].as_str()).collect();
    assert_eq!(kept, [Some("manifest.json"), Some("events.json")], "{}", found[0]);
    assert_eq!(found[0]["note_evidence_none"], "log of app", "nothing was printed yet");
    assert_eq!(found[2]["isolation"], "full", "{}", found[2]);
    assert_eq!(house.wait_for_followup(&found[3])["followup"], "gone");
    for (direction, kind) in [("egress", "Egress"), ("ingress", "Ingress")] {
        let policy = cluster.get(&format!("{POLICIES}/chain/networkpolicies/falco-pod-isolation-{direction}")).unwrap();
        let label = format!("falco-response/isolated-{direction}");
        let spec = json!({"podSelector": {"matchLabels": {label: "true"}}, "policyTypes": [kind]});
        assert_eq!(policy["spec"], spec);
    }
}

#[test]
fn an_isolated_pod_stays_with_its_owner_and_is_let_go_by_the_command_of_the_page() {
    let Some(cluster) = cluster() else { return };
    let plan = plan(cluster, "apart", "    action: isolate_pod\n", EVIDENCE);
    let account = fenced(cluster, &plan, "apart");
    cluster.create(&workloads("apart", "deployments"), &workload("checkout", &json!({"replicas": 2}))).unwrap();
    let pod = pod_of(cluster, "apart", "checkout");
    let house = plan.cluster(&account.spec()).start();
    let entry = house.record_of(&alert_about("apart", &pod));
    assert_eq!((entry["outcome"].as_str(), entry["isolation"].as_str()), (Some("done"), Some("full")), "{entry}");
    let path = format!("{}/{}", pods("apart"), name(&pod));
    let labelled = cluster.get(&path).unwrap();
    assert_eq!(labelled["metadata"]["labels"]["falco-response/isolated-egress"], "true");
    assert_eq!(labelled["metadata"]["ownerReferences"], pod["metadata"]["ownerReferences"]);
    let again = house.record_of(&alert_about("apart", &pod));
    assert_eq!((again["outcome"].as_str(), again["changed"].as_bool()), (Some("skipped"), Some(false)), "{again}");
    // `kubectl label pod NAME -n apart falco-response/isolated-egress-`
    cluster.merge(&path, &json!({"metadata": {"labels": {"falco-response/isolated-egress": null}}})).unwrap();
    let selected = format!("{}?labelSelector=falco-response%2Fisolated-egress", pods("apart"));
    assert_eq!(cluster.get(&selected).unwrap()["items"], json!([]));
}

#[test]
fn exceptions_pass_both_fences_where_they_are_granted_and_nothing_else_opens() {
    let Some(cluster) = cluster() else { return };
    let rule =
        "    action: isolate_pod\n    parameters: {allow_cidrs: [192.0.2.0/24], allow_namespaces: [forensics]}\n";
    let grant = "    isolate_pod:
      - {apiGroups: [networking.k8s.io], resources: [networkpolicies], verbs: [create, patch], scope: namespace, resourceNames: [falco-pod-isolation-egress-exceptions], fields: [metadata.labels, spec]}
";
    let plan = plan(cluster, "ajar", rule, grant);
    let account = fenced(cluster, &plan, "ajar");
    let pod = bare_pod(cluster, "ajar", "web", &json!({}));
    let house = plan.cluster(&account.spec()).start();
    let entry = house.record_of(&alert_about("ajar", &pod));
    assert_eq!((entry["outcome"].as_str(), entry["isolation"].as_str()), (Some("done"), Some("partial")), "{entry}");
    assert_eq!(entry["note_isolation_partial_because"], "falco-pod-isolation-egress-exceptions");
    let again = house.record_of(&alert_about("ajar", &pod));
    assert_eq!(again["outcome"], "skipped", "the API server adds nothing to what was applied: {again}");
    let open = |name: &str| {
        let spec = json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]});
        let policy = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name}, "spec": spec});
        let path = format!("{POLICIES}/ajar/networkpolicies/{name}?fieldManager=x&force=true&dryRun=All");
        account.raw("PATCH", &path, "application/apply-patch+yaml", &policy).unwrap()
    };
    let answer = open("falco-pod-isolation-egress");
    assert!(answer.status == 422 && answer.body.contains("allows nothing"), "{} {}", answer.status, answer.body);
    assert_eq!(open("falco-pod-isolation-egress-exceptions").status, 200);
    assert_eq!(open("falco-other").status, 403);
}

#[test]
fn a_kill_comes_though_no_kubelet_answers_for_the_log() {
    let Some(cluster) = cluster() else { return };
    let actions = "    actions: [{action: keep_evidence, on_failure: continue}, {action: kill_pod}]\n";
    let plan = plan(cluster, "mute", actions, EVIDENCE);
    let account = rbac::account(cluster, &plan, "mute-falco");
    let mut pod = template("web");
    pod["metadata"]["name"] = json!("web");
    cluster.create(&pods("mute"), &pod).unwrap();
    let pod = cluster.until(&format!("{}/web", pods("mute")), lane::is_running).unwrap();
    let house = plan.cluster(&account.spec()).start();
    let alert = alert_about("mute", &pod);
    house.post(&alert);
    let found = house.records_of(&alert, 2);
    assert_eq!(found[0]["outcome"], "failed", "{}", found[0]);
    assert!(found[0].to_string().contains("manifest.json"), "{}", found[0]);
    assert_eq!(found[1]["outcome"], "done", "{}", found[1]);
}
