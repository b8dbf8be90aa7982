//! Posts alerts as Falcosidekick does: over connections that are kept, one alert after the other on each.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Barrier;
use std::time::{Duration, Instant};

use serde_json::Value;

const ANSWERED_WITHIN: Duration = Duration::from_secs(30);

/// One request, as it goes over the wire.
pub fn request(address: SocketAddr, token: &str, alert: &Value) -> Vec<u8> {
    let body = alert.to_string();
    format!(
        "POST /alert HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json; charset=utf-8\r\nUser-Agent: Falcosidekick\r\n\
         X-Falco-Token: {token}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub fn open(address: SocketAddr) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("cannot connect to {address}: {error}");
        let stream = TcpStream::connect(address).map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        stream.set_read_timeout(Some(ANSWERED_WITHIN)).map_err(failed)?;
        Ok(Self { stream, buffer: Vec::with_capacity(1024) })
    }

    /// Sends one, and waits for 204; how long that took.
    pub fn post(&mut self, request: &[u8]) -> Result<Duration, String> {
        let failed = |error: std::io::Error| format!("an alert was not answered: {error}");
        let started = Instant::now();
        self.stream.write_all(request).map_err(failed)?;
        self.buffer.clear();
        // 204 has no body.
        while !self.buffer.ends_with(b"\r\n\r\n") {
            let mut chunk = [0; 1024];
            let read = self.stream.read(&mut chunk).map_err(failed)?;
            if read == 0 {
                return Err("the connection was closed".to_owned());
            }
            self.buffer.extend_from_slice(&chunk[..read]);
        }
        let took = started.elapsed();
        if self.buffer.starts_with(b"HTTP/1.1 204") {
            Ok(took)
        } else {
            Err(format!("an alert was not taken: {}", String::from_utf8_lossy(&self.buffer)))
        }
    }
}

/// What all of it took, and each answer, in milliseconds.
pub struct Taken {
    pub all: Duration,
    pub each: Vec<f64>,
}

impl Taken {
    pub fn a_second(&self) -> f64 {
        self.each.len() as f64 / self.all.as_secs_f64()
    }
}

/// Posts all of these, over so many connections.
pub fn post_all(address: SocketAddr, requests: &[Vec<u8>], connections: usize) -> Result<Taken, String> {
    let shares: Vec<&[Vec<u8>]> = requests.chunks(requests.len().div_ceil(connections).max(1)).collect();
    let ready = Barrier::new(shares.len() + 1);
    std::thread::scope(|scope| {
        let ready = &ready;
        let senders: Vec<_> = shares
            .into_iter()
            .map(|share| {
                scope.spawn(move || {
                    let connection = Connection::open(address);
                    // Whoever cannot connect must not keep the others waiting.
                    ready.wait();
                    let mut connection = connection?;
                    share.iter().map(|request| connection.post(request)).collect::<Result<Vec<_>, String>>()
                })
            })
            .collect();
        ready.wait();
        let started = Instant::now();
        let mut each = Vec::with_capacity(requests.len());
        for sender in senders {
            let times = sender.join().map_err(|_| "a sender failed".to_owned())??;
            each.extend(times.into_iter().map(super::figure::millis));
        }
        Ok(Taken { all: started.elapsed(), each })
    })
}
