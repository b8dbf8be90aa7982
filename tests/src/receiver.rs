//! A stand-in for Graylog, Alertmanager or PagerDuty: takes what the controller posts, remembers it, and answers as it
//! is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

const WAIT: Duration = Duration::from_secs(15);
const LARGEST: usize = 1 << 20;

/// One request as it came; the body unzipped where it was gzip.
#[derive(Debug, Clone)]
pub struct Taken {
    pub path: String,
    pub body: Value,
    /// What was answered.
    pub status: u16,
}

pub struct Receiver {
    pub address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    status: u16,
    taken: Vec<Taken>,
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Receiver {
    /// Listens on a free loopback port until the process ends, and answers `status`.
    ///
    /// # Errors
    /// When no port can be bound.
    pub fn start(status: u16) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("cannot start a receiver: {error}");
        let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let shared = Arc::new(Mutex::new(Shared { status, taken: Vec::new() }));
        let inner = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let inner = Arc::clone(&inner);
                std::thread::spawn(move || converse(&stream, &inner));
            }
        });
        Ok(Self { address, shared })
    }

    /// What it answers from now on.
    pub fn answer(&self, status: u16) {
        lock(&self.shared).status = status;
    }

    pub fn taken(&self) -> Vec<Taken> {
        lock(&self.shared).taken.clone()
    }

    /// The first request that was answered well and whose body contains `hint`; none within the time limit.
    pub fn wait_for(&self, hint: &str) -> Option<Value> {
        let deadline = Instant::now() + WAIT;
        while Instant::now() < deadline {
            let found = self.taken().into_iter().find(|one| one.status < 300 && one.body.to_string().contains(hint));
            if let Some(found) = found {
                return Some(found.body);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }
}

/// Reads requests off one connection for as long as it lives.
fn converse(stream: &TcpStream, shared: &Mutex<Shared>) {
    let mut reader = BufReader::new(stream);
    while let Some((path, body)) = read_request(&mut reader) {
        let status = {
            let mut shared = lock(shared);
            let status = shared.status;
            shared.taken.push(Taken { path, body, status });
            status
        };
        let mut stream = stream;
        if stream.write_all(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n").as_bytes()).is_err() {
            return;
        }
    }
}

/// The path and the body of the next request; none where the connection ends or speaks no HTTP.
pub(crate) fn read_request(reader: &mut impl BufRead) -> Option<(String, Value)> {
    let mut first = String::new();
    if reader.read_line(&mut first).ok()? == 0 {
        return None;
    }
    let path = first.split_whitespace().nth(1)?.to_owned();
    let (mut length, mut gzip) = (0_usize, false);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().ok()?,
            "content-encoding" => gzip = value.trim() == "gzip",
            _ => {}
        }
    }
    let mut body = vec![0; length.min(LARGEST)];
    reader.read_exact(&mut body).ok()?;
    if gzip {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(body.as_slice()).read_to_end(&mut plain).ok()?;
        body = plain;
    }
    Some((path, serde_json::from_slice(&body).unwrap_or(Value::Null)))
}
