use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

/// What Graylog 6.1 keeps of a message: the stored fields, without the underscore. Tried on its own decoder.
fn graylog(bytes: &[u8]) -> BTreeMap<String, Value> {
    assert!(bytes.len() < 64 * 1024, "413: {} bytes", bytes.len());
    let message: Map<String, Value> = serde_json::from_slice(bytes).unwrap();
    let mut stored = BTreeMap::new();
    for name in ["short_message", "host"] {
        assert!(!message[name].as_str().unwrap().trim().is_empty(), "{name} is blank: discarded");
    }
    let timestamp = message["timestamp"].as_f64().expect("any other time is taken for the time of receipt");
    assert!(timestamp < 5e9, "milliseconds are taken for seconds");
    stored.insert("message".to_owned(), message["short_message"].clone());
    stored.insert("source".to_owned(), message["host"].clone());
    stored.insert("timestamp".to_owned(), json!((timestamp * 1000.0).round() as i64));
    stored.insert("level".to_owned(), message["level"].clone());
    for (key, value) in &message {
        let Some(name) = key.strip_prefix('_') else { continue };
        assert_ne!(name, "id", "forbidden");
        if !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '@' | '_' | '-')) {
            continue;
        }
        let value = match value {
            Value::Null | Value::Bool(_) => continue,
            Value::String(text) if text.trim().is_empty() => continue,
            Value::String(text) => json!(text.trim()),
            Value::Number(number) if number.is_u64() && !number.is_i64() => json!(0),
            nested @ (Value::Array(_) | Value::Object(_)) => json!(nested.to_string()),
            number => number.clone(),
        };
        stored.entry(name.replace('.', "_")).or_insert(value);
    }
    stored
}

fn send(log_type: LogType, entry_id: Option<&str>, body: Value) -> BTreeMap<String, Value> {
    graylog(&bytes(log_type, entry_id, body))
}

fn bytes(log_type: LogType, entry_id: Option<&str>, body: Value) -> Vec<u8> {
    let Value::Object(body) = body else { panic!("{body} is no object") };
    let record = Record { log_type, event_id: "event-1".into(), entry_id: entry_id.map(Into::into), body };
    let chain = ChainPlace { chain_id: "chain-1".into(), seq: 7, hash: "aa".into(), prev_hash: "bb".into() };
    encode(&record, &chain, "controller-0", "2026-11-24T00:00:00Z".parse().unwrap(), LIMIT)
}

#[test]
fn graylog_keeps_every_field_of_an_entry() {
    let stored = send(
        LogType::Entry,
        Some("entry-1"),
        json!({
            "timestamp": "2025-11-14T03:22:17.1234567Z", "action": "kill_pod", "namespace": "production",
            "pod": "payments-api-7d9f4b-xkp2m", "dry_run": false, "changed": true, "event_id": "event-1",
            "entry_id": "entry-1", "failure": null, "detail": " ", "calls": [{"status": 200}], "none": [],
            "beyond": u64::MAX, "ratio": 0.5, "count": -3,
        }),
    );
    let expected = json!({
        "action": "kill_pod", "beyond": "18446744073709551615", "calls": "[{\"status\":200}]", "chain_id": "chain-1",
        "changed": "true", "count": -3, "dry_run": "false", "entry_id": "entry-1", "event_id": "event-1", "hash": "aa",
        "level": 5, "log_type": "falco-automated-response",
        "message": "kill_pod production/payments-api-7d9f4b-xkp2m", "namespace": "production",
        "pod": "payments-api-7d9f4b-xkp2m", "prev_hash": "bb", "ratio": 0.5, "replica": "controller-0", "seq": 7,
        "source": "falco-response-controller", "source_system": "falco-response-controller",
        "timestamp": 1_763_090_537_123_i64,
    });
    assert_eq!(json!(stored), expected);
}

#[test]
fn a_decision_says_so_and_is_less_urgent() {
    let stored = send(
        LogType::Decision,
        None,
        json!({"timestamp": "2025-11-14T03:22:17Z", "decision": "refused", "action": "kill_pod",
               "namespace": "production", "pod": "api", "check": "namespace_denied"}),
    );
    assert_eq!(stored["message"], "refused kill_pod production/api");
    assert_eq!(stored["level"], 6);
    assert!(!stored.contains_key("entry_id"));
}

#[test]
fn a_record_without_a_usable_time_has_that_of_its_parcel() {
    let stored = send(LogType::Entry, None, json!({"timestamp": "yesterday"}));
    assert_eq!(stored["timestamp"], 1_795_478_400_000_i64);
    assert_eq!(stored["body_timestamp"], "yesterday");
    assert_eq!(stored["message"], "- -/-");
}

#[test]
fn a_body_cannot_speak_in_our_name_or_be_lost_under_a_reserved_one() {
    let body = json!({"hash": "forged", "seq": 1, "id": "1", "message": "m", "gl2_source_input": "x", "a b/ü": "odd"});
    let stored = send(LogType::Entry, Some("entry-1"), body);
    assert_eq!((&stored["hash"], &stored["seq"]), (&json!("aa"), &json!(7)));
    assert_eq!((&stored["body_hash"], &stored["body_seq"]), (&json!("forged"), &json!(1)));
    assert_eq!((&stored["body_id"], &stored["body_message"]), (&json!("1"), &json!("m")));
    assert_eq!((&stored["body_gl2_source_input"], &stored["a_b__"]), (&json!("x"), &json!("odd")));
}

#[test]
fn the_longest_text_is_cut_and_marked() {
    let body = json!({"action": "kill_pod", "falco_output": "\u{1}".repeat(70_000), "reason": "kept whole"});
    let stored = send(LogType::Entry, Some("entry-1"), body);
    assert!(stored["falco_output"].as_str().unwrap().ends_with("…[cut]"));
    assert_eq!(stored["reason"], "kept whole");
    assert_eq!(stored["hash"], "aa");
}

#[test]
fn thousands_of_small_fields_still_fit() {
    let body: Map<_, _> = (0..9_000).map(|number| (format!("field-{number}"), json!(number))).collect();
    let stored = send(LogType::Entry, Some("entry-1"), Value::Object(body));
    assert_eq!((&stored["cut_fields"], &stored["hash"]), (&json!("true"), &json!("aa")));
    assert_eq!(stored["field-0"], 0);
}

/// The `gelf` crate's own encoder, as `tests/second-opinion` has recorded it.
#[test]
fn what_the_gelf_crate_says_of_a_message_we_say_as_well() {
    let lines = |name: &str| -> Vec<Value> {
        let path = format!("{}/../tests/fixtures/gelf/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let (given, said) = (lines("given"), lines("said"));
    assert_eq!((given.len(), said.len()), (3, 3));
    for (given, said) in given.iter().zip(&said) {
        let log_type = LogType::parse(given["log_type"].as_str().unwrap()).unwrap();
        let ours: Map<String, Value> =
            serde_json::from_slice(&bytes(log_type, Some("entry-1"), given["body"].clone())).unwrap();
        for (key, theirs) in said.as_object().unwrap() {
            let ours = match &ours[key] {
                // It knows texts only.
                Value::Number(number) if key.starts_with('_') => json!(number.to_string()),
                // A whole second with or without a fraction is the same number.
                number if key == "timestamp" => json!(number.as_f64()),
                other => other.clone(),
            };
            let theirs = if key == "timestamp" { json!(theirs.as_f64()) } else { theirs.clone() };
            assert_eq!(ours, theirs, "{key} of {given}");
        }
        let alone: Vec<_> = ours.keys().filter(|key| said.get(key).is_none()).cloned().collect();
        let of_the_chain = ["chain_id", "seq", "hash", "prev_hash", "event_id", "entry_id"];
        let expected = ["source_system", "replica", "log_type"].into_iter().chain(of_the_chain);
        assert_eq!(
            alone,
            expected.map(|name| format!("_{name}")).collect::<Vec<_>>(),
            "nothing of the body is left out"
        );
    }
}

proptest! {
    #[test]
    fn any_text_fits_and_is_valid(texts in proptest::collection::vec(("[a-z]{1,8}", "\\PC{0,40}", 1..2_000_usize), 1..4)) {
        let body: Map<_, _> = texts.into_iter().map(|(key, text, times)| (key, json!(text.repeat(times)))).collect();
        let stored = send(LogType::Entry, Some("entry-1"), Value::Object(body));
        prop_assert_eq!(&stored["hash"], "aa");
    }
}
