//! HTTP over a plain socket: tests send exactly the bytes they mean to.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(15);

/// An answer. The head is kept as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// Posts `body` the way Falcosidekick does.
///
/// # Errors
/// No connection, or no answer within the time limit.
pub fn post(address: SocketAddr, path: &str, token: &str, body: &[u8]) -> Result<Answer, String> {
    let headers = format!(
        "User-Agent: Falcosidekick\r\nContent-Type: application/json; charset=utf-8\r\nX-Falco-Token: {token}\r\n"
    );
    send(address, "POST", path, &headers, body)
}

/// # Errors
/// No connection, or no answer within the time limit.
pub fn get(address: SocketAddr, path: &str) -> Result<Answer, String> {
    send(address, "GET", path, "", b"")
}

/// `headers`: whole lines, each with its `\r\n`.
///
/// # Errors
/// No connection, or no answer within the time limit.
pub fn send(address: SocketAddr, method: &str, path: &str, headers: &str, body: &[u8]) -> Result<Answer, String> {
    let failed = |error: std::io::Error| format!("{method} http://{address}{path} failed: {error}");
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).map_err(failed)?;
    stream.set_read_timeout(Some(TIMEOUT)).map_err(failed)?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).map_err(failed)?;
    // A server that has seen enough may answer and close before it has read everything.
    let written = stream.write_all(body);
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        written.and(read.map(|_| ())).map_err(failed)?;
        return Err(format!("{method} http://{address}{path}: the answer is no HTTP: {text:?}"));
    };
    let status = head.split_whitespace().nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| format!("{method} http://{address}{path}: the answer has no status"))?;
    let chunked = head.lines().any(|line| line.eq_ignore_ascii_case("transfer-encoding: chunked"));
    let body = if chunked {
        joined(body).ok_or_else(|| format!("{method} http://{address}{path}: cut short"))?
    } else {
        body.to_owned()
    };
    Ok(Answer { status, head: head.to_owned(), body })
}

/// The chunks of a body in one piece; none where the last is missing. Chunks of the API server's JSON can end within a
/// character only if its text is not ASCII, which no test's is.
fn joined(mut rest: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (length, after) = rest.split_once("\r\n")?;
        let length = usize::from_str_radix(length.trim(), 16).ok()?;
        if length == 0 {
            return Some(body);
        }
        body.push_str(after.get(..length)?);
        rest = after.get(length..)?.strip_prefix("\r\n")?;
    }
}
