//! isolate_pod, end to end.

use std::process::Command;

use integration_tests::alerts::{self, POOL};
use integration_tests::controller::binary;
use integration_tests::receiver::Receiver;
use serde_json::Value;

use crate::house::{House, Plan};

const EGRESS: &str = "created networkpolicies production/falco-pod-isolation-egress";

fn plan(parameters: &str) -> Plan {
    let rule = format!("    action: isolate_pod\n    parameters: {{{parameters}}}\n");
    Plan::new().replace("    action: isolate_namespace\n", &rule)
}

fn isolate(house: &House, pod: &str) -> Value {
    house.record_of(&alerts::about(POOL, "production", pod))
}

/// Without what a policy applied anew changes: its generation, since the API server drops the empty list each time.
fn made(house: &House) -> Vec<String> {
    house.changes().into_iter().filter(|change| !change.starts_with("changed networkpolicies")).collect()
}

#[test]
fn cuts_one_pod_off_and_the_next_one_under_the_same_policy() {
    let house = plan("").start();
    let first = isolate(&house, "debug");
    assert_eq!((first["outcome"].as_str(), first["isolation"].as_str()), (Some("done"), Some("full")), "{first}");
    let second = isolate(&house, "checkout-7d9f4b-q8r5t");
    assert_eq!((second["outcome"].as_str(), second["owner"].as_str()), (Some("done"), Some("Deployment/checkout")));
    let changes = [EGRESS, "changed pods production/debug", "changed pods production/checkout-7d9f4b-q8r5t"];
    assert_eq!(made(&house), changes);
    assert_ne!(first["action_id"], second["action_id"], "two pods are two actions");
    let again = isolate(&house, "debug");
    assert_eq!((again["outcome"].as_str(), again["changed"].as_bool()), (Some("skipped"), Some(false)), "{again}");
    assert_eq!(made(&house), changes);
}

#[test]
fn the_page_undoes_it_for_this_pod_alone() {
    let pager = Receiver::start(200).unwrap();
    let house =
        plan("ingress: true").and(&format!("paging: {{alertmanager: {{url: \"http://{}\"}}}}", pager.address)).start();
    for pod in ["debug", "checkout-7d9f4b-q8r5t"] {
        assert_eq!(isolate(&house, pod)["outcome"], "done");
        let undo = format!(
            "kubectl label pod {pod} -n production falco-response/isolated-egress- falco-response/isolated-ingress-"
        );
        let page = pager.wait_for(&undo).unwrap_or_else(|| panic!("{undo}: {:?}", pager.taken()));
        let annotations = &page[0]["annotations"];
        assert_eq!(annotations["undo"], undo.as_str(), "the policy stays for the others: {page}");
        assert_eq!(annotations["summary"], format!("isolate_pod production/{pod}"), "{page}");
    }
}

#[test]
fn says_which_policies_leave_the_pod_something_open() {
    let house = plan("").start();
    let entry = house.record_of(&alerts::about(POOL, "staging", "web-5c6d8-2lkjh"));
    assert_eq!((entry["outcome"].as_str(), entry["isolation"].as_str()), (Some("done"), Some("partial")), "{entry}");
    assert_eq!(entry["note_isolation_partial_because"], "allow-dns");
}

#[test]
fn exceptions_need_a_grant_and_nothing_is_done_without() {
    let exceptions = "allow_namespaces: [forensics]";
    let house = plan(exceptions).start();
    let entry = isolate(&house, "debug");
    assert_eq!((entry["outcome"].as_str(), entry["failure"].as_str()), (Some("failed"), Some("denied")), "{entry}");
    let detail = entry["detail"].as_str().unwrap();
    assert!(detail.contains("falco-pod-isolation-egress-exceptions") && detail.contains("to allow it"), "{detail}");
    assert!(house.changes().is_empty(), "{:?}", house.changes());
    drop(house);
    let grants = "plugins: {grants: {isolate_pod: [{apiGroups: [networking.k8s.io], resources: [networkpolicies], \
                  verbs: [create, patch], resourceNames: [falco-pod-isolation-egress-exceptions], scope: namespace, \
                  fields: [metadata.labels, spec]}]}}";
    let house = plan(exceptions).and(grants).start();
    let entry = isolate(&house, "debug");
    assert_eq!((entry["outcome"].as_str(), entry["isolation"].as_str()), (Some("done"), Some("partial")), "{entry}");
    assert_eq!(entry["note_isolation_partial_because"], "falco-pod-isolation-egress-exceptions");
    assert_eq!(house.changes().len(), 3, "{:?}", house.changes());
}

#[test]
fn check_refuses_a_range_that_is_none() {
    let plan = plan("allow_cidrs: [10.0.0.0/8, 10.0.0.300/8]");
    let setup = plan.setup();
    let mut check = Command::new(binary().unwrap());
    check.args(["check", "--config"]).arg(setup.config).arg("--plugins").arg(setup.plugins);
    let output = check.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("/allow_cidrs/1") && said.contains("expected an address range"), "{said}");
}

#[test]
fn a_policy_that_somebody_edited_is_not_overwritten_and_the_pod_not_labelled() {
    let edited = r#"
apiVersion: v1
kind: Pod
metadata: {name: debug, namespace: production}
spec: {containers: [{name: shell, image: alpine}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: falco-pod-isolation-egress
  namespace: production
  labels: {app.kubernetes.io/managed-by: falco-response-controller}
spec: {podSelector: {matchLabels: {falco-response/isolated-egress: "true"}}, policyTypes: [Egress], egress: [{}]}
"#;
    let house = plan("").manifests(edited).start();
    let entry = isolate(&house, "debug");
    assert_eq!((entry["outcome"].as_str(), entry["failure"].as_str()), (Some("failed"), Some("conflict")), "{entry}");
    assert!(house.changes().is_empty(), "{:?}", house.changes());
}
