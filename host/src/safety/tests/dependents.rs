//! Deletes that would take a DaemonSet along.

use super::*;

/// `mesh` belongs to a ReplicaSet of Deployment `operator`; `settings` and Deployment `web` own nothing.
const OPERATOR: &str = r#"
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: operator, namespace: production}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata:
  name: operator-1
  namespace: production
  ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: operator, controller: true}]
---
apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: mesh
  namespace: production
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: operator-1}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: production}
"#;

const UNKNOWN: &str = r#"
---
apiVersion: apps/v1
kind: DaemonSet
metadata:
  name: odd
  namespace: production
  ownerReferences: [{apiVersion: example.com/v1, kind: Installation, name: x, uid: "1"}]
"#;

fn of(group: &str, plural: &str, name: &str) -> ObjectRef {
    object(ApiResource::parse(group, "v1", plural).expect("valid"), "production", name)
}

async fn asked(stage: &Stage, object: ObjectRef, dry_run: bool) -> String {
    let run = stage.run(granted(&[]), dry_run).await;
    message(stage.gate.change(&run, delete(object)).await)
}

#[tokio::test]
async fn what_a_daemon_set_belongs_to_is_not_deleted_at_any_distance() {
    let stage = stage_of(&format!("{MANIFESTS}{OPERATOR}"), None);
    for dry_run in [true, false] {
        let said = asked(&stage, of("apps", "deployments", "operator"), dry_run).await;
        assert!(said.contains("DaemonSet/mesh belongs to deployments.apps production/operator"), "{said}");
    }
    assert_eq!(stage.sent(), Vec::<String>::new());
    // The other DaemonSet of the namespace belongs to nobody, and this one to somebody else.
    assert_eq!(asked(&stage, of("apps", "deployments", "web"), true).await, "done");
    assert_eq!(asked(&stage, of("", "configmaps", "settings"), false).await, "done");
}

#[tokio::test]
async fn what_cannot_be_read_is_not_ruled_out() {
    let stage = stage_of(&format!("{MANIFESTS}{OPERATOR}{UNKNOWN}"), None);
    let said = asked(&stage, of("", "configmaps", "settings"), false).await;
    assert!(said.contains("Installation/x") && said.contains("owner_kinds"), "{said}");
    let stage = stage_of(&format!("{MANIFESTS}{OPERATOR}"), None);
    let path_prefix = "/apis/apps/v1/namespaces/production/daemonsets".to_owned();
    let kind = FaultKind::Refuse(http::StatusCode::FORBIDDEN);
    stage.simulation.inject(Fault { method: Method::GET, path_prefix, times: 1, kind });
    let said = asked(&stage, of("", "configmaps", "settings"), false).await;
    assert!(said.contains("cannot be listed"), "{said}");
    assert_eq!(stage.sent(), Vec::<String>::new());
    assert_eq!(asked(&stage, of("", "configmaps", "settings"), false).await, "done");
}

#[tokio::test]
async fn for_a_pod_nothing_is_listed() {
    let stage = stage_of(&format!("{MANIFESTS}{UNKNOWN}"), None);
    assert_eq!(asked(&stage, pod("other"), false).await, "done");
}
