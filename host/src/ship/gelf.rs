//! A record of the chain as a GELF 1.1 message, shaped after what Graylog really keeps: it drops booleans, nulls, blank
//! texts and keys with unusual characters without a word, takes a time that is no number for the time of receipt, and
//! turns an integer beyond 64 bits into zero.

use jiff::Timestamp;
use serde_json::{Map, Number, Value, json};

use crate::journal::{ChainPlace, LogType, Record};

/// What Graylog and its streams know us by.
const SOURCE: &str = "falco-response-controller";

/// Graylog's HTTP input takes less than 64 KiB, unpacked, unless it is configured otherwise.
pub const LIMIT: usize = 64 * 1024 - 1;

/// Ends a text that was cut.
const CUT: &str = " …[cut]";

/// Cutting texts shorter than this gains too little; then fields go.
const WORTH_CUTTING: usize = 256;

/// Graylog gives these names a meaning of its own, or loses what is sent under them.
const RESERVED: [&str; 11] = [
    "id",
    "source",
    "message",
    "timestamp",
    "level",
    "streams",
    "host",
    "version",
    "facility",
    "full_message",
    "short_message",
];

/// `otherwise` is the time to tell when the record names none; no more than `limit` bytes come out.
pub fn encode(record: &Record, chain: &ChainPlace, replica: &str, otherwise: Timestamp, limit: usize) -> Vec<u8> {
    let mut message = head(record, otherwise);
    let ours = [
        ("_source_system", SOURCE.into()),
        ("_replica", replica.into()),
        ("_log_type", record.log_type.as_str().into()),
        ("_chain_id", chain.chain_id.as_str().into()),
        ("_seq", chain.seq.into()),
        ("_hash", chain.hash.as_str().into()),
        ("_prev_hash", chain.prev_hash.as_str().into()),
        ("_event_id", record.event_id.as_str().into()),
        ("_entry_id", record.entry_id.as_deref().unwrap_or_default().into()),
    ];
    for (key, value) in ours {
        put(&mut message, key.to_owned(), &value);
    }
    let told = time(record).is_some();
    for (key, value) in &record.body {
        if !(told && key == "timestamp") {
            let name = name(key, &message, value);
            put(&mut message, name, value);
        }
    }
    fit(message, limit)
}

fn head(record: &Record, otherwise: Timestamp) -> Map<String, Value> {
    let field = |name| record.body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let what = format!(
        "{} {}/{}",
        field("action").unwrap_or("-"),
        field("namespace").unwrap_or("-"),
        field("pod").unwrap_or("-")
    );
    let (short_message, level) = match record.log_type {
        LogType::Decision => (format!("{} {what}", field("decision").unwrap_or("decided")), 6),
        LogType::Followup => (format!("follow-up {what}"), 5),
        LogType::Config => (format!("configuration: {}", field("change").unwrap_or("changed")), 5),
        LogType::Intent | LogType::Result => {
            let call = format!("{} {}", field("verb").unwrap_or("-"), field("path").unwrap_or("-"));
            (format!("{} {call}", if record.log_type == LogType::Intent { "intent" } else { "result" }), 6)
        }
        LogType::Annotation => (format!("annotation {what}"), 5),
        LogType::Retention => (format!("retention: {}", field("detail").unwrap_or("records were removed")), 6),
        LogType::Entry => (what, 5),
    };
    // Graylog keeps milliseconds.
    let millis = time(record).unwrap_or(otherwise).as_millisecond();
    Map::from_iter([
        ("version".to_owned(), json!("1.1")),
        ("host".to_owned(), json!(SOURCE)),
        ("short_message".to_owned(), json!(short_message)),
        ("timestamp".to_owned(), json!(millis as f64 / 1000.0)),
        ("level".to_owned(), json!(level)),
    ])
}

fn time(record: &Record) -> Option<Timestamp> {
    record.body.get("timestamp")?.as_str()?.parse().ok()
}

/// The additional field's name. One that Graylog would lose, or that would replace one of ours, moves aside.
fn name(key: &str, taken: &Map<String, Value>, value: &Value) -> String {
    let plain: String =
        key.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') { c } else { '_' }).collect();
    let name = format!("_{plain}");
    let same = taken.get(&name) == Some(value);
    let reserved = RESERVED.contains(&plain.as_str()) || plain.starts_with("gl2_") || plain.is_empty();
    if !same && (reserved || taken.contains_key(&name)) { format!("_body_{plain}") } else { name }
}

fn put(message: &mut Map<String, Value>, name: String, value: &Value) {
    let value = match value {
        Value::Null => return,
        Value::Bool(flag) => Value::String(flag.to_string()),
        Value::Number(number) => number_or_text(number),
        Value::String(text) if text.trim().is_empty() => return,
        Value::String(text) => Value::String(text.clone()),
        Value::Array(items) if items.is_empty() => return,
        Value::Object(fields) if fields.is_empty() => return,
        nested => Value::String(nested.to_string()),
    };
    message.insert(name, value);
}

fn number_or_text(number: &Number) -> Value {
    let beyond = number.as_u64().is_some_and(|unsigned| i64::try_from(unsigned).is_err());
    if beyond { Value::String(number.to_string()) } else { Value::Number(number.clone()) }
}

/// Cuts the longest text, again and again, until the message is short enough.
fn fit(mut message: Map<String, Value>, limit: usize) -> Vec<u8> {
    loop {
        let bytes = serde_json::to_vec(&message).expect("JSON values can be written as JSON");
        let Some(excess) = bytes.len().checked_sub(limit).filter(|excess| *excess > 0) else { return bytes };
        let longest = message
            .values_mut()
            .filter_map(|value| if let Value::String(text) = value { Some(text) } else { None })
            .max_by_key(|text| text.len());
        match longest {
            Some(text) if text.len() > WORTH_CUTTING => {
                // Escaping only lengthens, so that a byte less here is at least a byte less there.
                let keep = text.len().saturating_sub(excess + CUT.len()).max(WORTH_CUTTING / 2);
                text.truncate(text.floor_char_boundary(keep));
                text.push_str(CUT);
            }
            // Thousands of small fields: the last ones go, and the message says so.
            _ => {
                message.remove("_cut_fields");
                let kept = message.len() * 7 / 8;
                message = message.into_iter().take(kept).collect();
                message.insert("_cut_fields".to_owned(), "true".into());
            }
        }
    }
}

#[cfg(test)]
mod tests;
