//! `rbac`, as an operator runs it. That its output does what it says is shown against the real API server.

use std::process::{Command, Output};

use integration_tests::controller::binary;

use crate::house::Plan;

fn rbac(plan: &Plan, more: &[&str]) -> Output {
    let setup = plan.setup();
    let mut command = Command::new(binary().unwrap());
    command.arg("rbac").arg("--config").arg(setup.config).arg("--plugins").arg(setup.plugins);
    command.args(more).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn prints_the_least_roles_of_the_runbook() {
    let output = rbac(&Plan::new(), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    let kinds: Vec<_> = printed.lines().filter_map(|line| line.strip_prefix("kind: ")).collect();
    assert_eq!(kinds, ["ServiceAccount", "Role", "RoleBinding", "Role", "RoleBinding"], "{printed}");
    let role = printed.split("---\n").nth(1).unwrap();
    assert_eq!(role, ROLE, "{printed}");
    assert_eq!(printed, text(&rbac(&Plan::new(), &[]).stdout));
}

const ROLE: &str = r#"apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: "falco-response-controller"
  namespace: "production"
rules:
  # get: the host looks for protected owners
  # get: the host reads the alert's pod, and looks after a kill whether it is gone
  # get: the host reads what is to be changed, for its UID and its owners
  # delete: action kill_pod, by default
  - apiGroups: [""]
    resources: ["pods"]
    verbs: ["get", "delete"]
  # get: the host looks for protected owners
  - apiGroups: [""]
    resources: ["replicationcontrollers"]
    verbs: ["get"]
  # get: the host looks for protected owners
  - apiGroups: ["apps"]
    resources: ["deployments"]
    verbs: ["get"]
  # get: the host looks for protected owners
  - apiGroups: ["apps"]
    resources: ["replicasets"]
    verbs: ["get"]
  # get: the host looks for protected owners
  - apiGroups: ["batch"]
    resources: ["cronjobs"]
    verbs: ["get"]
  # get: the host looks for protected owners
  - apiGroups: ["batch"]
    resources: ["jobs"]
    verbs: ["get"]
  # get: action isolate_namespace, by default
  # get: an isolation that is over, or that a person lifts, is deleted by the host
  # get: the host reads what is to be changed, for its UID and its owners
  # create: action isolate_namespace, by default
  # patch: action isolate_namespace, by default
  # delete: an isolation that is over, or that a person lifts, is deleted by the host
  - apiGroups: ["networking.k8s.io"]
    resources: ["networkpolicies"]
    resourceNames: ["falco-emergency-isolation"]
    verbs: ["get", "create", "patch", "delete"]
  # list: action isolate_namespace, by default
  # list: an isolation that is over, or that a person lifts, is deleted by the host
  - apiGroups: ["networking.k8s.io"]
    resources: ["networkpolicies"]
    verbs: ["list"]
"#;

#[test]
fn names_and_place_are_the_operators() {
    let printed = text(&rbac(&Plan::new(), &["--namespace", "security", "--name", "responder"]).stdout);
    assert!(printed.starts_with(
        "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: \"responder\"\n  namespace: \"security\"\n"
    ));
    assert!(!printed.contains("falco-response-controller"), "{printed}");
    assert_eq!(rbac(&Plan::new(), &["--namespace", "../x"]).status.code(), Some(2));
}

#[test]
fn a_missing_plugin_prints_nothing() {
    let plan = Plan::new().replace("action: isolate_namespace", "action: isolate_namespaces");
    for more in [&[][..], &["--admission"]] {
        let output = rbac(&plan, more);
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(2), ""));
        let errors = text(&output.stderr);
        assert!(errors.contains("no plugin describes itself as `isolate_namespaces`"), "{errors}");
    }
}

#[test]
fn admission_prints_the_policies_and_nothing_else() {
    let printed = text(&rbac(&Plan::new(), &["--admission"]).stdout);
    let kinds: Vec<_> = printed.lines().filter_map(|line| line.strip_prefix("kind: ")).collect();
    let pair = ["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"];
    assert_eq!(kinds, [pair, pair].concat(), "{printed}");
    assert!(printed.contains("system:serviceaccount:falco:falco-response-controller"), "{printed}");
}
