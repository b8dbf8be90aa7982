//! The top level of a body, found in one pass and without a copy.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::AlertError;
use super::fields::Fields;

/// What an alert is read from; other keys are ignored.
const KEYS: [&str; 9] = ["rule", "time", "priority", "output_fields", "output", "uuid", "source", "tags", "hostname"];

#[derive(Default)]
pub(super) struct Parts<'a>([Option<&'a RawValue>; KEYS.len()]);

impl<'a> Parts<'a> {
    pub fn read(raw: &'a str) -> Result<Self, AlertError> {
        let mut parser = serde_json::Deserializer::from_str(raw);
        let read = parser.deserialize_map(Object).and_then(|parts| parser.end().map(|()| parts));
        // serde_json's own text for a wrong type quotes the value, which is not ours to repeat.
        read.map_err(|error| {
            AlertError(match error.classify() {
                serde_json::error::Category::Data => "the body is not a JSON object".into(),
                _ => format!("the body is not JSON: {error}"),
            })
        })
    }

    pub fn require(&self, keys: &[&str]) -> Result<(), AlertError> {
        let missing: Vec<_> = keys.iter().filter(|key| self.get(key).is_none()).map(|key| format!("`{key}`")).collect();
        if missing.is_empty() { Ok(()) } else { Err(AlertError(format!("missing {}", missing.join(", ")))) }
    }

    /// Null is Falco's word for absent.
    fn get(&self, key: &str) -> Option<&'a RawValue> {
        let place = KEYS.iter().position(|known| *known == key)?;
        self.0[place].filter(|value| value.get() != "null")
    }

    pub fn string(&self, key: &str) -> Result<Option<Cow<'a, str>>, AlertError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match read_string(value.get()) {
            Some(text) => Ok(Some(text)),
            None => Err(AlertError(format!("`{key}` is {}, not a string", kind(value)))),
        }
    }

    pub fn strings(&self, key: &str) -> Result<Vec<String>, AlertError> {
        let Some(value) = self.get(key) else { return Ok(Vec::new()) };
        let items: Vec<&RawValue> = serde_json::from_str(value.get())
            .map_err(|_| AlertError(format!("`{key}` is {}, not a list of strings", kind(value))))?;
        let read = |item: &&RawValue| {
            let text = read_string(item.get());
            text.map(Cow::into_owned)
                .ok_or_else(|| AlertError(format!("`{key}` holds {}, not only strings", kind(item))))
        };
        items.iter().map(read).collect()
    }

    pub fn fields(&self, key: &str, raw: &str) -> Result<Fields, AlertError> {
        let Some(value) = self.get(key) else { return Ok(Fields::default()) };
        Fields::read(value.get(), raw).map_err(|error| {
            AlertError(match error.classify() {
                serde_json::error::Category::Data => format!("`{key}` is {}, not an object", kind(value)),
                _ => format!("`{key}` cannot be read: {error}"),
            })
        })
    }
}

struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = Parts<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Parts<'de>, M::Error> {
        let mut parts = Parts::default();
        while let Some(place) = map.next_key_seed(Known)? {
            match place {
                // Of a key that comes twice, the last one counts.
                Some(place) => parts.0[place] = Some(map.next_value()?),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(parts)
    }
}

/// A key's place in [`KEYS`].
struct Known;

impl<'de> DeserializeSeed<'de> for Known {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Known {
    type Value = Option<usize>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<Option<usize>, E> {
        Ok(KEYS.iter().position(|known| *known == key))
    }
}

/// What a JSON text is, in an error's words.
fn kind(value: &RawValue) -> &'static str {
    match value.get().as_bytes().first() {
        Some(b'"') => "a string",
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// A JSON string's content; none for any other value. A lone surrogate, which JSON can write and text cannot hold,
/// turns into U+FFFD, as Go's decoder has it: a field that an attacker shaped must not cost us the alert.
pub(super) fn read_string(json: &str) -> Option<Cow<'_, str>> {
    struct Lossy;

    impl<'de> Visitor<'de> for Lossy {
        type Value = Cow<'de, str>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a string")
        }

        fn visit_borrowed_bytes<E: de::Error>(self, bytes: &'de [u8]) -> Result<Cow<'de, str>, E> {
            Ok(String::from_utf8_lossy(bytes))
        }

        fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Cow<'de, str>, E> {
            Ok(String::from_utf8_lossy(bytes).into_owned().into())
        }
    }

    // Anything but a string would be visited as a sequence or a number, and refused with an error that nobody reads.
    json.starts_with('"').then(|| serde_json::Deserializer::from_str(json).deserialize_bytes(Lossy).ok())?
}
