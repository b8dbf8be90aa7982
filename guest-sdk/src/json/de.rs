//! Reads JSON into a type that implements serde's `Deserialize`, and says where it does not fit.

use alloc::string::{String, ToString};
use core::str::FromStr;

use serde::de::value::StringDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::Error;
use super::reader::{Reader, Start};

/// Reads one JSON document.
///
/// ```
/// # use falco_response_sdk::json;
/// let ports: Vec<u16> = json::from_str("[80, 443]").unwrap();
/// let error = json::from_str::<Vec<u16>>("[80, 70000]").unwrap_err();
/// assert_eq!(error.at, "/1");
/// ```
///
/// # Errors
/// Where the text is not JSON, nests more than 64 deep, goes on after the document, or does not fit `T`. A number with a
/// fraction or an exponent fits only a float, and a key may come only once in a struct.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    let mut reader = Reader::new(text);
    let value = T::deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

fn fit<T: FromStr>(number: &str) -> Result<T, Error> {
    number.parse().map_err(|_| Error::new("a number that does not fit"))
}

impl<'de> Deserializer<'de> for &mut Reader<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.start()? {
            Start::Null => visitor.visit_unit(),
            Start::True => visitor.visit_bool(true),
            Start::False => visitor.visit_bool(false),
            Start::String => visitor.visit_string(self.string()?),
            Start::Number => {
                let number = self.number()?;
                if number.starts_with('-') { visitor.visit_i64(fit(number)?) } else { visitor.visit_u64(fit(number)?) }
            }
            Start::Object => {
                self.open(b'{')?;
                let mut items = Items { reader: self, count: 0, key: String::new(), close: b'}' };
                let value = visitor.visit_map(&mut items)?;
                items.end()?;
                Ok(value)
            }
            Start::Array => {
                self.open(b'[')?;
                let mut items = Items { reader: self, count: 0, key: String::new(), close: b']' };
                let value = visitor.visit_seq(&mut items)?;
                items.end()?;
                Ok(value)
            }
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.start()? != Start::Number {
            return Err(Error::new("expected a number"));
        }
        // Rust reads 1e999 as infinity, which no JSON number is.
        match fit::<f64>(self.number()?)? {
            number if number.is_finite() => visitor.visit_f64(number),
            _ => Err(Error::new("a number that does not fit")),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if matches!(self.peek(), Some(b'-' | b'0'..=b'9')) {
            self.number()?;
            return visitor.visit_unit();
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.peek() == Some(b'n') {
            self.start()?;
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    /// Only of unit variants, which is what a choice among parameters is.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_enum(StringDeserializer::new(self.string()?))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    /// Serde would also take an array for a struct, its items in the order of the fields: no one means that in a rule.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if self.peek() == Some(b'{') { self.deserialize_any(visitor) } else { Err(Error::new("expected an object")) }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map
        identifier
    }
}

/// What is between two brackets.
struct Items<'r, 'a> {
    reader: &'r mut Reader<'a>,
    count: usize,
    /// Of the value that comes next, in an object.
    key: String,
    close: u8,
}

impl Items<'_, '_> {
    /// `close` turns 0 once the closing bracket was taken.
    fn more(&mut self) -> Result<bool, Error> {
        if self.close == 0 {
            return Ok(false);
        }
        let more = self.reader.more(self.count == 0, self.close)?;
        self.count += 1;
        if !more {
            self.close = 0;
        }
        Ok(more)
    }

    /// A visitor that stopped early, a tuple's, left items behind.
    fn end(mut self) -> Result<(), Error> {
        if self.more()? { Err(Error::new("more items than expected")) } else { Ok(()) }
    }
}

impl<'de> SeqAccess<'de> for &mut Items<'_, '_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if !self.more()? {
            return Ok(None);
        }
        let index = self.count - 1;
        seed.deserialize(&mut *self.reader).map(Some).map_err(|error| error.inside(&index.to_string()))
    }
}

impl<'de> MapAccess<'de> for &mut Items<'_, '_> {
    type Error = Error;

    fn next_key_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if !self.more()? {
            return Ok(None);
        }
        if self.reader.peek() != Some(b'"') {
            return Err(super::reader::malformed());
        }
        self.key = self.reader.string()?;
        seed.deserialize(StringDeserializer::new(self.key.clone())).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        self.reader.want(b':')?;
        seed.deserialize(&mut *self.reader).map_err(|error| error.inside(&self.key))
    }
}
