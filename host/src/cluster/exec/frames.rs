//! The subprotocol `v5.channel.k8s.io`: each message begins with the number of its channel.

use std::convert::Infallible;
use std::time::Duration;

use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use hyper::body::Bytes;
use serde_json::Value;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{Command, Ended};
use crate::cluster::ApiError;

pub const STDIN: u8 = 0;
pub const STDOUT: u8 = 1;
pub const STDERR: u8 = 2;
/// How it ended, as a `Status`.
pub const STATUS: u8 = 3;
/// Says that the channel in the next byte is at its end.
pub const CLOSE: u8 = 255;

const CHUNK: usize = 32 << 10;
/// A connection on which nothing is heard is given up, and a command may be silent for longer.
const PING: Duration = Duration::from_secs(3);

/// Writes stdin, reads until the end.
///
/// # Errors
/// The command could not be started, or its end is not known.
pub async fn talk<S>(socket: S, command: &Command, closes: bool) -> Result<Ended, ApiError>
where
    S: Stream<Item = Result<Message, Error>> + Sink<Message, Error = Error>,
{
    if command.stdin.is_some() && !closes {
        let old = "the API server cannot end the command's stdin: that takes Kubernetes 1.30";
        return Err(ApiError::NoAnswer(old.to_owned()));
    }
    let (mut sink, mut stream) = socket.split();
    let mut output = Output::new(command.output_limit);
    let stdin = command.stdin.as_ref().map(|stdin| chunks(stdin)).unwrap_or_default();
    // A command that reads nothing may end all the same, so that both are done at once.
    let status = tokio::select! {
        biased;
        status = read(&mut stream, &mut output) => status?,
        never = write(&mut sink, stdin) => match never {},
    };
    // Nobody has to answer: the end is known.
    let _ = sink.close().await;
    output.end(&status)
}

/// Until there is a status.
async fn read<S>(stream: &mut S, output: &mut Output) -> Result<Value, ApiError>
where
    S: Stream<Item = Result<Message, Error>> + Unpin,
{
    loop {
        match stream.next().await {
            Some(Ok(Message::Binary(data))) => {
                if let Some(status) = output.take(&data) {
                    return Ok(status);
                }
            }
            Some(Ok(Message::Close(_))) | None => return Err(broke_off("it was closed")),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(broke_off(&error.to_string())),
        }
    }
}

/// All of stdin, and then a word now and again. Where nothing can be written any more, the end may still be read.
async fn write<S>(sink: &mut S, stdin: Vec<Bytes>) -> Infallible
where
    S: Sink<Message, Error = Error> + Unpin,
{
    for part in stdin {
        if sink.send(Message::Binary(part)).await.is_err() {
            return std::future::pending().await;
        }
    }
    loop {
        tokio::time::sleep(PING).await;
        if sink.send(Message::Ping(Bytes::new())).await.is_err() {
            return std::future::pending().await;
        }
    }
}

fn broke_off(why: &str) -> ApiError {
    ApiError::NoAnswer(format!("the connection ended before the command did: {why}"))
}

fn chunks(stdin: &[u8]) -> Vec<Bytes> {
    let message = |part: &[u8]| Bytes::from([&[STDIN], part].concat());
    let end = Bytes::from_static(&[CLOSE, STDIN]);
    stdin.chunks(CHUNK).map(message).chain([end]).collect()
}

struct Output {
    room: usize,
    ended: Ended,
}

impl Output {
    fn new(limit: usize) -> Self {
        Self { room: limit, ended: Ended::default() }
    }

    /// Answers with the status, if it is that.
    fn take(&mut self, message: &[u8]) -> Option<Value> {
        let (channel, data) = message.split_first()?;
        let output = match *channel {
            STDOUT => &mut self.ended.stdout,
            STDERR => &mut self.ended.stderr,
            STATUS => return Some(serde_json::from_slice(data).unwrap_or(Value::Null)),
            _ => return None,
        };
        let kept = data.len().min(self.room);
        output.extend_from_slice(&data[..kept]);
        self.room -= kept;
        self.ended.truncated |= kept < data.len();
        None
    }

    fn end(self, status: &Value) -> Result<Ended, ApiError> {
        let text = |key: &str| status[key].as_str().unwrap_or_default();
        if text("status") == "Success" {
            return Ok(self.ended);
        }
        if text("reason") == "NonZeroExitCode" {
            let causes = status.pointer("/details/causes").and_then(Value::as_array).into_iter().flatten();
            let mut codes =
                causes.filter(|cause| cause["reason"] == "ExitCode").filter_map(|cause| cause["message"].as_str());
            if let Some(exit_code) = codes.next().and_then(|code| code.parse().ok()) {
                return Ok(Ended { exit_code, ..self.ended });
            }
        }
        let message = text("message");
        // Container runtimes say it in their own words, and the API server calls all of them internal errors. A container that
        // ends meanwhile has files that are not found any more, too.
        let never_began = ["unable to start container process", "executable file not found in $PATH"];
        if never_began.iter().any(|why| message.contains(why)) {
            let (reason, message) = ("Invalid".to_owned(), format!("the container cannot start it: {message}"));
            return Err(ApiError::Status { code: 400, reason, message, retry_after: None });
        }
        Err(ApiError::NoAnswer(format!("how the command ended is not known: {message}")))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ended(messages: &[(u8, &str)], status: &Value) -> Result<Ended, ApiError> {
        let mut output = Output::new(8);
        for (channel, text) in messages {
            assert_eq!(output.take(&[&[*channel], text.as_bytes()].concat()), None);
        }
        output.end(status)
    }

    fn exit(code: &str) -> Value {
        let cause = json!({"reason": "ExitCode", "message": code});
        json!({"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": [cause]}})
    }

    #[test]
    fn keeps_what_there_is_room_for_and_says_so() {
        let said = [(STDOUT, "12345"), (STDERR, "67"), (STDOUT, "89"), (7, "x"), (STDERR, "0")];
        let ended = ended(&said, &json!({"status": "Success"})).unwrap();
        assert_eq!((ended.stdout.as_slice(), ended.stderr.as_slice()), (b"123458".as_slice(), b"67".as_slice()));
        assert!(ended.truncated && ended.exit_code == 0);
    }

    #[test]
    fn an_exit_code_is_an_answer_and_anything_else_is_none() {
        assert_eq!(ended(&[], &exit("3")).map(|ended| ended.exit_code), Ok(3));
        let missing = json!({"status": "Failure", "reason": "InternalError",
            "message": "exec: \"tar\": executable file not found in $PATH: unknown"});
        assert!(matches!(ended(&[], &missing), Err(ApiError::Status { code: 400, .. })));
        let died =
            json!({"status": "Failure", "reason": "InternalError", "message": "open pid: no such file or directory"});
        for odd in [json!({}), Value::Null, exit("x"), json!({"status": "Failure", "message": "timeout"}), died] {
            assert!(matches!(ended(&[], &odd), Err(ApiError::NoAnswer(_))), "{odd}");
        }
    }

    #[test]
    fn stdin_has_an_end_also_where_it_is_empty() {
        assert_eq!(chunks(b""), [Bytes::from_static(&[CLOSE, STDIN])]);
        assert_eq!(chunks(&vec![b'x'; CHUNK + 1]).len(), 3);
    }
}
