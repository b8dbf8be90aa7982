//! Builds and writes JSON. An action that joins JSON from pieces of text lets whoever wrote a piece write the rest.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};

use super::Value;

/// A JSON object with these members, in this order.
///
/// ```
/// # use falco_response_sdk::json::{array, object};
/// let name = r#"x","admin":"yes"#;
/// let document = object([("name", name.into()), ("egress", array([]))]);
/// assert_eq!(document.to_string(), r#"{"name":"x\",\"admin\":\"yes","egress":[]}"#);
/// ```
pub fn object<K: Into<String>>(members: impl IntoIterator<Item = (K, Value)>) -> Value {
    Value::Object(members.into_iter().map(|(key, value)| (key.into(), value)).collect())
}

/// A JSON array of these items.
///
/// ```
/// # use falco_response_sdk::json::array;
/// assert_eq!(array(["Egress".into(), 1_u32.into()]).to_string(), r#"["Egress",1]"#);
/// ```
pub fn array(items: impl IntoIterator<Item = Value>) -> Value {
    Value::Array(items.into_iter().collect::<Vec<_>>())
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(true) => f.write_str("true"),
            Self::Bool(false) => f.write_str("false"),
            Self::Number(number) => f.write_str(number),
            Self::Text(text) => string(f, text),
            Self::Array(items) => {
                f.write_char('[')?;
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        f.write_char(',')?;
                    }
                    item.fmt(f)?;
                }
                f.write_char(']')
            }
            Self::Object(members) => {
                f.write_char('{')?;
                for (index, (key, value)) in members.iter().enumerate() {
                    if index > 0 {
                        f.write_char(',')?;
                    }
                    string(f, key)?;
                    f.write_char(':')?;
                    value.fmt(f)?;
                }
                f.write_char('}')
            }
        }
    }
}

fn string(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for character in text.chars() {
        match character {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            control @ '\0'..='\u{1f}' => {
                f.write_str("\\u00")?;
                for digit in [control as u32 >> 4, control as u32 & 15] {
                    f.write_char(char::from_digit(digit, 16).unwrap_or('0'))?;
                }
            }
            character => f.write_char(character)?,
        }
    }
    f.write_char('"')
}
