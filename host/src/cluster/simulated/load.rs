//! From YAML manifests to a store: what people leave out of a manifest and a cluster would have filled in.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use serde_saphyr::Spanned;
use sha2::{Digest, Sha256};

use super::exec::{Commands, is_exec};
use super::kinds::{Kind, Kinds};
use super::logs::{Logs, is_log};
use super::store::{Key, Store, whole_seconds};
use super::{apply, schema};
use crate::hex::hex;

/// Who owns the fields of what was loaded.
const MANAGER: &str = "kubectl-client-side-apply";

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    #[error("{}: {message}", path.display())]
    Read { path: PathBuf, message: String },
    #[error("{}: no *.yaml here; the directory holds the cluster's objects as manifests", .0.display())]
    Empty(PathBuf),
    #[error("{file}:{line}: {message}")]
    Document { file: String, line: u64, message: String },
}

/// One document and where it stands.
struct Document {
    file: String,
    line: u64,
    object: Value,
}

impl Document {
    fn error(&self, message: impl Into<String>) -> LoadError {
        LoadError::Document { file: self.file.clone(), line: self.line, message: message.into() }
    }
}

/// Where objects come from.
pub enum Source<'a> {
    /// A file, or every `*.yaml` of a directory.
    Path(&'a Path),
    /// One object that stands elsewhere, in that line of that file.
    Object { file: &'a str, line: u64, object: Value },
}

pub fn sources(sources: &[Source<'_>], now: Timestamp) -> Result<Store, LoadError> {
    let mut found = Vec::new();
    for source in sources {
        match source {
            Source::Path(path) if path.is_dir() => found.append(&mut documents(path)?),
            Source::Path(path) => found.append(&mut read(path)?),
            Source::Object { file, line, object } => {
                found.push(Document { file: (*file).to_owned(), line: *line, object: object.clone() });
            }
        }
    }
    store(found, now)
}

/// Every `*.yaml` of the directory, by name.
pub fn directory(dir: &Path, now: Timestamp) -> Result<Store, LoadError> {
    store(documents(dir)?, now)
}

fn read(path: &Path) -> Result<Vec<Document>, LoadError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| LoadError::Read { path: path.into(), message: error.to_string() })?;
    split(&path.display().to_string(), &text)
}

fn documents(dir: &Path) -> Result<Vec<Document>, LoadError> {
    let unread =
        |path: &Path, error: &std::io::Error| LoadError::Read { path: path.into(), message: error.to_string() };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|error| unread(dir, &error))? {
        let path = entry.map_err(|error| unread(dir, &error))?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(LoadError::Empty(dir.into()));
    }
    files.sort();
    let mut documents = Vec::new();
    for path in files {
        documents.append(&mut read(&path)?);
    }
    Ok(documents)
}

pub fn text(text: &str, now: Timestamp) -> Result<Store, LoadError> {
    store(split("manifests.yaml", text)?, now)
}

fn split(file: &str, text: &str) -> Result<Vec<Document>, LoadError> {
    let options = serde_saphyr::options! { with_snippet: false };
    let documents: Vec<Spanned<Value>> = serde_saphyr::from_multiple_with_options(text, options).map_err(|error| {
        let line = error.location().map_or(1, |location| location.line().max(1));
        let message = error.to_string();
        let message = message.lines().next().unwrap_or_default().trim_end_matches(':').to_owned();
        LoadError::Document { file: file.into(), line, message: format!("not valid YAML: {message}") }
    })?;
    let documents = documents.into_iter().filter(|document| !document.value.is_null());
    let document = |document: Spanned<Value>| Document {
        file: file.to_owned(),
        line: kind_line(text, document.referenced.line().max(1)),
        object: document.value,
    };
    Ok(documents.map(document).collect())
}

/// The line that says `kind:`, which is where one looks after "unknown kind"; else the document's first.
fn kind_line(text: &str, first: u64) -> u64 {
    let skip = usize::try_from(first - 1).unwrap_or(0);
    let mut document = text.lines().skip(skip).take_while(|line| !line.starts_with("---"));
    document.position(|line| line.starts_with("kind:")).map_or(first, |offset| first + offset as u64)
}

fn store(documents: Vec<Document>, now: Timestamp) -> Result<Store, LoadError> {
    let mut kinds = Kinds::built_in();
    for document in &documents {
        if document.object["kind"] == "CustomResourceDefinition" {
            kinds.define(&document.object).map_err(|message| document.error(message))?;
        }
    }
    let (mut logs, mut commands) = (Logs::default(), Commands::default());
    let mut loaded: Vec<(Key, Kind, Value)> = Vec::new();
    let mut seen = BTreeSet::new();
    for document in documents {
        if is_exec(&document.object) {
            commands.read(&document.object).map_err(|message| document.error(message))?;
            continue;
        }
        if is_log(&document.object) {
            logs.read(&document.object).map_err(|message| document.error(message))?;
            continue;
        }
        let (key, kind, object) = complete(&document, &kinds, now).map_err(|message| document.error(message))?;
        if !seen.insert(key.clone()) {
            return Err(document.error(format!("{} is there twice", key.describe())));
        }
        loaded.push((key, kind, object));
    }
    for namespace in missing_namespaces(&seen) {
        let kind = kinds.by_kind("v1", "Namespace").expect("a built-in kind").clone();
        let mut object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
        fill(&kind, "", &namespace, &mut object, now);
        loaded.push((Key::new(&kind, "", &namespace), kind, object));
    }
    let mut store = Store::new(kinds);
    store.logs = logs;
    store.commands = commands;
    let uids: Vec<(Key, String, Value)> = loaded
        .iter()
        .map(|(key, kind, object)| (key.clone(), kind.kind.clone(), object["metadata"]["uid"].clone()))
        .collect();
    for (key, kind, mut object) in loaded {
        fill_references(&key, &kind, &mut object, &uids, &store.kinds);
        if object["metadata"].get("managedFields").is_none() {
            apply::own_everything(&mut object, &kind, MANAGER);
        }
        store.put(&key, object);
    }
    Ok(store)
}

/// One object, beside those that are there.
#[cfg(test)]
pub fn place(store: &mut Store, object: Value, now: Timestamp) -> Result<(), String> {
    let document = Document { file: String::new(), line: 0, object };
    let (key, kind, mut object) = complete(&document, &store.kinds, now)?;
    apply::own_everything(&mut object, &kind, MANAGER);
    store.put(&key, object);
    Ok(())
}

fn missing_namespaces(keys: &BTreeSet<Key>) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = keys.iter().map(|key| key.namespace.clone()).collect();
    names.extend(["default".to_owned(), "kube-system".to_owned()]);
    names.remove("");
    for key in keys.iter().filter(|key| key.group.is_empty() && key.plural == "namespaces") {
        names.remove(&key.name);
    }
    names
}

/// Checks a document and fills in what the cluster would have.
fn complete(document: &Document, kinds: &Kinds, now: Timestamp) -> Result<(Key, Kind, Value), String> {
    let mut object = document.object.clone();
    if !object.is_object() {
        return Err("a document that is no Kubernetes object".into());
    }
    let (Some(api_version), Some(kind)) = (object["apiVersion"].as_str(), object["kind"].as_str()) else {
        return Err("an object needs `apiVersion` and `kind`".into());
    };
    let kind = kinds.by_kind(api_version, kind).ok_or_else(|| {
        format!("unknown kind `{kind}` of `{api_version}`; add its CustomResourceDefinition, or check the spelling")
    })?;
    let kind = kind.clone();
    let Some(name) = object.pointer("/metadata/name").and_then(Value::as_str).map(str::to_owned) else {
        return Err(format!("a {} without `metadata.name`", kind.kind));
    };
    let namespace = match object.pointer("/metadata/namespace").and_then(Value::as_str) {
        Some(namespace) if kind.namespaced => namespace.to_owned(),
        None if kind.namespaced => "default".to_owned(),
        None => String::new(),
        Some(_) => return Err(format!("a {} has no namespace; remove `metadata.namespace`", kind.kind)),
    };
    fill(&kind, &namespace, &name, &mut object, now);
    Ok((Key::new(&kind, &namespace, &name), kind, object))
}

fn fill(kind: &Kind, namespace: &str, name: &str, object: &mut Value, now: Timestamp) {
    let hour_ago = now.saturating_sub(SignedDuration::from_hours(1)).unwrap_or(now);
    if let Some(metadata) = object["metadata"].as_object_mut() {
        if kind.namespaced {
            metadata.insert("namespace".into(), json!(namespace));
        }
        default(metadata, "uid", || json!(uid(kind, namespace, name)));
        default(metadata, "creationTimestamp", || json!(whole_seconds(hour_ago)));
    }
    if kind.is_pod() {
        fill_pod_status(object);
    }
    if kind.is_namespace() {
        if object["metadata"].get("labels").is_none() {
            object["metadata"]["labels"] = json!({});
        }
        object["metadata"]["labels"]["kubernetes.io/metadata.name"] = json!(name);
        if object.get("spec").is_none() {
            object["spec"] = json!({ "finalizers": ["kubernetes"] });
        }
        if object.get("status").is_none() {
            object["status"] = json!({ "phase": "Active" });
        }
    }
    schema::settle(kind, object);
}

fn default(map: &mut Map<String, Value>, key: &str, value: impl FnOnce() -> Value) {
    if map.get(key).is_none_or(Value::is_null) {
        map.insert(key.into(), value());
    }
}

/// Running since it was created, with one status a container.
fn fill_pod_status(pod: &mut Value) {
    let uid = pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let started = pod["metadata"]["creationTimestamp"].clone();
    let statuses = |containers: &Value, state: &dyn Fn(&str) -> Value| -> Vec<Value> {
        let containers = containers.as_array().map(Vec::as_slice).unwrap_or_default();
        let status = |container: &Value| {
            let name = container["name"].as_str().unwrap_or_default();
            let id = format!("containerd://{}", hex(&Sha256::digest(format!("{uid}/{name}"))));
            let mut status = json!({
                "name": name, "image": container["image"], "containerID": id, "ready": true, "restartCount": 0,
            });
            status["state"] = state(&id);
            status
        };
        containers.iter().map(status).collect()
    };
    if pod.get("status").is_some_and(|status| !status.is_null()) {
        return;
    }
    let running = |_: &str| json!({ "running": { "startedAt": started } });
    let done = |id: &str| json!({ "terminated": { "exitCode": 0, "reason": "Completed", "containerID": id } });
    let containers = statuses(&pod["spec"]["containers"], &running);
    let init = statuses(&pod["spec"]["initContainers"], &done);
    let mut status = json!({ "phase": "Running", "startTime": started, "containerStatuses": containers });
    if !init.is_empty() {
        status["initContainerStatuses"] = json!(init);
    }
    pod["status"] = status;
}

/// The UIDs of owners, and of what an event is about.
fn fill_references(key: &Key, kind: &Kind, object: &mut Value, uids: &[(Key, String, Value)], kinds: &Kinds) {
    if let Some(owners) = object["metadata"].get_mut("ownerReferences").and_then(Value::as_array_mut) {
        owners.iter_mut().for_each(|owner| fill_reference(key, owner, uids, kinds));
    }
    if kind.is_event() && object["involvedObject"].is_object() {
        fill_reference(key, &mut object["involvedObject"], uids, kinds);
    }
}

fn fill_reference(key: &Key, reference: &mut Value, uids: &[(Key, String, Value)], kinds: &Kinds) {
    if reference.get("uid").is_some_and(|uid| !uid.is_null()) {
        return;
    }
    let text = |field: &str| reference[field].as_str().unwrap_or_default().to_owned();
    let (api_version, kind, name) = (text("apiVersion"), text("kind"), text("name"));
    let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
    let found = uids.iter().find(|(other, other_kind, _)| {
        other.group == group
            && *other_kind == kind
            && other.name == name
            && (other.namespace.is_empty() || other.namespace == key.namespace)
    });
    // What is not among the manifests gets the UID that it would have had.
    let uid = found.map(|(_, _, uid)| uid.clone()).unwrap_or_else(|| {
        let namespaced = kinds.by_kind(&api_version, &kind).is_none_or(|kind| kind.namespaced);
        json!(derive_uid(group, &kind, if namespaced { &key.namespace } else { "" }, &name))
    });
    reference["uid"] = uid;
}

fn uid(kind: &Kind, namespace: &str, name: &str) -> String {
    derive_uid(&kind.group, &kind.kind, namespace, name)
}

fn derive_uid(group: &str, kind: &str, namespace: &str, name: &str) -> String {
    let hash = Sha256::digest(format!("{group}/{kind}/{namespace}/{name}"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
}
