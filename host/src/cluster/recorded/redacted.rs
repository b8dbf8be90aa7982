//! What of a document is not kept: a Secret's content, the values of environment variables, and whatever looks like a
//! password or a token in any text.
//!
//! Request and answer are treated alike, so that what a request repeats of an answer is recognised when it is played
//! back.

use serde_json::{Map, Value};

use crate::config;
use crate::redact::{MARK, Redaction};

/// [`MARK`] as the `data` of a Secret holds it.
const ENCODED_MARK: &str = "W3JlZGFjdGVkXQ==";
/// The whole object once more, as text.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

pub struct Redactor(Redaction);

impl Default for Redactor {
    fn default() -> Self {
        Self(Redaction::new(&config::Redaction::default()))
    }
}

impl Redactor {
    pub fn document(&self, value: Value) -> Value {
        self.value(value, false)
    }

    /// Of a request to `path`, or its answer: a patch of a Secret does not say that it is one.
    pub fn exchanged(&self, value: Value, path: &str) -> Value {
        let secret = path.split(['/', '?']).any(|segment| segment == "secrets");
        match value {
            // Operations: what they write may be any part of it.
            Value::Array(operations) if secret => operations.into_iter().map(operation_on_a_secret).collect(),
            value => self.value(value, secret),
        }
    }

    /// `secret`: whether the document is, or lists, Secrets. The items of a list do not say what they are.
    fn value(&self, value: Value, secret: bool) -> Value {
        match value {
            Value::String(text) => Value::String(self.0.text(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.value(item, secret)).collect(),
            Value::Object(map) => {
                let kind = map.get("kind").and_then(Value::as_str);
                let secret = secret || matches!(kind, Some("Secret" | "SecretList"));
                map.into_iter()
                    .filter_map(|(key, value)| Some((key.clone(), self.entry(&key, value, secret)?)))
                    .collect()
            }
            other => other,
        }
    }

    /// None for what nobody reads and everything else is lost in.
    fn entry(&self, key: &str, value: Value, secret: bool) -> Option<Value> {
        Some(match (key, value) {
            ("managedFields", Value::Array(_)) => return None,
            ("data", Value::Object(map)) if secret => blanked(map, ENCODED_MARK),
            ("stringData", Value::Object(map)) if secret => blanked(map, MARK),
            ("env", Value::Array(variables)) => {
                variables.into_iter().map(|variable| self.variable(variable, secret)).collect()
            }
            (LAST_APPLIED, Value::String(_)) => MARK.into(),
            (key, Value::String(text)) if names_a_secret(key) && !text.is_empty() => {
                // Only a text that the patterns would take with its name before it.
                let named = self.0.text(&format!("--{key}={text}"));
                if named.contains(MARK) { MARK.into() } else { Value::String(self.0.text(&text)) }
            }
            (_, value) => self.value(value, secret),
        })
    }

    fn variable(&self, variable: Value, secret: bool) -> Value {
        let Value::Object(mut map) = variable else { return self.value(variable, secret) };
        if let Some(value) = map.get_mut("value") {
            *value = MARK.into();
        }
        self.value(Value::Object(map), secret)
    }
}

fn operation_on_a_secret(mut operation: Value) -> Value {
    if let Some(value) = operation.get_mut("value") {
        *value = MARK.into();
    }
    operation
}

fn blanked(map: Map<String, Value>, mark: &str) -> Value {
    Value::Object(map.into_iter().map(|(key, _)| (key, mark.into())).collect())
}

/// Keys whose text alone would not tell: a ConfigMap's `password: hunter2`.
fn names_a_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    ["password", "passwd", "passphrase", "secret", "token", "apikey", "api_key", "api-key", "credential"]
        .iter()
        .any(|word| key.ends_with(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_patch_of_a_secret_is_kept_without_what_it_writes() {
        let path = "/api/v1/namespaces/shop/secrets/db";
        let redactor = Redactor::default();
        let merged = redactor.exchanged(json!({"data": {"key": "aHVudGVyMg=="}}), path);
        assert_eq!(merged, json!({"data": {"key": ENCODED_MARK}}));
        let operations = json!([{"op": "add", "path": "/data/key", "value": "aHVudGVyMg=="}]);
        assert_eq!(redactor.exchanged(operations, path)[0]["value"], MARK);
        let other = json!({"data": {"key": "plain"}});
        assert_eq!(redactor.exchanged(other.clone(), "/api/v1/namespaces/secrets-team/configmaps/db"), other);
    }
}
