//! Reads messages as JSON, one a line, and prints what the `gelf` crate's encoder makes of each, with its keys in order.
//!
//! ```console
//! $ cargo run --manifest-path tests/second-opinion/Cargo.toml < tests/fixtures/gelf/given.jsonl > tests/fixtures/gelf/said.jsonl
//! ```

use std::io::stdin;

use gelf::{Level, Logger, Message, NullBackend, WireMessage};
use serde_json::{Map, Value};

fn main() {
    let logger = Logger::new_with_hostname(Box::new(NullBackend::new()), "falco-response-controller");
    for line in stdin().lines() {
        let given: Value = serde_json::from_str(&line.expect("text")).expect("JSON");
        let said = WireMessage::new(message(&given), &logger).to_gelf().expect("it encodes texts");
        // Its own order is another one each time.
        let said: Map<String, Value> = serde_json::from_str(&said).expect("it writes JSON");
        println!("{}", Value::Object(said));
    }
}

fn message(given: &Value) -> Message<'static> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut message = Message::new(text(&given["short_message"]));
    message.set_level(Level::from(given["level"].as_i64().expect("a level")));
    let body = given["body"].as_object().expect("an object");
    message.set_timestamp(text(&body["timestamp"]).parse().expect("RFC 3339"));
    // Texts are all that it knows.
    for (key, value) in body.iter().filter(|(key, value)| *key != "timestamp" && !value.is_null()) {
        message.set_metadata(key.clone(), text(value)).expect("no field is called `id`");
    }
    message
}
