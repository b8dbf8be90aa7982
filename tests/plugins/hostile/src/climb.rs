//! Climbs: from what it may do to what it may not, by other kinds, by odd documents, by odd names, and by what steers
//! others. Each of these was refused by nobody in some other tool.

use falco_response_sdk::prelude::*;
use falco_response_sdk::{LogOptions, PatchDocument, Propagation};

const CONFIG_MAPS: (&str, &str, &str) = ("", "v1", "configmaps");

/// None where `behaviour` is not one of these.
pub fn make(behaviour: &str, target: &ObjectRef, host: &Host) -> Option<Result<(), ClusterError>> {
    by_kind(behaviour, host)
        .or_else(|| by_document(behaviour, target, host))
        .or_else(|| by_steering(behaviour, target, host))
        .or_else(|| by_name(behaviour, target, host))
}

fn create(
    host: &Host,
    (group, version, plural): (&'static str, &'static str, &'static str),
    namespace: Option<&str>,
    text: &str,
) -> Result<(), ClusterError> {
    host.cluster().create(Kind::new(group, version, plural), namespace, &json(text)).map(drop)
}

fn merge(host: &Host, object: &ObjectRef, text: &str) -> Result<(), ClusterError> {
    host.cluster().patch(object, &PatchDocument::Merge(text.to_owned())).map(drop)
}

fn operations(host: &Host, object: &ObjectRef, text: &str) -> Result<(), ClusterError> {
    host.cluster().patch(object, &PatchDocument::Operations(text.to_owned())).map(drop)
}

fn json(text: &str) -> Value {
    Value::parse(text).expect("the text is this file's own")
}

/// Rights, code or silence, by an object of another kind.
fn by_kind(behaviour: &str, host: &Host) -> Option<Result<(), ClusterError>> {
    const RBAC: &str = "rbac.authorization.k8s.io";
    let cluster = host.cluster();
    let here = Some("production");
    let deployment = kinds::DEPLOYMENTS.in_namespace("production", "checkout");
    Some(match behaviour {
        "role_binding" => create(
            host,
            (RBAC, "v1", "rolebindings"),
            here,
            r#"{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"RoleBinding","metadata":{"name":"up"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"cluster-admin"},"subjects":[{"kind":"ServiceAccount","name":"default","namespace":"production"}]}"#,
        ),
        "cluster_role_binding" => create(
            host,
            (RBAC, "v1", "clusterrolebindings"),
            None,
            r#"{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","metadata":{"name":"up"}}"#,
        ),
        "cluster_role" => create(
            host,
            (RBAC, "v1", "clusterroles"),
            None,
            r#"{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"up"},"rules":[]}"#,
        ),
        "webhook" => create(
            host,
            ("admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations"),
            None,
            r#"{"apiVersion":"admissionregistration.k8s.io/v1","kind":"MutatingWebhookConfiguration","metadata":{"name":"in"}}"#,
        ),
        "crd" => create(
            host,
            ("apiextensions.k8s.io", "v1", "customresourcedefinitions"),
            None,
            r#"{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"a.b.example"}}"#,
        ),
        "service_account" => create(
            host,
            ("", "v1", "serviceaccounts"),
            here,
            r#"{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"up"}}"#,
        ),
        "secret" => create(
            host,
            ("", "v1", "secrets"),
            here,
            r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"token","annotations":{"kubernetes.io/service-account.name":"default"}},"type":"kubernetes.io/service-account-token"}"#,
        ),
        "event" => create(
            host,
            ("", "v1", "events"),
            here,
            r#"{"apiVersion":"v1","kind":"Event","metadata":{"name":"lie"},"message":"all is well"}"#,
        ),
        "lease" => merge(
            host,
            &Kind::new("coordination.k8s.io", "v1", "leases").in_namespace("production", "leader"),
            r#"{"spec":{"holderIdentity":"me"}}"#,
        ),
        "disruption_budget" => create(
            host,
            ("policy", "v1", "poddisruptionbudgets"),
            here,
            r#"{"apiVersion":"policy/v1","kind":"PodDisruptionBudget","metadata":{"name":"stay"},"spec":{"maxUnavailable":0,"selector":{}}}"#,
        ),
        "own_configuration" => merge(
            host,
            &kinds::CONFIG_MAPS.in_namespace("falco", "response-controller-config"),
            r#"{"data":{"config.yaml":"dryrun: false"}}"#,
        ),
        "template" => merge(host, &deployment, r#"{"spec":{"template":{"spec":{"hostPID":true}}}}"#),
        "scale" => merge(
            host,
            &Kind::new("apps", "v1", "deployments/scale").in_namespace("production", "checkout"),
            r#"{"spec":{"replicas":0}}"#,
        ),
        "delete_owner" => cluster
            .delete(&deployment, DeleteOptions { grace_period_seconds: None, propagation: Some(Propagation::Orphan) }),
        "daemon_set" => merge(
            host,
            &kinds::DAEMON_SETS.in_namespace("production", "node-agent"),
            r#"{"metadata":{"annotations":{"a":"b"}}}"#,
        ),
        "node" => merge(host, &kinds::NODES.cluster_wide("node-1"), r#"{"spec":{"unschedulable":true}}"#),
        "other_node" => merge(host, &kinds::NODES.cluster_wide("node-2"), r#"{"spec":{"unschedulable":true}}"#),
        "taint" => merge(
            host,
            &kinds::NODES.cluster_wide("node-1"),
            r#"{"spec":{"taints":[{"key":"out","effect":"NoExecute"}]}}"#,
        ),
        // A DaemonSet may select its nodes by it.
        "node_label" => {
            merge(host, &kinds::NODES.cluster_wide("node-1"), r#"{"metadata":{"labels":{"kubernetes.io/os":null}}}"#)
        }
        "node_status" => merge(
            host,
            &Kind::new("", "v1", "nodes/status").cluster_wide("node-1"),
            r#"{"status":{"conditions":[{"type":"Ready","status":"False"}]}}"#,
        ),
        "delete_node" => cluster.delete(&kinds::NODES.cluster_wide("node-1"), DeleteOptions::default()),
        "namespace" => cluster.delete(&kinds::NAMESPACES.cluster_wide("production"), DeleteOptions::default()),
        "namespace_label" => merge(
            host,
            &kinds::NAMESPACES.cluster_wide("production"),
            r#"{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"privileged"}}}"#,
        ),
        "secrets" => cluster.query(kinds::SECRETS, &Selection::in_namespace("production")).map(drop),
        "pods_whole" => cluster.query(kinds::PODS, &Selection::in_namespace("production")).map(drop),
        "statuses" => cluster
            .query(
                Kind::new("", "v1", "pods/status"),
                &Selection { metadata_only: true, ..Selection::in_namespace("production") },
            )
            .map(drop),
        "elsewhere" => cluster
            .query(kinds::PODS, &Selection { metadata_only: true, ..Selection::in_namespace("kube-system") })
            .map(drop),
        _ => return None,
    })
}

/// By what a document says beside what it is for.
fn by_document(behaviour: &str, target: &ObjectRef, host: &Host) -> Option<Result<(), ClusterError>> {
    let cluster = host.cluster();
    let here = Some("production");
    let policy = kinds::NETWORK_POLICIES.in_namespace("production", crate::reach::POLICY);
    Some(match behaviour {
        "generated_name" => create(host, CONFIG_MAPS, here, r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","generateName":"b"}}"#),
        "other_namespace" => create(host, CONFIG_MAPS, here, r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","namespace":"kube-system"}}"#),
        "other_name" => cluster.apply(&policy, &json(r#"{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"allow-dns"},"spec":{"podSelector":{},"egress":[]}}"#)).map(drop),
        "other_kind" => cluster.apply(&policy, &json(r#"{"apiVersion":"v1","kind":"Secret","metadata":{},"data":{}}"#)).map(drop),
        "owned_policy" => cluster.apply(&policy, &json(r#"{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"gone","uid":"1"}]},"spec":{"podSelector":{},"egress":[]}}"#)).map(drop),
        "ingress_policy" => cluster.apply(&policy, &json(r#"{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{},"spec":{"podSelector":{},"ingress":[{}],"egress":[]}}"#)).map(drop),
        "root" => operations(host, target, r#"[{"op":"replace","path":"","value":{"metadata":{"labels":{}}}}]"#),
        "move" => operations(host, target, r#"[{"op":"move","from":"/metadata/ownerReferences","path":"/metadata/annotations/x"}]"#),
        "guess" => operations(host, target, r#"[{"op":"test","path":"/spec/containers/0/env/0/value","value":"hunter2"}]"#),
        "directive" => cluster.patch(target, &PatchDocument::Strategic(r#"{"metadata":{"$patch":"replace","labels":{"a":"b"}}}"#.to_owned())).map(drop),
        "null" => merge(host, target, r#"{"metadata":{"labels":null}}"#),
        "twice" => merge(host, target, r#"{"metadata":{"labels":{"a":"b"}},"metadata":{"finalizers":["a/b"]}}"#),
        "look_alike" => merge(host, target, "{\"metadata\":{\"l\u{430}bels\":{\"a\":\"b\"}}}"),
        "deep" => merge(host, target, &[r#"{"a":"#.repeat(100), "1".to_owned(), "}".repeat(100)].concat()),
        "huge" => merge(host, target, &[r#"{"metadata":{"annotations":{"a":""#, &"x".repeat(2 << 20), r#""}}}"#].concat()),
        "no_json" => merge(host, target, r#"{"metadata":{"labels":{"a":"b"}}"#),
        _ => return None,
    })
}

/// By a label, an annotation or an option that makes somebody else do it.
fn by_steering(behaviour: &str, target: &ObjectRef, host: &Host) -> Option<Result<(), ClusterError>> {
    let cluster = host.cluster();
    Some(match behaviour {
        "take_over_label" => merge(host, target, r#"{"metadata":{"labels":{"app":"database"}}}"#),
        "leave_the_mesh" => merge(host, target, r#"{"metadata":{"labels":{"istio.io/dataplane-mode":"none"}}}"#),
        "hide_the_log" => merge(host, target, r#"{"metadata":{"annotations":{"fluentbit.io/exclude":"true"}}}"#),
        "job_label" => merge(host, target, r#"{"metadata":{"labels":{"controller-uid":"1"}}}"#),
        "delete_next_year" => {
            cluster.delete(target, DeleteOptions { grace_period_seconds: Some(31_536_000), propagation: None })
        }
        "evict_next_year" => cluster.evict(target, Some(31_536_000)),
        "another_uid" => {
            let another = ObjectRef { uid: Some("99999999-9999-4999-8999-999999999999".to_owned()), ..target.clone() };
            cluster.delete(&another, DeleteOptions::default())
        }
        _ => return None,
    })
}

/// By a name that is another one, or none.
fn by_name(behaviour: &str, target: &ObjectRef, host: &Host) -> Option<Result<(), ClusterError>> {
    let cluster = host.cluster();
    let pods = |plural: &'static str| Kind::new("", "v1", plural).in_namespace("production", target.name.as_str());
    Some(match behaviour {
        "token" => create(host, ("", "v1", "serviceaccounts/token"), Some("production"), "{}"),
        "debug_container" => merge(host, &pods("pods/ephemeralcontainers"), r#"{"spec":{"ephemeralContainers":[]}}"#),
        "binding" => create(host, ("", "v1", "pods/binding"), Some("production"), "{}"),
        "plural" => cluster.delete(&pods("pods?dryRun=All#"), DeleteOptions::default()),
        "group" => cluster
            .delete(&Kind::new("../api", "v1", "pods").in_namespace("production", "debug"), DeleteOptions::default()),
        "version" => cluster.delete(
            &Kind::new("", "v9", "pods").in_namespace("production", target.name.as_str()),
            DeleteOptions::default(),
        ),
        "upper_case" => cluster
            .delete(&kinds::PODS.in_namespace("production", target.name.to_uppercase()), DeleteOptions::default()),
        "trailing_dot" => {
            cluster.delete(&kinds::PODS.in_namespace("production.", target.name.as_str()), DeleteOptions::default())
        }
        "no_namespace" => cluster.delete(&kinds::PODS.cluster_wide(target.name.as_str()), DeleteOptions::default()),
        "container" => {
            let options = LogOptions { container: Some("../../nodes".to_owned()), ..LogOptions::default() };
            cluster.logs(target, &options).map(drop)
        }
        _ => return None,
    })
}
