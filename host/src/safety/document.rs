//! What a document touches: the paths that a patch, an apply or a create would write, as far as that can be told.
//!
//! A patch is not harmless because it is no delete: a new image is code execution, an absent owner in
//! `ownerReferences` lets the garbage collector delete, a finalizer makes a pod undeletable.

use serde_json::Value;

use super::checks::{Check, Refusal};
use crate::cluster::PatchDocument;
use crate::cluster::names::{ApiResource, Namespace, ObjectName};

/// One path that is written: `["metadata", "labels", "app.kubernetes.io/name"]`.
pub type Path = Vec<String>;

/// Deeper documents are refused before anyone walks them.
const DEEPEST: usize = 64;

/// More than any object that people write. Each path is compared with grants, owners of fields and other paths.
const MOST_PATHS: usize = 4096;

/// What a document would write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touched {
    pub form: Form,
    pub paths: Vec<Path>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Merge,
    Operations,
    Strategic,
    /// A whole manifest: apply or create.
    Manifest,
}

/// # Errors
/// The document is not of its form, or it is too deep.
pub fn touched_by_patch(document: &PatchDocument) -> Result<Touched, Refusal> {
    let (form, paths) = match document {
        PatchDocument::Merge(value) => (Form::Merge, object_paths(value)?),
        PatchDocument::Strategic(value) => (Form::Strategic, object_paths(value)?),
        PatchDocument::Operations(value) => (Form::Operations, operation_paths(value)?),
    };
    Ok(Touched { form, paths })
}

/// What an apply or create writes beyond the object's own name and kind.
///
/// # Errors
/// The manifest is no object, or it names another object than the call.
pub fn touched_by_manifest(
    manifest: &Value,
    resource: &ApiResource,
    namespace: Option<&Namespace>,
    name: Option<&ObjectName>,
) -> Result<Touched, Refusal> {
    let refuse = |detail: String| Err(Refusal::new(Check::Document, detail));
    let text = |pointer: &str| manifest.pointer(pointer).map(|value| value.as_str().unwrap_or("(not a string)"));
    if text("/apiVersion") != Some(&resource.api_version()) {
        return refuse(format!("the manifest's apiVersion is not {}", resource.api_version()));
    }
    if manifest.get("kind").and_then(Value::as_str).is_none_or(str::is_empty) {
        return refuse("the manifest has no kind".to_owned());
    }
    if manifest.pointer("/metadata/generateName").is_some() {
        return refuse("metadata.generateName makes a name that nobody checked: give a name".to_owned());
    }
    if let Some(found) = text("/metadata/namespace")
        && Some(found) != namespace.map(Namespace::as_str)
    {
        return refuse("the manifest's metadata.namespace is not the namespace of the call".to_owned());
    }
    if let (Some(found), Some(name)) = (text("/metadata/name"), name)
        && found != name.as_str()
    {
        return refuse("the manifest's metadata.name is not the name of the call".to_owned());
    }
    let own = [&["apiVersion"][..], &["kind"], &["metadata", "name"], &["metadata", "namespace"], &["metadata", "uid"]];
    let paths = object_paths(manifest)?.into_iter().filter(|path| !own.iter().any(|own| path == own)).collect();
    Ok(Touched { form: Form::Manifest, paths })
}

/// The paths of every leaf; an array or an empty object is a leaf, and so is a null, which removes what is there.
fn object_paths(value: &Value) -> Result<Vec<Path>, Refusal> {
    if !value.is_object() {
        return Err(Refusal::new(Check::Document, "the document is not a JSON object"));
    }
    let mut paths = Vec::new();
    collect(value, &mut Vec::new(), &mut paths)?;
    Ok(paths)
}

fn collect(value: &Value, prefix: &mut Path, paths: &mut Vec<Path>) -> Result<(), Refusal> {
    match value.as_object() {
        Some(map) if !map.is_empty() => {
            if prefix.len() >= DEEPEST {
                return Err(Refusal::new(Check::Document, "the document is too deep"));
            }
            for (key, value) in map {
                prefix.push(key.clone());
                collect(value, prefix, paths)?;
                prefix.pop();
            }
        }
        _ => add(prefix.clone(), paths)?,
    }
    Ok(())
}

fn add(path: Path, paths: &mut Vec<Path>) -> Result<(), Refusal> {
    if paths.len() >= MOST_PATHS {
        let detail = format!("the document writes more than {MOST_PATHS} fields");
        return Err(Refusal::new(Check::Document, detail));
    }
    paths.push(path);
    Ok(())
}

/// RFC 6902: every `path` and `from`. What an operation puts there is not looked into: it replaces or removes all that
/// was there before, also what its value does not mention. A test writes nothing, but its answer tells what stands there,
/// which the action may not be meant to know; only metadata, which it reads anyway, may be tested freely.
fn operation_paths(value: &Value) -> Result<Vec<Path>, Refusal> {
    let refuse = || Refusal::new(Check::Document, "the document is not an RFC 6902 list of operations");
    let mut paths = Vec::new();
    for operation in value.as_array().ok_or_else(refuse)? {
        let name = operation.get("op").and_then(Value::as_str).ok_or_else(refuse)?;
        for key in ["path", "from"] {
            match operation.get(key) {
                Some(pointer) => {
                    let path = pointer_path(pointer.as_str().ok_or_else(refuse)?).ok_or_else(refuse)?;
                    if name != "test" || path.first().is_none_or(|first| first != "metadata") {
                        add(path, &mut paths)?;
                    }
                }
                None if key == "path" => return Err(refuse()),
                None => {}
            }
        }
    }
    Ok(paths)
}

fn pointer_path(pointer: &str) -> Option<Path> {
    if pointer.is_empty() {
        return Some(Vec::new());
    }
    Some(pointer.strip_prefix('/')?.split('/').map(|part| part.replace("~1", "/").replace("~0", "~")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn dotted(touched: Touched) -> Vec<String> {
        touched.paths.iter().map(|path| path.join(".")).collect()
    }

    #[test]
    fn refuses_a_document_that_writes_more_fields_than_anybody_compares() {
        let fields = |count: usize| (0..count).map(|n| (n.to_string(), json!(0))).collect::<serde_json::Map<_, _>>();
        let verdict = |count| touched_by_patch(&PatchDocument::Merge(json!({"data": fields(count)})));
        assert_eq!(verdict(MOST_PATHS).map(|touched| touched.paths.len()), Ok(MOST_PATHS));
        assert_eq!(verdict(MOST_PATHS + 1).map_err(|refusal| refusal.check), Err(Check::Document));
        let operation = json!({"op": "add", "path": "/data/a", "value": 0});
        let operations = PatchDocument::Operations(Value::Array(vec![operation; MOST_PATHS + 1]));
        assert_eq!(touched_by_patch(&operations).map_err(|refusal| refusal.check), Err(Check::Document));
    }

    #[test]
    fn lists_what_a_merge_patch_writes_and_removes() {
        let document = json!({"metadata": {"labels": {"a": "b", "c": null}, "ownerReferences": []}, "spec": {}});
        let touched = touched_by_patch(&PatchDocument::Merge(document)).expect("valid");
        assert_eq!(dotted(touched), ["metadata.labels.a", "metadata.labels.c", "metadata.ownerReferences", "spec"]);
        assert!(touched_by_patch(&PatchDocument::Merge(json!([]))).is_err());
    }

    #[test]
    fn counts_an_operation_on_a_parent_as_one_on_all_of_it() {
        let operations = json!([
            {"op": "test", "path": "/metadata/uid", "value": "x"},
            {"op": "add", "path": "/metadata", "value": {"ownerReferences": [], "labels": {"x": "y"}}},
            {"op": "move", "from": "/spec/a~1b", "path": "/spec/c"},
            {"op": "test", "path": "/spec/containers/0/env/0/value", "value": "a guess"},
        ]);
        let touched = touched_by_patch(&PatchDocument::Operations(operations)).expect("valid");
        assert_eq!(dotted(touched), ["metadata", "spec.c", "spec.a/b", "spec.containers.0.env.0.value"]);
        for broken in [json!({}), json!([{"path": "/a"}]), json!([{"op": "add"}]), json!([{"op": "add", "path": "a"}])]
        {
            assert!(touched_by_patch(&PatchDocument::Operations(broken)).is_err());
        }
    }

    #[test]
    fn a_manifest_names_the_object_of_the_call_and_no_other() {
        let policies = ApiResource::parse("networking.k8s.io", "v1", "networkpolicies").expect("valid");
        let namespace = Namespace::parse("production").expect("valid");
        let name = ObjectName::parse("falco-x").expect("valid");
        let good = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "falco-x"}, "spec": {"egress": []}});
        let look = |manifest: &Value| touched_by_manifest(manifest, &policies, Some(&namespace), Some(&name));
        assert_eq!(dotted(look(&good).expect("valid")), ["spec.egress"]);
        for (pointer, value) in [
            ("apiVersion", json!("v1")),
            ("kind", json!(null)),
            ("metadata", json!({"name": "other"})),
            ("metadata", json!({"namespace": "kube-system"})),
            ("metadata", json!({"generateName": "falco-"})),
            ("metadata", json!({"namespace": 7})),
        ] {
            let mut bad = good.clone();
            bad[pointer] = value;
            assert!(look(&bad).is_err(), "{bad}");
        }
    }
}
