//! Labels and annotations that nobody else lives by, and which therefore need no field of their own in a grant.
//!
//! Metadata steers. A key with a domain belongs to whoever owns the domain: Kubernetes asks automation to use one, and so
//! a label can take a pod out of a service mesh and an annotation its log out of the collector. A new label makes the
//! first controller whose selector it completes adopt a pod that has none, and that controller then has one pod too many
//! and deletes it, a DaemonSet's perhaps.

use serde_json::Value;

/// The domain of keys that are the controller's and its actions' own.
pub(crate) const OWN_DOMAIN: &str = "falco-response";

/// By these, without a domain, Kubernetes' own controllers know their pods.
const CONTROLLERS_KEYS: [&str; 5] =
    ["pod-template-hash", "controller-revision-hash", "pod-template-generation", "controller-uid", "job-name"];

/// Whether `path` is one label or one annotation that may be written without being granted by name. `object` is what is
/// there; null where nothing is, or where it is not known yet.
pub fn is_free_metadata(path: &[String], object: &Value) -> bool {
    match path {
        [metadata, kind, key] if metadata == "metadata" && (kind == "labels" || kind == "annotations") => {
            is_free_key(kind, key, object)
        }
        _ => false,
    }
}

/// Whether nobody but the controller and its actions lives by a key.
pub(super) fn is_own_key(key: &str) -> bool {
    key.split_once('/').is_some_and(|(domain, _)| domain == OWN_DOMAIN)
}

fn is_free_key(kind: &str, key: &str, object: &Value) -> bool {
    let own = key.split_once('/').map(|(domain, _)| domain == OWN_DOMAIN);
    let there =
        object.get("metadata").and_then(|metadata| metadata.get(kind)).is_some_and(|all| all.get(key).is_some());
    let is_label = kind == "labels";
    match own {
        Some(false) => false,
        // Something may select by a label that is there, whoever put it there.
        Some(true) => !(is_label && there),
        None => {
            let adoptable = is_label && !object.is_null() && !is_controlled(object);
            !(there || adoptable || CONTROLLERS_KEYS.contains(&key))
        }
    }
}

fn is_controlled(object: &Value) -> bool {
    let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    owners.is_some_and(|owners| owners.iter().any(|owner| owner.get("controller") == Some(&Value::Bool(true))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn controlled() -> Value {
        json!({"metadata": {
            "labels": {"app": "checkout", "falco-response/quarantine": "yes"},
            "annotations": {"note": "x", "falco-response/event": "1"},
            "ownerReferences": [{"kind": "ReplicaSet", "controller": true}],
        }})
    }

    #[test]
    fn keeps_its_hands_off_what_steers_something() {
        for (kind, key, free) in [
            ("labels", "quarantine", true),
            ("labels", "falco-response/suspect", true),
            ("labels", "app", false),
            ("labels", "falco-response/quarantine", false),
            ("labels", "app.kubernetes.io/name", false),
            ("labels", "k8s.io/x", false),
            ("labels", "pod-template-hash", false),
            ("labels", "controller-uid", false),
            ("labels", "istio.io/dataplane-mode", false),
            ("labels", "evil.falco-response/x", false),
            ("labels", "falco-response.example/x", false),
            ("annotations", "app", true),
            ("annotations", "falco-response/event", true),
            ("annotations", "note", false),
            ("annotations", "kubernetes.io/config.mirror", false),
            ("annotations", "fluentbit.io/exclude", false),
        ] {
            assert_eq!(is_free_key(kind, key, &controlled()), free, "{kind} {key}");
        }
    }

    #[test]
    fn no_new_label_makes_a_controller_adopt_a_pod_that_has_none() {
        let references = json!([{"kind": "ConfigMap", "controller": false}]);
        for alone in [json!({"metadata": {}}), json!({"metadata": {"ownerReferences": references}})] {
            assert!(!is_free_key("labels", "app", &alone));
            assert!(is_free_key("labels", "falco-response/quarantine", &alone));
            assert!(is_free_key("annotations", "app", &alone));
        }
    }

    #[test]
    fn is_about_single_keys_of_labels_and_annotations() {
        let path = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>();
        for parts in [
            &["metadata"][..],
            &["metadata", "labels"],
            &["metadata", "labels", "a", "b"],
            &["metadata", "Labels", "a"],
            &["metadata", "finalizers", "a"],
            &["spec", "labels", "a"],
            &["spec", "template", "metadata", "labels", "a"],
        ] {
            assert!(!is_free_metadata(&path(parts), &Value::Null), "{parts:?}");
        }
        assert!(is_free_metadata(&path(&["metadata", "labels", "a"]), &Value::Null));
    }
}
