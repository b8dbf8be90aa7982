//! The mock's objects: a list, since tests have few.

use alloc::string::String;
use alloc::vec::Vec;

use super::{describe, error};
use crate::json::{Value, object};
use crate::{ApiResource, ClusterError, ObjectRef, Reason, Selection};

#[derive(Default)]
pub(super) struct Store {
    objects: Vec<(ObjectRef, Value)>,
}

impl Store {
    pub fn get(&self, at: &ObjectRef) -> Option<&Value> {
        self.objects.iter().find(|(key, _)| same(key, at)).map(|(_, value)| value)
    }

    /// The object, provided that it is the one with the UID asked for.
    pub fn identified(&self, at: &ObjectRef) -> Result<&Value, ClusterError> {
        let found = self.get(at).ok_or_else(|| error(Reason::NotFound, [&describe(at), " not found"].concat()))?;
        match &at.uid {
            Some(uid) if found.at(&["metadata", "uid"]).as_str() != Some(uid) => {
                Err(error(Reason::Conflict, [&describe(at), " has another UID"].concat()))
            }
            _ => Ok(found),
        }
    }

    /// Stores an object, and sets in its metadata what `at` says. Keeps the UID that it has.
    pub fn put(&mut self, at: &ObjectRef, manifest: Value) -> Value {
        let known = self.get(at).map(|old| old.at(&["metadata", "uid"]).clone()).filter(|uid| !uid.is_null());
        let given = manifest.at(&["metadata", "uid"]).clone();
        let uid = match (&at.uid, known) {
            (Some(uid), _) => uid.as_str().into(),
            (None, Some(known)) => known,
            (None, None) if !given.is_null() => given,
            (None, None) => Value::from(["uid-of-", &at.name].concat()),
        };
        let mut identity = Vec::from([("name", Value::from(at.name.as_str())), ("uid", uid)]);
        if let Some(namespace) = &at.namespace {
            identity.push(("namespace", namespace.as_str().into()));
        }
        let manifest = merged(manifest, &object([("metadata", object(identity))]));
        self.remove(at);
        self.objects.push((ObjectRef { uid: None, ..at.clone() }, manifest.clone()));
        manifest
    }

    pub fn remove(&mut self, at: &ObjectRef) {
        self.objects.retain(|(key, _)| !same(key, at));
    }

    pub fn select(&self, kind: &ApiResource, selection: &Selection) -> Vec<Value> {
        self.objects
            .iter()
            .filter(|(key, _)| key.resource.group == kind.group && key.resource.plural == kind.plural)
            .filter(|(key, _)| selection.namespace.is_none() || key.namespace == selection.namespace)
            .filter(|(_, value)| matches(selection.labels.as_deref(), |key| value.at(&["metadata", "labels", key])))
            .filter(|(_, value)| {
                matches(selection.fields.as_deref(), |path| value.at(&path.split('.').collect::<Vec<_>>()))
            })
            .take(selection.limit.map_or(usize::MAX, |limit| limit as usize))
            .map(|(_, value)| if selection.metadata_only { metadata_only(value) } else { value.clone() })
            .collect()
    }
}

fn same(a: &ObjectRef, b: &ObjectRef) -> bool {
    (&a.resource.group, &a.resource.plural, &a.namespace, &a.name)
        == (&b.resource.group, &b.resource.plural, &b.namespace, &b.name)
}

/// A selector of equalities: `a=b`, `a==b`, `a!=b`, `a` and `!a`, joined by commas.
fn matches<'v>(selector: Option<&str>, value: impl Fn(&str) -> &'v Value) -> bool {
    selector.unwrap_or_default().split(',').map(str::trim).filter(|part| !part.is_empty()).all(|part| {
        if let Some((key, expected)) = part.split_once("!=") {
            value(key).as_str() != Some(expected)
        } else if let Some((key, expected)) = part.split_once('=') {
            value(key).as_str() == Some(expected.trim_start_matches('='))
        } else if let Some(key) = part.strip_prefix('!') {
            value(key).is_null()
        } else {
            !value(part).is_null()
        }
    })
}

fn metadata_only(value: &Value) -> Value {
    object(["apiVersion", "kind", "metadata"].map(|key| (key, value.at(&[key]).clone())))
}

/// JSON merge patch, RFC 7386.
pub(super) fn merged(value: Value, patch: &Value) -> Value {
    let Value::Object(changes) = patch else { return patch.clone() };
    let mut members: Vec<(String, Value)> = match value {
        Value::Object(members) => members,
        _ => Vec::new(),
    };
    for (key, change) in changes {
        let index = members.iter().position(|(name, _)| name == key);
        let old = index.map_or(Value::Null, |index| members.remove(index).1);
        if !change.is_null() {
            members.push((key.clone(), merged(old, change)));
        }
    }
    Value::Object(members)
}
