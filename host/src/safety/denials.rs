//! What a denied call is told: the permission that is missing, and the line that would grant exactly this call where the
//! operator agrees and a grant can.
//!
//! The line is an item of `plugins.grants.NAME`, as the configuration's loader reads it: it names the one object, the
//! verbs of the one call, and the fields that it writes, and lets nothing else through.

use serde_json::json;

use super::document::{Form, Path};
use super::fields::{self, LIFE_AND_DEATH, STRATEGIC};
use super::free;
use super::permissions::{Call, Verb, is_directive};

/// A line with more fields, or a longer one, is not read before it is pasted, and a record would cut it.
const MOST_FIELDS: usize = 32;
const LONGEST_LINE: usize = 2 << 10;
const LONGEST_NAME: usize = 128;

/// A manifest is its author's: no grant adds to it.
pub(super) fn undeclared(action: &str, call: &Call) -> String {
    let permission = json!({
        "apiGroups": [call.resource.group()],
        "resources": [call.resource.rbac_name()],
        "verbs": [call.verb.as_str()],
        "scope": call.reach.scope().as_str(),
    });
    format!(
        "{action} does not declare {} in its manifest, so no grant helps; its author would have to add {permission}",
        named(call)
    )
}

/// `verbs` are what the call needs, `nothing` says that not even the kind of call is granted.
pub(super) fn not_granted(action: &str, call: &Call, verbs: &[Verb], nothing: bool) -> String {
    let named = named(call);
    let what = if nothing {
        format!("{named} is not granted to {action} in plugins.grants.{action}")
    } else {
        format!("{named} is granted to {action} in plugins.grants.{action}, but not for {}", written(call))
    };
    match line(call, verbs) {
        Ok(line) => format!("{what}; to allow it: `{line}`"),
        Err(why) => format!("{what}; no grant allows it: {why}"),
    }
}

/// ``the permission `delete pods` (scope namespace)``
fn named(call: &Call) -> String {
    format!("the permission `{} {}` (scope {})", call.verb.as_str(), call.resource, call.reach.scope().as_str())
}

/// Some of what is written, for a person.
fn written(call: &Call) -> String {
    let paths = call.touched.map(|touched| touched.paths.as_slice()).unwrap_or_default();
    let name = |path: &Path| match fields::name(path) {
        // Keys are as long as their author likes, and every refusal is kept until the run is over.
        Some(name) if name.len() <= LONGEST_NAME => name,
        Some(name) => format!("{}…", &name[..name.floor_char_boundary(LONGEST_NAME)]),
        None if path.is_empty() => "all of it".to_owned(),
        None => "an odd key".to_owned(),
    };
    let mut names: Vec<_> = paths.iter().take(4).map(name).collect();
    if paths.len() > names.len() {
        names.push(format!("{} more", paths.len() - names.len()));
    }
    names.join(", ")
}

fn line(call: &Call, verbs: &[Verb]) -> Result<String, &'static str> {
    let verbs: Vec<_> = verbs.iter().map(|verb| verb.as_str()).collect();
    let mut line = format!(
        "- {{apiGroups: [{}], resources: [{}], verbs: [{}], scope: {}",
        yaml(call.resource.group()),
        yaml(&call.resource.rbac_name()),
        verbs.join(", "),
        call.reach.scope().as_str(),
    );
    if let Some(name) = call.name.filter(|_| !call.reach.is_target) {
        line.push_str(&format!(", resourceNames: [{}]", yaml(name.as_str())));
    }
    let fields: Vec<_> = missing_fields(call)?.iter().map(|field| yaml(field)).collect();
    if !fields.is_empty() {
        line.push_str(&format!(", fields: [{}]", fields.join(", ")));
    }
    line.push('}');
    if line.len() > LONGEST_LINE { Err("the line would be too long to be read") } else { Ok(line) }
}

const TOO_MANY_FIELDS: &str = "it writes more fields than one line should name";

/// The fields that a grant for this call has to name.
fn missing_fields(call: &Call) -> Result<Vec<String>, &'static str> {
    let Some(touched) = call.touched else { return Ok(Vec::new()) };
    // Of an object that was not read yet nobody knows which of its keys are free.
    let unknown = call.verb == Verb::Patch && call.current.is_null();
    let mut missing = Vec::new();
    for path in &touched.paths {
        if is_directive(path) {
            return Err("a directive such as $patch reaches more than it shows");
        }
        let field = match LIFE_AND_DEATH.iter().find(|field| fields::reaches(path, field)) {
            Some(field) if fields::lies_in(path, field) => (*field).to_owned(),
            Some(_) => {
                return Err("it replaces all of metadata, with what keeps the object alive; write single fields");
            }
            None if !unknown && free::is_free_metadata(path, call.current) => continue,
            None => fields::name(path).ok_or("it writes a key that no field can name")?,
        };
        if !missing.contains(&field) {
            missing.push(field);
            // Before the next is compared with all of them: a document can write thousands.
            if missing.len() > MOST_FIELDS {
                return Err(TOO_MANY_FIELDS);
            }
        }
    }
    if touched.form == Form::Strategic {
        missing.push(STRATEGIC.to_owned());
    }
    if missing.len() > MOST_FIELDS {
        return Err(TOO_MANY_FIELDS);
    }
    Ok(missing)
}

/// A text that YAML reads back as the same text, inside a list in brackets.
pub(crate) fn yaml(text: &str) -> String {
    let plain = text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'/' | b'_'))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&text.to_ascii_lowercase().as_str());
    if plain { text.to_owned() } else { json!(text).to_string() }
}
