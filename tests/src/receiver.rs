//! A stand-in for Graylog, Alertmanager or PagerDuty: takes what the controller posts, remembers it, and answers as it
//! is told.

use std::collections::HashMap;
use std::io::BufReader;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::request::{self, Request};

const WAIT: Duration = Duration::from_secs(15);

/// One request as it came; the body unzipped where it was gzip.
#[derive(Debug, Clone)]
pub struct Taken {
    pub path: String,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
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
    while let Some(request) = request::read(&mut reader) {
        let body = request.plain().and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or(Value::Null);
        let Request { path, headers, .. } = request;
        let status = {
            let mut shared = lock(shared);
            let status = shared.status;
            shared.taken.push(Taken { path, headers, body, status });
            status
        };
        if request::answer(stream, status, "").is_err() {
            return;
        }
    }
}
