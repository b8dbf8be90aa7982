//! What must be merged into one object to make another of it: RFC 7386, backwards.

use serde_json::{Map, Value, json};

/// Only the API server writes these, or they differ with every answer.
const THEIRS: [&str; 7] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "uid",
];

/// The document that makes `after` of `before`; lists are replaced as a whole. The version stays whoever's it is.
pub fn between(before: &Value, after: &Value) -> Value {
    let mut document = difference(before, after);
    if let Some(metadata) = document.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.shift_remove("resourceVersion");
    }
    document
}

/// As [`between`], without what a request may not write.
pub fn to_ask_for(before: &Value, after: &Value) -> Value {
    let mut document = difference(before, after);
    if let Some(map) = document.as_object_mut() {
        map.shift_remove("status");
        if let Some(metadata) = map.get_mut("metadata").and_then(Value::as_object_mut) {
            for theirs in THEIRS {
                metadata.shift_remove(theirs);
            }
        }
    }
    document
}

fn difference(before: &Value, after: &Value) -> Value {
    let (Value::Object(old), Value::Object(new)) = (before, after) else { return after.clone() };
    let gone = old.keys().filter(|key| !new.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    let changed = new.iter().filter(|&(key, value)| old.get(key) != Some(value));
    // A map that was none before is merged into `{}`, so that its own nulls mean nothing.
    let empty = json!({});
    let changed = changed.map(|(key, value)| {
        let before = old.get(key).filter(|before| before.is_object() || !value.is_object()).unwrap_or(&empty);
        (key.clone(), difference(before, value))
    });
    Value::Object(gone.chain(changed).collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn object() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![any::<bool>().prop_map(Value::from), "[a-c]".prop_map(Value::from)];
        leaf.prop_recursive(3, 24, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a-d]", inner, 0..3).prop_map(|map| json!(map)),
            ]
        })
    }

    proptest! {
        #[test]
        fn merged_into_the_one_it_makes_the_other(before in object(), after in object()) {
            let mut merged = before.clone();
            json_patch::merge(&mut merged, &between(&before, &after));
            prop_assert_eq!(merged, after);
        }
    }

    #[test]
    fn asks_for_nothing_that_only_the_api_server_writes() {
        let before = json!({"metadata": {"uid": "u", "labels": {"a": "1", "b": "2"}}, "status": {"phase": "Pending"}});
        let after = json!({
            "metadata": {"uid": "v", "resourceVersion": "7", "deletionTimestamp": "now", "labels": {"a": "2"}},
            "status": {"phase": "Running"},
        });
        assert_eq!(to_ask_for(&before, &after), json!({"metadata": {"labels": {"b": null, "a": "2"}}}));
    }
}
