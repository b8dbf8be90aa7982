//! An alert's `output_fields`: where in the body each stands. Nothing of them is copied, and what nobody asks for is not
//! even read: most alerts are wanted by no rule, and of the others an action looks at three or four fields.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// By name, and of one name in the order in which they came.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields(Vec<Field>);

#[derive(Debug, Clone)]
struct Field {
    name: Name,
    /// In the body, JSON text: numbers beyond 64 bits and `0.10` stay as they were written.
    value: Range<usize>,
}

#[derive(Debug, Clone)]
enum Name {
    /// In the body, between its quotes.
    At(Range<usize>),
    /// One that was written with escapes.
    Own(Box<str>),
}

impl Name {
    fn text<'a>(&'a self, body: &'a str) -> &'a str {
        match self {
            Self::At(place) => &body[place.clone()],
            Self::Own(text) => text,
        }
    }
}

impl Fields {
    /// `json` is a part of `body`.
    pub fn read(json: &str, body: &str) -> Result<Self, serde_json::Error> {
        let mut parser = serde_json::Deserializer::from_str(json);
        let mut fields = parser.deserialize_map(Object { body })?;
        parser.end()?;
        // As a rule they are: Falco and Falcosidekick write them so.
        if !fields.0.is_sorted_by(|one, next| one.name.text(body) <= next.name.text(body)) {
            fields.0.sort_by(|one, other| one.name.text(body).cmp(other.name.text(body)));
        }
        Ok(fields)
    }

    /// The JSON text of a field. Of a name that comes twice the last one counts.
    pub fn get<'a>(&self, name: &str, body: &'a str) -> Option<&'a str> {
        let behind = self.0.partition_point(|field| field.name.text(body) <= name);
        let field = self.0.get(behind.checked_sub(1)?)?;
        (field.name.text(body) == name).then(|| &body[field.value.clone()])
    }

    /// Bytes of memory, roughly.
    pub fn weight(&self) -> usize {
        let owned = self.0.iter().map(|field| match &field.name {
            Name::At(_) => 0,
            Name::Own(text) => text.len(),
        });
        self.0.capacity() * size_of::<Field>() + owned.sum::<usize>()
    }

    #[cfg(test)]
    pub fn names<'a>(&'a self, body: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().map(move |field| field.name.text(body))
    }
}

/// Where `part` lies in the body that it is a part of.
fn place(part: &str, body: &str) -> Option<Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(body.as_ptr().addr())?;
    let place = start..start + part.len();
    (place.end <= body.len()).then_some(place)
}

struct Object<'a> {
    body: &'a str,
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = Fields;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Fields, M::Error> {
        let Self { body } = self;
        let mut fields = Vec::new();
        while let Some(name) = map.next_key_seed(Key)? {
            let name = match name {
                Cow::Borrowed(text) => place(text, body).map_or_else(|| Name::Own(text.into()), Name::At),
                Cow::Owned(text) => Name::Own(text.into()),
            };
            let value = map.next_value::<&RawValue>()?.get();
            let value = place(value, body).ok_or_else(|| de::Error::custom("a value lies outside of the body"))?;
            fields.push(Field { name, value });
        }
        Ok(Fields(fields))
    }
}

struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}
