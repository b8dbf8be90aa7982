//! The file as a tree in which every value knows its place.
//!
//! serde's derived structs stop at the first thing that is wrong; a person who edits a ConfigMap wants to hear of
//! everything at once. So the YAML is read into this tree first, and [`super::section`] walks it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::Spanned;
use serde_saphyr::options::DuplicateKeyPolicy;

use super::{Location, Problem};
use crate::plugins::text::one_line;

/// A configuration of thousands of rules is a tenth of it.
pub const MAX_BYTES: usize = 1 << 20;
/// Bytes of what the library says is wrong.
const MOST_OF_A_REASON: usize = 500;

#[derive(Debug, Clone)]
pub struct Node {
    pub location: Location,
    pub value: Content,
}

#[derive(Debug, Clone)]
pub enum Content {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Node>),
    /// In the file's order, with keys that come twice.
    Map(Vec<(Key, Node)>),
}

#[derive(Debug, Clone)]
pub struct Key {
    pub location: Location,
    pub name: String,
}

impl Node {
    /// # Errors
    /// Where the text stops being YAML.
    pub fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        if bytes.len() > MAX_BYTES {
            let message = format!("the file has {} bytes, at most {MAX_BYTES} are read", bytes.len());
            return Err(Problem { location: Location { line: 1, column: 1 }, message });
        }
        let text = std::str::from_utf8(bytes).map_err(|error| not_utf8(bytes, error.valid_up_to()))?;
        let options = serde_saphyr::options! {
            // Found while walking, where both places are known.
            duplicate_keys: DuplicateKeyPolicy::PassThrough,
            // `yes` and `on` are text: whoever means true writes true.
            strict_booleans: true,
            with_snippet: false,
            budget: serde_saphyr::budget! { max_depth: 32, max_nodes: 100_000, max_documents: 8, max_aliases: 1_000 },
            alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 100_000 },
        };
        serde_saphyr::from_str_with_options(text, options).map_err(|error| problem(&error))
    }

    /// What it is, in plain words and with the value where it is short.
    pub fn describe(&self) -> String {
        match &self.value {
            Content::Null => "nothing".into(),
            Content::Bool(value) => format!("`{value}`"),
            Content::Number(value) => format!("the number `{value}`"),
            Content::Text(text) => format!("the text `{}`", excerpt(text)),
            Content::List(_) => "a list".into(),
            Content::Map(_) => "a map".into(),
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self.value, Content::Null)
    }

    /// A tree that all stands in one place.
    pub fn of_json(value: &Value, location: Location) -> Self {
        let value = match value {
            Value::Null => Content::Null,
            Value::Bool(value) => Content::Bool(*value),
            Value::Number(value) => Content::Number(value.clone()),
            Value::String(text) => Content::Text(text.clone()),
            Value::Array(items) => Content::List(items.iter().map(|item| Self::of_json(item, location)).collect()),
            Value::Object(map) => Content::Map(
                map.iter()
                    .map(|(name, value)| (Key { location, name: name.clone() }, Self::of_json(value, location)))
                    .collect(),
            ),
        };
        Self { location, value }
    }

    /// The same value as JSON; of a key that comes twice the last.
    pub fn to_json(&self) -> Value {
        match &self.value {
            Content::Null => Value::Null,
            Content::Bool(value) => Value::Bool(*value),
            Content::Number(value) => Value::Number(value.clone()),
            Content::Text(text) => Value::String(text.clone()),
            Content::List(items) => items.iter().map(Self::to_json).collect(),
            Content::Map(entries) => {
                Value::Object(entries.iter().map(|(key, node)| (key.name.clone(), node.to_json())).collect())
            }
        }
    }
}

/// What a message repeats of the file: enough to recognise it, on one line.
pub fn excerpt(text: &str) -> String {
    let mut short: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().nth(60).is_some() {
        short.push('…');
    }
    short
}

fn not_utf8(bytes: &[u8], at: usize) -> Problem {
    let before = &bytes[..at];
    let line = before.iter().filter(|&&byte| byte == b'\n').count() as u64 + 1;
    let column = before.iter().rev().take_while(|&&byte| byte != b'\n').filter(|&&byte| byte & 0xc0 != 0x80).count();
    let message = "the file is not UTF-8 from here on".to_owned();
    Problem { location: Location { line, column: column as u64 + 1 }, message }
}

fn problem(error: &serde_saphyr::Error) -> Problem {
    let location = error.location().map_or(Location { line: 1, column: 1 }, Location::from);
    if let serde_saphyr::Error::MultipleDocuments { .. } = error.without_snippet() {
        let message = "a second document begins here, the file holds one; take out the `---`".to_owned();
        return Problem { location, message };
    }
    // The library closes with the place, which stands in front of ours.
    let text = error.to_string();
    let text = text.lines().next().unwrap_or_default();
    let text = text.split(" at line ").next().unwrap_or(text);
    let text = text.strip_prefix("error: ").unwrap_or(text).trim_end_matches([':', ' ']);
    // It repeats what it could not read, however long that is.
    let text = one_line(text, MOST_OF_A_REASON);
    Problem { location, message: format!("not valid YAML: {text}") }
}

impl From<serde_saphyr::Location> for Location {
    fn from(location: serde_saphyr::Location) -> Self {
        // An unknown place is 0:0; the file's beginning is where one looks then.
        Self { line: location.line().max(1), column: location.column().max(1) }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Content>::deserialize(deserializer)?;
        Ok(Self { location: spanned.referenced.into(), value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("text, a number, true or false, a list or a map")
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Content, E> {
        Ok(Content::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Content, E> {
        Ok(Content::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Content, E> {
        let number = serde_json::Number::from_f64(value).ok_or_else(|| E::custom("a number that is not finite"))?;
        Ok(Content::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Content, E> {
        Ok(Content::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Content, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Content::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Content, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key::<Node>()? {
            let name = match key.value {
                Content::Text(name) => name,
                Content::Number(number) => number.to_string(),
                Content::Bool(value) => value.to_string(),
                _ => return Err(A::Error::custom("a key that is not text")),
            };
            entries.push((Key { location: key.location, name }, access.next_value()?));
        }
        Ok(Content::Map(entries))
    }
}
