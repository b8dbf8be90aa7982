//! Commands in containers: one websocket each, over the same client as everything else.
//!
//! The API server knows no precondition here: whose container it was is asked once the connection stands, and before
//! anything is written to the command's stdin.

pub(super) mod approved;
mod frames;

use http::{HeaderValue, Request, header};
use hyper::body::Bytes;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::time::timeout;

pub(super) use approved::ApprovedExec;

use super::client::{another, has_uid, not_answered};
use super::names::{ApiResource, ObjectName, ObjectRef, Subresource, Uid};
use super::{ApiError, Reader, Sending, uid_str};
use crate::faults;

/// The most that one command is given or answers with.
pub const LARGEST: usize = 1 << 20;

/// One command, in one container of one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    pub pod: ObjectRef,
    /// None where the pod has only one.
    pub container: Option<ObjectName>,
    /// The program and its arguments.
    pub command: Vec<String>,
    pub stdin: Option<Bytes>,
    /// Bytes of stdout and stderr together; the rest is dropped.
    pub output_limit: usize,
}

/// A command that came to its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    pub exit_code: i32,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// Whether output was dropped.
    pub truncated: bool,
}

impl Command {
    /// The path of the request, without what is asked.
    pub fn path(&self) -> String {
        let exec = ApiResource::pods().with_subresource(Subresource::Exec);
        ObjectRef { resource: exec, ..self.pod.clone() }.path()
    }

    fn query(&self) -> String {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let mut query = format!("stdin={}&stdout=true&stderr=true&tty=false", self.stdin.is_some());
        if let Some(container) = &self.container {
            query.push_str(&format!("&container={}", encoded(container.as_str())));
        }
        for part in &self.command {
            query.push_str(&format!("&command={}", encoded(part)));
        }
        query
    }
}

/// Runs it once, in the pod with that UID.
pub(super) async fn run(
    (client, reader): (&kube::Client, &Reader),
    command: &Command,
    uid: &Uid,
    sending: &Sending,
) -> Result<Ended, ApiError> {
    let approved = ApprovedExec { path: command.path(), query: command.query() };
    let mut request = Request::get(&approved.path)
        .body(Vec::new())
        .map_err(|error| ApiError::NotSent(format!("{:?} is no URI: {error}", approved.path)))?;
    let agent = format!("falco-response-controller/{} event={}", env!("CARGO_PKG_VERSION"), sending.event_id);
    let agent =
        HeaderValue::from_str(&agent).map_err(|_| ApiError::NotSent("the event id is no header value".to_owned()))?;
    request.headers_mut().insert(header::USER_AGENT, agent);
    request.extensions_mut().insert(approved);
    let exchange = async {
        let connection = client.connect(request).await.map_err(not_connected)?;
        let closes = connection.supports_stream_close();
        // In another pod of that name nothing is written to it.
        let found = reader.get(&ObjectRef { uid: None, ..command.pod.clone() }).await;
        match found {
            Ok(found) if has_uid(&found, uid) => {}
            Ok(found) => return Err(in_another(command, uid, &found)),
            Err(error) => return Err(whose(&error)),
        }
        frames::talk(connection.into_stream(), command, closes).await
    };
    faults::point("before:send");
    let answer = timeout(sending.timeout, exchange).await;
    faults::point("after:send");
    answer.unwrap_or_else(|_| Err(ApiError::NoAnswer(format!("no end within {} ms", sending.timeout.as_millis()))))
}

/// The command was started before it was known whose container it is in. Of one that waits for its stdin that is a conflict,
/// since it gets none; of any other nobody knows what it did.
fn in_another(command: &Command, uid: &Uid, found: &Value) -> ApiError {
    if command.stdin.is_some() {
        return another(&command.pod, uid);
    }
    let found = uid_str(found).and_then(|uid| Uid::parse(uid).ok());
    let found = found.map_or_else(|| "another UID".to_owned(), |found| format!("UID {found}"));
    ApiError::NoAnswer(format!(
        "it was started in a pod of that name with {found}, and not in the one that was cleared, with UID {uid}"
    ))
}

fn whose(error: &ApiError) -> ApiError {
    ApiError::NoAnswer(format!("whose container the command was started in is not known: {error}"))
}

/// Before a command runs the API server says no in its own words; anything else after the request left is silence.
fn not_connected(error: kube::Error) -> ApiError {
    match error {
        kube::Error::Api(status) => ApiError::Status {
            code: status.code,
            reason: status.reason.clone(),
            message: status.message.clone(),
            retry_after: None,
        },
        other => not_answered(other),
    }
}

#[cfg(test)]
mod tests {
    use super::super::names::Namespace;
    use super::*;

    #[test]
    fn what_a_command_says_stays_within_its_parameter() {
        let command = Command {
            pod: ObjectRef {
                resource: ApiResource::pods(),
                namespace: Namespace::parse("shop").ok(),
                name: ObjectName::parse("web-1").unwrap(),
                uid: None,
            },
            container: ObjectName::parse("web").ok(),
            command: vec!["sh".to_owned(), "-c".to_owned(), "a&container=b#c d\nü".to_owned()],
            stdin: None,
            output_limit: LARGEST,
        };
        assert_eq!(command.path(), "/api/v1/namespaces/shop/pods/web-1/exec");
        let read: Vec<_> = form_urlencoded::parse(command.query().as_bytes()).into_owned().collect();
        let of = |name: &str| -> Vec<_> {
            read.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
        };
        assert_eq!(of("command"), ["sh", "-c", "a&container=b#c d\nü"]);
        assert_eq!((of("container"), of("stdin"), of("tty")), (vec!["web"], vec!["false"], vec!["false"]));
    }
}
