//! When a pod is gone, as a watch says it. An API server ends a watch whenever it likes; this one goes on where it ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

type Waiting = Arc<Mutex<HashMap<String, oneshot::Sender<Instant>>>>;

const AGAIN_AFTER: Duration = Duration::from_millis(20);

/// It ends when this is dropped.
pub struct Watch {
    waiting: Waiting,
    task: JoinHandle<()>,
}

impl Watch {
    /// Of the pods of a namespace, from now on.
    pub async fn start(client: kube::Client, namespace: &'static str) -> Result<Self, String> {
        let body = open(&client, namespace, None).await?;
        let waiting = Waiting::default();
        let task = tokio::spawn(follow(client, namespace, body, Arc::clone(&waiting)));
        Ok(Self { waiting, task })
    }

    /// Tells when the object with this UID is reported as deleted; to be asked for before that.
    pub fn deletion_of(&self, uid: &str) -> oneshot::Receiver<Instant> {
        let (sender, receiver) = oneshot::channel();
        lock(&self.waiting).insert(uid.to_owned(), sender);
        receiver
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(waiting: &Waiting) -> MutexGuard<'_, HashMap<String, oneshot::Sender<Instant>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What happens after this version of the cluster's state; from now on, without one.
async fn open(client: &kube::Client, namespace: &str, after: Option<&str>) -> Result<kube::client::Body, String> {
    let failed = |error: &dyn std::fmt::Display| format!("cannot watch the pods of {namespace}: {error}");
    let after = after.map(|version| format!("&resourceVersion={version}")).unwrap_or_default();
    // Only what is needed, so that watching takes little of the machine.
    let request = http::Request::get(format!("/api/v1/namespaces/{namespace}/pods?watch=true{after}"))
        .header(http::header::ACCEPT, "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io")
        .body(kube::client::Body::empty())
        .map_err(|error| failed(&error))?;
    let answer = client.send(request).await.map_err(|error| failed(&error))?;
    if !answer.status().is_success() {
        return Err(failed(&answer.status()));
    }
    Ok(answer.into_body())
}

/// Ends only where it cannot go on without missing something; who waits is told by that.
async fn follow(client: kube::Client, namespace: &str, mut body: kube::client::Body, waiting: Waiting) {
    let mut seen = None;
    let why = loop {
        let ended = read(body, &waiting, &mut seen).await;
        eprintln!("the watch ended ({ended}), and goes on after version {}", seen.as_deref().unwrap_or("of now"));
        tokio::time::sleep(AGAIN_AFTER).await;
        match open(&client, namespace, seen.as_deref()).await {
            Ok(next) => body = next,
            Err(error) => break error,
        }
    };
    eprintln!("{why}");
    lock(&waiting).clear();
}

/// Reads one answer to its end, and says what that was.
async fn read(mut body: kube::client::Body, waiting: &Waiting, seen: &mut Option<String>) -> String {
    let mut rest = Vec::new();
    loop {
        let frame = match body.frame().await {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return error.to_string(),
            None => return "the API server closed it".to_owned(),
        };
        let at = Instant::now();
        rest.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        for line in rest[..whole].split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok()) {
            if line.starts_with(r#"{"type":"ERROR""#) {
                return line.to_owned();
            }
            if let Some(version) = first(line, r#""resourceVersion":""#) {
                *seen = Some(version.to_owned());
            }
            let told = deleted(line).and_then(|uid| lock(waiting).remove(uid));
            if let Some(told) = told {
                // Who asked may have given up.
                let _ = told.send(at);
            }
        }
        rest.drain(..whole);
    }
}

/// The UID in an event of a deletion.
fn deleted(line: &str) -> Option<&str> {
    first(line.strip_prefix(r#"{"type":"DELETED""#)?, r#""uid":""#)
}

/// What stands behind `key`. The object's own comes before any other.
fn first<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let (_, value) = text.split_once(key)?;
    value.split_once('"').map(|(value, _)| value)
}
