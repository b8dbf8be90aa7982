//! What became different in a cluster: by its objects before and after, or, where nothing was allowed to change, by
//! what the API server answered to dry runs.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::merged;
use super::played::Call;
use super::yaml;
use crate::cluster::Reader;
use crate::cluster::names::ObjectRef;
use crate::safety::for_plugin;
use crate::safety::run::Effect;

/// What the API server writes for itself, and what differs each time.
const BOOKKEEPING: [&str; 5] = ["creationTimestamp", "generation", "managedFields", "resourceVersion", "uid"];

/// Objects by what they are called in a call: `pods production/checkout-1`.
pub type Objects = BTreeMap<String, Value>;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Difference(pub Vec<Changed>);

/// One object that is not what it was; without bookkeeping.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    pub object: String,
    /// None: it was not there.
    pub before: Option<Value>,
    /// None: it is gone.
    pub after: Option<Value>,
}

impl Difference {
    pub fn between(before: &Objects, after: &Objects) -> Self {
        let names: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
        let changed = names.into_iter().filter_map(|name| {
            let (before, after) = (before.get(name), after.get(name));
            let plain = |object: Option<&Value>| object.cloned().map(plain);
            if before == after { None } else { Changed::of(name.clone(), plain(before), plain(after)) }
        });
        Self(changed.collect())
    }

    /// By the answers to calls that changed nothing in truth: what an object is now, and what the last answer about it
    /// shows. An object that cannot be read any more counts as new.
    pub async fn of_answers(calls: &[Call], reader: &Reader) -> Self {
        let mut last: Vec<(ObjectRef, Option<Value>)> = Vec::new();
        for call in calls.iter().filter(|call| call.record.effect == Effect::Changed) {
            let Some(object) = call.object().map(|object| ObjectRef { uid: None, ..object }) else { continue };
            let after = call.answer.clone().filter(|_| !matches!(call.record.verb, "delete" | "evict"));
            match last.iter_mut().find(|(known, _)| *known == object) {
                Some((_, known)) => *known = after,
                None => last.push((object, after)),
            }
        }
        let mut changed = Vec::new();
        for (object, after) in last {
            let before = reader.get(&object).await.ok().map(|before| plain(for_plugin(before)));
            changed.extend(Changed::of(object.to_string(), before, after.map(plain)));
        }
        changed.sort_by(|a, b| a.object.cmp(&b.object));
        Self(changed)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Changed {
    fn of(object: String, before: Option<Value>, after: Option<Value>) -> Option<Self> {
        (before != after).then_some(Self { object, before, after })
    }

    /// As a case file has it: what was created whole, of what changed the fields, of what is gone the name.
    pub fn told(&self) -> Value {
        match (&self.before, &self.after) {
            (None, Some(after)) => json!({"created": self.object, "object": yaml::in_order(after)}),
            (Some(before), Some(after)) => {
                let mut fields = Map::new();
                compare("", before, after, &mut fields);
                json!({"changed": self.object, "fields": yaml::in_order(&Value::Object(fields))})
            }
            (_, None) => json!({"deleted": self.object}),
        }
    }

    /// The lines of a unified diff, three lines of context around each difference.
    pub fn lines(&self) -> Vec<merged::Line> {
        let text = |object: &Option<Value>| {
            object.as_ref().map(|object| yaml::document(&yaml::in_order(object))).unwrap_or_default()
        };
        merged::unified(&text(&self.before), &text(&self.after))
    }
}

/// By JSON pointer: the value after, null where the field is gone. Lists are one value.
fn compare(at: &str, before: &Value, after: &Value, found: &mut Map<String, Value>) {
    let (Value::Object(was), Value::Object(is)) = (before, after) else {
        if before != after {
            found.insert(at.to_owned(), after.clone());
        }
        return;
    };
    let pointer = |key: &str| format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
    for (key, before) in was {
        match is.get(key) {
            Some(after) => compare(&pointer(key), before, after, found),
            None => drop(found.insert(pointer(key), Value::Null)),
        }
    }
    for (key, after) in is.iter().filter(|(key, _)| !was.contains_key(*key)) {
        found.insert(pointer(key), after.clone());
    }
}

fn plain(mut object: Value) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for key in BOOKKEEPING {
            metadata.shift_remove(key);
        }
    }
    object
}
