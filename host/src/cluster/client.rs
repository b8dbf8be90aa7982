//! The two halves of the client: a reader that anyone may have, and the one writer.
//!
//! kube's own retries are off: they would repeat any method up to fifteen times behind the journal's back. Reads are
//! retried here, changes by [`crate::safety`], where they are counted.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, Request, StatusCode, header};
use hyper::body::Bytes;
use kube::client::Body;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::time::Instant;
use tower::BoxError;

use super::ahead::{Ahead, Owners};
use super::names::{ApiResource, ObjectRef, Subresource, Uid, collection_path};
use super::outermost::{self, METADATA, Refused, WHOLE};
use super::overlay::Overlay;
use super::web::script::Script;
use super::web::{self, Message, Trust, Web, WebError};
use super::{Answer, ApiError, LogOptions, Mutation, PatchDocument, Selection, Sending, exec, request, uid_str};
use crate::faults;
use crate::telemetry::metrics::Metrics;

/// More than any object; a list that is larger is refused rather than held.
const LARGEST_ANSWER: usize = 8 << 20;
const READ_TIMEOUT: Duration = Duration::from_secs(5);
const READ_RETRIES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(300)];
/// Answers anyone who is known.
const REACHABLE: &str = "/version";
/// What a page of a list holds.
const PAGE: u32 = 500;

/// Changes nothing: it sends GET, and questions about what this program may do ([`super::review`]). Cheap to clone.
#[derive(Clone)]
pub struct Reader {
    client: kube::Client,
    simulated: bool,
    metrics: Option<Metrics>,
    /// What a rehearsal has changed so far; of a reader that is handed out as it is, none.
    overlay: Option<Overlay>,
    /// Of one that reads ahead: the owners that are being read.
    owners: Option<Owners>,
    /// What was begun for the one who has this reader.
    ahead: Option<Ahead>,
    /// Whether what it reads is no step of an alert's.
    beside: bool,
}

/// Sends changes. There is one, it cannot be cloned, and the gate owns it.
pub struct Writer {
    client: kube::Client,
    /// To servers outside of the cluster.
    web: Web,
    /// Whether it refuses to send anything live.
    dry_only: bool,
    metrics: Option<Metrics>,
}

/// Both halves of one client; private to this folder, so that nobody else makes a second writer.
pub(super) fn halves(client: kube::Client, simulated: bool) -> (Reader, Writer) {
    let reader = Reader {
        client: client.clone(),
        simulated,
        metrics: None,
        overlay: None,
        owners: None,
        ahead: None,
        beside: false,
    };
    (reader, Writer { client, web: Web::real(), dry_only: false, metrics: None })
}

impl Reader {
    /// Counts and times its requests from now on.
    #[must_use]
    pub fn observed(self, metrics: Metrics) -> Self {
        Self { metrics: Some(metrics), ..self }
    }

    /// Reads the cluster as it would be after what was rehearsed. For dry runs alone.
    #[must_use]
    pub fn rehearsing(&self, overlay: &Overlay) -> Self {
        Self { overlay: Some(overlay.clone()), ..self.clone() }
    }

    /// From now on reads may be begun before they are needed, and owners are read once for all who ask at the same moment.
    #[must_use]
    pub fn eager(self) -> Self {
        Self { owners: Some(Owners::default()), ..self }
    }

    /// Begins to read an object; not where reads are not begun ahead.
    pub fn begin(&self, object: &ObjectRef) -> Option<Ahead> {
        self.owners.as_ref()?;
        let (reader, read) = (self.clone(), object.clone());
        Some(Ahead::begin(object, async move { reader.get(&read).await }))
    }

    /// As [`Self::begin`], of an owner, for whoever asks for it in a moment.
    pub fn begin_owner(&self, owner: ObjectRef) {
        if self.owners.is_some() {
            let reader = self.clone();
            // What comes of it is for those who ask: nobody may.
            tokio::spawn(async move { reader.owner(&ObjectRef { uid: None, ..owner }).await });
        }
    }

    /// A reader that has begun this already.
    #[must_use]
    pub fn with(self, ahead: Option<Ahead>) -> Self {
        Self { ahead, ..self }
    }

    /// Reads what no alert asks for.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self { beside: true, ..self.clone() }
    }

    /// Whether the cluster is a simulation.
    pub fn is_simulated(&self) -> bool {
        self.simulated
    }

    /// # Errors
    /// The API server's no, or no answer after retries.
    pub async fn get(&self, object: &ObjectRef) -> Result<Value, ApiError> {
        let ahead = match &self.ahead {
            Some(ahead) => ahead.take(object).await,
            None => None,
        };
        let found = match ahead {
            Some(found) => Ok(found),
            None => self.read(&object.path(), WHOLE).await.and_then(|bytes| parse(&bytes)),
        };
        match &self.overlay {
            Some(overlay) => overlay.over(object, found),
            None => found,
        }
    }

    /// An owner, of which nothing but the metadata is needed: at least that.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn owner(&self, object: &ObjectRef) -> Result<Arc<Value>, ApiError> {
        if self.overlay.is_some() {
            return self.get(object).await.map(Arc::new);
        }
        let read = || async { self.read(&object.path(), METADATA).await.and_then(|bytes| parse(&bytes)) };
        match &self.owners {
            Some(owners) => owners.get(object, read).await,
            None => read().await.map(Arc::new),
        }
    }

    /// # Errors
    /// The API server's no, no answer after retries, or more than can be held.
    pub async fn list(&self, resource: &ApiResource, selection: &Selection) -> Result<Vec<Value>, ApiError> {
        let covered = self.overlay.as_ref().and_then(|overlay| Some((overlay, overlay.wider(resource, selection)?)));
        match covered {
            Some((overlay, wider)) => {
                let found = self.list_there(resource, &wider).await?;
                overlay.over_list(resource, selection, found).await
            }
            None => self.list_there(resource, selection).await,
        }
    }

    /// What the cluster itself has.
    pub(super) async fn list_there(
        &self,
        resource: &ApiResource,
        selection: &Selection,
    ) -> Result<Vec<Value>, ApiError> {
        let accept = if selection.metadata_only {
            "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
        } else {
            WHOLE
        };
        let path = collection_path(resource, selection.namespace.as_ref());
        let mut found = Vec::new();
        let mut read = 0;
        let mut token = String::new();
        // To the API server a limit of 0 is none.
        if selection.limit == Some(0) {
            return Ok(found);
        }
        loop {
            let left =
                selection.limit.map(|limit| limit.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX)));
            let page = left.unwrap_or(PAGE).min(PAGE);
            let bytes = self.read(&format!("{path}?{}", list_query(selection, page, &token)), accept).await?;
            read += bytes.len();
            if read > LARGEST_ANSWER {
                return Err(ApiError::TooLarge { limit: LARGEST_ANSWER });
            }
            let mut list = parse(&bytes)?;
            // Items of a list carry neither kind nor apiVersion; the list does.
            let kind =
                list.get("kind").and_then(Value::as_str).and_then(|kind| kind.strip_suffix("List")).map(str::to_owned);
            let version = list.get("apiVersion").cloned();
            let items = list.get_mut("items").map(Value::take);
            for mut item in items
                .and_then(|items| if let Value::Array(items) = items { Some(items) } else { None })
                .unwrap_or_default()
            {
                if let (Some(map), Some(kind), Some(version)) = (item.as_object_mut(), &kind, &version) {
                    map.entry("kind").or_insert_with(|| kind.as_str().into());
                    map.entry("apiVersion").or_insert_with(|| version.clone());
                }
                found.push(item);
            }
            token = list.pointer("/metadata/continue").and_then(Value::as_str).unwrap_or("").to_owned();
            if token.is_empty() || selection.limit.is_some_and(|limit| found.len() >= limit as usize) {
                return Ok(found);
            }
        }
    }

    /// # Errors
    /// The API server's no, no answer after retries, or more than can be held.
    pub async fn logs(&self, pod: &ObjectRef, options: &LogOptions) -> Result<String, ApiError> {
        let mut query = format!("previous={}", options.previous);
        if let Some(container) = &options.container {
            query.push_str(&format!("&container={container}"));
        }
        if let Some(lines) = options.tail_lines {
            query.push_str(&format!("&tailLines={lines}"));
        }
        let log = ObjectRef { resource: ApiResource::pods().with_subresource(Subresource::Log), ..pod.clone() };
        let said = self.read(&format!("{}?{query}", log.path()), "*/*").await;
        let said = said.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        match &self.overlay {
            Some(overlay) => overlay.over_log(pod, said),
            None => said,
        }
    }

    /// Whether the API server answers at all; needs no permission but that of being known.
    ///
    /// # Errors
    /// Why not.
    pub async fn reachable(&self) -> Result<(), ApiError> {
        self.read(REACHABLE, WHOLE).await.map(|_| ())
    }

    /// As [`Self::reachable`], for the connection's sake; nothing where reads are not begun ahead.
    pub async fn keep_open(&self) {
        if self.owners.is_some() {
            // Whether there is an answer is asked elsewhere.
            let _ = self.reachable().await;
        }
    }

    async fn read(&self, path_and_query: &str, accept: &'static str) -> Result<Bytes, ApiError> {
        self.retried(|| {
            let mut request = new_request(Method::GET, path_and_query)?;
            request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static(accept));
            Ok(request)
        })
        .await
    }

    /// What changes nothing may be asked again.
    pub(super) async fn retried(
        &self,
        request: impl Fn() -> Result<Request<Body>, ApiError>,
    ) -> Result<Bytes, ApiError> {
        let mut retries = READ_RETRIES.iter();
        loop {
            let request = request()?;
            // What is asked beside the alerts is no step of theirs.
            let of_an_alert = !self.beside && request.method() == Method::GET && request.uri().path() != REACHABLE;
            let point = |name| {
                if of_an_alert {
                    faults::point(name)
                }
            };
            point("before:read");
            let result = send(&self.client, self.metrics.as_ref(), request, READ_TIMEOUT).await.map(|(_, bytes)| bytes);
            point("after:read");
            // Silence has cost its whole time already; the pipeline comes back later.
            let again =
                matches!(&result, Err(error) if error.is_transient() && !matches!(error, ApiError::NoAnswer(_)));
            match retries.next().filter(|_| again) {
                Some(wait) => tokio::time::sleep(*wait).await,
                None => return result,
            }
        }
    }
}

fn list_query(selection: &Selection, page: u32, token: &str) -> String {
    let mut query = format!("limit={page}");
    for (key, value) in [
        ("labelSelector", selection.labels.as_deref()),
        ("fieldSelector", selection.fields.as_deref()),
        ("continue", Some(token)),
    ] {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            query.push_str(&format!("&{key}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
        }
    }
    query
}

impl Writer {
    /// From now on it refuses to send what is no dry run, whoever asks.
    #[must_use]
    pub fn only_dry_runs(self) -> Self {
        Self { dry_only: true, ..self }
    }

    /// From now on nothing leaves the program for servers outside: they answer as `script` says.
    #[must_use]
    pub fn web_scripted(self, script: Script) -> Self {
        Self { web: Web::scripted(script), ..self }
    }

    /// Counts and times its requests from now on.
    #[must_use]
    pub fn observed(self, metrics: Metrics) -> Self {
        Self { metrics: Some(metrics), ..self }
    }

    /// Sends one request to a server outside of the cluster, once; a dry run sends none.
    ///
    /// # Errors
    /// Not sent; or no answer, and then the server may have taken it.
    pub async fn send_outside(
        &self,
        message: &Message,
        trust: &Trust,
        sending: &web::Sending,
    ) -> Result<web::Answer, WebError> {
        if self.dry_only && !sending.dry_run {
            return Err(WebError::NotSent("only dry runs are sent here".to_owned()));
        }
        self.web.send(message, trust, sending).await
    }

    /// Runs one command in a container, once; a dry run runs none.
    ///
    /// # Errors
    /// The API server's no; not sent; or no end that is known, and then it may have run.
    pub async fn run(&self, command: &exec::Command, uid: &Uid, sending: &Sending) -> Result<exec::Ended, ApiError> {
        if sending.dry_run {
            return Ok(exec::Ended::default());
        }
        if self.dry_only {
            return Err(ApiError::NotSent("only dry runs are sent here".to_owned()));
        }
        exec::run((&self.client, &self.reader()), command, uid, sending).await
    }

    /// Sends one change, once; [`Self::look_first`] comes before it.
    ///
    /// # Errors
    /// The API server's no; not sent; or no answer, and then the change may have been made.
    pub async fn send(&self, mutation: &Mutation, sending: &Sending) -> Result<Answer, ApiError> {
        if self.dry_only && !sending.dry_run {
            return Err(ApiError::NotSent("only dry runs are sent here".to_owned()));
        }
        let approved = request::approve(mutation, sending);
        let mut request = new_request(approved.shape.method(), &approved.path)?;
        let agent = format!("falco-response-controller/{} event={}", env!("CARGO_PKG_VERSION"), sending.event_id);
        let agent = HeaderValue::from_str(&agent)
            .map_err(|_| ApiError::NotSent("the event id is no header value".to_owned()))?;
        request.headers_mut().insert(header::USER_AGENT, agent);
        request.extensions_mut().insert(approved);
        faults::point("before:send");
        let answer = send(&self.client, self.metrics.as_ref(), request, sending.timeout).await;
        faults::point("after:send");
        match answer {
            Ok((code, bytes)) => Ok(Answer { code: code.as_u16(), object: parse(&bytes)? }),
            Err(error) => Err(self.plain(mutation, error).await),
        }
    }

    /// The API server tries an eviction of another UID for ten seconds before it says no, longer than anybody waits
    /// here: a pod that is known to be another one is not evicted at all. The UID in the eviction still decides. Apart
    /// from [`Self::send`], since it takes its time, and whether to send at all is asked after it.
    ///
    /// # Errors
    /// The pod is gone, or another one; nothing was sent.
    pub async fn look_first(&self, mutation: &Mutation) -> Result<(), ApiError> {
        #[cfg(any(test, feature = "faults"))]
        if faults::is("gate_off") {
            return Ok(());
        }
        let Mutation::Evict { pod, uid, .. } = mutation else { return Ok(()) };
        match self.reader().get(pod).await {
            Err(gone) if gone.is_not_found() => Err(gone),
            Ok(found) if !has_uid(&found, uid) => Err(another(pod, uid)),
            _ => Ok(()),
        }
    }

    fn reader(&self) -> Reader {
        let (client, metrics) = (self.client.clone(), self.metrics.clone());
        Reader { client, simulated: false, metrics, overlay: None, owners: None, ahead: None, beside: false }
    }

    /// Gives an error the status that its cause deserves.
    ///
    /// Another UID in a document is 422 "field is immutable": a conflict. A JSON patch whose test of the UID fails is
    /// 422 without a word on why, so the object is looked at. An apply that does not fit the schema, and an eviction
    /// against two disruption budgets, are a 500 each, which would be taken for an outage.
    async fn plain(&self, mutation: &Mutation, error: ApiError) -> ApiError {
        let ApiError::Status { code, message, retry_after, .. } = &error else { return error };
        let status = |code, reason: &str, message: String| ApiError::Status {
            code,
            reason: reason.to_owned(),
            message,
            retry_after: *retry_after,
        };
        match (code, mutation) {
            (500, Mutation::Apply { .. }) if message.contains("failed to create typed patch object") => {
                status(422, "Invalid", message.clone())
            }
            (500, Mutation::Evict { .. }) if message.contains("more than one PodDisruptionBudget") => {
                status(422, "Invalid", message.clone())
            }
            (422, _) if message.contains("metadata.uid") => status(409, "Conflict", message.clone()),
            (422, Mutation::Patch { object, uid, document: PatchDocument::Operations(_) }) => {
                match self.reader().get(object).await {
                    Err(gone) if gone.is_not_found() => gone,
                    Ok(found) if !has_uid(&found, uid) => another(object, uid),
                    _ => error,
                }
            }
            _ => error,
        }
    }
}

pub(super) fn has_uid(object: &Value, uid: &Uid) -> bool {
    uid_str(object) == Some(uid.as_str())
}

pub(super) fn another(object: &ObjectRef, uid: &Uid) -> ApiError {
    let message = format!("{} is no longer the one with UID {uid}", object.name);
    ApiError::Status { code: 409, reason: "Conflict".to_owned(), message, retry_after: None }
}

pub(super) fn new_request(method: Method, path_and_query: &str) -> Result<Request<Body>, ApiError> {
    Request::builder()
        .method(method)
        .uri(path_and_query)
        .body(Body::empty())
        .map_err(|error| ApiError::NotSent(format!("{path_and_query:?} is no URI: {error}")))
}

/// One request, one answer within `timeout`. 2xx is an answer; everything else an error.
async fn send(
    client: &kube::Client,
    metrics: Option<&Metrics>,
    request: Request<Body>,
    timeout: Duration,
) -> Result<(StatusCode, Bytes), ApiError> {
    let (method, started) = (request.method().clone(), Instant::now());
    let result = exchange(client, request, timeout).await;
    if let Some(metrics) = metrics {
        let code = match &result {
            Ok((code, _)) => Some(code.as_u16()),
            Err(ApiError::Status { code, .. }) => Some(*code),
            Err(_) => None,
        };
        metrics.api_request(&method, code, started.elapsed());
    }
    result
}

async fn exchange(
    client: &kube::Client,
    request: Request<Body>,
    timeout: Duration,
) -> Result<(StatusCode, Bytes), ApiError> {
    let exchange = async {
        let response = client.send(request).await.map_err(not_answered)?;
        let (parts, body) = response.into_parts();
        let bytes = outermost::collect(body, LARGEST_ANSWER)
            .await
            .map_err(|error| ApiError::NoAnswer(format!("the answer broke off: {error}")))?;
        let bytes = bytes.ok_or(ApiError::TooLarge { limit: LARGEST_ANSWER })?;
        if parts.status.is_success() { Ok((parts.status, bytes)) } else { Err(status_error(&parts, &bytes)) }
    };
    match tokio::time::timeout(timeout, exchange).await {
        Ok(result) => result,
        Err(_) => Err(ApiError::NoAnswer(format!("nothing within {} ms", timeout.as_millis()))),
    }
}

/// Whether anything left: a refused connection, and what the outermost layer or the credentials stopped, did not.
pub(super) fn not_answered(error: kube::Error) -> ApiError {
    match error {
        kube::Error::Service(error) => not_answered_by_service(error),
        kube::Error::Auth(error) => ApiError::NotSent(format!("no credentials: {error}")),
        other => ApiError::NoAnswer(chain(&other)),
    }
}

fn not_answered_by_service(error: BoxError) -> ApiError {
    if let Some(refused) = error.downcast_ref::<Refused>() {
        return ApiError::NotSent(refused.to_string());
    }
    let connect = error
        .downcast_ref::<hyper_util::client::legacy::Error>()
        .is_some_and(hyper_util::client::legacy::Error::is_connect);
    let text = chain(error.as_ref());
    if connect { ApiError::NotSent(text) } else { ApiError::NoAnswer(text) }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}

pub(super) fn parse(bytes: &[u8]) -> Result<Value, ApiError> {
    serde_json::from_slice(bytes).map_err(|error| ApiError::NoAnswer(format!("the answer is no JSON: {error}")))
}

/// Reads the `Status` object; a proxy's HTML is kept short.
fn status_error(parts: &http::response::Parts, bytes: &[u8]) -> ApiError {
    const MOST: usize = 200;
    let status: Value = serde_json::from_slice(bytes).unwrap_or(Value::Null);
    let text = |key: &str| status.get(key).and_then(Value::as_str).map(str::to_owned);
    let in_header = parts
        .headers
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|seconds| seconds.parse().ok());
    let seconds = in_header.or_else(|| status.pointer("/details/retryAfterSeconds").and_then(Value::as_u64));
    let mut message =
        text("message").unwrap_or_else(|| String::from_utf8_lossy(&bytes[..bytes.len().min(MOST)]).into_owned());
    // "the server rejected our request due to an error in our request" says why in its causes only.
    for cause in status.pointer("/details/causes").and_then(Value::as_array).into_iter().flatten() {
        if let Some(cause) = cause.get("message").and_then(Value::as_str).filter(|cause| !message.contains(cause)) {
            message.push_str(&format!(": {cause}"));
        }
    }
    ApiError::Status {
        code: parts.status.as_u16(),
        reason: text("reason").unwrap_or_default(),
        message,
        retry_after: seconds.map(Duration::from_secs),
    }
}
