//! When a pod is gone, as a watch says it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use http_body_util::BodyExt as _;
use tokio::sync::oneshot;

type Waiting = Arc<Mutex<HashMap<String, oneshot::Sender<Instant>>>>;

pub struct Watch {
    waiting: Waiting,
}

impl Watch {
    /// Of the pods of a namespace, from now on.
    pub async fn start(client: kube::Client, namespace: &str) -> Result<Self, String> {
        let failed = |error: &dyn std::fmt::Display| format!("cannot watch the pods of {namespace}: {error}");
        let request = http::Request::get(format!("/api/v1/namespaces/{namespace}/pods?watch=true"))
            .body(kube::client::Body::empty())
            .map_err(|error| failed(&error))?;
        let answer = client.send(request).await.map_err(|error| failed(&error))?;
        if !answer.status().is_success() {
            return Err(failed(&answer.status()));
        }
        let waiting = Waiting::default();
        tokio::spawn(follow(answer.into_body(), Arc::clone(&waiting)));
        Ok(Self { waiting })
    }

    /// Tells when the object with this UID is reported as deleted; to be asked for before that.
    pub fn deletion_of(&self, uid: &str) -> oneshot::Receiver<Instant> {
        let (sender, receiver) = oneshot::channel();
        lock(&self.waiting).insert(uid.to_owned(), sender);
        receiver
    }
}

fn lock(waiting: &Waiting) -> MutexGuard<'_, HashMap<String, oneshot::Sender<Instant>>> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn follow(mut body: kube::client::Body, waiting: Waiting) {
    let mut rest = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        let at = Instant::now();
        rest.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let told = deleted(&line).and_then(|uid| lock(&waiting).remove(uid));
            if let Some(told) = told {
                // Who asked may have given up.
                let _ = told.send(at);
            }
        }
    }
}

/// The UID in an event of a deletion. The object's own comes before any other.
fn deleted(line: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(line).ok()?;
    let object = text.strip_prefix(r#"{"type":"DELETED""#)?;
    let (_, uid) = object.split_once(r#""uid":""#)?;
    uid.split_once('"').map(|(uid, _)| uid)
}
