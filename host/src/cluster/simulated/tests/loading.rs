use super::*;

fn error(text: &str) -> String {
    let (ambient, _) = fixed::at("2026-03-01T12:00:00Z");
    Simulation::from_yaml(text, &ambient).err().expect("refused").to_string()
}

#[test]
fn names_the_line_of_a_kind_it_does_not_know() {
    let good = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: a }\n---\n";
    let message = error(&format!("{good}apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {{ name: b }}\n"));
    assert!(message.starts_with("manifests.yaml:6: unknown kind `Rollout` of `argoproj.io/v1alpha1`"), "{message}");
}

#[test]
fn refuses_what_is_no_object() {
    for (text, says) in [
        ("kind: Pod\nmetadata: { name: a }", "needs `apiVersion` and `kind`"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {}", "without `metadata.name`"),
        ("apiVersion: v1\nkind: Node\nmetadata: { name: a, namespace: b }", "has no namespace"),
        ("- a", "no Kubernetes object"),
        ("a: [", "not valid YAML"),
        (
            "apiVersion: v1\nkind: Node\nmetadata: { name: a }\n---\napiVersion: v1\nkind: Node\nmetadata: { name: a }",
            "twice",
        ),
    ] {
        let message = error(text);
        assert!(message.contains(says) && message.starts_with("manifests.yaml:"), "{text}: {message}");
    }
}

#[test]
fn reads_the_yaml_files_of_a_directory_and_refuses_one_without() {
    let (ambient, _) = fixed::at("2026-03-01T12:00:00Z");
    let dir = tempfile::tempdir().unwrap();
    assert!(Simulation::load(dir.path(), &ambient).err().unwrap().to_string().contains("no *.yaml here"));
    std::fs::write(dir.path().join("pods.yaml"), CLUSTER).unwrap();
    std::fs::write(dir.path().join("README.md"), "not: [yaml").unwrap();
    assert!(Simulation::load(dir.path(), &ambient).unwrap().object(QI).is_some());
    assert!(Simulation::load(&dir.path().join("absent"), &ambient).is_err());
}

#[test]
fn fills_in_what_a_cluster_would_have() {
    let cluster = Cluster::new();
    let pod = cluster.simulation.object(QI).unwrap();
    assert_eq!(pod["metadata"]["creationTimestamp"], "2026-03-01T11:00:00Z");
    assert_eq!(pod["status"]["phase"], "Running");
    let id = pod["status"]["containerStatuses"][0]["containerID"].as_str().unwrap();
    assert_eq!(id.strip_prefix("containerd://").map(str::len), Some(64), "{id}");
    // Stable: the same manifest is the same pod at the next start.
    assert_eq!(cluster.uid(QI), Cluster::new().uid(QI));
    assert!(cluster.uid(QI).parse::<uuid::Uuid>().is_ok());
    assert_eq!(cluster.get("/api/v1/namespaces/production").0, 200);
    assert_eq!(pod["metadata"]["managedFields"][0]["manager"], "kubectl-client-side-apply");
}

#[test]
fn links_owners_and_serves_custom_kinds() {
    let (ambient, _) = fixed::at("2026-03-01T12:00:00Z");
    let text = r"
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: { name: shop }
---
apiVersion: v1
kind: Pod
metadata:
  name: shop-1
  ownerReferences: [{ apiVersion: argoproj.io/v1alpha1, kind: Rollout, name: shop, controller: true }]
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: rollouts.argoproj.io }
spec:
  group: argoproj.io
  scope: Namespaced
  names: { kind: Rollout, plural: rollouts }
  versions: [{ name: v1alpha1, served: true, storage: true }]
";
    let simulation = Simulation::from_yaml(text, &ambient).unwrap();
    let rollout = simulation.object("/apis/argoproj.io/v1alpha1/namespaces/default/rollouts/shop").unwrap();
    let pod = simulation.object("/api/v1/namespaces/default/pods/shop-1").unwrap();
    assert_eq!(pod["metadata"]["ownerReferences"][0]["uid"], rollout["metadata"]["uid"]);
}
