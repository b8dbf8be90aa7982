//! Nodes: which one is cleared, what is changed there whatever is granted, and what is reached by way of it.

use serde_json::json;

use super::super::budget::{Account, Budgets, Limit, Limits};
use super::super::checks::Check;
use super::*;
use crate::cluster::PatchDocument;
use crate::cluster::Selection;
use crate::cluster::names::Subresource;

/// Beside [`MANIFESTS`]: another node, and what runs on either.
const FURTHER: &str = r#"
---
apiVersion: v1
kind: Node
metadata: {name: n2, labels: {disk: ssd}}
---
apiVersion: v1
kind: Pod
metadata: {name: near, namespace: staging}
spec: {nodeName: n1, containers: [{name: c, image: d}]}
---
apiVersion: v1
kind: Pod
metadata: {name: far, namespace: staging}
spec: {nodeName: n2, containers: [{name: c, image: d}]}
---
apiVersion: v1
kind: Pod
metadata: {name: system, namespace: kube-system}
spec: {nodeName: n1, containers: [{name: c, image: d}]}
---
apiVersion: v1
kind: Pod
metadata:
  name: agent-2
  namespace: production
  ownerReferences: [{apiVersion: apps/v1, kind: DaemonSet, name: agent, controller: true}]
spec: {nodeName: n1, containers: [{name: c, image: d}]}
---
apiVersion: v1
kind: Pod
metadata: {name: waiting, namespace: production}
spec: {containers: [{name: c, image: d}]}
---
apiVersion: v1
kind: Pod
metadata: {name: lost, namespace: production}
spec: {nodeName: n9, containers: [{name: c, image: d}]}
"#;

fn nodes() -> Stage {
    stage_of(&format!("{MANIFESTS}{FURTHER}"), None)
}

impl Stage {
    async fn node_of(&self, namespace: &str, pod: &str) -> Result<Cleared, NotCleared> {
        let subject = Subject {
            namespace: Some(namespace.to_owned()),
            pod: Some(pod.to_owned()),
            pod_uid: None,
            container_id: None,
            time: self.ambient.now(),
        };
        let (policy, rule) = (fixtures::policy(), RuleScope::default());
        let question = Question { subject: &subject, received_at: self.ambient.now(), policy: &policy, rule: &rule };
        question.node(&self.reader).await
    }

    /// A run on the node of pod `target`.
    async fn run_on_node(&self, permissions: Permissions) -> Arc<Run> {
        let cleared = self.node_of("production", "target").await.expect("cleared");
        self.run_on(cleared, permissions, false, &Overlay::default())
    }
}

fn node(name: &str) -> ObjectRef {
    let name = ObjectName::parse(name).expect("valid");
    ObjectRef { resource: ApiResource::nodes(), namespace: None, name, uid: None }
}

fn merge(object: ObjectRef, document: Value) -> Change {
    Change::Patch { object, document: PatchDocument::Merge(document) }
}

fn cordon(name: &str) -> Change {
    merge(node(name), json!({"spec": {"unschedulable": true}}))
}

fn evict(namespace: &str, name: &str) -> Change {
    Change::Evict { pod: object(ApiResource::pods(), namespace, name), grace_period_seconds: None }
}

/// The same permission, declared and granted.
fn both(permissions: &[&str]) -> Permissions {
    let read = |text: &&str| serde_saphyr::from_str::<Permission>(text).expect("a permission");
    let granted: Vec<_> = permissions.iter().map(read).collect();
    let declared = granted.iter().map(|grant| Permission { fields: Vec::new(), ..grant.clone() }).collect();
    Permissions { declared, granted }
}

const CORDON: &str =
    "{apiGroups: [''], resources: [nodes], verbs: [get, patch], scope: target, fields: [spec.unschedulable]}";
const EVICT: &str = "{apiGroups: [''], resources: [pods/eviction], verbs: [create], scope: node}";
const LIST: &str = "{apiGroups: [''], resources: [pods], verbs: [list], scope: node}";

async fn checks_of(stage: &Stage, run: &Arc<Run>, change: Change) -> Option<&'static str> {
    let before = stage.simulation.objects();
    let refused = stage.gate.change(run, change).await.is_err();
    let last = run.calls().pop().expect("on record");
    assert_eq!(refused, stage.simulation.objects() == before, "{last:?}");
    match last.effect {
        Effect::Denied(check) => check.map(Check::id),
        _ => None,
    }
}

#[tokio::test]
async fn the_node_of_the_alerts_pod_is_the_target() {
    let stage = nodes();
    let cleared = stage.node_of("production", "target").await.expect("cleared");
    assert_eq!(cleared.object.to_string(), "nodes n1");
    assert!(cleared.object.uid.is_some() && cleared.manifest["kind"] == "Node");
    assert_eq!(cleared.namespace().map(|namespace| namespace.to_string()).as_deref(), Some("production"));
    let pod = cleared.alerts_pod().expect("by way of it");
    assert!(pod.proof.is_some() && pod.chain.top.as_deref() == Some("Deployment/web"));
}

#[tokio::test]
async fn an_alert_whose_pod_is_gone_elsewhere_or_on_no_node_is_about_none() {
    let stage = nodes();
    for (namespace, pod, check) in [
        ("production", "gone", "pod_absent"),
        ("kube-system", "system", "kube_system"),
        ("monitoring", "graphs", "namespace_denied"),
        ("elsewhere", "x", "namespace_not_allowed"),
        ("production", "waiting", "node_absent"),
        ("production", "lost", "node_absent"),
    ] {
        match stage.node_of(namespace, pod).await {
            Err(NotCleared::Refused(refusal)) => assert_eq!(refusal.check.id(), check, "{namespace}/{pod}"),
            other => panic!("{namespace}/{pod}: {other:?}"),
        }
    }
    assert_eq!(stage.sent(), Vec::<String>::new());
}

/// What is done to a node does nothing to the pods that run there, a DaemonSet's included.
#[tokio::test]
async fn a_daemon_sets_pod_has_a_node_like_any_other_and_counts_for_its_daemon_set() {
    let stage = nodes();
    let cleared = stage.node_of("production", "agent-2").await.expect("cleared");
    let account = Account::of(Some(&cleared), "production");
    assert_eq!((cleared.object.to_string().as_str(), account.described.as_str()), ("nodes n1", "DaemonSet/agent"));
    assert!(account.controlled && !account.owner.is_empty(), "by its UID: {account:?}");
    let run = stage.run_on(cleared, both(&[CORDON]), false, &Overlay::default());
    assert_eq!(checks_of(&stage, &run, evict("production", "agent-2")).await, Some("permission"));
    let run = stage.run_on_node(granted(&ALL_FIELDS)).await;
    for change in [evict("production", "agent-2"), delete(object(ApiResource::pods(), "production", "agent-2"))] {
        assert_eq!(checks_of(&stage, &run, change).await, Some("daemonset"));
    }
}

#[tokio::test]
async fn is_cordoned_where_that_is_granted_by_its_uid() {
    let stage = nodes();
    let run = stage.run_on_node(ungranted()).await;
    assert_eq!(checks_of(&stage, &run, cordon("n1")).await, Some("permission"));
    let line = run.calls()[0].detail.clone();
    assert!(line.contains("resources: [nodes], verbs: [patch], scope: target, fields: [spec.unschedulable]"), "{line}");
    let run = stage.run_on_node(both(&[CORDON])).await;
    assert_eq!(checks_of(&stage, &run, cordon("n1")).await, None);
    assert_eq!(stage.sent().len(), 1);
    assert_eq!(run.calls()[0].effect, Effect::Changed);
    assert_eq!(run.calls()[0].uid, run.target().expect("the node").object.uid);
    assert_eq!(stage.simulation.object("/api/v1/nodes/n1").expect("there")["spec"]["unschedulable"], true);
    let undone = merge(node("n1"), json!({"spec": {"unschedulable": false}}));
    assert_eq!(checks_of(&stage, &run, undone).await, None);
}

#[tokio::test]
async fn nothing_else_of_a_node_is_changed_whatever_is_granted() {
    let stage = nodes();
    let run = stage.run_on_node(granted(&ALL_FIELDS)).await;
    let status = ApiResource::nodes().with_subresource(Subresource::Status);
    let taints = json!({"spec": {"taints": [{"key": "x", "effect": "NoExecute"}]}});
    let manifest =
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}, "spec": {"unschedulable": true}});
    let operations = json!([{"op": "add", "path": "/spec/unschedulable", "value": true}]);
    for change in [
        cordon("n2"),
        merge(node("n1"), taints.clone()),
        merge(node("n1"), json!({"metadata": {"labels": {"disk": "hdd"}}})),
        merge(node("n1"), json!({"metadata": {"finalizers": ["a/b"]}})),
        merge(ObjectRef { resource: status, ..node("n1") }, json!({"status": {"conditions": []}})),
        Change::Patch { object: node("n1"), document: PatchDocument::Strategic(taints) },
        Change::Patch { object: node("n1"), document: PatchDocument::Operations(operations) },
        Change::Apply { object: node("n1"), manifest: manifest.clone(), force: true },
        Change::Create { resource: ApiResource::nodes(), namespace: None, manifest },
        delete(node("n1")),
        merge(
            ObjectRef { resource: ApiResource::namespaces(), ..node("production") },
            json!({"metadata": {"labels": {"a": "b"}}}),
        ),
    ] {
        assert_eq!(checks_of(&stage, &run, change.clone()).await, Some("cluster_scoped"), "{change:?}");
    }
    let eviction = Change::Evict { pod: node("n1"), grace_period_seconds: None };
    assert_eq!(checks_of(&stage, &run, eviction).await, Some("document"));
    assert_eq!(stage.sent(), Vec::<String>::new());
}

#[tokio::test]
async fn an_action_on_a_pod_reaches_its_node_by_scope_node_and_no_other() {
    let stage = nodes();
    let run = stage.run(both(&[&CORDON.replace("scope: target", "scope: node")]), false).await;
    assert_eq!(checks_of(&stage, &run, cordon("n1")).await, None);
    assert_eq!(checks_of(&stage, &run, cordon("n2")).await, Some("cluster_scoped"));
    let cleared = Question {
        subject: &Subject {
            namespace: Some("production".to_owned()),
            pod: None,
            pod_uid: None,
            container_id: None,
            time: stage.ambient.now(),
        },
        received_at: stage.ambient.now(),
        policy: &fixtures::policy(),
        rule: &RuleScope::default(),
    }
    .namespace()
    .expect("cleared");
    let run = stage.run_on(cleared, granted(&ALL_FIELDS), false, &Overlay::default());
    assert_eq!(checks_of(&stage, &run, cordon("n1")).await, Some("cluster_scoped"), "a namespace has no node");
}

#[tokio::test]
async fn a_pod_is_evicted_by_way_of_the_node_only_where_it_runs_there_and_may_be_touched() {
    let stage = nodes();
    let run = stage.run_on_node(both(&[EVICT])).await;
    for (namespace, name, check) in [
        ("staging", "near", None),
        ("staging", "far", Some("permission")),
        ("production", "other", Some("permission")),
        ("production", "agent-2", Some("daemonset")),
        ("kube-system", "system", Some("kube_system")),
        ("monitoring", "graphs", Some("namespace_denied")),
        ("elsewhere", "x", Some("namespace_not_allowed")),
    ] {
        assert_eq!(checks_of(&stage, &run, evict(namespace, name)).await, check, "{namespace}/{name}");
    }
    let of_far = run.calls().into_iter().find(|call| call.name.as_ref().is_some_and(|name| name.as_str() == "far"));
    let denied = of_far.expect("on record").detail;
    assert!(denied.contains("(scope cluster)") && denied.contains("no grant helps"), "{denied}");
}

#[tokio::test]
async fn lists_what_runs_on_the_node_and_nothing_beyond() {
    let stage = nodes();
    let run = stage.run_on_node(both(&[LIST])).await;
    let ask = async |fields: Option<&str>| {
        let selection = Selection { fields: fields.map(str::to_owned), metadata_only: true, ..Selection::default() };
        let found = stage.gate.query(&run, &ApiResource::pods(), &selection).await;
        found.map(|pods| {
            let name = |pod: &Value| pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            pods.iter().map(name).collect::<Vec<_>>()
        })
    };
    let there = ["system", "agent-2", "target", "near"].map(str::to_owned).to_vec();
    assert_eq!(ask(Some("spec.nodeName=n1")).await.expect("permitted"), there);
    assert_eq!(ask(Some("status.phase!=Failed,spec.nodeName=n1")).await.expect("permitted"), there);
    for fields in [
        None,
        Some("spec.nodeName=n2"),
        Some("spec.nodeName!=n1"),
        Some("metadata.name!=a\\,spec.nodeName=n1"),
        Some("metadata.name=spec.nodeName=n1"),
    ] {
        let refused = ask(fields).await.expect_err("beyond the node");
        assert_eq!(refused.reason, Reason::Denied, "{fields:?}");
    }
}

/// Ten pods of one Deployment on the node, and three of another.
fn crowd() -> Stage {
    let mut manifests = format!("{MANIFESTS}{FURTHER}");
    let owned = |name: &str, namespace: &str, owner: &str| {
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  namespace: {namespace}\n  ownerReferences: \
             [{{apiVersion: apps/v1, kind: Deployment, name: {owner}, controller: true}}]\n\
             spec: {{nodeName: n1, containers: [{{name: c, image: d}}]}}\n"
        )
    };
    manifests.push_str("---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: shop, namespace: staging}\n");
    for number in 0..10 {
        manifests.push_str(&owned(&format!("web-{number}"), "production", "web"));
    }
    for number in 0..3 {
        manifests.push_str(&owned(&format!("shop-{number}"), "staging", "shop"));
    }
    stage_of(&manifests, None)
}

fn limits(owner: u32, namespace: u32, cluster: u32) -> Limits {
    let of = |actions| Limit { actions, per: Duration::from_secs(300) };
    Limits { owner: of(owner), namespace: of(namespace), cluster: of(cluster) }
}

/// How the evictions of these end, one after another in one run that holds one share.
async fn drained(
    stage: &Stage,
    budgets: &Budgets,
    limits: &Limits,
    names: &[(&str, &str)],
) -> Vec<Option<&'static str>> {
    let cleared = stage.node_of("production", "target").await.expect("cleared");
    let account = Account::of(Some(&cleared), "production");
    let mut bounds = stage.bounds(cleared, both(&[EVICT]), false, Duration::from_secs(10));
    bounds.allowance = Some(budgets.reserve(&account, limits, stage.ambient.now()).expect("free"));
    let run = Arc::new(Run::new(identity(), bounds, Arc::new(Notes::default())));
    let mut found = Vec::new();
    for (namespace, name) in names {
        found.push(checks_of(stage, &run, evict(namespace, name)).await);
    }
    found
}

#[tokio::test]
async fn every_further_pod_that_is_evicted_draws_a_share_of_its_own() {
    let web = ["web-0", "web-1", "web-2", "web-3"].map(|name| ("production", name));
    let stage = crowd();
    // The first goes by the run's share, which is of the same owner.
    let three = drained(&stage, &Budgets::default(), &limits(3, 100, 100), &web).await;
    assert_eq!(three, [None, None, None, Some("owner_budget")]);
    assert_eq!(stage.sent().len(), 3);
    let stage = crowd();
    let two = drained(&stage, &Budgets::default(), &limits(100, 2, 100), &web).await;
    assert_eq!(two, [None, None, Some("namespace_budget"), Some("namespace_budget")]);
    let stage = crowd();
    let most = drained(&stage, &Budgets::default(), &limits(100, 100, 3), &web).await;
    assert_eq!(most, [None, None, Some("cluster_budget"), Some("cluster_budget")], "a third is for others");
}

#[tokio::test]
async fn a_pod_counts_for_its_own_owner_and_namespace() {
    let stage = crowd();
    let (budgets, limits) = (Budgets::default(), limits(2, 100, 100));
    let names = [
        ("staging", "shop-0"),
        ("staging", "shop-1"),
        ("staging", "shop-2"),
        ("production", "web-0"),
        ("production", "web-1"),
    ];
    let found = drained(&stage, &budgets, &limits, &names).await;
    assert_eq!(found, [None, None, Some("owner_budget"), None, None]);
    // And stays counted after the run.
    let wider = Limits { owner: Limit { actions: 3, ..limits.owner }, ..limits };
    let names = [("staging", "shop-2"), ("production", "web-2"), ("production", "web-3")];
    let again = drained(&stage, &budgets, &wider, &names).await;
    assert_eq!(again, [None, None, Some("owner_budget")]);
}

#[tokio::test]
async fn what_is_no_removal_of_a_pod_is_one_action_with_the_first() {
    let stage = crowd();
    let budgets = Budgets::default();
    let cleared = stage.cleared().await;
    let account = Account::of(Some(&cleared), "production");
    let mut bounds = stage.bounds(cleared, ungranted(), false, Duration::from_secs(10));
    bounds.allowance = Some(budgets.reserve(&account, &limits(1, 1, 1), stage.ambient.now()).expect("free"));
    let run = Arc::new(Run::new(identity(), bounds, Arc::new(Notes::default())));
    let label = merge(pod("target"), json!({"metadata": {"labels": {"falco-response/x": "y"}}}));
    assert_eq!(checks_of(&stage, &run, label).await, None);
    assert_eq!(checks_of(&stage, &run, delete(pod("target"))).await, None);
    assert!(run.trips().is_empty());
}

#[tokio::test]
async fn every_object_that_is_none_of_the_targets_own_draws_a_share_of_its_own() {
    let maps: String = (0..4)
        .map(|number| {
            format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: map-{number}, namespace: production}}\n")
        })
        .collect();
    let stage = stage_of(&format!("{MANIFESTS}{maps}"), None);
    let cleared = stage.cleared().await;
    let account = Account::of(Some(&cleared), "production");
    let mut bounds = stage.bounds(cleared, granted(&ALL_FIELDS), false, Duration::from_secs(10));
    let budgets = Budgets::default();
    let limits = limits(100, 3, 100);
    bounds.allowance = Some(budgets.reserve(&account, &limits, stage.ambient.now()).expect("free"));
    let run = Arc::new(Run::new(identity(), bounds, Arc::new(Notes::default())));
    let map = |number: usize| object(ApiResource::core("configmaps"), "production", &format!("map-{number}"));
    let write = || json!({"data": {"a": "b"}});
    assert_eq!(checks_of(&stage, &run, merge(map(0), write())).await, None);
    assert_eq!(checks_of(&stage, &run, delete(map(1))).await, None);
    // The run holds one of the three itself.
    assert_eq!(checks_of(&stage, &run, merge(map(2), write())).await, Some("namespace_budget"));
    assert_eq!(checks_of(&stage, &run, delete(map(3))).await, Some("namespace_budget"));
    // The target, and what owns it, are what the run's own share is for.
    let deployment = object(ApiResource::parse("apps", "v1", "deployments").expect("valid"), "production", "web");
    assert_eq!(checks_of(&stage, &run, merge(deployment, json!({"spec": {"replicas": 0}}))).await, None);
    assert_eq!(checks_of(&stage, &run, delete(pod("target"))).await, None);
}
