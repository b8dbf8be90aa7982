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
fn reads_logs_beside_the_objects_and_keeps_none_as_one() {
    let (ambient, clock) = fixed::at("2026-03-01T12:00:00Z");
    let log = "apiVersion: simulated.falco-response/v1\nkind: PodLog\nmetadata: { name: qi, namespace: production }\n";
    let text = format!("{CLUSTER}---\n{log}containers: {{ main: \"one\\ntwo\\nthree\\n\" }}\n");
    let cluster = Cluster { simulation: Simulation::from_yaml(&text, &ambient).unwrap(), clock };
    assert_eq!(cluster.get(&format!("{QI}/log?tailLines=2")).1, "two\nthree\n");
    assert_eq!(cluster.get(&format!("{QI}/log?container=main&previous=false")).1, "one\ntwo\nthree\n");
    assert_eq!(cluster.get(&format!("{QI}/log?previous=true")).0, 400);
    assert_eq!(cluster.get("/api/v1/namespaces/production/pods/held/log").1, "");
    assert!(cluster.simulation.objects().iter().all(|object| object["kind"] != "PodLog"));
    assert!(error(log).contains("manifests.yaml:2: a PodLog needs `containers`"), "{}", error(log));
    assert!(error(&format!("{log}containers: {{ main: 1 }}\n")).contains("the log of `main` is no text"));
}

#[test]
fn an_event_is_about_the_object_of_its_kind_and_name() {
    let (ambient, clock) = fixed::at("2026-03-01T12:00:00Z");
    let event = "apiVersion: v1\nkind: Event\nmetadata: { name: qi.1, namespace: production }\n";
    let text = format!("{CLUSTER}---\n{event}involvedObject: {{ apiVersion: v1, kind: Pod, name: qi }}\n");
    let cluster = Cluster { simulation: Simulation::from_yaml(&text, &ambient).unwrap(), clock };
    let events = "/api/v1/namespaces/production/events?fieldSelector=involvedObject.uid%3D";
    assert_eq!(names(&cluster.get(&format!("{events}{}", cluster.uid(QI))).1), ["qi.1"]);
    assert!(names(&cluster.get(&format!("{events}another")).1).is_empty());
}

#[test]
fn a_container_that_has_not_started_has_no_log() {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: { name: a }\nspec: { nodeName: n, containers: [{ name: app, image: a }] }\n";
    let status = "status: { containerStatuses: [{ name: app, state: { waiting: { reason: ImagePullBackOff } } }] }\n";
    let (ambient, clock) = fixed::at("2026-03-01T12:00:00Z");
    let cluster = Cluster { simulation: Simulation::from_yaml(&format!("{pod}{status}"), &ambient).unwrap(), clock };
    let (code, answer) = cluster.get("/api/v1/namespaces/default/pods/a/log");
    assert_eq!(code, 400);
    assert_eq!(answer["message"], "container \"app\" in pod \"a\" is waiting to start: ImagePullBackOff");
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
