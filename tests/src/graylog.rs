//! A stand-in for Graylog, after what its server does and not after what its pages promise: GELF inputs over HTTP, TCP
//! and UDP that drop what it drops, and the search API that shows what is left.
//!
//! Decoding is that of Graylog 6.1 (`GelfCodec`, `GELFMessage`, `plugin.Message`), tried on its own code: booleans,
//! nulls and blank texts are dropped, times that are no numbers replaced, fields renamed; and all of it silently, after
//! the sender was told 202.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufReader, Read as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::request::{self, Request};

const WAIT: Duration = Duration::from_secs(20);
/// Of the HTTP input, in bytes; what is as long is too long.
const LIMIT: usize = 64 * 1024;
/// Of the TCP input's frames.
const FRAME: usize = 2 << 20;
/// What becomes of a search for everything.
const MOST_ROWS: usize = 10_000;

/// A message as it lies in the index: names without the underscore, texts and numbers.
pub type Stored = BTreeMap<String, Value>;

pub struct Graylog {
    pub address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    /// What the HTTP input answers instead of doing its work.
    out_of_order: Option<u16>,
    /// The name and value of a header that every request must have.
    wanted: Option<(String, String)>,
    limit: Option<usize>,
    /// Accepted and thrown away, as a full disk would have it.
    loses: usize,
    stored: Vec<Stored>,
    /// Why messages were dropped after they were accepted.
    discarded: Vec<String>,
    searches: usize,
    /// To the TCP input.
    connections: Vec<TcpStream>,
    /// Chunks of UDP messages by their id.
    chunks: HashMap<[u8; 8], BTreeMap<u8, Vec<u8>>>,
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Graylog {
    /// The HTTP input and the API, on one free loopback port.
    ///
    /// # Errors
    /// When no port can be bound.
    pub fn start() -> Result<Self, String> {
        let (listener, graylog) = Self::bind()?;
        let shared = Arc::clone(&graylog.shared);
        serve(listener, move |stream| {
            let mut reader = BufReader::new(stream);
            while let Some(request) = request::read(&mut reader) {
                let (status, body) = answer(&shared, &request);
                if request::answer(stream, status, &body).is_err() {
                    return;
                }
            }
        });
        Ok(graylog)
    }

    /// A TCP input. It never says anything.
    ///
    /// # Errors
    /// When no port can be bound.
    pub fn tcp() -> Result<Self, String> {
        let (listener, graylog) = Self::bind()?;
        let shared = Arc::clone(&graylog.shared);
        serve(listener, move |stream| {
            if let Ok(stream) = stream.try_clone() {
                lock(&shared).connections.push(stream);
            }
            let mut frame = Vec::new();
            for byte in BufReader::new(stream).bytes().map_while(Result::ok) {
                if byte == 0 {
                    store(&mut lock(&shared), &frame);
                    frame.clear();
                } else if frame.len() >= FRAME {
                    return;
                } else {
                    frame.push(byte);
                }
            }
        });
        Ok(graylog)
    }

    /// A UDP input.
    ///
    /// # Errors
    /// When no port can be bound.
    pub fn udp() -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("cannot start a UDP input: {error}");
        let socket = UdpSocket::bind("127.0.0.1:0").map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        let shared = Arc::new(Mutex::new(Shared::default()));
        let inner = Arc::clone(&shared);
        std::thread::spawn(move || {
            let mut datagram = vec![0; 65_536];
            while let Ok(length) = socket.recv(&mut datagram) {
                take_datagram(&mut lock(&inner), &datagram[..length]);
            }
        });
        Ok(Self { address, shared })
    }

    fn bind() -> Result<(TcpListener, Self), String> {
        let failed = |error: std::io::Error| format!("cannot start a Graylog: {error}");
        let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok((listener, Self { address, shared: Arc::new(Mutex::new(Shared::default())) }))
    }

    /// From now on the HTTP input answers this, and takes nothing.
    pub fn out_of_order(&self, status: u16) {
        lock(&self.shared).out_of_order = Some(status);
    }

    pub fn works_again(&self) {
        lock(&self.shared).out_of_order = None;
    }

    /// Every request must have this header; others are answered 401.
    pub fn wants(&self, name: &str, value: &str) {
        lock(&self.shared).wanted = Some((name.to_ascii_lowercase(), value.to_owned()));
    }

    /// The HTTP input takes less than this many bytes.
    pub fn limit(&self, bytes: usize) {
        lock(&self.shared).limit = Some(bytes);
    }

    /// The next `count` messages are accepted and lost.
    pub fn loses(&self, count: usize) {
        lock(&self.shared).loses = count;
    }

    /// The TCP input closes its connections.
    pub fn hang_up(&self) {
        for connection in lock(&self.shared).connections.drain(..) {
            // One that is closed already does not mind.
            let _ = connection.shutdown(std::net::Shutdown::Both);
        }
    }

    /// In the order in which they came.
    pub fn stored(&self) -> Vec<Stored> {
        lock(&self.shared).stored.clone()
    }

    pub fn discarded(&self) -> Vec<String> {
        lock(&self.shared).discarded.clone()
    }

    /// How often the search API was asked.
    pub fn searches(&self) -> usize {
        lock(&self.shared).searches
    }

    /// The first stored message that `wanted` likes; none within the time limit.
    pub fn wait_for(&self, wanted: impl Fn(&Stored) -> bool) -> Option<Stored> {
        let deadline = Instant::now() + WAIT;
        loop {
            if let Some(found) = self.stored().into_iter().find(&wanted) {
                return Some(found);
            }
            if Instant::now() > deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn serve(listener: TcpListener, converse: impl Fn(&TcpStream) + Send + Sync + 'static) {
    let converse = Arc::new(converse);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let converse = Arc::clone(&converse);
            std::thread::spawn(move || converse(&stream));
        }
    });
}

/// 202 comes before anybody has looked at the message.
fn answer(shared: &Mutex<Shared>, request: &Request) -> (u16, String) {
    let mut shared = lock(shared);
    if let Some(status) = shared.out_of_order {
        return (status, String::new());
    }
    if shared.wanted.as_ref().is_some_and(|(name, value)| request.headers.get(name) != Some(value)) {
        return (401, String::new());
    }
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    match (request.method.as_str(), path) {
        ("POST", "/gelf") => {
            let limit = shared.limit.unwrap_or(LIMIT);
            let Some(plain) = request.plain() else { return (202, String::new()) };
            if request.body.len() >= limit || plain.len() >= limit {
                return (413, String::new());
            }
            store(&mut shared, &plain);
            (202, String::new())
        }
        (_, "/gelf") => (405, String::new()),
        ("GET", "/api/search/messages") => {
            shared.searches += 1;
            search(&shared.stored, query)
        }
        _ => (404, String::new()),
    }
}

fn store(shared: &mut Shared, message: &[u8]) {
    if shared.loses > 0 {
        shared.loses -= 1;
        return;
    }
    match decode(message) {
        Ok(stored) => shared.stored.push(stored),
        Err(why) => shared.discarded.push(why),
    }
}

fn take_datagram(shared: &mut Shared, datagram: &[u8]) {
    let [0x1e, 0x0f, rest @ ..] = datagram else {
        let plain = request::unpack(datagram).unwrap_or_default();
        return store(shared, &plain);
    };
    let (Some(id), Some(&[number, count])) = (rest.first_chunk::<8>(), rest.get(8..10).and_then(<[u8]>::first_chunk))
    else {
        return shared.discarded.push("a chunk without its head".to_owned());
    };
    if count > 128 || number >= count {
        return shared.discarded.push(format!("chunk {number} of {count}"));
    }
    let chunks = shared.chunks.entry(*id).or_default();
    chunks.insert(number, rest[10..].to_vec());
    if chunks.len() == usize::from(count) {
        let whole: Vec<u8> = shared.chunks.remove(id).unwrap_or_default().into_values().flatten().collect();
        let plain = request::unpack(&whole).unwrap_or_default();
        store(shared, &plain);
    }
}

/// What is stored of a message.
///
/// # Errors
/// Why Graylog throws it away.
pub fn decode(message: &[u8]) -> Result<Stored, String> {
    // What follows the first document is not looked at, unless the input takes bulks.
    let mut documents = serde_json::Deserializer::from_slice(message).into_iter::<Value>();
    let document = documents.next().ok_or("empty")?.map_err(|error| format!("no JSON: {error}"))?;
    let Value::Object(fields) = document else { return Err("no JSON object".to_owned()) };
    let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty());
    if fields.get("host").is_some_and(|host| !host.is_string()) || fields.contains_key("host") && text("host").is_none()
    {
        return Err("`host` is blank or no text".to_owned());
    }
    let message = text("short_message").or_else(|| text("message")).ok_or("no `short_message`")?;
    let mut stored = Stored::new();
    stored.insert("message".to_owned(), json!(message));
    stored.insert("source".to_owned(), json!(text("host").unwrap_or("unknown")));
    stored.insert("timestamp".to_owned(), timestamp(fields.get("timestamp")));
    for name in ["level", "facility", "file", "line", "full_message"] {
        if let Some(value) = fields.get(name).and_then(kept) {
            stored.insert(name.to_owned(), value);
        }
    }
    additional(&fields, &mut stored);
    Ok(stored)
}

/// `_x` is stored as `x`.
fn additional(fields: &Map<String, Value>, stored: &mut Stored) {
    for (key, value) in fields {
        let Some(name) = key.strip_prefix('_') else { continue };
        let sound = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '@' | '_' | '-'));
        // These are Graylog's own, and what is there already stays.
        if name.is_empty() || !sound || matches!(name, "message" | "source" | "timestamp" | "streams") {
            continue;
        }
        if let Some(value) = kept(value) {
            // The index has no dots in names.
            stored.entry(name.replace('.', "_")).or_insert(value);
        }
    }
}

/// Texts trimmed, whole numbers of 64 bits; no booleans, no nulls, nothing blank; anything nested as its JSON.
fn kept(value: &Value) -> Option<Value> {
    match value {
        Value::Null | Value::Bool(_) => None,
        Value::String(text) => Some(text.trim()).filter(|text| !text.is_empty()).map(|text| json!(text)),
        Value::Number(number) if number.is_u64() => Some(json!(number.as_i64().unwrap_or(0))),
        Value::Number(number) => Some(json!(number)),
        nested => Some(json!(nested.to_string())),
    }
}

/// Seconds, to the millisecond; what is no number is the time of receipt.
fn timestamp(value: Option<&Value>) -> Value {
    let seconds = match value {
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    let millis = seconds.map(|seconds: f64| (seconds * 1000.0).round() / 1000.0);
    let received = || jiff::Timestamp::now().as_millisecond() as f64 / 1000.0;
    json!(millis.unwrap_or_else(received))
}

/// `query=field:("a" OR "b")`, as much of Lucene as is asked here; the table has the columns of `fields`.
fn search(stored: &[Stored], query: &str) -> (u16, String) {
    let parameters: HashMap<String, String> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), request::unescape(value)))
        .collect();
    let parameter = |name: &str| parameters.get(name).map_or("", String::as_str);
    let range = parameter("timerange");
    if range.len() < 2 || !range.ends_with(['s', 'm', 'h', 'd']) || range[..range.len() - 1].parse::<u64>().is_err() {
        return (400, json!({"type": "ApiError", "message": format!("invalid timerange {range:?}")}).to_string());
    }
    let Some((field, terms)) = parameter("query").split_once(':') else {
        return (400, json!({"type": "ApiError", "message": "no query"}).to_string());
    };
    let terms: Vec<_> =
        terms.trim_matches(['(', ')']).split(" OR ").map(|term| term.trim_matches('"').to_owned()).collect();
    let columns: Vec<_> = parameter("fields").split(',').filter(|column| !column.is_empty()).collect();
    let size = parameter("size").parse().unwrap_or(10_usize).min(MOST_ROWS);
    let found = stored.iter().filter(|one| {
        one.get(field).and_then(Value::as_str).is_some_and(|value| terms.iter().any(|term| term == value))
    });
    let row = |one: &Stored| columns.iter().map(|column| one.get(*column).cloned().unwrap_or(json!("-"))).collect();
    let rows: Vec<Value> = found.take(size).map(|one| Value::Array(row(one))).collect();
    let schema: Vec<_> = columns
        .iter()
        .map(|field| json!({"column_type": "field", "type": "string", "field": field, "name": format!("field: {field}")}))
        .collect();
    let metadata = json!({"effective_timerange": {"type": "absolute"}});
    (200, json!({"schema": schema, "datarows": rows, "metadata": metadata}).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(message: &Value) -> Stored {
        decode(message.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn keeps_what_graylog_keeps() {
        let found = stored(&json!({
            "version": "1.1", "host": " h ", "short_message": " m ", "timestamp": 1763090537.1234, "level": 5,
            "_flag": true, "_null": null, "_blank": " ", "_text": " t ", "_number": 7, "_big": u64::MAX, "_list": [1],
            "_a.b": "x", "_a b": "x", "_ä": "x", "_id": "i", "_message": "forged", "_source": "forged", "_level": 1,
            "_timestamp": 1, "_streams": "s", "plain": "x",
        }));
        let expected = json!({
            "a_b": "x", "big": 0, "id": "i", "level": 5, "list": "[1]", "message": "m", "number": 7, "source": "h",
            "text": "t", "timestamp": 1763090537.123,
        });
        assert_eq!(json!(found), expected);
        assert_eq!(stored(&json!({"short_message": "m", "_level": 3}))["level"], 3);
        assert_eq!(stored(&json!({"short_message": "m"}))["source"], "unknown");
        let year = stored(&json!({"short_message": "m", "timestamp": 1_763_090_537_123_i64}))["timestamp"].as_f64();
        assert!(year.unwrap() > 1e12, "taken for seconds");
        let received =
            stored(&json!({"short_message": "m", "timestamp": "2020-01-01T00:00:00Z"}))["timestamp"].as_f64();
        assert!(received.unwrap() > 1.7e9, "no number: the time of receipt");
    }

    #[test]
    fn throws_away_what_graylog_throws_away() {
        for message in [
            "",
            "[]",
            "{",
            "{\"host\":\"h\"}",
            r#"{"short_message":" "}"#,
            r#"{"short_message":"m","host":""}"#,
            r#"{"short_message":"m","host":7}"#,
        ] {
            decode(message.as_bytes()).unwrap_err();
        }
        let both = decode(br#"{"short_message":"a"} {"short_message":"b"}"#).unwrap();
        assert_eq!(both["message"], "a", "and the second is gone");
    }
}
