//! An action's parameters: a struct, its defaults and its JSON Schema from one declaration.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use serde::de::DeserializeOwned;

/// What a rule may say under `parameters`. Implemented by [`parameters!`](crate::parameters!).
///
/// ```
/// # use falco_response_sdk::{Parameters as _, parameters};
/// parameters! { struct Parameters { /// Seconds.
///     grace: u32 = 1 } }
/// assert_eq!(Parameters::FIELDS[0].name, "grace");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` was not declared with `parameters!`",
    label = "no parameters of an action",
    note = "write `parameters! {{ pub struct {Self} {{ name: type = default }} }}`, with no fields where there are none"
)]
pub trait Parameters: DeserializeOwned {
    /// For the manifest.
    const FIELDS: &'static [Field];
}

/// One parameter, as the manifest describes it. [`parameters!`](crate::parameters!) makes them.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// As a rule writes it.
    pub name: &'static str,
    /// Its doc comment.
    pub description: &'static str,
    /// What it may be.
    pub schema: Schema,
}

/// JSON Schema, as far as parameters need it.
#[derive(Debug, Clone, Copy)]
pub enum Schema {
    /// A boolean.
    Flag,
    /// An integer.
    Integer,
    /// An integer that is not negative.
    Natural,
    /// A number.
    Number,
    /// A string.
    Text,
    /// An array of these.
    List(&'static Schema),
    /// An object with keys of the rule's choice.
    Map(&'static Schema),
    /// This, or null.
    Optional(&'static Schema),
}

/// A type that a parameter may have.
#[diagnostic::on_unimplemented(
    message = "a parameter cannot be a `{Self}`",
    label = "not a type for a parameter",
    note = "there are bool, u8 to u64, i8 to i64, f64, String, and of these Vec, Option and BTreeMap<String, _>"
)]
pub trait Parameter {
    /// As the manifest describes it.
    const SCHEMA: Schema;
}

macro_rules! parameter {
    ($($type:ty => $schema:ident),* $(,)?) => {
        $(impl Parameter for $type { const SCHEMA: Schema = Schema::$schema; })*
    };
}

parameter! {
    bool => Flag,
    u8 => Natural, u16 => Natural, u32 => Natural, u64 => Natural,
    i8 => Integer, i16 => Integer, i32 => Integer, i64 => Integer,
    f64 => Number,
    String => Text,
}

impl<T: Parameter> Parameter for Vec<T> {
    const SCHEMA: Schema = Schema::List(&T::SCHEMA);
}

impl<T: Parameter> Parameter for BTreeMap<String, T> {
    const SCHEMA: Schema = Schema::Map(&T::SCHEMA);
}

impl<T: Parameter> Parameter for Option<T> {
    const SCHEMA: Schema = Schema::Optional(&T::SCHEMA);
}

/// Declares an action's parameters. Each has a default, so that a rule states only what it changes; the text of its doc
/// comment becomes its description in the manifest. An unknown parameter is refused. A type is `bool`, a number, `String`,
/// or a `Vec`, an `Option` or a `BTreeMap<String, _>` of one.
///
/// ```
/// use falco_response_sdk::{json, parameters};
///
/// parameters! {
///     pub struct Parameters {
///         /// Seconds that the containers get to stop.
///         grace_period_seconds: u32 = 1,
///         /// Only these containers; all when empty.
///         containers: Vec<String> = vec![],
///     }
/// }
///
/// let parameters: Parameters = json::from_str(r#"{"containers":["web"]}"#).unwrap();
/// assert_eq!(parameters.grace_period_seconds, 1);
/// assert!(json::from_str::<Parameters>(r#"{"grace_period":1}"#).is_err());
/// ```
#[macro_export]
macro_rules! parameters {
    (
        $(#[$meta:meta])*
        $visibility:vis struct $name:ident {
            $( $(#[doc = $doc:literal])* $field:ident : $type:ty = $default:expr ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, $crate::serde::Deserialize)]
        #[serde(crate = "falco_response_sdk::serde", default, deny_unknown_fields)]
        $visibility struct $name {
            $( $(#[doc = $doc])* pub $field: $type ),*
        }

        impl ::core::default::Default for $name {
            fn default() -> Self {
                Self { $( $field: $default ),* }
            }
        }

        impl $crate::Parameters for $name {
            const FIELDS: &'static [$crate::Field] = &[
                $( $crate::Field {
                    name: ::core::stringify!($field),
                    description: ::core::concat!($($doc),*),
                    schema: <$type as $crate::Parameter>::SCHEMA,
                } ),*
            ];
        }
    };
    ($($other:tt)*) => {
        ::core::compile_error!(
            "parameters! takes one struct, whose fields each have a type and a default, and nothing else: \
             parameters! { pub struct Parameters { /// What it is for. name: String = \"default\".into() } }"
        );
    };
}
