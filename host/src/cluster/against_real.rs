//! Reader and writer against a real API server: what only that can say about pins, dry runs and errors.

use std::time::Duration;

use integration_tests::cluster::{Cluster, shared};
use serde_json::{Value, json};

use super::*;
use crate::ambient::Ambient;

struct Stage {
    cluster: &'static Cluster,
    namespace: Namespace,
    reader: Reader,
    writer: Writer,
}

/// A namespace with a pod `a` that no kubelet touches, and a policy `theirs`.
async fn stage(namespace: &str) -> Option<Stage> {
    let cluster = shared()?;
    cluster.namespace(namespace).unwrap();
    let pod = json!({
        "metadata": {"name": "a", "labels": {"app": "a"}},
        "spec": {"nodeName": "silent", "containers": [{"name": "c", "image": "registry.example/d"}]},
    });
    cluster.create(&format!("/api/v1/namespaces/{namespace}/pods"), &pod).unwrap();
    let path = format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies");
    cluster
        .create(&path, &json!({"metadata": {"name": "theirs"}, "spec": {"podSelector": {}, "egress": [{}]}}))
        .unwrap();
    let spec = ClusterSpec::Kubeconfig(Some(cluster.kubeconfig()));
    let (reader, writer) = connect(&spec, &Ambient::system()).await.unwrap();
    Some(Stage { cluster, namespace: Namespace::parse(namespace).unwrap(), reader, writer })
}

fn policies() -> ApiResource {
    ApiResource::parse("networking.k8s.io", "v1", "networkpolicies").unwrap()
}

impl Stage {
    fn object(&self, resource: ApiResource, name: &str) -> ObjectRef {
        let name = ObjectName::parse(name).unwrap();
        ObjectRef { resource, namespace: Some(self.namespace.clone()), name, uid: None }
    }

    fn policy(&self, name: &str, spec: &Value) -> Value {
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": name, "namespace": self.namespace.as_str()}, "spec": spec,
        })
    }

    async fn uid(&self, object: &ObjectRef) -> Uid {
        let found = self.reader.get(object).await.unwrap();
        Uid::parse(found["metadata"]["uid"].as_str().unwrap()).unwrap()
    }

    async fn send(&self, mutation: &Mutation, dry_run: bool) -> Result<Answer, ApiError> {
        let sending = Sending {
            dry_run,
            field_manager: "falco-response-controller/x".to_owned(),
            event_id: "e".to_owned(),
            timeout: Duration::from_secs(5),
        };
        self.writer.look_first(mutation).await?;
        self.writer.send(mutation, &sending).await
    }

    async fn status(&self, mutation: &Mutation, dry_run: bool) -> (u16, String) {
        match self.send(mutation, dry_run).await {
            Ok(answer) => (answer.code, String::new()),
            Err(ApiError::Status { code, reason, .. }) => (code, reason),
            Err(other) => panic!("{other}"),
        }
    }

    /// Every change that there is, of a pod with this UID and of the policies.
    async fn every_change(&self, uid: &Uid) -> Vec<Mutation> {
        let pod = self.object(ApiResource::pods(), "a");
        let theirs = self.object(policies(), "theirs");
        let patch = |document| Mutation::Patch { object: pod.clone(), uid: uid.clone(), document };
        let apply = |name: &str, uid| Mutation::Apply {
            object: self.object(policies(), name),
            uid,
            manifest: self.policy(name, &json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": []})),
            force: true,
        };
        vec![
            Mutation::Create {
                resource: policies(),
                namespace: Some(self.namespace.clone()),
                name: ObjectName::parse("made").unwrap(),
                manifest: self.policy("made", &json!({"podSelector": {}})),
            },
            apply("new", None),
            apply("theirs", Some(self.uid(&theirs).await)),
            patch(PatchDocument::Merge(json!({"metadata": {"labels": {"q": "1"}}}))),
            patch(PatchDocument::Strategic(json!({"metadata": {"labels": {"r": "1"}}}))),
            patch(PatchDocument::Operations(json!([{"op": "add", "path": "/metadata/labels/s", "value": "1"}]))),
            Mutation::Evict { pod: pod.clone(), uid: uid.clone(), grace_period_seconds: Some(20) },
            Mutation::Delete {
                object: pod,
                uid: uid.clone(),
                resource_version: None,
                grace_period_seconds: Some(1),
                propagation: None,
            },
        ]
    }

    fn versions(&self) -> Vec<String> {
        let namespace = &self.namespace;
        let paths = [
            format!("/api/v1/namespaces/{namespace}/pods"),
            format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies"),
        ];
        let items = paths.iter().flat_map(|path| self.cluster.get(path).unwrap()["items"].as_array().unwrap().clone());
        items.map(|item| format!("{} {}", item["metadata"]["name"], item["metadata"]["resourceVersion"])).collect()
    }
}

#[tokio::test]
async fn every_change_is_accepted_dry_without_a_trace_and_then_live() {
    let Some(stage) = stage("client-dry").await else { return };
    let uid = stage.uid(&stage.object(ApiResource::pods(), "a")).await;
    let before = stage.versions();
    let changes = stage.every_change(&uid).await;
    for change in &changes {
        assert!((200..300).contains(&stage.status(change, true).await.0), "{change:?}");
        assert_eq!(stage.versions(), before, "{change:?}");
    }
    for change in &changes {
        let before = stage.versions();
        assert!((200..300).contains(&stage.status(change, false).await.0), "{change:?}");
        assert_ne!(stage.versions(), before, "{change:?}");
    }
}

#[tokio::test]
async fn another_uid_is_a_conflict_dry_and_live() {
    let Some(stage) = stage("client-pins").await else { return };
    let other = Uid::parse("11111111-1111-4111-8111-111111111111").unwrap();
    let before = stage.versions();
    let mut changes = stage.every_change(&other).await;
    changes.retain(|change| !matches!(change, Mutation::Create { .. } | Mutation::Apply { .. }));
    for name in ["theirs", "absent"] {
        changes.push(Mutation::Apply {
            object: stage.object(policies(), name),
            uid: Some(other.clone()),
            manifest: stage.policy(name, &json!({"podSelector": {}})),
            force: true,
        });
    }
    assert_eq!(changes.len(), 7);
    for change in &changes {
        for dry_run in [true, false] {
            assert_eq!(stage.status(change, dry_run).await, (409, "Conflict".to_owned()), "{change:?}");
        }
    }
    assert_eq!(stage.versions(), before);
}

#[tokio::test]
async fn what_does_not_fit_is_invalid_and_no_outage() {
    let Some(stage) = stage("client-invalid").await else { return };
    let pod = stage.object(ApiResource::pods(), "a");
    let uid = stage.uid(&pod).await;
    let apply = Mutation::Apply {
        object: stage.object(policies(), "new"),
        uid: None,
        manifest: stage.policy("new", &json!({"podSelector": {}, "polcyTypes": []})),
        force: false,
    };
    let patch = |document| Mutation::Patch { object: pod.clone(), uid: uid.clone(), document };
    let operations = patch(PatchDocument::Operations(json!([{"op": "remove", "path": "/metadata/labels/nothing"}])));
    let merge = patch(PatchDocument::Merge(json!({"spec": {"colour": "red"}})));
    for change in [apply, operations, merge] {
        assert_eq!(stage.status(&change, false).await, (422, "Invalid".to_owned()), "{change:?}");
    }
    let create = Mutation::Create {
        resource: policies(),
        namespace: Some(stage.namespace.clone()),
        name: ObjectName::parse("theirs").unwrap(),
        manifest: stage.policy("theirs", &json!({"podSelector": {}})),
    };
    assert_eq!(stage.status(&create, false).await, (409, "AlreadyExists".to_owned()));
}

#[tokio::test]
async fn lists_page_by_page_and_metadata_alone() {
    let Some(stage) = stage("client-lists").await else { return };
    stage.reader.reachable().await.unwrap();
    // More than the one page that is asked for at a time.
    let many = 501;
    let collection = format!("/api/v1/namespaces/{}/configmaps", stage.namespace);
    for number in 0..many {
        stage.cluster.create(&collection, &json!({"metadata": {"name": format!("m-{number}")}})).unwrap();
    }
    let resource = ApiResource::parse("", "v1", "configmaps").unwrap();
    let selection = Selection { namespace: Some(stage.namespace.clone()), metadata_only: true, ..Selection::default() };
    let found = stage.reader.list(&resource, &selection).await.unwrap();
    // And one that every namespace has.
    assert_eq!(found.len(), many + 1);
    assert_eq!(found[0]["kind"], "PartialObjectMetadata");
    let ten = Selection { limit: Some(10), metadata_only: false, ..selection };
    let found = stage.reader.list(&resource, &ten).await.unwrap();
    assert_eq!((found.len(), &found[0]["kind"], &found[0]["apiVersion"]), (10, &json!("ConfigMap"), &json!("v1")));
}

/// What the cluster reads as after what was rehearsed on it.
async fn rehearse(stage: &Stage, overlay: &overlay::Overlay, mutation: &Mutation) -> Result<Answer, (u16, String)> {
    let sending = Sending {
        dry_run: true,
        field_manager: "falco-response-controller/x".to_owned(),
        event_id: "e".to_owned(),
        timeout: Duration::from_secs(5),
    };
    let reader = stage.reader.rehearsing(overlay);
    let object = match mutation {
        Mutation::Create { name, resource, .. } => stage.object(resource.clone(), name.as_str()),
        Mutation::Apply { object, .. } | Mutation::Patch { object, .. } | Mutation::Delete { object, .. } => {
            object.clone()
        }
        Mutation::Evict { pod, .. } => pod.clone(),
    };
    let before = reader.get(&object).await.ok();
    let cluster = (&stage.reader, &stage.writer);
    overlay.send(cluster, &Ambient::system(), mutation, before.as_ref(), &sending).await.map_err(|error| match error {
        ApiError::Status { code, reason, .. } => (code, reason),
        other => panic!("{other}"),
    })
}

#[tokio::test]
async fn what_was_rehearsed_reads_as_if_it_were_so_and_is_not() {
    let Some(stage) = stage("overlay").await else { return };
    let overlay = overlay::Overlay::default();
    let reader = stage.reader.rehearsing(&overlay);
    let pod = stage.object(ApiResource::pods(), "a");
    let uid = stage.uid(&pod).await;
    let before = stage.reader.get(&pod).await.unwrap();
    let labelled = |document: Value| Mutation::Patch {
        object: pod.clone(),
        uid: uid.clone(),
        document: PatchDocument::Merge(document),
    };
    let selection = |labels: &str| Selection {
        namespace: Some(stage.namespace.clone()),
        labels: Some(labels.to_owned()),
        ..Selection::default()
    };
    let named = async |labels: &str| reader.list(&ApiResource::pods(), &selection(labels)).await.unwrap().len();

    rehearse(&stage, &overlay, &labelled(json!({"metadata": {"labels": {"quarantine": "yes"}}}))).await.unwrap();
    assert_eq!(reader.get(&pod).await.unwrap()["metadata"]["labels"], json!({"app": "a", "quarantine": "yes"}));
    assert_eq!((named("quarantine=yes").await, named("!quarantine").await), (1, 0));
    // A JSON patch that the API server by itself could not make sense of.
    let operations = json!([{"op": "replace", "path": "/metadata/labels/quarantine", "value": "no"}]);
    let document = PatchDocument::Operations(operations);
    rehearse(&stage, &overlay, &Mutation::Patch { object: pod.clone(), uid: uid.clone(), document }).await.unwrap();
    assert_eq!((named("quarantine=yes").await, named("quarantine=no,app=a").await), (0, 1));
    // What it forbids is forbidden the second time as well.
    let wrong = labelled(json!({"metadata": {"labels": {"quarantine": "not a label!"}}}));
    assert_eq!(rehearse(&stage, &overlay, &wrong).await.unwrap_err().0, 422);

    let spec = json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": []});
    let create = Mutation::Create {
        resource: policies(),
        namespace: Some(stage.namespace.clone()),
        name: ObjectName::parse("made").unwrap(),
        manifest: stage.policy("made", &spec),
    };
    rehearse(&stage, &overlay, &create).await.unwrap();
    let made = stage.object(policies(), "made");
    assert_eq!(reader.get(&made).await.unwrap()["spec"]["policyTypes"], json!(["Egress"]));
    assert_eq!(rehearse(&stage, &overlay, &create).await.unwrap_err(), (409, "AlreadyExists".to_owned()));
    let made_uid = Uid::parse(uid_str(&reader.get(&made).await.unwrap()).unwrap()).unwrap();
    assert!(overlay.made_up(&made_uid) && !overlay.made_up(&uid));
    let delete = |object: &ObjectRef, uid: &Uid, grace| Mutation::Delete {
        object: object.clone(),
        uid: uid.clone(),
        resource_version: None,
        grace_period_seconds: grace,
        propagation: None,
    };
    rehearse(&stage, &overlay, &delete(&made, &made_uid, None)).await.unwrap();
    assert!(reader.get(&made).await.unwrap_err().is_not_found());
    assert_eq!(rehearse(&stage, &overlay, &delete(&made, &made_uid, None)).await.unwrap_err().0, 404);

    rehearse(&stage, &overlay, &delete(&pod, &uid, Some(30))).await.unwrap();
    let going = reader.get(&pod).await.unwrap();
    assert!(going["metadata"]["deletionTimestamp"].is_string() && going["metadata"]["labels"]["quarantine"] == "no");
    rehearse(&stage, &overlay, &delete(&pod, &uid, Some(0))).await.unwrap();
    assert!(reader.get(&pod).await.unwrap_err().is_not_found());
    assert_eq!(rehearse(&stage, &overlay, &delete(&pod, &uid, Some(0))).await.unwrap_err().0, 404);
    assert_eq!(named("").await, 0);

    // And the cluster is as it was.
    assert_eq!(stage.reader.get(&pod).await.unwrap(), before);
    assert!(stage.reader.get(&made).await.unwrap_err().is_not_found());
}
