//! Commands in containers: what they print and how they end, over a real websocket whose other end is here.
//!
//! ```yaml
//! apiVersion: simulated.falco-response/v1
//! kind: PodExec
//! metadata: {name: web-1, namespace: shop}
//! commands:
//!   - {command: [cat, /etc/passwd], stdout: "root:x:0:0\n"}
//!   - {command: [sh], container: web, exitCode: 3, stderr: "no\n", echo: true}
//! ```
//!
//! The first whose words a command begins with is it; with `echo` stdin comes back as stdout. Any other is no program of
//! the container's.

use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::client::Body;
use serde_json::{Value, json};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tower::BoxError;

use super::http::Query;
use super::logs;
use super::status::Failure;

const API_VERSION: &str = "simulated.falco-response/v1";
const KIND: &str = "PodExec";
const PROTOCOL: &str = "v5.channel.k8s.io";
/// The channels of that protocol.
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
const CLOSE: u8 = 255;

/// By namespace, pod and container.
#[derive(Default)]
pub struct Commands(Vec<Known>);

struct Known {
    namespace: String,
    pod: String,
    container: Option<String>,
    command: Vec<String>,
    prints: Prints,
}

/// What a command prints, and how it ends.
#[derive(Debug, Clone, Default)]
pub struct Prints {
    stdout: String,
    stderr: String,
    echo: bool,
    /// As the API server says it.
    status: Value,
}

/// Whether a document is about commands and no object.
pub fn is_exec(document: &Value) -> bool {
    document["apiVersion"] == API_VERSION && document["kind"] == KIND
}

impl Commands {
    /// # Errors
    /// What is missing in the document.
    pub fn read(&mut self, document: &Value) -> Result<(), String> {
        let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str);
        let pod = text("/metadata/name").ok_or("a PodExec without `metadata.name`")?;
        let namespace = text("/metadata/namespace").unwrap_or("default");
        let commands = document["commands"].as_array().ok_or("a PodExec needs `commands`, a list")?;
        for known in commands {
            let command = known["command"].as_array().ok_or("a command needs `command`, a list of words")?;
            let words = command.iter().map(|word| word.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>();
            let words = words.filter(|words| !words.is_empty()).ok_or("`command` is a list of words")?;
            let own = |key: &str| known[key].as_str().unwrap_or_default().to_owned();
            self.0.push(Known {
                namespace: namespace.to_owned(),
                pod: pod.to_owned(),
                container: known["container"].as_str().map(str::to_owned),
                command: words,
                prints: Prints {
                    stdout: own("stdout"),
                    stderr: own("stderr"),
                    echo: known["echo"] == true,
                    status: ended(known["exitCode"].as_i64().unwrap_or(0)),
                },
            });
        }
        Ok(())
    }

    /// As the API server and the pod's kubelet answer.
    ///
    /// # Errors
    /// There is no such container.
    pub fn answer(&self, pod: &Value, query: &Query) -> Result<Prints, Failure> {
        let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
        let container = logs::container(pod, name, query.get("container"))?;
        let words = query.all("command");
        let program = words.first().copied().unwrap_or_default();
        let known = self.0.iter().find(|known| {
            (known.namespace.as_str(), known.pod.as_str()) == (namespace, name)
                && known.container.as_ref().is_none_or(|own| *own == container)
                && words.len() >= known.command.len()
                && known.command.iter().zip(&words).all(|(own, word)| own == word)
        });
        Ok(known.map_or_else(|| not_found(program), |known| known.prints.clone()))
    }
}

fn ended(exit_code: i64) -> Value {
    if exit_code == 0 {
        return json!({"metadata": {}, "status": "Success"});
    }
    let cause = json!({"reason": "ExitCode", "message": exit_code.to_string()});
    json!({
        "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
        "message": format!("command terminated with non-zero exit code: exit status {exit_code}"),
        "details": {"causes": [cause]},
    })
}

fn not_found(program: &str) -> Prints {
    let message = format!(
        "Internal error occurred: OCI runtime exec failed: exec: {program:?}: executable file not found in $PATH: unknown"
    );
    let status =
        json!({"metadata": {}, "status": "Failure", "reason": "InternalError", "message": message, "code": 500});
    Prints { status, ..Prints::default() }
}

/// A connection within the program, of which the client's end is upgraded as any other is.
pub async fn connect(request: Request<Vec<u8>>, prints: Prints) -> Result<Response<Body>, BoxError> {
    let (near, far) = tokio::io::duplex(64 << 10);
    let serve = service_fn(move |request: Request<Incoming>| {
        let prints = prints.clone();
        async move { Ok::<_, BoxError>(switch(request, prints)) }
    });
    let server = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), serve);
    tokio::spawn(server.with_upgrades());
    let (mut client, connection) = http1::handshake(TokioIo::new(near)).await?;
    tokio::spawn(connection.with_upgrades());
    let mut request = request.map(|_| Empty::<Bytes>::new());
    request.headers_mut().insert(header::HOST, header::HeaderValue::from_static("simulated"));
    let response = client.send_request(request).await?;
    let (parts, _) = response.into_parts();
    Ok(Response::from_parts(parts, Body::empty()))
}

fn switch(mut request: Request<Incoming>, prints: Prints) -> Response<Empty<Bytes>> {
    let of = |headers: &HeaderMap, name| {
        headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let key = of(request.headers(), header::SEC_WEBSOCKET_KEY);
    let stdin = request.uri().query().unwrap_or_default().contains("stdin=true");
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        // Whoever asked is gone where there is no upgrade.
        if let Ok(upgraded) = upgrade.await {
            let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
            let _ = play(socket, prints, stdin).await;
        }
    });
    let mut response = Response::new(Empty::new());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    for (name, value) in [
        (header::UPGRADE, "websocket"),
        (header::CONNECTION, "Upgrade"),
        (header::SEC_WEBSOCKET_ACCEPT, derive_accept_key(key.as_bytes()).as_str()),
        (header::SEC_WEBSOCKET_PROTOCOL, PROTOCOL),
    ] {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

async fn play<S>(mut socket: WebSocketStream<S>, prints: Prints, stdin: bool) -> Result<(), BoxError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut read = Vec::new();
    loop {
        if !stdin {
            break;
        }
        match socket.next().await {
            Some(Ok(Message::Binary(data))) => match data.split_first() {
                Some((&STDIN, data)) => read.extend_from_slice(data),
                Some((&CLOSE, _)) => break,
                _ => {}
            },
            Some(Ok(Message::Close(_))) | Some(Err(_)) | None => return Ok(()),
            Some(Ok(_)) => {}
        }
    }
    let echoed = if prints.echo { read } else { Vec::new() };
    let stdout = [prints.stdout.as_bytes(), &echoed].concat();
    for (channel, data) in
        [(STDOUT, stdout), (STDERR, prints.stderr.into_bytes()), (STATUS, prints.status.to_string().into_bytes())]
    {
        for part in data.chunks(32 << 10) {
            socket.send(Message::Binary(Bytes::from([&[channel], part].concat()))).await?;
        }
    }
    socket.close(None).await?;
    Ok(())
}
