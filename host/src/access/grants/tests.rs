use std::path::Path;

use serde_json::{Value, json};

use super::*;

/// The sentences of a grant to an action on pods that declares `declared`, both as YAML.
fn said_of(declared: &str, grant: &str) -> Vec<String> {
    let text = format!(
        "allowed_namespaces: [production]\nplugins: {{grants: {{act: [{grant}]}}}}\n\
         rules: [{{name: r, action: act, audit_reason: because}}]"
    );
    let config = Config::parse(Path::new("config.yaml"), text.as_bytes()).expect("valid");
    let permission: Value = serde_saphyr::from_str(declared).expect("YAML");
    let document =
        json!({"contract": "0.1", "name": "act", "summary": "s", "target": "pods", "permissions": [permission]});
    let manifest = crate::plugins::manifest::parse(document.to_string().as_bytes()).expect("sound");
    of_manifests(&config, &[("act", &manifest)].into())
}

/// Of a grant whose action declares the same.
fn said(permission: &str, fields: &str) -> Vec<String> {
    let fields = if fields.is_empty() { String::new() } else { format!(", fields: [{fields}]") };
    said_of(&format!("{{{permission}}}"), &format!("{{{permission}{fields}}}"))
}

#[test]
fn says_what_where_and_what_comes_of_it() {
    for (permission, fields, expected) in [
        (
            "apiGroups: [apps], resources: [deployments], verbs: [patch], scope: owners, resourceNames: [checkout]",
            "spec.replicas",
            "the grant to `act` lets it patch deployments.apps named checkout that own the alert's pod, writing labels \
             and annotations and spec.replicas: it stops or multiplies the whole workload, not one pod",
        ),
        (
            "apiGroups: [''], resources: [secrets], verbs: [get], scope: namespace",
            "",
            "the grant to `act` lets it get secrets in the alert's namespace, whichever pod the alert is about: it reads \
             passwords, keys and tokens, and may put them into a record or a page",
        ),
        (
            "apiGroups: [''], resources: [services], verbs: [list], scope: cluster",
            "",
            "the grant to `act` lets it list services anywhere in the cluster",
        ),
        (
            "apiGroups: [''], resources: [pods], verbs: [delete], scope: cluster",
            "",
            "the grant to `act` lets it delete pods in every allowed namespace, whatever the alert is about",
        ),
        (
            "apiGroups: [''], resources: [nodes], verbs: [patch], scope: node",
            "spec",
            "the grant to `act` lets it patch nodes that the alert's pod runs on, writing labels and annotations below \
             falco-response/ and spec.unschedulable: no pod of any namespace is started there any more, kube-system's \
             Deployments included; what runs goes on",
        ),
        (
            "apiGroups: [''], resources: [pods/eviction], verbs: [create], scope: node",
            "",
            "the grant to `act` lets it create pods/eviction that run on the node of the alert's pod: it ends pods, as far as \
             disruption budgets allow, each for a share of the limits",
        ),
    ] {
        assert_eq!(said(permission, fields), [expected]);
    }
}

#[test]
fn names_the_consequence_that_the_verb_hides() {
    for (group, resources, verb, fields, expected) in [
        ("", "pods", "create", "", "containers of its own choice"),
        ("", "secrets", "create", "", "the token of any ServiceAccount"),
        ("", "serviceaccounts", "create", "", "accounts that pods can run as"),
        ("", "services", "patch", "spec", "sends requests elsewhere"),
        ("", "events", "create", "", "account of what happened"),
        ("policy", "poddisruptionbudgets", "create", "", "forbid every eviction"),
        ("coordination.k8s.io", "leases", "patch", "spec", "which replica of a program leads"),
        ("apps", "deployments", "patch", "spec", "containers of its own choice"),
        ("apps", "deployments", "patch", "spec.template.spec", "containers of its own choice"),
        ("apps", "deployments/scale", "patch", "", "multiplies the whole workload"),
        ("", "pods", "patch", "metadata.ownerReferences", "without a delete"),
        ("", "pods", "patch", "metadata.finalizers", "undeletable"),
        ("", "pods", "patch", "spec.containers", "image"),
        ("", "pods/log", "get", "", "personal data"),
        ("", "configmaps", "patch", "", "configuration of the programs"),
        ("networking.k8s.io", "networkpolicies", "patch", "spec", "opens what was closed"),
        ("batch", "jobs", "delete", "", "goes with it"),
        ("rbac.authorization.k8s.io", "rolebindings", "create", "", "gives rights"),
        ("rbac.authorization.k8s.io", "rolebindings", "delete", "", "takes rights from everybody"),
        ("rbac.authorization.k8s.io", "rolebindings", "list", "", "who may do what"),
    ] {
        let permission = format!("apiGroups: ['{group}'], resources: [{resources}], verbs: [{verb}], scope: namespace");
        let said = said(&permission, fields);
        assert!(said.len() == 1 && said[0].contains(expected), "{permission} {fields}: {said:?}");
    }
    let labels = said("apiGroups: [apps], resources: [deployments], verbs: [patch], scope: owners", "");
    assert!(labels[0].ends_with("writing labels and annotations"), "{labels:?}");
}

#[test]
fn says_of_each_verb_and_resource_whether_the_grant_has_an_effect() {
    let two = said("apiGroups: [''], resources: [services, endpoints], verbs: [get, list], scope: namespace", "");
    assert_eq!(two.len(), 4);
    let undeclared = said_of(
        "{apiGroups: [''], resources: [pods], verbs: [delete], scope: target}",
        "{apiGroups: [''], resources: [secrets], verbs: [get], scope: namespace}",
    );
    assert_eq!(undeclared, ["the grant to `act` of get secrets has no effect: its manifest does not ask for it"]);
    let unreachable = said("apiGroups: [''], resources: [nodes], verbs: [delete], scope: cluster", "");
    assert_eq!(unreachable, ["the grant to `act` of delete nodes has no effect: there is nothing that it would reach"]);
}
