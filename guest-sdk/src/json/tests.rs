use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proptest::prelude::*;
use serde::Deserialize;

use super::{Value, array, from_str, object};

/// Ours in serde_json's words.
fn theirs(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Number(text) => serde_json::from_str(text).expect("the reader checked the number's grammar"),
        Value::Text(text) => text.as_str().into(),
        Value::Array(items) => items.iter().map(theirs).collect(),
        Value::Object(members) => {
            serde_json::Value::Object(members.iter().map(|(key, value)| (key.clone(), theirs(value))).collect())
        }
    }
}

fn any_value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        // Exact in few digits: serde_json itself reads long ones only nearly.
        any::<i32>().prop_map(|number| (f64::from(number) / 8.0).into()),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Into::into),
            prop::collection::btree_map(any::<String>(), inner, 0..8)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Text that is nearly JSON: its pieces in any order.
fn nearly_json() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "null",
        "true",
        "false",
        "nul",
        "0",
        "-",
        "1",
        "01",
        ".",
        "5",
        "e",
        "E+",
        "1e5",
        "\"a\"",
        "\"b\":",
        " ",
        "\n",
        "\t",
        "\\u00",
        "\\ud83d",
        "\\ude00",
        "\"\\ud83d\\ude00\"",
        "\"\\ude00\"",
        "\"\\ud83d\"",
        "\"\\ud83dx\"",
        "\"\\ud83d\\u0041\"",
        "\u{1}",
        "\u{7f}",
        "é",
        "\u{feff}",
        "/",
    ];
    prop::collection::vec(prop::sample::select(PIECES), 0..12).prop_map(|pieces| pieces.concat())
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Everything {
    flag: bool,
    small: i8,
    natural: u32,
    large: u64,
    ratio: f64,
    text: String,
    list: Vec<u16>,
    maybe: Option<i64>,
    map: BTreeMap<String, Option<bool>>,
    choice: Choice,
    pair: (u8, String),
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Choice {
    #[default]
    Soft,
    Hard,
}

impl Default for Everything {
    fn default() -> Self {
        Self {
            flag: false,
            small: -1,
            natural: 1,
            large: 2,
            ratio: 0.5,
            text: "default".into(),
            list: Vec::new(),
            maybe: None,
            map: BTreeMap::new(),
            choice: Choice::Soft,
            pair: (0, String::new()),
        }
    }
}

proptest! {
    #[test]
    fn reads_every_document_as_serde_json_does(document in any_value(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&document) } else { serde_json::to_string(&document) }.unwrap();
        prop_assert_eq!(theirs(&Value::parse(&text).unwrap()), document);
    }

    #[test]
    fn writes_what_serde_json_reads_back(document in any_value()) {
        let ours = Value::parse(&document.to_string()).unwrap();
        let written = ours.to_string();
        prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(&written).unwrap(), &document);
        prop_assert_eq!(Value::parse(&written).unwrap(), ours);
    }

    #[test]
    fn accepts_and_refuses_what_serde_json_does(text in prop_oneof![nearly_json(), any::<String>()]) {
        match (Value::parse(&text), serde_json::from_str::<serde_json::Value>(&text)) {
            (Ok(ours), Ok(document)) => prop_assert_eq!(theirs(&ours), document),
            (Err(_), Err(_)) => {}
            // Ours keeps a number's text, whatever its size.
            (Ok(_), Err(error)) if error.to_string().contains("number out of range") => {}
            (ours, document) => prop_assert!(false, "{:?}: {:?} {:?}", text, ours, document),
        }
    }

    #[test]
    fn a_damaged_document_is_refused_where_serde_json_refuses_it(document in any_value(), at: prop::sample::Index, with in "[\\x00-\\x7f]{0,2}") {
        let mut text: Vec<char> = document.to_string().chars().collect();
        let at = at.index(text.len());
        text.splice(at..=at, with.chars());
        let text: String = text.into_iter().collect();
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        prop_assume!(!theirs.as_ref().is_err_and(|error| error.to_string().contains("number out of range")));
        prop_assert_eq!(Value::parse(&text).is_ok(), theirs.is_ok(), "{}", text);
    }

    #[test]
    fn fits_types_as_serde_json_does(
        key in prop::sample::select(&["flag", "small", "natural", "large", "ratio", "text", "list", "maybe", "map", "choice", "pair", "none"][..]),
        value in prop_oneof![
            any_value().prop_map(|value| value.to_string()),
            any::<i16>().prop_map(|number| number.to_string()),
            prop::sample::select(&["1.0", "1e2", "300", "4294967296", "18446744073709551616", "1e999", "\"hard\"", "\"none\"",
                "[1,2]", "[1,\"x\"]", "[1,\"x\",2]", "[1]", "{\"a\":null}", "{\"a\":true,\"b\":false}"][..]).prop_map(Into::into),
        ],
    ) {
        let text = object([(key, Value::Null)]).to_string().replace("null", &value);
        let ours = from_str::<Everything>(&text);
        let theirs = serde_json::from_str::<Everything>(&text);
        match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => prop_assert_eq!(ours, theirs),
            (Err(_), Err(_)) => {}
            (ours, theirs) => prop_assert!(false, "{}: {:?} {:?}", text, ours, theirs),
        }
    }
}

/// A number as RFC 8259 has it, of any size; and now and then one that is none.
fn any_number() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?",
        "[-+]?[0-9]{0,3}\\.?[0-9]{0,3}[eE]?[-+]?[0-9]{0,3}",
        prop::sample::select(
            &[
                "-0",
                "-0.0",
                "0e0",
                "1e308",
                "1e309",
                "-1e999",
                "5e-324",
                "1e-999",
                "9007199254740993",
                "18446744073709551615",
                "18446744073709551616",
                "-9223372036854775808",
                "-9223372036854775809",
                "00",
                "0x1",
                "1_000",
                "NaN",
                "Infinity",
                "-",
                "+1",
                ".5",
                "5.",
                "1e",
                "1e+",
                "--1"
            ][..]
        )
        .prop_map(Into::into),
    ]
}

/// What may stand between two quotes, escapes and halves of surrogate pairs included.
fn any_string_text() -> impl Strategy<Value = String> {
    let unit = prop_oneof![Just(0xd800_u16..0xdc00), Just(0xdc00..0xe000), Just(0..0x80), Just(0..0xffff)];
    let piece = prop_oneof![
        unit.prop_flat_map(|range| range.prop_map(|unit| format!("\\u{unit:04x}"))),
        unit_upper(),
        prop::sample::select(
            &["\\n", "\\\"", "\\\\", "\\/", "\\b", "\\f", "\\r", "\\t", "\\x", "\\u12", "\\U0041", "\\"][..]
        )
        .prop_map(Into::into),
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

fn unit_upper() -> impl Strategy<Value = String> {
    any::<u16>().prop_map(|unit| format!("\\u{unit:04X}"))
}

/// Whether both say the same of a text, but for numbers that serde_json has no place for.
fn same_verdict(text: &str) -> Result<(), TestCaseError> {
    match (Value::parse(text), serde_json::from_str::<serde_json::Value>(text)) {
        (Ok(ours), Ok(document)) => prop_assert_eq!(theirs(&ours), document, "{}", text),
        (Err(_), Err(_)) => {}
        (Ok(_), Err(error)) if error.to_string().contains("number out of range") => {}
        (ours, document) => prop_assert!(false, "{:?}: {:?} {:?}", text, ours, document),
    }
    Ok(())
}

proptest! {
    #[test]
    fn numbers_are_what_serde_json_takes_for_numbers(number in any_number(), inside: bool) {
        let text = if inside { ["[", &number, "]"].concat() } else { number.clone() };
        same_verdict(&text)?;
        if let Ok(value) = Value::parse(&text) {
            prop_assert_eq!(value.to_string(), text, "written as it was read");
        }
        // As a type, a number fits or does not fit as it does for serde_json, to which -0 is no integer.
        let zero = number == "-0";
        prop_assert_eq!(from_str(&number).ok(), serde_json::from_str::<i64>(&number).ok().or(zero.then_some(0)));
        prop_assert_eq!(from_str(&number).ok(), serde_json::from_str::<u64>(&number).ok().or(zero.then_some(0)));
        prop_assert_eq!(from_str(&number).ok(), serde_json::from_str::<u8>(&number).ok().or(zero.then_some(0)));
        let (ours, theirs) = (from_str::<f64>(&number).ok(), serde_json::from_str::<f64>(&number).ok());
        // Nearly: serde_json's own reader is exact only with a feature that costs.
        let near = |a: f64, b: f64| a == b || (a - b).abs() <= a.abs() * 1e-14;
        prop_assert!(match (ours, theirs) { (Some(a), Some(b)) => near(a, b), (a, b) => a.is_some() == b.is_some() }, "{number}");
    }

    #[test]
    fn strings_are_what_serde_json_takes_for_strings(inner in any_string_text(), key: bool) {
        let quoted = ["\"", &inner, "\""].concat();
        let text = if key { ["{", &quoted, ":1}"].concat() } else { quoted };
        same_verdict(&text)?;
    }

    #[test]
    fn what_breaks_off_is_refused(document in any_value(), at: prop::sample::Index) {
        let text = document.to_string();
        let at = text.floor_char_boundary(at.index(text.len()));
        same_verdict(&text[..at])?;
    }

    #[test]
    fn space_is_what_json_calls_space(before in "[ \n\r\t\u{b}\u{c}\u{a0}\u{feff}\u{2028}]{0,3}", after in "[ \n\r\t\u{b}\u{85}\0]{0,3}") {
        for document in ["{}", "[1]", "\"a\"", "null"] {
            same_verdict(&[before.as_str(), document, &after].concat())?;
        }
        same_verdict(&["{", &before, "\"a\"", &after, ":", &before, "1", &after, "}"].concat())?;
    }

    #[test]
    fn commas_stand_between_items_and_nowhere_else(items in prop::collection::vec(prop::sample::select(&["1", "\"a\"", ",", "", "[]", "\"a\":1", ":"][..]), 0..6), brackets: bool) {
        let (open, close) = if brackets { ("[", "]") } else { ("{", "}") };
        same_verdict(&[open, &items.join(","), close].concat())?;
        same_verdict(&[open, &items.concat(), close].concat())?;
    }

    #[test]
    fn of_a_key_that_stands_twice_the_last_counts_for_both(keys in prop::collection::vec("[ab]", 0..6)) {
        let members: Vec<String> = keys.iter().enumerate().map(|(number, key)| format!("\"{key}\":{number}")).collect();
        let text = ["{", &members.join(","), "}"].concat();
        same_verdict(&text)?;
        let ours = Value::parse(&text).unwrap();
        let theirs: serde_json::Value = serde_json::from_str(&text).unwrap();
        for key in ["a", "b"] {
            prop_assert_eq!(ours.at(&[key]).as_i64(), theirs.get(key).and_then(serde_json::Value::as_i64));
        }
    }
}

#[test]
fn refuses_text_after_the_document() {
    assert_eq!(Value::parse("{} x").unwrap_err().message, "text follows the JSON document");
    assert_eq!(from_str::<bool>("true false").unwrap_err().message, "text follows the JSON document");
}

#[test]
fn refuses_nesting_that_would_exhaust_the_stack() {
    let nested = |depth: usize| ["[".repeat(depth), "]".repeat(depth)].concat();
    assert!(Value::parse(&nested(64)).is_ok());
    assert_eq!(Value::parse(&nested(65)).unwrap_err().message, "nested too deeply");
    assert!(Value::parse(&"[".repeat(1_000_000)).is_err());
    assert!(from_str::<serde::de::IgnoredAny>(&nested(64)).is_ok());
    assert!(from_str::<serde::de::IgnoredAny>(&nested(65)).is_err());
    // Depth counts what is open, not what was.
    assert!(Value::parse(&["[", &["[],"].repeat(100).concat(), "1]"].concat()).is_ok());
}

#[test]
fn refuses_half_a_surrogate_pair() {
    for text in [r#""\ud83d""#, r#""\ude00""#, r#""\ud83d\ud83d""#, r#""\ud83dA""#, r#""\ud83d\n""#] {
        assert_eq!(Value::parse(text).unwrap_err().message, "half a surrogate pair inside a string", "{text}");
    }
    assert_eq!(Value::parse(r#""\ud83d\ude00""#).unwrap(), "😀".into());
}

#[test]
fn says_where_a_value_does_not_fit() {
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[expect(dead_code, reason = "only read")]
        inner: BTreeMap<String, Vec<u8>>,
    }
    let error = from_str::<Outer>(r#"{"inner":{"a/b~":[1,2,999]}}"#).unwrap_err();
    assert_eq!(error.at, "/inner/a~1b~0/2");
    let error = from_str::<Outer>(r#"{"inner":{},"outer":1}"#).unwrap_err();
    assert_eq!(error.to_string(), "/outer: no such parameter; there are inner");
    assert_eq!(from_str::<Outer>("{}").unwrap_err().message, "missing field `inner`");
    assert!(from_str::<Outer>(r#"{"inner":{},"inner":{}}"#).unwrap_err().message.contains("duplicate"));
}

#[test]
fn the_last_of_two_values_for_a_key_wins() {
    let value = Value::parse(r#"{"a":1,"b":2,"a":3}"#).unwrap();
    assert_eq!(value.at(&["a"]).as_i64(), Some(3));
    assert_eq!(value.members().len(), 3, "kept as they came: to look for twins would take the square of the time");
}

#[test]
fn looks_through_what_is_not_there() {
    let value = Value::parse(r#"{"a":[{"b":1}],"c":null}"#).unwrap();
    assert_eq!(value.at(&["a"]).items()[0].at(&["b"]).as_i64(), Some(1));
    assert!(value.at(&["a", "b", "c"]).is_null());
    assert!(value.at(&["c", "d"]).is_null());
    assert_eq!(value.at(&["c"]).items(), []);
    assert_eq!(value.at(&[]), &value);
}

#[test]
fn compares_objects_in_any_order_and_arrays_in_theirs() {
    assert_eq!(Value::parse(r#"{"a":1,"b":[1,2]}"#), Value::parse(r#"{"b":[1,2],"a":1}"#));
    assert_ne!(array([1_u32.into(), 2_u32.into()]), array([2_u32.into(), 1_u32.into()]));
    assert_ne!(object([("a", Value::Null)]), object([("b", Value::Null)]));
}

#[test]
fn keeps_a_number_as_it_was_written() {
    let text = "[12345678901234567890123,0.10,-0,1E+2]";
    assert_eq!(Value::parse(text).unwrap().to_string(), text);
}
