//! A rule's parameters against the JSON Schema in the action's manifest: what can be said of them without running the
//! action, all of it at once and each with its place.
//!
//! Of JSON Schema, what parameters need: `type`, `enum`, `anyOf`, `properties`, `required`, `additionalProperties`, `items`, and
//! bounds of numbers, texts and lists. Other keywords are the action's own affair: it is asked afterwards, and has the
//! last word.

use serde_json::Value;

use super::ParameterProblem;
use super::text::one_line;
use crate::config::suggest;

/// Of what a message repeats.
const EXCERPT: usize = 60;

/// What is wrong with them; none where the schema has nothing against them.
pub fn problems(schema: &Value, parameters: &Value) -> Vec<ParameterProblem> {
    let mut found = Vec::new();
    check(schema, parameters, &mut String::new(), &mut found);
    found
}

/// Whether the schema speaks of what stands at that JSON Pointer. A key that it does not know is a problem of the key,
/// not of its value.
pub fn speaks_of(schema: &Value, at: &str) -> bool {
    let mut schema = schema;
    for step in at.split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        let next = schema.get("properties").and_then(|properties| properties.get(&step));
        let items = || schema.get("items").filter(|_| step.parse::<usize>().is_ok());
        let others = || schema.get("additionalProperties").filter(|others| **others != Value::Bool(false));
        match next.or_else(items).or_else(others) {
            Some(inner) => schema = inner,
            // Without a word on its keys it allows any.
            None => return schema.get("properties").is_none() && schema.get("additionalProperties").is_none(),
        }
    }
    true
}

fn check(schema: &Value, value: &Value, at: &mut String, found: &mut Vec<ParameterProblem>) {
    if let Some(choices) = schema["anyOf"].as_array() {
        return any_of(choices, value, at, found);
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !types.is_empty() && !types.iter().any(|name| is(name, value)) {
        return add(found, at, format!("expected {}, not {}", wanted(&types, schema), told(value)));
    }
    if let Some(choices) = schema["enum"].as_array().filter(|choices| !choices.contains(value)) {
        let known: Vec<&str> = choices.iter().filter_map(Value::as_str).collect();
        let hint = value.as_str().map_or_else(String::new, |given| suggest::phrase(given, &known));
        return add(found, at, format!("{} is not a choice{hint}", told(value)));
    }
    match value {
        Value::Object(map) => {
            let known = schema["properties"].as_object();
            let names: Vec<&str> = known.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
            for (key, inner) in map {
                let length = at.len();
                at.push('/');
                at.push_str(&key.replace('~', "~0").replace('/', "~1"));
                match known.and_then(|known| known.get(key)).or_else(|| others(schema)) {
                    Some(Value::Bool(false)) => {
                        let hint = if names.is_empty() {
                            "; the action takes none".to_owned()
                        } else {
                            suggest::phrase(key, &names)
                        };
                        add(found, at, format!("no such parameter: `{}`{hint}", one_line(key, EXCERPT)));
                    }
                    Some(inner_schema) => check(inner_schema, inner, at, found),
                    None => {}
                }
                at.truncate(length);
            }
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            for missing in required.filter(|name| !map.contains_key(*name)) {
                add(found, at, format!("`{missing}` is missing"));
            }
        }
        Value::Array(items) => {
            size(items.len(), schema, ["minItems", "maxItems"], "items", at, found);
            for (index, item) in items.iter().enumerate() {
                let length = at.len();
                at.push_str(&format!("/{index}"));
                check(&schema["items"], item, at, found);
                at.truncate(length);
            }
        }
        Value::String(text) => size(text.chars().count(), schema, ["minLength", "maxLength"], "characters", at, found),
        Value::Number(number) => {
            let number = number.as_f64().unwrap_or(0.0);
            let outside = |key: &str, no: &dyn Fn(f64) -> bool| schema[key].as_f64().is_some_and(no);
            for (key, words, wrong) in [
                ("minimum", "at least", outside("minimum", &|bound| number < bound)),
                ("exclusiveMinimum", "more than", outside("exclusiveMinimum", &|bound| number <= bound)),
                ("maximum", "at most", outside("maximum", &|bound| number > bound)),
                ("exclusiveMaximum", "less than", outside("exclusiveMaximum", &|bound| number >= bound)),
            ] {
                if wrong {
                    add(found, at, format!("must be {words} {}, not {}", schema[key], told(value)));
                }
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

/// One of them must have nothing against it. What is optional is null or the other, so the other's word is repeated.
fn any_of(choices: &[Value], value: &Value, at: &mut String, found: &mut Vec<ParameterProblem>) {
    let mut last = Vec::new();
    for choice in choices {
        let mut against = Vec::new();
        check(choice, value, at, &mut against);
        if against.is_empty() {
            return;
        }
        if choice["type"] != "null" {
            last = against;
        }
    }
    found.append(&mut last);
}

fn add(found: &mut Vec<ParameterProblem>, at: &str, message: String) {
    found.push(ParameterProblem { at: at.to_owned(), message });
}

fn size(size: usize, schema: &Value, [least, most]: [&str; 2], of: &str, at: &str, found: &mut Vec<ParameterProblem>) {
    let bound = |key: &str| schema[key].as_u64().and_then(|bound| usize::try_from(bound).ok());
    if let Some(least) = bound(least).filter(|least| size < *least) {
        add(found, at, format!("must have at least {least} {of}, not {size}"));
    }
    if let Some(most) = bound(most).filter(|most| size > *most) {
        add(found, at, format!("must have at most {most} {of}, not {size}"));
    }
}

fn is(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        // A type that there is not is nothing to hold anybody to.
        _ => true,
    }
}

fn wanted(types: &[&str], schema: &Value) -> String {
    let words: Vec<_> = types
        .iter()
        .filter(|name| **name != "null")
        .map(|name| match *name {
            "object" => "a map",
            "array" => "a list",
            "string" => "text",
            "boolean" => "true or false",
            "number" => "a number",
            "integer" if schema["minimum"] == 0 => "a whole number from 0 on",
            "integer" => "a whole number",
            other => other,
        })
        .collect();
    words.join(" or ")
}

/// The value, as a message names it.
fn told(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(value) => format!("`{value}`"),
        Value::Number(number) => format!("the number `{number}`"),
        Value::String(text) => format!("the text `{}`", one_line(text, EXCERPT)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a map".to_owned(),
    }
}

/// What holds for keys that the schema does not name; nothing that could be told here where patterns name some.
fn others(schema: &Value) -> Option<&Value> {
    schema.get("additionalProperties").filter(|_| schema.get("patternProperties").is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> Value {
        json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["mode"],
            "properties": {
                "grace_period_seconds": {"type": "integer", "minimum": 0, "maximum": 600},
                "mode": {"enum": ["soft", "hard"]},
                "cidrs": {"type": "array", "maxItems": 2, "items": {"type": "string", "minLength": 3}},
                "note": {"type": ["string", "null"]},
                "tries": {"anyOf": [{"type": "null"}, {"type": "integer", "minimum": 1}]},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            },
        })
    }

    fn told(parameters: &Value) -> Vec<String> {
        problems(&schema(), parameters).iter().map(|problem| format!("{}: {}", problem.at, problem.message)).collect()
    }

    #[test]
    fn finds_nothing_in_what_fits() {
        let fits = json!({"grace_period_seconds": 3, "mode": "soft", "cidrs": ["10.0.0.0/8"], "note": null,
            "labels": {"a/b": "c"}, "tries": null});
        assert_eq!(told(&fits), Vec::<String>::new());
        // What the schema leaves open is the action's to judge.
        assert_eq!(problems(&json!({"type": "object", "pattern": 7}), &json!({"x": 1})), []);
        assert_eq!(problems(&json!({}), &json!({"x": 1})), []);
    }

    #[test]
    fn finds_everything_at_once_each_in_its_place() {
        let wrong = json!({
            "grace_period_secnds": 3, "mode": "sof", "cidrs": ["10.0.0.0/8", "x", 7], "labels": {"a/b": true},
            "grace_period_seconds": 601, "note": {}, "tries": 0,
        });
        let mut found = told(&wrong);
        found.sort();
        assert_eq!(
            found,
            [
                "/cidrs/1: must have at least 3 characters, not 1",
                "/cidrs/2: expected text, not the number `7`",
                "/cidrs: must have at most 2 items, not 3",
                "/grace_period_secnds: no such parameter: `grace_period_secnds`, did you mean `grace_period_seconds`?",
                "/grace_period_seconds: must be at most 600, not the number `601`",
                "/labels/a~1b: expected text, not `true`",
                "/mode: the text `sof` is not a choice, did you mean `soft`?",
                "/note: expected text, not a map",
                "/tries: must be at least 1, not the number `0`",
            ]
        );
        assert_eq!(told(&json!({})), [": `mode` is missing"]);
        assert_eq!(told(&json!([])), [": expected a map, not a list"]);
    }

    #[test]
    fn leaves_keys_that_a_pattern_may_name_to_the_action() {
        let schema = json!({"type": "object", "patternProperties": {"^x-": {}}, "additionalProperties": false});
        assert_eq!(problems(&schema, &json!({"x-mine": 1})), []);
    }

    #[test]
    fn tells_a_key_that_it_does_not_know_from_a_value_that_is_wrong() {
        for (at, known) in [
            ("", true),
            ("/mode", true),
            ("/cidrs/1", true),
            ("/labels/a~1b", true),
            ("/grace", false),
            ("/grace/0", false),
            ("/mode/x", true),
        ] {
            assert_eq!(speaks_of(&schema(), at), known, "{at}");
        }
    }
}
