//! Whatever is granted and asked: nothing in kube-system, in a denied namespace, of a DaemonSet or without a namespace
//! changes, but for whether the alert's node takes further pods.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::cluster::{PatchDocument, Propagation};

const KINDS: [(&str, &str, &str); 8] = [
    ("", "pods", "Pod"),
    ("", "nodes", "Node"),
    ("", "namespaces", "Namespace"),
    ("", "configmaps", "ConfigMap"),
    ("apps", "deployments", "Deployment"),
    ("apps", "daemonsets", "DaemonSet"),
    ("apps", "statefulsets", "StatefulSet"),
    ("networking.k8s.io", "networkpolicies", "NetworkPolicy"),
];

#[derive(Debug, Clone)]
struct Asked {
    verb: usize,
    kind: (&'static str, &'static str, &'static str),
    subresource: &'static str,
    namespace: Option<&'static str>,
    name: &'static str,
    fields: Vec<&'static str>,
    granted: bool,
    dry_run: bool,
}

fn asked() -> impl Strategy<Value = Asked> {
    let namespaces = ["production", "staging", "kube-system", "falco", "monitoring", "elsewhere"];
    let names =
        ["target", "other", "agent-1", "agent", "dns", "graphs", "web", "n1", "production", "kube-system", "new"];
    (
        0..9_usize,
        prop::sample::select(KINDS.to_vec()),
        prop::sample::select(vec!["", "", "", "/status", "/scale", "/eviction"]),
        prop::option::of(prop::sample::select(namespaces.to_vec())),
        prop::sample::select(names.to_vec()),
        prop::sample::subsequence(ALL_FIELDS.to_vec(), 0..=ALL_FIELDS.len()),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(verb, kind, subresource, namespace, name, fields, granted, dry_run)| Asked {
            verb,
            kind,
            subresource,
            namespace,
            name,
            fields,
            granted,
            dry_run,
        })
}

impl Asked {
    fn change(&self) -> Change {
        let (group, plural, kind) = self.kind;
        let resource = ApiResource::parse(group, "v1", &format!("{plural}{}", self.subresource)).expect("valid");
        let namespace = self.namespace.map(|name| Namespace::parse(name).expect("valid"));
        let name = ObjectName::parse(self.name).expect("valid");
        let object = ObjectRef { resource: resource.clone(), namespace: namespace.clone(), name, uid: None };
        let manifest = json!({"apiVersion": resource.api_version(), "kind": kind,
            "metadata": {"name": self.name, "labels": {"x": "y"}}, "spec": {"replicas": 0}});
        let document = json!({"metadata": {"labels": {"app": "x"}, "ownerReferences": [], "finalizers": ["a/b"]}, "spec": {"replicas": 0}});
        let operations = json!([{"op": "add", "path": "/metadata/finalizers", "value": ["a/b"]}]);
        match self.verb {
            0 => Change::Create { resource, namespace, manifest },
            1 => Change::Apply { object, manifest, force: true },
            2 => Change::Patch { object, document: PatchDocument::Merge(document) },
            3 => Change::Patch { object, document: PatchDocument::Operations(operations) },
            4 => Change::Patch { object, document: PatchDocument::Strategic(document) },
            5 => Change::Evict { pod: object, grace_period_seconds: Some(0) },
            8 => Change::Patch { object, document: PatchDocument::Merge(json!({"spec": {"unschedulable": true}})) },
            6 => Change::Delete { object, grace_period_seconds: Some(0), propagation: Some(Propagation::Orphan) },
            _ => delete(object),
        }
    }
}

/// What may have changed by the end: the rest is compared. Of a node that is whether pods are scheduled there.
fn out_of_reach(objects: &[Value]) -> Vec<Value> {
    let text = |object: &Value, pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or("").to_owned();
    let mut found: Vec<_> = objects
        .iter()
        .filter(|object| {
            let namespace = text(object, "/metadata/namespace");
            !["production", "staging"].contains(&namespace.as_str())
                || object["kind"] == "DaemonSet"
                || (object["kind"] == "Pod" && text(object, "/metadata/name") == "agent-1")
        })
        .cloned()
        .collect();
    for node in found.iter_mut().filter(|object| object["kind"] == "Node") {
        *node = json!({"metadata": {"name": node["metadata"]["name"], "labels": node["metadata"]["labels"]},
            "taints": node["spec"]["taints"]});
    }
    found.sort_by_key(|object| object.to_string());
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn what_is_out_of_reach_stays_as_it_was(list in prop::collection::vec(asked(), 1..4)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            let stage = stage();
            let before = stage.simulation.objects();
            for asked in &list {
                let permissions = if asked.granted { granted(&asked.fields) } else { ungranted() };
                let live = stage.simulation.objects();
                // One of the runs may have deleted the target or its owner: nothing more is started then.
                if stage.try_clear().await.is_err() {
                    break;
                }
                let run = stage.run(permissions, asked.dry_run).await;
                let result = stage.gate.change(&run, asked.change()).await;
                if asked.dry_run {
                    prop_assert_eq!(&live, &stage.simulation.objects(), "dry: {:?} {:?}", asked, result);
                }
                let reached = asked.namespace.is_some_and(|namespace| ["production", "staging"].contains(&namespace));
                // The alert's node, which is kept free of further pods.
                let cordons = asked.verb == 8 && asked.kind.1 == "nodes" && asked.namespace.is_none() && asked.name == "n1";
                prop_assert!(reached || cordons || result.is_err(), "{asked:?}");
                prop_assert!(asked.kind.1 != "daemonsets" || result.is_err(), "{asked:?}");
            }
            let after = stage.simulation.objects();
            prop_assert_eq!(out_of_reach(&before), out_of_reach(&after), "{:?}", list);
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn the_property_is_not_empty_what_is_granted_in_reach_does_change() {
    let stage = stage();
    for (number, change) in [
        delete(pod("other")),
        Change::Patch {
            object: object(ApiResource::parse("apps", "v1", "deployments").expect("valid"), "production", "web"),
            document: PatchDocument::Merge(json!({"spec": {"replicas": 0}})),
        },
        delete(pod("target")),
    ]
    .into_iter()
    .enumerate()
    {
        let run = stage.run(granted(&ALL_FIELDS), false).await;
        stage.gate.change(&run, change).await.expect("granted");
        assert_eq!(stage.sent().len(), number + 1);
    }
}
