//! JSON: the parameters as a Rust type, Kubernetes objects as [`Value`]s.
//!
//! Its own and not serde_json's, which would make a component twice as large: most of that is text that formats floats
//! for error messages. Tests compare it with serde_json on arbitrary input, and `cargo xtask fuzz` for as long as one likes.
//!
//! It is as strict as RFC 8259, refuses what nests more than 64 deep, keeps a number's own text whatever its size, and of a key
//! that stands twice takes the last value.
//!
//! ```
//! use falco_response_sdk::json::{Value, array, object};
//!
//! let pod = Value::parse(r#"{"spec": {"containers": [{"name": "web"}]}}"#).unwrap();
//! let names = pod.at(&["spec", "containers"]).items().iter().map(|container| container.at(&["name"]).clone());
//! let document = object([("names", array(names)), ("count", 1_u32.into())]);
//! assert_eq!(document.to_string(), r#"{"names":["web"],"count":1}"#);
//! ```

mod de;
mod reader;
#[cfg(test)]
mod tests;
mod value;
mod writer;

pub use de::from_str;
pub use value::Value;
pub use writer::{array, object};

use alloc::string::{String, ToString};
use core::fmt;

/// Text that is not what was expected.
///
/// ```
/// # use falco_response_sdk::json;
/// let error = json::from_str::<Vec<u16>>("[80, 70000]").unwrap_err();
/// assert_eq!(error.to_string(), "/1: expected u16");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// JSON Pointer to the place; "" is the whole.
    pub at: String,
    /// What is wrong there.
    pub message: String,
}

impl Error {
    fn new(message: impl Into<String>) -> Self {
        Self { at: String::new(), message: message.into() }
    }

    /// The same error, seen from the object or array around it.
    fn inside(mut self, key: &str) -> Self {
        self.at = [&pointer(key), self.at.as_str()].concat();
        self
    }
}

/// A step of a JSON Pointer (RFC 6901).
fn pointer(key: &str) -> String {
    let mut step = String::from("/");
    for c in key.chars() {
        match c {
            '~' => step.push_str("~0"),
            '/' => step.push_str("~1"),
            c => step.push(c),
        }
    }
    step
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.at.is_empty() {
            f.write_str(&self.at)?;
            f.write_str(": ")?;
        }
        f.write_str(&self.message)
    }
}

impl core::error::Error for Error {}

impl serde::de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    // The provided ones print the value found, and with it code that formats floats.
    fn invalid_type(_: serde::de::Unexpected, expected: &dyn serde::de::Expected) -> Self {
        Self::new(["expected ", &expected.to_string()].concat())
    }

    fn invalid_value(_: serde::de::Unexpected, expected: &dyn serde::de::Expected) -> Self {
        Self::new(["expected ", &expected.to_string()].concat())
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let message = match expected {
            [] => String::from("no such parameter; there are none"),
            names => ["no such parameter; there are ", &names.join(", ")].concat(),
        };
        Self { at: pointer(field), message }
    }
}
