//! A JSON document whose shape is not known to the action: a Kubernetes object.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Error;
use super::reader::{Reader, Start};

/// Any JSON value. Built with [`object`](super::object), [`array`](super::array) and `into()`; `to_string()` writes it.
///
/// ```
/// # use falco_response_sdk::json::Value;
/// let some = Value::from("text");
/// let nothing = Value::from(None::<&str>);
/// assert_eq!((some.to_string().as_str(), nothing.is_null()), ("\"text\"", true));
/// ```
#[derive(Debug, Clone)]
pub enum Value {
    /// `null`, and what is not there.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number's own text, so that none loses precision on its way through.
    Number(String),
    /// A string.
    Text(String),
    /// `[…]`
    Array(Vec<Value>),
    /// In the order read or built. When read, the last of several values for one key wins.
    Object(Vec<(String, Value)>),
}

/// What is not there reads as null.
static NULL: Value = Value::Null;

impl Value {
    /// Reads one JSON document.
    ///
    /// ```
    /// # use falco_response_sdk::json::Value;
    /// assert!(Value::parse(r#"{"a": [1, 2]}"#).is_ok());
    /// assert!(Value::parse(r#"{"a": [1, 2],}"#).is_err());
    /// ```
    ///
    /// # Errors
    /// Where the text is not JSON, nests more than 64 deep, or goes on after the document.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut reader = Reader::new(text);
        let value = Self::read(&mut reader)?;
        reader.end()?;
        Ok(value)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        Ok(match reader.start()? {
            Start::Null => Self::Null,
            Start::True => Self::Bool(true),
            Start::False => Self::Bool(false),
            Start::String => Self::Text(reader.string()?),
            Start::Number => Self::Number(reader.number()?.into()),
            Start::Array => {
                reader.open(b'[')?;
                let mut items = Vec::new();
                while reader.more(items.is_empty(), b']')? {
                    items.push(Self::read(reader)?);
                }
                Self::Array(items)
            }
            Start::Object => {
                reader.open(b'{')?;
                let mut members: Vec<(String, Self)> = Vec::new();
                while reader.more(members.is_empty(), b'}')? {
                    reader.peek();
                    let key = reader.string()?;
                    reader.want(b':')?;
                    members.push((key, Self::read(reader)?));
                }
                // A key that stands twice is kept twice, and looked up from the end: to look for it here would
                // take the square of the time, and an attacker writes parts of what is read.
                Self::Object(members)
            }
        })
    }

    /// What stands at the end of a path of keys; null where there is nothing.
    ///
    /// ```
    /// # use falco_response_sdk::json::Value;
    /// let pod = Value::parse(r#"{"metadata":{"labels":{"app.kubernetes.io/name":"shop"}}}"#).unwrap();
    /// assert_eq!(pod.at(&["metadata", "labels", "app.kubernetes.io/name"]).as_str(), Some("shop"));
    /// assert!(pod.at(&["spec", "nodeName"]).is_null());
    /// ```
    pub fn at(&self, path: &[&str]) -> &Self {
        let mut value = self;
        for key in path {
            let Self::Object(members) = value else { return &NULL };
            match members.iter().rev().find(|(name, _)| name == key) {
                Some((_, inner)) => value = inner,
                None => return &NULL,
            }
        }
        value
    }

    /// Whether it is `null`, or what was looked for is not there.
    ///
    /// ```
    /// # use falco_response_sdk::json::Value;
    /// assert!(Value::parse("null").unwrap().is_null());
    /// ```
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// `true` or `false`; none of anything else.
    ///
    /// ```
    /// # use falco_response_sdk::json::Value;
    /// assert_eq!(Value::from(true).as_bool(), Some(true));
    /// ```
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// A string's text; none of anything else.
    ///
    /// ```
    /// # use falco_response_sdk::json::Value;
    /// assert_eq!(Value::parse(r#""\u00e9""#).unwrap().as_str(), Some("é"));
    /// ```
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A number without fraction and exponent, if it fits.
    ///
    /// ```
    /// # use falco_response_sdk::json::Value;
    /// assert_eq!(Value::parse("-3").unwrap().as_i64(), Some(-3));
    /// assert_eq!(Value::parse("3.0").unwrap().as_i64(), None);
    /// ```
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Number(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// A finite number.
    ///
    /// ```
    /// # use falco_response_sdk::json::Value;
    /// assert_eq!(Value::parse("2.5e1").unwrap().as_f64(), Some(25.0));
    /// assert_eq!(Value::parse("1e999").unwrap().as_f64(), None);
    /// ```
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(text) => text.parse().ok().filter(|number: &f64| number.is_finite()),
            _ => None,
        }
    }

    /// An array's items; none of anything else.
    ///
    /// ```
    /// # use falco_response_sdk::json::Value;
    /// let pod = Value::parse(r#"{"spec":{"containers":[{"name":"web"},{"name":"proxy"}]}}"#).unwrap();
    /// let names: Vec<_> = pod.at(&["spec", "containers"]).items().iter().filter_map(|c| c.at(&["name"]).as_str()).collect();
    /// assert_eq!(names, ["web", "proxy"]);
    /// ```
    pub fn items(&self) -> &[Self] {
        match self {
            Self::Array(items) => items,
            _ => &[],
        }
    }

    /// An object's members as they came, a key that stands twice included; none of anything else.
    ///
    /// ```
    /// # use falco_response_sdk::json::Value;
    /// let labels = Value::parse(r#"{"app": "web", "tier": "front"}"#).unwrap();
    /// assert!(labels.members().iter().any(|(key, value)| key == "tier" && value.as_str() == Some("front")));
    /// ```
    pub fn members(&self) -> &[(String, Self)] {
        match self {
            Self::Object(members) => members,
            _ => &[],
        }
    }
}

impl PartialEq for Value {
    /// Members in any order; numbers by their text, so that 1 is not 1.0.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Number(a), Self::Number(b)) | (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Array(a), Self::Array(b)) => a == b,
            (Self::Object(a), Self::Object(b)) => {
                a.len() == b.len() && a.iter().all(|(key, value)| b.iter().any(|(k, v)| k == key && v == value))
            }
            _ => false,
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number.to_string())
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.to_string())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    /// None is null.
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
