//! Server-side apply and who owns which field.
//!
//! Ownership is kept where a cluster keeps it, in `metadata.managedFields` with its `f:` notation. A leaf is a
//! scalar, a list, an empty map or a label selector: all of these are replaced as a whole, as in the schemas of what
//! the controller applies. Lists of objects that a cluster would merge by key are not guessed at: 501.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::kinds::Kind;
use super::status::Failure;

type Path = Vec<String>;

/// Maps that the schemas replace as a whole.
const ATOMIC: &[&str] = &["selector", "podSelector", "namespaceSelector", "labelSelector", "nodeSelector"];

/// What the API server keeps by itself, and nobody owns.
const UNOWNED: &[&str] = &[
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "name",
    "namespace",
    "resourceVersion",
    "uid",
];

/// The leaves of an object that somebody can own, with their values.
fn leaves(object: &Value) -> BTreeMap<Path, Value> {
    fn walk(path: &mut Path, value: &Value, found: &mut BTreeMap<Path, Value>) {
        match value {
            Value::Object(map) if !map.is_empty() && !path.last().is_some_and(|key| ATOMIC.contains(&key.as_str())) => {
                for (key, value) in map {
                    path.push(key.clone());
                    walk(path, value, found);
                    path.pop();
                }
            }
            _ => drop(found.insert(path.clone(), value.clone())),
        }
    }
    let mut found = BTreeMap::new();
    walk(&mut Vec::new(), object, &mut found);
    found.retain(|path, _| match path[..] {
        [ref top, ref key, ..] if top == "metadata" => !UNOWNED.contains(&key.as_str()),
        [ref top, ..] => !["apiVersion", "kind", "metadata", "status"].contains(&top.as_str()),
        [] => false,
    });
    found
}

fn to_fields(paths: &BTreeSet<Path>) -> Value {
    let mut root = json!({});
    for path in paths {
        let mut at = &mut root;
        for key in path {
            at = at
                .as_object_mut()
                .expect("only maps are put in")
                .entry(format!("f:{key}"))
                .or_insert_with(|| Value::Object(Map::new()));
        }
    }
    root
}

fn from_fields(fields: &Value) -> BTreeSet<Path> {
    fn walk(path: &mut Path, value: &Value, found: &mut BTreeSet<Path>) {
        let mut leaf = true;
        for (key, value) in value.as_object().into_iter().flatten() {
            let Some(key) = key.strip_prefix("f:") else { continue };
            leaf = false;
            path.push(key.to_owned());
            walk(path, value, found);
            path.pop();
        }
        if leaf && !path.is_empty() {
            found.insert(path.clone());
        }
    }
    let mut found = BTreeSet::new();
    walk(&mut Vec::new(), fields, &mut found);
    found
}

/// One manager's entry.
#[derive(Debug, Clone)]
struct Owner {
    manager: String,
    operation: String,
    api_version: String,
    time: Value,
    paths: BTreeSet<Path>,
}

fn owners(object: &Value) -> Vec<Owner> {
    let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let owner = |entry: &Value| Owner {
        manager: text(entry, "manager"),
        operation: text(entry, "operation"),
        api_version: text(entry, "apiVersion"),
        time: entry["time"].clone(),
        paths: from_fields(&entry["fieldsV1"]),
    };
    entries.into_iter().flatten().map(owner).collect()
}

fn set_owners(object: &mut Value, owners: &[Owner]) {
    let entry = |owner: &Owner| {
        json!({
            "manager": owner.manager, "operation": owner.operation, "apiVersion": owner.api_version,
            "time": owner.time, "fieldsType": "FieldsV1", "fieldsV1": to_fields(&owner.paths),
        })
    };
    object["metadata"]["managedFields"] = owners.iter().filter(|owner| !owner.paths.is_empty()).map(entry).collect();
}

/// Of an object that was loaded or created: everything is its maker's.
pub fn own_everything(object: &mut Value, kind: &Kind, manager: &str) {
    let paths = leaves(object).into_keys().collect();
    let time = object["metadata"]["creationTimestamp"].clone();
    let (manager, operation) = (manager.to_owned(), "Update".to_owned());
    set_owners(object, &[Owner { manager, operation, api_version: kind.api_version(), time, paths }]);
}

/// After a change that was no apply: what changed is now the changer's alone.
pub fn own_changes(before: &Value, after: &mut Value, kind: &Kind, manager: &str, now: &str) {
    let (old, new) = (leaves(before), leaves(after));
    let mut owners = owners(before);
    let changed: BTreeSet<Path> =
        new.iter().filter(|&(path, value)| old.get(path) != Some(value)).map(|(path, _)| path.clone()).collect();
    for owner in &mut owners {
        owner.paths.retain(|path| new.contains_key(path) && !changed.contains(path));
    }
    if !changed.is_empty() {
        add(&mut owners, manager, "Update", kind, now, changed);
    }
    set_owners(after, &owners);
}

fn add(owners: &mut Vec<Owner>, manager: &str, operation: &str, kind: &Kind, now: &str, paths: BTreeSet<Path>) {
    match owners.iter_mut().find(|owner| owner.manager == manager && owner.operation == operation) {
        Some(owner) => {
            owner.paths.extend(paths);
            owner.time = json!(now);
        }
        None => owners.push(Owner {
            manager: manager.to_owned(),
            operation: operation.to_owned(),
            api_version: kind.api_version(),
            time: json!(now),
            paths,
        }),
    }
}

/// What an apply makes of an object that is there, or of `{}`.
///
/// # Errors
/// 409 for fields of another manager unless `force`; 501 for a list that a cluster would merge.
pub fn apply(
    before: &Value,
    document: &Value,
    kind: &Kind,
    manager: &str,
    force: bool,
    now: &str,
) -> Result<Value, Failure> {
    let (old, wanted) = (leaves(before), leaves(document));
    let mut owners = owners(before);
    let is_ours = |owner: &Owner| owner.manager == manager && owner.operation == "Apply";
    // A key in a map that its owner made empty is no change of what the owner wrote.
    let overlaps = |owned: &Path, path: &Path| {
        owned.starts_with(path)
            || path.starts_with(owned) && (owned == path || !old.get(owned).is_some_and(Value::is_object))
    };
    // An empty map asks for a map, not for the removal of what others keep in it.
    let met = |path: &Path, value: &Value| {
        let granular = !path.last().is_some_and(|key| ATOMIC.contains(&key.as_str()));
        let empty = value.as_object().is_some_and(Map::is_empty);
        old.get(path) == Some(value) || granular && empty && old.keys().any(|old| old.starts_with(path))
    };
    let changed: BTreeSet<&Path> =
        wanted.iter().filter(|&(path, value)| !met(path, value)).map(|(path, _)| path).collect();
    for path in &changed {
        let merged_by_key = |value: &Value| value.as_array().is_some_and(|list| list.iter().any(Value::is_object));
        let finalizers = path.last().is_some_and(|key| key == "finalizers");
        if !kind.is_network_policy() && old.contains_key(*path) && (merged_by_key(&wanted[*path]) || finalizers) {
            return Err(Failure::not_simulated(&format!("merging the list `{}`", path.join("."))));
        }
    }

    let mut conflicts: Vec<(&Owner, &Path)> = Vec::new();
    for owner in owners.iter().filter(|owner| !is_ours(owner)) {
        let owned = |path: &Path| owner.paths.iter().any(|owned| overlaps(owned, path));
        conflicts.extend(changed.iter().filter(|path| owned(path)).map(|path| (owner, *path)));
    }
    if !conflicts.is_empty() && !force {
        return Err(refused(&conflicts));
    }

    let ours = owners.iter().find(|owner| is_ours(owner)).map(|owner| owner.paths.clone()).unwrap_or_default();
    let mut after = before.clone();
    // What we applied before and no longer do goes, unless somebody else owns it too.
    for path in ours.iter().filter(|path| !wanted.contains_key(*path)) {
        let shared = owners.iter().any(|owner| !is_ours(owner) && owner.paths.contains(path));
        if !shared && !wanted.keys().any(|wanted| wanted.starts_with(path)) {
            remove(&mut after, path);
        }
    }
    for path in &changed {
        insert(&mut after, path, wanted[*path].clone());
    }
    for owner in owners.iter_mut().filter(|owner| !is_ours(owner)) {
        owner.paths.retain(|owned| !changed.iter().any(|path| overlaps(owned, path)));
    }
    let paths: BTreeSet<Path> = wanted.keys().cloned().collect();
    // An apply that changes nothing is no write: its time stays, so that the object stays the same to the byte.
    let same = after == *before && ours == paths;
    if !same {
        owners.retain(|owner| !is_ours(owner));
        add(&mut owners, manager, "Apply", kind, now, paths);
        set_owners(&mut after, &owners);
    }
    Ok(after)
}

fn refused(conflicts: &[(&Owner, &Path)]) -> Failure {
    let field = |path: &Path| format!(".{}", path.join("."));
    let with = |owner: &Owner| match owner.operation.as_str() {
        "Apply" => format!("with \"{}\"", owner.manager),
        _ => format!("with \"{}\" using {}", owner.manager, owner.api_version),
    };
    let causes: Value = conflicts
        .iter()
        .map(|(owner, path)| {
            let message = format!("conflict {}", with(owner));
            json!({ "reason": "FieldManagerConflict", "message": message, "field": field(path) })
        })
        .collect();
    let message = match conflicts {
        [(owner, path)] => format!("Apply failed with 1 conflict: conflict {}: {}", with(owner), field(path)),
        _ => {
            let lines: Vec<String> =
                conflicts.iter().map(|(owner, path)| format!("conflict {}: {}", with(owner), field(path))).collect();
            format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
        }
    };
    Failure::apply_conflict(message, causes)
}

fn insert(object: &mut Value, path: &[String], value: Value) {
    let Some((key, rest)) = path.split_first() else {
        *object = value;
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    insert(&mut object[key.as_str()], rest, value);
}

fn remove(object: &mut Value, path: &[String]) {
    match path {
        [] => {}
        [key] => drop(object.as_object_mut().map(|map| map.shift_remove(key))),
        [key, rest @ ..] => {
            if let Some(inner) = object.get_mut(key) {
                remove(inner, rest);
            }
        }
    }
}
