use super::*;
use crate::ambient::Ambient;
use crate::cluster::connect::connect_simulated;
use crate::cluster::simulated::{Fault, FaultKind, Simulation};
use crate::safety::checks::fixtures::policy;

const MANIFESTS: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: production}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata:
  name: web-1
  namespace: production
  ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, controller: true}]
---
apiVersion: v1
kind: Pod
metadata:
  name: web-1-a
  namespace: production
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-1, controller: true}]
---
apiVersion: v1
kind: Pod
metadata:
  name: web-1-b
  namespace: production
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-1, controller: true}]
---
apiVersion: v1
kind: Pod
metadata:
  name: web-1-c
  namespace: production
  deletionTimestamp: "2026-11-24T12:00:00Z"
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-1, controller: true}]
---
apiVersion: v1
kind: Pod
metadata:
  name: db-0
  namespace: production
  ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: db, controller: true}]
---
apiVersion: v1
kind: Pod
metadata:
  name: agent
  namespace: production
  ownerReferences: [{apiVersion: apps/v1, kind: DaemonSet, name: agent, controller: true}]
---
apiVersion: v1
kind: Pod
metadata:
  name: canary-a
  namespace: production
  ownerReferences: [{apiVersion: argoproj.io/v1alpha1, kind: Rollout, name: canary, controller: true}]
---
apiVersion: v1
kind: Pod
metadata:
  name: canary-b
  namespace: production
  ownerReferences: [{apiVersion: argoproj.io/v1alpha1, kind: Rollout, name: canary, controller: true}]
---
apiVersion: v1
kind: Pod
metadata:
  name: orphan
  namespace: production
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: gone, controller: true}]
---
apiVersion: v1
kind: Pod
metadata: {name: static, namespace: production, annotations: {kubernetes.io/config.mirror: x}}
"#;

fn rule(namespaces: &[&str], tally: Tally) -> RuleReach {
    RuleReach {
        rule: "Shell spawned".to_owned(),
        namespaces: namespaces.iter().map(|name| (*name).to_owned()).collect(),
        tally,
    }
}

#[tokio::test]
async fn sorts_the_pods_by_what_keeps_them_out_of_reach() {
    let simulation = Simulation::from_yaml(MANIFESTS, &Ambient::system()).expect("valid");
    let (reader, _) = connect_simulated(simulation.clone());
    let mut obstacles = BTreeMap::new();
    let production = Namespace::parse("production").expect("valid");
    let tally = tally(&production, &policy(), &reader, &mut obstacles).await.expect("answered");
    assert_eq!(
        rule(&["production"], tally).to_string(),
        "`Shell spawned` can reach 2 of 9 pods in production: 1 belongs to a protected DaemonSet, 1 belongs to a \
         protected StatefulSet, 2 have an owner of kind Rollout, which is not in owner_kinds, 1 has an owner of kind \
         ReplicaSet that cannot be read, 1 is the mirror of a static pod, 1 is being deleted already"
    );
    let rollout = &obstacles[&("argoproj.io/v1alpha1".to_owned(), "Rollout".to_owned())];
    assert_eq!(rollout.pods, 2);
    let line = "- {apiVersion: argoproj.io/v1alpha1, kind: Rollout, plural: rollouts, top_level: true}";
    assert!(rollout.example.contains(line), "{}", rollout.example);
    assert_eq!(obstacles.len(), 2, "{obstacles:?}");
    // Three pods of one ReplicaSet: it is read once, and so is its Deployment.
    let reads = |part: &str| simulation.requests().iter().filter(|seen| seen.path_and_query.contains(part)).count();
    assert_eq!((reads("replicasets/web-1"), reads("deployments/web")), (1, 1));
}

#[tokio::test]
async fn no_answer_ends_it_and_a_no_does_not() {
    for (code, transient) in [(503, true), (403, false)] {
        let simulation = Simulation::from_yaml(MANIFESTS, &Ambient::system()).expect("valid");
        let kind = FaultKind::Refuse(http::StatusCode::from_u16(code).expect("valid"));
        let path_prefix = "/apis/apps/v1/namespaces/production/deployments".to_owned();
        simulation.inject(Fault { method: http::Method::GET, path_prefix, times: u32::MAX, kind });
        let (reader, _) = connect_simulated(simulation);
        let production = Namespace::parse("production").expect("valid");
        let result = tally(&production, &policy(), &reader, &mut BTreeMap::new()).await;
        assert_eq!(result.is_err(), transient, "{code}: {result:?}");
    }
}

#[test]
fn reads_as_a_sentence() {
    let all = |why: Why, pods: usize| Tally { pods, reachable: 0, out_of_reach: [(why, pods)].into() };
    assert_eq!(
        rule(&["data"], all(Why::Protected("StatefulSet".to_owned()), 14)).to_string(),
        "`Shell spawned` can reach 0 of 14 pods in data: all belong to protected StatefulSets"
    );
    assert_eq!(
        rule(&["data"], all(Why::Mirror, 2)).to_string(),
        "`Shell spawned` can reach 0 of 2 pods in data: all are mirrors of static pods"
    );
    let free = Tally { pods: 3, reachable: 3, out_of_reach: BTreeMap::new() };
    assert_eq!(rule(&["a", "b"], free).to_string(), "`Shell spawned` can reach 3 of 3 pods in a, b");
    let nowhere = rule(&[], Tally::default());
    assert!(nowhere.is_empty());
    assert_eq!(nowhere.to_string(), "`Shell spawned` can reach no pod: it may act in no namespace");
}
