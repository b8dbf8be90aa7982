//! Label and field selectors, as the list request and a PodDisruptionBudget spell them.

use serde_json::Value;

use super::kinds::Kind;
use super::schema;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    Exists(String),
    Absent(String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels(Vec<Requirement>);

impl Labels {
    /// `a=b,c!=d,e,!f,g in (h,i),j notin (k)`.
    ///
    /// # Errors
    /// The API server's words for a selector it cannot read.
    pub fn parse(text: &str) -> Result<Self, String> {
        let requirements = outside_parentheses(text).map(|part| requirement(part.trim()).and_then(of_labels));
        Ok(Self(requirements.collect::<Result<_, _>>().map_err(|why| format!("unable to parse requirement: {why}"))?))
    }

    /// A `LabelSelector` object; None where it uses an operator that there is not.
    pub fn from_object(selector: &Value) -> Option<Self> {
        let mut requirements = Vec::new();
        for (key, value) in selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
            requirements.push(Requirement::In(key.clone(), vec![value.as_str()?.to_owned()]));
        }
        for expression in selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            let key = expression["key"].as_str()?.to_owned();
            let values = || -> Option<Vec<String>> {
                expression["values"].as_array()?.iter().map(|value| value.as_str().map(str::to_owned)).collect()
            };
            requirements.push(match expression["operator"].as_str()? {
                "In" => Requirement::In(key, values()?),
                "NotIn" => Requirement::NotIn(key, values()?),
                "Exists" => Requirement::Exists(key),
                "DoesNotExist" => Requirement::Absent(key),
                _ => return None,
            });
        }
        Some(Self(requirements))
    }

    pub fn matches(&self, object: &Value) -> bool {
        let labels = object.pointer("/metadata/labels");
        let label = |key: &str| labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
        self.0.iter().all(|requirement| match requirement {
            Requirement::Exists(key) => label(key).is_some(),
            Requirement::Absent(key) => label(key).is_none(),
            Requirement::In(key, values) => label(key).is_some_and(|label| values.iter().any(|value| value == label)),
            Requirement::NotIn(key, values) => label(key).is_none_or(|label| values.iter().all(|value| value != label)),
        })
    }
}

/// Splits at the commas that are not between parentheses.
fn outside_parentheses(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0;
    text.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    })
    .filter(|part| !part.trim().is_empty())
}

fn requirement(text: &str) -> Result<Requirement, String> {
    let set = |words: &str| -> Option<Vec<String>> {
        let inner = words.trim().strip_prefix('(')?.strip_suffix(')')?;
        Some(inner.split(',').map(|value| value.trim().to_owned()).collect())
    };
    let key = |text: &str| -> Result<String, String> {
        let text = text.trim();
        let fine = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        if text.is_empty() || !text.chars().all(fine) {
            return Err(format!("found '{text}', expected: a label key"));
        }
        Ok(text.to_owned())
    };
    let value = |text: &str| vec![text.trim().to_owned()];
    if let Some((left, right)) = text.split_once(" notin ") {
        let values = set(right).ok_or_else(|| format!("found '{right}', expected: '('"))?;
        return Ok(Requirement::NotIn(key(left)?, values));
    }
    if let Some((left, right)) = text.split_once(" in ") {
        let values = set(right).ok_or_else(|| format!("found '{right}', expected: '('"))?;
        return Ok(Requirement::In(key(left)?, values));
    }
    if let Some((left, right)) = text.split_once("!=") {
        return Ok(Requirement::NotIn(key(left)?, value(right)));
    }
    if let Some((left, right)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return Ok(Requirement::In(key(left)?, value(right)));
    }
    match text.strip_prefix('!') {
        Some(absent) => Ok(Requirement::Absent(key(absent)?)),
        None => Ok(Requirement::Exists(key(text)?)),
    }
}

/// Only values that a label can have.
fn of_labels(requirement: Requirement) -> Result<Requirement, String> {
    let (Requirement::In(key, values) | Requirement::NotIn(key, values)) = &requirement else { return Ok(requirement) };
    match values.iter().position(|value| !schema::is_label(value)) {
        Some(at) => Err(format!("values[{at}][{key}]: Invalid value: \"{}\": a valid label", values[at])),
        None => Ok(requirement),
    }
}

/// What every resource can be selected by.
const FIELDS: [(&str, &str); 2] = [("metadata.name", "/metadata/name"), ("metadata.namespace", "/metadata/namespace")];

/// And pods.
const FIELDS_OF_PODS: [(&str, &str); 2] = [("spec.nodeName", "/spec/nodeName"), ("status.phase", "/status/phase")];

/// And events.
const FIELDS_OF_EVENTS: [(&str, &str); 9] = [
    ("involvedObject.apiVersion", "/involvedObject/apiVersion"),
    ("involvedObject.fieldPath", "/involvedObject/fieldPath"),
    ("involvedObject.kind", "/involvedObject/kind"),
    ("involvedObject.name", "/involvedObject/name"),
    ("involvedObject.namespace", "/involvedObject/namespace"),
    ("involvedObject.resourceVersion", "/involvedObject/resourceVersion"),
    ("involvedObject.uid", "/involvedObject/uid"),
    ("reason", "/reason"),
    ("type", "/type"),
];

/// What a kind can be selected by beside what every one can.
fn own_fields(kind: &Kind) -> &'static [(&'static str, &'static str)] {
    if kind.is_pod() {
        &FIELDS_OF_PODS
    } else if kind.is_event() {
        &FIELDS_OF_EVENTS
    } else {
        &[]
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<(&'static str, bool, String)>);

impl Fields {
    /// # Errors
    /// The API server's words for a field that nothing can be selected by.
    pub fn parse(kind: &Kind, text: &str) -> Result<Self, String> {
        let own = own_fields(kind);
        let mut terms = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (field, equal, value) = if let Some((field, value)) = part.split_once("!=") {
                (field, false, value)
            } else if let Some((field, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
                (field, true, value)
            } else {
                return Err(format!("invalid selector: '{text}'; can't understand '{part}'"));
            };
            let known = FIELDS.iter().chain(own).find(|(name, _)| *name == field);
            let (_, pointer) = known.ok_or_else(|| match own.is_empty() {
                false => format!("field label not supported: {field}"),
                true => {
                    format!("\"{field}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
                }
            })?;
            terms.push((*pointer, equal, value.to_owned()));
        }
        Ok(Self(terms))
    }

    pub fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|(pointer, equal, value)| {
            let found = object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            (found == value) == *equal
        })
    }
}
