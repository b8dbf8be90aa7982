//! The way out: credentials are added, and the finished request is read as if somebody else had written it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, header};
use hyper::body::Bytes;

use super::client::{self, Client};
use super::script::Script;
use super::url::Host;
use super::{Answer, LARGEST_BODY, Message, Sending, Trust, WebError};
use crate::faults;

/// A header's value is a token; a file that is longer is another file.
const LONGEST_SECRET: u64 = 8 << 10;

/// Sends requests to servers outside of the cluster.
pub struct Web(Way);

enum Way {
    /// A client for each set of trusted roots.
    Real(Mutex<BTreeMap<Option<PathBuf>, Client>>),
    /// Nothing leaves this program.
    Scripted(Script),
}

impl Web {
    pub fn real() -> Self {
        Self(Way::Real(Mutex::default()))
    }

    /// Answers as a test or a rehearsal says, and sends nothing.
    pub fn scripted(script: Script) -> Self {
        Self(Way::Scripted(script))
    }

    /// Sends it once.
    ///
    /// # Errors
    /// Not sent, or not answered.
    pub async fn send(&self, message: &Message, trust: &Trust, sending: &Sending) -> Result<Answer, WebError> {
        if sending.dry_run {
            return Ok(Answer { status: 200, headers: Vec::new(), body: Ok(Bytes::new()) });
        }
        match &self.0 {
            Way::Real(clients) => {
                let request = seal(message, trust, sending)?;
                let client = client_for(clients, trust.ca_file.as_deref())?;
                faults::point("before:send");
                let answer = client.exchange(request, sending.timeout).await;
                faults::point("after:send");
                answer
            }
            // Where things are tried out there are no credentials.
            Way::Scripted(script) => {
                seal(message, &Trust::default(), sending)?;
                script.answer(message)
            }
        }
    }
}

fn client_for(clients: &Mutex<BTreeMap<Option<PathBuf>, Client>>, ca_file: Option<&Path>) -> Result<Client, WebError> {
    let key = ca_file.map(Path::to_owned);
    // Roots are read anew for a client that is new; a map stays whole if a thread panics.
    let mut clients = clients.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(client) = clients.get(&key).filter(|client| client.is_current(ca_file)) {
        return Ok(client.clone());
    }
    let client = Client::new(ca_file).map_err(WebError::NotSent)?;
    clients.insert(key, client.clone());
    Ok(client)
}

/// The request as it will leave, or why it will not.
fn seal(message: &Message, trust: &Trust, sending: &Sending) -> Result<Request<Bytes>, WebError> {
    let refuse = |why: String| Err(WebError::NotSent(why));
    let text = message.url.to_string();
    let uri: Uri = text.parse().map_err(|error| WebError::NotSent(format!("{error}")))?;
    // A literal never meets the resolver.
    if let Host::Address(address) = message.url.host()
        && client::api_server() == Some(*address)
    {
        return refuse("it is the cluster's own API server; no grant opens it".to_owned());
    }
    let mut headers = HeaderMap::new();
    for (name, value) in &message.headers {
        if !trust.lets_write(name) {
            return refuse(format!("the header {name} is not the action's"));
        }
        headers.append(name, value.clone());
    }
    let agent = format!("falco-response-controller/{} event={}", env!("CARGO_PKG_VERSION"), sending.event_id);
    match HeaderValue::from_str(&agent) {
        Ok(agent) => drop(headers.insert(header::USER_AGENT, agent)),
        Err(_) => return refuse("the event id is no header value".to_owned()),
    }
    for (name, file) in &trust.headers_from {
        headers.insert(HeaderName::from_bytes(name.as_bytes()).map_err(|_| not_a_header(name))?, secret(name, file)?);
    }
    let mut request = Request::new(message.body.clone());
    *request.method_mut() = message.method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    verify(message, trust, &request)?;
    Ok(request)
}

/// Reads what is about to leave, trusting nothing of how it was made.
fn verify(message: &Message, trust: &Trust, request: &Request<Bytes>) -> Result<(), WebError> {
    let refuse = |why: &str| Err(WebError::NotSent(format!("refused by the outermost layer: {why}")));
    match super::url::Url::parse(&request.uri().to_string()) {
        Ok(url) if url == message.url => {}
        _ => return refuse("it would go elsewhere than was approved"),
    }
    if request.method() != message.method || request.body().len() > LARGEST_BODY {
        return refuse("it is not the request that was approved");
    }
    let own = |name: &HeaderName| name == header::USER_AGENT || trust.headers_from.contains_key(name.as_str());
    if request.headers().keys().any(|name| !trust.lets_write(name) && !own(name)) {
        return refuse("it has a header that was not approved");
    }
    if request.headers().values().any(|value| value.as_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0))) {
        return refuse("a header breaks its line");
    }
    Ok(())
}

fn not_a_header(name: &str) -> WebError {
    WebError::NotSent(format!("`{name}` of `headers_from` is no header's name"))
}

/// From its file each time, so that one that was renewed counts.
fn secret(name: &str, file: &Path) -> Result<HeaderValue, WebError> {
    let failed = |what: &str| WebError::NotSent(format!("the header {name} from {}: {what}", file.display()));
    let size = fs::metadata(file).map_err(|error| failed(&error.to_string()))?.len();
    if size > LONGEST_SECRET {
        return Err(failed("it is larger than 8 KiB"));
    }
    let text = fs::read_to_string(file).map_err(|error| failed(&error.to_string()))?;
    let line = text.trim();
    if line.is_empty() {
        return Err(failed("it is empty"));
    }
    let mut value = HeaderValue::from_str(line).map_err(|_| failed("it is more than one line of plain text"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Shared by whoever wants to know what would have left.
pub(super) type Sent = Arc<Mutex<Vec<Message>>>;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Method;

    use super::super::url::Url;
    use super::*;

    fn message(headers: &[(&str, &str)]) -> Message {
        let headers = headers.iter().map(|(name, value)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
        });
        Message {
            method: Method::POST,
            url: Url::parse("https://hooks.example.com/falco").unwrap(),
            headers: headers.collect(),
            body: Bytes::from_static(b"{}"),
        }
    }

    fn live() -> Sending {
        Sending { dry_run: false, event_id: "e".to_owned(), timeout: Duration::from_secs(1) }
    }

    #[test]
    fn adds_credentials_from_their_files_each_time() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let trust =
            Trust { headers_from: [("authorization".to_owned(), file.path().to_owned())].into(), ..Trust::default() };
        for token in ["Bearer one\n", "Bearer two"] {
            fs::write(file.path(), token).unwrap();
            let request = seal(&message(&[("content-type", "b")]), &trust, &live()).unwrap();
            assert_eq!(request.headers()[header::AUTHORIZATION], token.trim());
            assert!(request.headers()[header::AUTHORIZATION].is_sensitive());
            assert_eq!(request.headers()["content-type"], "b");
        }
        for unusable in ["", " \n", "two\nlines", "\u{1}"] {
            fs::write(file.path(), unusable).unwrap();
            let error = seal(&message(&[]), &trust, &live()).unwrap_err();
            assert!(matches!(&error, WebError::NotSent(why) if why.contains("authorization from")), "{error}");
        }
        drop(file);
        assert!(matches!(seal(&message(&[]), &trust, &live()), Err(WebError::NotSent(_))));
    }

    #[test]
    fn what_a_plugin_must_not_set_stops_here_at_the_latest() {
        let names = ["host", "authorization", "content-length", "transfer-encoding", "cookie", "proxy-authorization"];
        let elsewhere = ["x-http-method-override", "x-original-url", "x_forwarded_for", "x-anything"];
        for name in names.into_iter().chain(elsewhere) {
            assert!(seal(&message(&[(name, "x")]), &Trust::default(), &live()).is_err(), "{name}");
        }
        let named = Trust { headers: vec!["x-anything".to_owned(), "host".to_owned()], ..Trust::default() };
        assert!(seal(&message(&[("x-anything", "x")]), &named, &live()).is_ok());
        assert!(seal(&message(&[("host", "x")]), &named, &live()).is_err(), "no grant gives it away");
        let trust = Trust { headers_from: [("x-token".to_owned(), "/x".into())].into(), ..Trust::default() };
        assert!(seal(&message(&[("x-token", "mine")]), &trust, &live()).is_err(), "what the grant sets");
    }

    #[tokio::test]
    async fn a_dry_run_sends_nothing_and_answers_as_if() {
        let script = Script::default();
        let web = Web::scripted(script.clone());
        let dry = Sending { dry_run: true, ..live() };
        let answer = web.send(&message(&[]), &Trust::default(), &dry).await.unwrap();
        assert_eq!((answer.status, answer.body), (200, Ok(Bytes::new())));
        assert_eq!(script.sent(), []);
        web.send(&message(&[]), &Trust::default(), &live()).await.unwrap();
        assert_eq!(script.sent().len(), 1);
    }
}
