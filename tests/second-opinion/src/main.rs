//! Reads messages as JSON, one a line, has the `gelf` crate encode and send them over its TCP backend to this very
//! program, and prints what arrived, one a line, with its keys in order.
//!
//! ```console
//! $ cargo run --manifest-path tests/second-opinion/Cargo.toml < tests/fixtures/gelf/given.jsonl > tests/fixtures/gelf/said.jsonl
//! ```

use std::io::{BufRead as _, BufReader, stdin};
use std::net::TcpListener;

use gelf::{Level, Logger, Message, TcpBackend};
use serde_json::{Map, Value};

fn main() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let mut logger = Logger::new(Box::new(TcpBackend::new(&address).expect("it connects"))).expect("a logger");
    logger.set_hostname("falco-response-controller");
    let mut arrived = BufReader::new(listener.accept().expect("it has connected").0);
    for line in stdin().lines() {
        let given: Value = serde_json::from_str(&line.expect("text")).expect("JSON");
        logger.log_message(message(&given));
        let mut frame = Vec::new();
        arrived.read_until(0, &mut frame).expect("it arrives");
        frame.pop();
        let said: Map<String, Value> = serde_json::from_slice(&frame).expect("it sends JSON");
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
