//! YAML as people write it: in blocks, with quotes only where they are needed, and safe to show whatever it holds.
//!
//! serde-saphyr reads what stands here; what is written must look the same on every machine and version, since
//! differences and case files are made of it.

use serde_json::{Map, Value};

use crate::telemetry::escape::{self, MARKER};

/// Read as something other than text where they stand without quotes, by one version of YAML or another.
const WORDS: [&str; 9] = ["false", "n", "no", "null", "off", "on", "true", "y", "yes"];
/// What a person looks for first; the rest goes by the alphabet.
const FIRST: [&str; 5] = ["apiVersion", "kind", "metadata", "name", "namespace"];

/// A whole document; ends with a line break.
pub fn document(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => write_map(map, 0, &mut out),
        Value::Array(list) if !list.is_empty() => write_list(list, 0, &mut out),
        other => {
            out.push_str(&inline(other));
            out.push('\n');
        }
    }
    out
}

/// The same value with its keys in the order in which a person expects them, at every depth.
pub fn in_order(value: &Value) -> Value {
    match value {
        Value::Array(list) => list.iter().map(in_order).collect(),
        Value::Object(map) => {
            let rank = |key: &str| FIRST.iter().position(|first| *first == key).unwrap_or(FIRST.len());
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by(|(a, _), (b, _)| rank(a).cmp(&rank(b)).then_with(|| a.cmp(b)));
            Value::Object(entries.into_iter().map(|(key, value)| (key.clone(), in_order(value))).collect())
        }
        other => other.clone(),
    }
}

/// Text that reads as that text again, in a block.
pub fn scalar(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { escape::yaml(text) }
}

fn write_map(map: &Map<String, Value>, indent: usize, out: &mut String) {
    for (at, (key, value)) in map.iter().enumerate() {
        // The first key of a list's item stands behind its dash.
        if at > 0 || out.is_empty() || out.ends_with('\n') {
            out.extend(std::iter::repeat_n(' ', indent));
        }
        out.push_str(&scalar(key));
        out.push(':');
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                out.push('\n');
                write_map(inner, indent + 2, out);
            }
            Value::Array(inner) if !inner.is_empty() => {
                out.push('\n');
                write_list(inner, indent + 2, out);
            }
            other => {
                out.push(' ');
                out.push_str(&inline(other));
                out.push('\n');
            }
        }
    }
}

fn write_list(list: &[Value], indent: usize, out: &mut String) {
    for item in list {
        if out.is_empty() || out.ends_with('\n') {
            out.extend(std::iter::repeat_n(' ', indent));
        }
        out.push_str("- ");
        match item {
            Value::Object(inner) if !inner.is_empty() => write_map(inner, indent + 2, out),
            Value::Array(inner) if !inner.is_empty() => write_list(inner, indent + 2, out),
            other => {
                out.push_str(&inline(other));
                out.push('\n');
            }
        }
    }
}

/// What needs no lines of its own.
fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        Value::Array(_) => "[]".to_owned(),
        Value::Object(_) => "{}".to_owned(),
        other => other.to_string(),
    }
}

fn is_plain(text: &str) -> bool {
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let known = |c: char| c.is_ascii_alphanumeric() || "_-./@%+()=, ;':".contains(c);
    starts
        && !text.ends_with(' ')
        && text.chars().all(known)
        && !text.contains(": ")
        && !text.ends_with(':')
        && !WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
        && !text.contains(MARKER)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn looks_as_a_person_would_write_it() {
        let value = json!({"spec": {"egress": [], "podSelector": {}, "policyTypes": ["Egress"]}, "metadata": {"labels": {"a/b": "yes"},
            "name": "x"}, "kind": "NetworkPolicy", "list": [{"port": 53, "protocol": "UDP"}, [1, "2"]], "t": "a: b\n", "n": null});
        let expected = r#"kind: NetworkPolicy
metadata:
  name: x
  labels:
    a/b: "yes"
list:
  - port: 53
    protocol: UDP
  - - 1
    - "2"
"n": null
spec:
  egress: []
  podSelector: {}
  policyTypes:
    - Egress
t: "a: b\n"
"#;
        assert_eq!(document(&in_order(&value)), expected);
    }

    #[test]
    fn nothing_that_it_holds_reaches_a_terminal() {
        let written = document(&json!({"a": "\u{1b}[31m DRY_RUN \u{202e}\u{e0041}\u{2028}", "DRY_RUN": 1}));
        assert_eq!(written, "a: \"\\u001b[31m DRY\\u005fRUN \\u202e\\U000e0041\\u2028\"\n\"DRY\\u005fRUN\": 1\n");
        assert_eq!(read(&written), json!({"a": "\u{1b}[31m DRY_RUN \u{202e}\u{e0041}\u{2028}", "DRY_RUN": 1}));
    }

    fn read(text: &str) -> Value {
        serde_saphyr::from_str_with_options(text, serde_saphyr::options! { strict_booleans: true }).expect("it is YAML")
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
            "[a-zA-Z:# '\"-]{0,8}".prop_map(Value::from),
            prop::sample::select(vec![
                "yes",
                "No",
                "~",
                "1e3",
                "0x1",
                "-",
                "? a",
                "<<",
                ".inf",
                "inf",
                "NaN",
                "2001-01-01"
            ])
            .prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-zA-Z:#/ .-]{1,6}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn reads_as_what_was_written(value in values()) {
            prop_assert_eq!(read(&document(&value)), value);
        }
    }
}
