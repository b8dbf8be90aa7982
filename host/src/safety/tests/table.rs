//! Everything that is granted by default, and that nothing else is: each kind of object that could be used to climb, each
//! verb, each relation to the target, each form of document.

use std::collections::BTreeSet;

use serde_json::json;

use super::*;
use crate::cluster::PatchDocument;
use crate::safety::document::{self, Touched};
use crate::safety::permissions::{Call, Reach};

const OWN: &str = "falco-own";

/// Group and plural, subresources that the host knows included.
const KINDS: [(&str, &str); 60] = [
    ("", "pods"),
    ("", "pods/eviction"),
    ("", "pods/log"),
    ("", "pods/status"),
    ("", "pods/scale"),
    ("", "bindings"),
    ("", "configmaps"),
    ("", "endpoints"),
    ("", "events"),
    ("", "limitranges"),
    ("", "namespaces"),
    ("", "namespaces/status"),
    ("", "nodes"),
    ("", "nodes/status"),
    ("", "persistentvolumeclaims"),
    ("", "persistentvolumes"),
    ("", "podtemplates"),
    ("", "replicationcontrollers"),
    ("", "replicationcontrollers/scale"),
    ("", "resourcequotas"),
    ("", "secrets"),
    ("", "serviceaccounts"),
    ("", "services"),
    ("", "services/status"),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    ("apiregistration.k8s.io", "apiservices"),
    ("apps", "controllerrevisions"),
    ("apps", "daemonsets"),
    ("apps", "daemonsets/status"),
    ("apps", "deployments"),
    ("apps", "deployments/scale"),
    ("apps", "replicasets"),
    ("apps", "replicasets/scale"),
    ("apps", "statefulsets"),
    ("apps", "statefulsets/scale"),
    ("argoproj.io", "workflows"),
    ("autoscaling", "horizontalpodautoscalers"),
    ("batch", "cronjobs"),
    ("batch", "jobs"),
    ("certificates.k8s.io", "certificatesigningrequests"),
    ("cert-manager.io", "certificates"),
    ("coordination.k8s.io", "leases"),
    ("discovery.k8s.io", "endpointslices"),
    ("events.k8s.io", "events"),
    ("extensions", "networkpolicies"),
    ("external-secrets.io", "externalsecrets"),
    ("metrics.k8s.io", "pods"),
    ("networking.k8s.io", "ingresses"),
    ("networking.k8s.io", "networkpolicies"),
    ("networking.k8s.io", "networkpolicies/status"),
    ("policy", "poddisruptionbudgets"),
    ("rbac.authorization.k8s.io", "clusterrolebindings"),
    ("rbac.authorization.k8s.io", "clusterroles"),
    ("rbac.authorization.k8s.io", "rolebindings"),
    ("rbac.authorization.k8s.io", "roles"),
    ("storage.k8s.io", "storageclasses"),
];

/// One relation at a time, so that a line of the result says which of them was enough.
fn reaches() -> [(&'static str, Reach); 5] {
    [
        ("target", Reach { is_target: true, ..Reach::default() }),
        ("owner", Reach { is_owner: true, ..Reach::default() }),
        ("namespace", Reach { in_namespace: true, ..Reach::default() }),
        ("node", Reach { is_node: true, ..Reach::default() }),
        ("elsewhere", Reach::default()),
    ]
}

struct Document {
    called: &'static str,
    touched: Touched,
    manifest: Option<Value>,
    force: bool,
}

fn documents(resource: &ApiResource, name: &str) -> Vec<Document> {
    let patch = |called, document| Document {
        called,
        touched: document::touched_by_patch(&document).expect("of its form"),
        manifest: None,
        force: false,
    };
    let namespace = Namespace::parse("production").expect("valid");
    let manifest = |called, spec: Value, force| {
        let manifest =
            json!({"apiVersion": resource.api_version(), "kind": "Any", "metadata": {"name": name}, "spec": spec});
        let name = ObjectName::parse(name).expect("valid");
        let touched = document::touched_by_manifest(&manifest, resource, Some(&namespace), Some(&name));
        Document { called, touched: touched.expect("of its form"), manifest: Some(manifest), force }
    };
    let labels = json!({"metadata": {"labels": {"quarantine": "yes"}, "annotations": {"falco-response/why": "x"}}});
    let closed =
        || json!({"podSelector": {"matchLabels": {"app": "x"}}, "policyTypes": ["Ingress", "Egress"], "egress": []});
    vec![
        patch("a merge patch of free metadata", PatchDocument::Merge(labels.clone())),
        patch("a strategic patch of free metadata", PatchDocument::Strategic(labels)),
        patch("a merge patch of the app's label", PatchDocument::Merge(json!({"metadata": {"labels": {"app": "y"}}}))),
        patch(
            "a merge patch of a mesh's label",
            PatchDocument::Merge(json!({"metadata": {"labels": {"istio.io/x": "y"}}})),
        ),
        patch("a merge patch of the spec", PatchDocument::Merge(json!({"spec": {"a": 1}}))),
        patch("a merge patch of owners", PatchDocument::Merge(json!({"metadata": {"ownerReferences": []}}))),
        patch("a merge patch of finalizers", PatchDocument::Merge(json!({"metadata": {"finalizers": null}}))),
        patch("a merge patch of metadata", PatchDocument::Merge(json!({"metadata": null}))),
        patch("a merge patch of all", PatchDocument::Merge(json!({}))),
        patch(
            "an operation on free metadata",
            PatchDocument::Operations(json!([{"op": "add", "path": "/metadata/labels/quarantine", "value": "yes"}])),
        ),
        patch(
            "a test of a secret",
            PatchDocument::Operations(json!([{"op": "test", "path": "/spec/containers/0/env/0/value", "value": "x"}])),
        ),
        manifest("a closed policy", closed(), false),
        manifest("a closed policy by force", closed(), true),
        manifest("an open policy", json!({"podSelector": {}, "egress": [{}]}), false),
        manifest("an open policy for ingress", json!({"podSelector": {}, "ingress": [{}]}), false),
        manifest("no rules at all", json!({"podSelector": {}, "egress": {}}), false),
        manifest("a policy with more to it", json!({"podSelector": {}, "egress": [], "other": 1}), false),
        manifest("something else", json!({"template": {}}), false),
    ]
}

/// Every call that passes without a grant, in words.
fn permitted() -> BTreeSet<String> {
    let named = Permission { resource_names: vec![OWN.to_owned(), "own".to_owned()], ..every_kind() };
    let permissions = Permissions { declared: vec![every_kind(), named], granted: Vec::new() };
    let current =
        json!({"metadata": {"labels": {"app": "x"}, "ownerReferences": [{"kind": "ReplicaSet", "controller": true}]}});
    let mut found = BTreeSet::new();
    for (group, plural) in KINDS {
        let resource = ApiResource::parse(group, "v1", plural).expect("valid");
        for (relation, reach) in reaches() {
            for (named, name) in [("own", OWN), ("undeclared", "falco-other"), ("misnamed", "own")] {
                let parsed = ObjectName::parse(name).expect("valid");
                let mut ask = |what: String, call: Call| {
                    if permissions.permit("test_action", &call).is_ok() {
                        found.insert(format!("{} {resource}, {relation}, {named}: {what}", call.verb.as_str()));
                    }
                };
                let call = Call {
                    verb: Verb::Get,
                    resource: &resource,
                    name: Some(&parsed),
                    reach,
                    metadata_only: false,
                    touched: None,
                    manifest: None,
                    current: &current,
                    force: false,
                };
                for verb in [Verb::Get, Verb::Delete, Verb::Create] {
                    ask("as it is".to_owned(), Call { verb, ..call.clone() });
                }
                for (what, metadata_only) in [("metadata", true), ("whole", false)] {
                    ask(what.to_owned(), Call { verb: Verb::List, name: None, metadata_only, ..call.clone() });
                }
                for document in documents(&resource, name) {
                    let (touched, manifest) = (Some(&document.touched), document.manifest.as_ref());
                    let writes = Call { touched, manifest, force: document.force, ..call.clone() };
                    ask(document.called.to_owned(), Call { verb: Verb::Patch, ..writes.clone() });
                    // Of a subresource nothing is created by a manifest: the gate refuses that before it asks.
                    if manifest.is_some() && resource.subresource().is_none() {
                        ask(document.called.to_owned(), Call { verb: Verb::Create, ..writes });
                    }
                }
            }
        }
    }
    found
}

fn every_kind() -> Permission {
    let list = |which: fn(&(&'static str, &'static str)) -> &'static str| {
        KINDS.iter().map(which).map(str::to_owned).collect::<BTreeSet<_>>().into_iter().collect()
    };
    Permission { api_groups: list(|kind| kind.0), resources: list(|kind| kind.1), ..everything(&[]) }
}

#[test]
fn what_is_granted_by_default_is_this_list_and_nothing_else() {
    let names = ["own", "undeclared", "misnamed"];
    let mut expected = BTreeSet::new();
    let mut any_name = |what: &str, how: &str| {
        expected.extend(names.iter().map(|name| format!("{what}, {name}: {how}")));
    };
    any_name("get pods, target", "as it is");
    any_name("delete pods, target", "as it is");
    any_name("create pods/eviction, target", "as it is");
    any_name("patch pods, target", "a merge patch of free metadata");
    any_name("list pods, namespace", "metadata");
    any_name("list networkpolicies.networking.k8s.io, namespace", "metadata");
    any_name("list networkpolicies.networking.k8s.io, namespace", "whole");
    for (group, plural) in KINDS.iter().filter(|(_, plural)| !plural.contains('/')) {
        any_name(&format!("get {}, owner", crate::cluster::names::qualified(group, plural)), "as it is");
    }
    let policy = "networkpolicies.networking.k8s.io, namespace, own";
    expected.insert(format!("get {policy}: as it is"));
    expected.insert(format!("create {policy}: a closed policy"));
    expected.insert(format!("patch {policy}: a closed policy"));
    let found = permitted();
    let beyond: Vec<_> = found.difference(&expected).collect();
    let missing: Vec<_> = expected.difference(&found).collect();
    assert!(beyond.is_empty() && missing.is_empty(), "granted beyond the list: {beyond:#?}\nnot granted: {missing:#?}");
}

#[test]
fn what_a_manifest_does_not_declare_is_not_granted_at_all() {
    let nothing = Permissions::default();
    let (pods, name) = (ApiResource::pods(), ObjectName::parse("target").expect("valid"));
    for (_, reach) in reaches() {
        for verb in EVERY_VERB {
            let call = Call {
                verb,
                resource: &pods,
                name: Some(&name),
                reach,
                metadata_only: true,
                touched: None,
                manifest: None,
                current: &Value::Null,
                force: false,
            };
            assert!(nothing.permit("test_action", &call).is_err(), "{call:?}");
        }
    }
}
