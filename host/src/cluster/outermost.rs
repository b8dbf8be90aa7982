//! The outermost layer around the client's service: every request passes it, and nothing changes the cluster that was
//! not approved.
//!
//! It sets dry run the way each method needs it, and then reads the final request as if somebody else had written it:
//!
//! - a DELETE with a body ignores `dryRun` in the query, so it stands in the body, and so does the UID precondition;
//! - an eviction needs it in the query for webhooks and in `deleteOptions` for the deletion itself;
//! - everything else takes it in the query, and the UID in the document.
//!
//! One POST needs no approval, since it can change nothing: a question about what this program may do, of exactly the
//! form that the API server knows for it. One GET needs an approval of its own, since it can change anything: a command in
//! a container ([`super::exec`]). What is not recognised is not sent.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Method, Request, Uri, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Bytes};
use kube::client::Body;
use serde_json::{Map, Value, json};
use tower::{BoxError, Layer, Service};

use super::exec::ApprovedExec;
use super::exec::approved;
use crate::faults;

/// What the writer wants sent; made nowhere else. The body travels here, so that the layer alone writes it.
#[derive(Debug, Clone)]
pub(super) struct Approved {
    pub shape: Shape,
    /// Without query.
    pub path: String,
    pub body: Value,
    pub dry_run: bool,
    /// What the request must be pinned to. None only where nothing is there yet.
    pub uid: Option<String>,
    pub field_manager: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Create,
    Apply { force: bool },
    Merge,
    Strategic,
    Operations,
    Delete,
    Evict,
}

impl Shape {
    pub fn method(self) -> Method {
        match self {
            Self::Create | Self::Evict => Method::POST,
            Self::Apply { .. } | Self::Merge | Self::Strategic | Self::Operations => Method::PATCH,
            Self::Delete => Method::DELETE,
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Create | Self::Delete | Self::Evict => "application/json",
            Self::Apply { .. } => "application/apply-patch+yaml",
            Self::Merge => "application/merge-patch+json",
            Self::Strategic => "application/strategic-merge-patch+json",
            Self::Operations => "application/json-patch+json",
        }
    }
}

/// The forms of an answer: as the API server has it.
pub(super) const WHOLE: &str = "application/json";
/// Of an object only its metadata; whoever does not know this form answers with all of it.
pub(super) const METADATA: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json";

/// Where the account of this program asks what it may do; a POST that stores nothing.
pub(super) const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

/// A question to [`REVIEWS`]; the document travels here, so that the layer alone writes it.
#[derive(Debug, Clone)]
pub(super) struct Question(pub Value);

/// The request was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("refused by the outermost layer: {0}")]
pub(super) struct Refused(pub String);

#[derive(Debug, Clone, Copy)]
pub(super) struct OutermostLayer;

impl<S> Layer<S> for OutermostLayer {
    type Service = Outermost<S>;

    fn layer(&self, inner: S) -> Outermost<S> {
        Outermost { inner }
    }
}

pub(super) struct Outermost<S> {
    inner: S,
}

impl<S> Service<Request<Body>> for Outermost<S>
where
    S: Service<Request<Body>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match seal(request) {
            Ok(request) => {
                let sent = self.inner.call(request);
                Box::pin(async move { sent.await.map_err(Into::into) })
            }
            Err(refused) => Box::pin(async move { Err(refused.into()) }),
        }
    }
}

/// The request as it will be sent, or why it will not.
fn seal(request: Request<Body>) -> Result<Request<Body>, Refused> {
    let (mut parts, body) = request.into_parts();
    let Some(approved) = parts.extensions.remove::<Approved>() else {
        if let Some(question) = parts.extensions.remove::<Question>() {
            return asked(parts, &body, &question);
        }
        if let Some(command) = parts.extensions.remove::<ApprovedExec>() {
            if !body.is_end_stream() {
                return Err(Refused("a command has no body".to_owned()));
            }
            approved::seal(&mut parts, &command).map_err(Refused)?;
            return Ok(Request::from_parts(parts, Body::empty()));
        }
        // A command is a GET as well.
        if parts.method != Method::GET || !body.is_end_stream() || approved::reaches_in(&parts) {
            return Err(Refused(format!("{} {} was approved by nobody", parts.method, parts.uri.path())));
        }
        return Ok(Request::from_parts(parts, body));
    };
    if !body.is_end_stream() {
        return Err(Refused("an approved request brings its body in the approval".to_owned()));
    }
    if parts.method != approved.shape.method() || parts.uri.path() != approved.path || parts.uri.query().is_some() {
        return Err(Refused(format!("{} {} is not the request that was approved", parts.method, parts.uri)));
    }
    #[cfg(any(test, feature = "faults"))]
    if faults::is("gate_off") {
        let approved = loosened(approved);
        let (uri, bytes) = complete(&approved)?;
        return Ok(sealed(parts, &approved, uri, &bytes));
    }
    let (uri, bytes) = complete(&approved)?;
    verify(&approved, &uri, &bytes)?;
    let (uri, bytes) = spoilt(&approved, uri, bytes);
    Ok(sealed(parts, &approved, uri, &bytes))
}

/// The one POST that nobody has to approve: of exactly this method, path and form, it can change nothing.
fn asked(mut parts: http::request::Parts, body: &Body, question: &Question) -> Result<Request<Body>, Refused> {
    let refuse = |why: &str| Err(Refused(format!("{} {}: {why}", parts.method, parts.uri)));
    if parts.method != Method::POST || parts.uri.path() != REVIEWS || parts.uri.query().is_some() {
        return refuse("it is not where access is reviewed");
    }
    if !body.is_end_stream() {
        return refuse("a question brings its body in the extension");
    }
    let bytes = question.0.to_string();
    if !is_review(&serde_json::from_str(&bytes).unwrap_or(Value::Null)) {
        return refuse("it is no SelfSubjectAccessReview");
    }
    let json = header::HeaderValue::from_static("application/json");
    parts.headers.insert(header::CONTENT_TYPE, json.clone());
    parts.headers.insert(header::ACCEPT, json);
    Ok(Request::from_parts(parts, Body::from(bytes.into_bytes())))
}

/// Whether a document asks about one call on a resource, and holds nothing else.
fn is_review(document: &Value) -> bool {
    let only = |value: &Value, keys: &[&str]| {
        value.as_object().is_some_and(|map| !map.is_empty() && map.keys().all(|key| keys.contains(&key.as_str())))
    };
    let attributes = &document["spec"]["resourceAttributes"];
    only(document, &["apiVersion", "kind", "spec"])
        && document["apiVersion"] == "authorization.k8s.io/v1"
        && document["kind"] == "SelfSubjectAccessReview"
        && only(&document["spec"], &["resourceAttributes"])
        && only(attributes, &["group", "name", "namespace", "resource", "subresource", "verb"])
        && attributes.as_object().is_some_and(|map| map.values().all(Value::is_string))
}

/// Live, and pinned only where the plugin named a UID.
#[cfg(any(test, feature = "faults"))]
fn loosened(mut approved: Approved) -> Approved {
    approved.dry_run = false;
    if approved.uid.as_deref() == Some("") {
        approved.uid = None;
        for options in ["", "/deleteOptions"] {
            if let Some(options) = approved.body.pointer_mut(options).and_then(Value::as_object_mut) {
                options.shift_remove("preconditions");
            }
        }
        if let Some(metadata) = approved.body.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.shift_remove("uid");
        }
        if let Some(operations) = approved.body.as_array_mut() {
            operations.remove(0);
        }
    }
    approved
}

fn sealed(mut parts: http::request::Parts, approved: &Approved, uri: Uri, bytes: &Bytes) -> Request<Body> {
    parts.uri = uri;
    parts.headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(approved.shape.content_type()));
    // Of what is gone nothing but the UID matters; a rehearsal goes on with the whole object.
    let accept = if approved.shape == Shape::Delete && !approved.dry_run { METADATA } else { WHOLE };
    parts.headers.insert(header::ACCEPT, header::HeaderValue::from_static(accept));
    Request::from_parts(parts, Body::from(bytes.clone()))
}

/// What is sent when the program is told to break its rules.
fn spoilt(approved: &Approved, mut uri: Uri, mut bytes: Bytes) -> (Uri, Bytes) {
    let mut edit = |work: &dyn Fn(&mut Map<String, Value>)| {
        if let Ok(Value::Object(mut body)) = serde_json::from_slice(&bytes) {
            body.get_mut("deleteOptions").and_then(Value::as_object_mut).map(work);
            work(&mut body);
            bytes = Bytes::from(Value::Object(body).to_string());
        }
    };
    if faults::is("drop_uid") {
        edit(&|options| drop(options.shift_remove("preconditions")));
    }
    if faults::is("dry_run_live") {
        edit(&|options| drop(options.shift_remove("dryRun")));
        let path = approved.path.parse();
        if let (Ok(path), true) = (path, uri.query().is_some_and(|query| query.contains("dryRun"))) {
            uri = path;
        }
    }
    (uri, bytes)
}

/// Writes query and body: dry run, field manager, strict validation.
fn complete(approved: &Approved) -> Result<(Uri, Bytes), Refused> {
    let mut body = approved.body.clone();
    let mut query = Vec::new();
    match approved.shape {
        Shape::Delete if approved.dry_run => set(&mut body, "dryRun", json!(["All"]))?,
        Shape::Delete => {}
        Shape::Evict => {
            if approved.dry_run {
                set(body.get_mut("deleteOptions").unwrap_or(&mut Value::Null), "dryRun", json!(["All"]))?;
                query.push("dryRun=All".to_owned());
            }
        }
        Shape::Create | Shape::Apply { .. } | Shape::Merge | Shape::Strategic | Shape::Operations => {
            query.push(format!("fieldManager={}", approved.field_manager));
            query.push("fieldValidation=Strict".to_owned());
            if let Shape::Apply { force } = approved.shape {
                query.push(format!("force={force}"));
            }
            if approved.dry_run {
                query.push("dryRun=All".to_owned());
            }
        }
    }
    let text = if query.is_empty() { approved.path.clone() } else { format!("{}?{}", approved.path, query.join("&")) };
    let uri = text.parse().map_err(|error| Refused(format!("{text:?} is no URI: {error}")))?;
    let bytes = serde_json::to_vec(&body).map_err(|error| Refused(format!("the body cannot be written: {error}")))?;
    Ok((uri, Bytes::from(bytes)))
}

fn set(body: &mut Value, key: &str, value: Value) -> Result<(), Refused> {
    let map = body.as_object_mut().ok_or_else(|| Refused(format!("there is no place for {key}")))?;
    map.insert(key.to_owned(), value);
    Ok(())
}

/// Reads what is about to leave, trusting nothing of how it was made.
fn verify(approved: &Approved, uri: &Uri, bytes: &[u8]) -> Result<(), Refused> {
    let refuse = |why: &str| Err(Refused(format!("{} {uri}: {why}", approved.shape.method())));
    if uri.path() != approved.path {
        return refuse("the path is not the approved one");
    }
    let body: Value =
        serde_json::from_slice(bytes).map_err(|error| Refused(format!("the body is no JSON: {error}")))?;
    let query: Vec<_> = uri.query().unwrap_or("").split('&').filter(|part| !part.is_empty()).collect();
    let known = |part: &&str| {
        ["dryRun=All", "fieldValidation=Strict", "force=true", "force=false"].contains(part)
            || part.strip_prefix("fieldManager=") == Some(&approved.field_manager)
    };
    if let Some(unknown) = query.iter().find(|part| !known(part)) {
        return refuse(&format!("{unknown:?} was not approved"));
    }
    if query.contains(&"force=true") != (approved.shape == Shape::Apply { force: true }) {
        return refuse("force is not what was approved");
    }
    let dry_in_query = query.iter().filter(|part| part.starts_with("dryRun")).collect::<Vec<_>>();
    let dry_in_query = match dry_in_query[..] {
        [] => false,
        [&"dryRun=All"] => true,
        _ => return refuse("an unknown dryRun in the query"),
    };
    let dry_in = |options: Option<&Value>| match options.and_then(|options| options.get("dryRun")) {
        None => Ok(false),
        Some(value) if *value == json!(["All"]) => Ok(true),
        Some(_) => Err(Refused("an unknown dryRun in the body".to_owned())),
    };
    let dry = match approved.shape {
        Shape::Delete => {
            if !query.is_empty() {
                return refuse("a DELETE with a body ignores its query");
            }
            dry_in(Some(&body))?
        }
        Shape::Evict => {
            let in_body = dry_in(body.get("deleteOptions"))?;
            if in_body != dry_in_query {
                return refuse("query and deleteOptions disagree about dryRun");
            }
            in_body
        }
        Shape::Create | Shape::Apply { .. } | Shape::Merge | Shape::Strategic | Shape::Operations => {
            if !query.contains(&"fieldValidation=Strict") {
                return refuse("unknown fields would pass");
            }
            dry_in_query
        }
    };
    if dry != approved.dry_run {
        return refuse(if approved.dry_run { "it would not be a dry run" } else { "it would be a dry run" });
    }
    let pinned = match approved.shape {
        Shape::Delete => body.pointer("/preconditions/uid"),
        Shape::Evict => body.pointer("/deleteOptions/preconditions/uid"),
        Shape::Apply { .. } | Shape::Merge | Shape::Strategic | Shape::Create => body.pointer("/metadata/uid"),
        Shape::Operations => body
            .get(0)
            .filter(|first| {
                first.get("op") == Some(&json!("test")) && first.get("path") == Some(&json!("/metadata/uid"))
            })
            .and_then(|first| first.get("value")),
    };
    let pinned = pinned.map(|uid| uid.as_str().unwrap_or(""));
    if pinned != approved.uid.as_deref() {
        return refuse("it is not pinned to the approved UID");
    }
    let nothing_there_yet = matches!(approved.shape, Shape::Create | Shape::Apply { .. });
    if pinned.is_none_or(str::is_empty) && !(nothing_there_yet && pinned.is_none()) {
        return refuse("it is pinned to no UID");
    }
    Ok(())
}

/// Reads a response body up to `limit` bytes; none when it is longer.
pub(super) async fn collect(body: Body, limit: usize) -> Result<Option<Bytes>, BoxError> {
    match http_body_util::Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(Some(collected.to_bytes())),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn approved(shape: Shape, body: Value, dry_run: bool) -> Approved {
        let path = "/api/v1/namespaces/production/pods/x".to_owned();
        Approved {
            shape,
            path,
            body,
            dry_run,
            uid: Some("u1".to_owned()),
            field_manager: "falco-response-controller/x".to_owned(),
        }
    }

    fn request(approved: Approved) -> Request<Body> {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = approved.shape.method();
        *request.uri_mut() = approved.path.parse().expect("valid");
        request.extensions_mut().insert(approved);
        request
    }

    async fn sealed(approved: Approved) -> Result<(String, Value), Refused> {
        let request = seal(request(approved))?;
        let uri = request.uri().to_string();
        let bytes = collect(request.into_body(), 1 << 20).await.expect("in memory").expect("small");
        Ok((uri, serde_json::from_slice(&bytes).expect("JSON")))
    }

    fn every_shape() -> Vec<(Shape, Value)> {
        let document = json!({"metadata": {"uid": "u1"}});
        vec![
            (Shape::Apply { force: false }, document.clone()),
            (Shape::Merge, document.clone()),
            (Shape::Strategic, document),
            (Shape::Operations, json!([{"op": "test", "path": "/metadata/uid", "value": "u1"}])),
            (Shape::Delete, json!({"preconditions": {"uid": "u1"}})),
            (Shape::Evict, json!({"deleteOptions": {"preconditions": {"uid": "u1"}}})),
        ]
    }

    #[tokio::test]
    async fn says_dry_run_where_the_api_server_listens() {
        for (shape, body) in every_shape() {
            let (uri, dry) = sealed(approved(shape, body.clone(), true)).await.expect("well formed");
            let in_query = uri.contains("dryRun=All");
            let in_body = dry.to_string().contains(r#""dryRun":["All"]"#);
            let expected = match shape {
                Shape::Delete => (false, true),
                Shape::Evict => (true, true),
                _ => (true, false),
            };
            assert_eq!((in_query, in_body), expected, "{shape:?} {uri} {dry}");
            let (uri, live) = sealed(approved(shape, body, false)).await.expect("well formed");
            assert!(!uri.contains("dryRun") && !live.to_string().contains("dryRun"), "{shape:?}");
        }
    }

    #[tokio::test]
    async fn refuses_what_is_not_pinned_or_pinned_to_another() {
        for (shape, body) in every_shape() {
            let other = serde_json::from_str(&body.to_string().replace("u1", "u2")).expect("JSON");
            assert!(sealed(approved(shape, other, false)).await.is_err(), "{shape:?}");
            let unpinned = Approved { uid: None, ..approved(shape, body.clone(), false) };
            assert!(sealed(unpinned).await.is_err(), "{shape:?}");
            let empty = if body.is_array() { json!([]) } else { json!({"deleteOptions": {}}) };
            assert!(sealed(approved(shape, empty.clone(), false)).await.is_err(), "{shape:?}");
            let nothing = sealed(Approved { uid: None, ..approved(shape, empty, false) }).await;
            assert_eq!(nothing.is_ok(), matches!(shape, Shape::Apply { .. }), "{shape:?}");
        }
    }

    #[tokio::test]
    async fn refuses_a_dry_run_that_somebody_smuggles_in_or_out() {
        let live = json!({"preconditions": {"uid": "u1"}, "dryRun": ["All"]});
        assert!(sealed(approved(Shape::Delete, live, false)).await.is_err());
        let odd = json!({"deleteOptions": {"preconditions": {"uid": "u1"}, "dryRun": ["Some"]}});
        assert!(sealed(approved(Shape::Evict, odd, false)).await.is_err());
        let no_place = json!({"deleteOptions": []});
        assert!(sealed(approved(Shape::Evict, no_place, true)).await.is_err());
    }

    fn review() -> Value {
        json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {"verb": "delete", "group": "", "resource": "pods", "namespace": "production"}},
        })
    }

    fn question(method: Method, uri: &str, document: Value) -> Request<Body> {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method;
        *request.uri_mut() = uri.parse().expect("valid");
        request.extensions_mut().insert(Question(document));
        request
    }

    #[tokio::test]
    async fn lets_a_question_about_access_pass_as_it_is() {
        let sealed = seal(question(Method::POST, REVIEWS, review())).expect("a review");
        assert_eq!((sealed.method(), sealed.uri().to_string().as_str()), (&Method::POST, REVIEWS));
        assert_eq!(sealed.headers()[header::CONTENT_TYPE], "application/json");
        let bytes = collect(sealed.into_body(), 1 << 20).await.expect("in memory").expect("small");
        assert_eq!(serde_json::from_slice::<Value>(&bytes).expect("JSON"), review());
    }

    #[test]
    fn lets_nothing_else_pass_as_a_question() {
        for method in [Method::GET, Method::PUT, Method::PATCH, Method::DELETE] {
            assert!(seal(question(method.clone(), REVIEWS, review())).is_err(), "{method}");
        }
        for uri in [
            "/api/v1/namespaces/production/pods",
            "/apis/authorization.k8s.io/v1/subjectaccessreviews",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews/",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews/x",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews?dryRun=All",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews/../../../../api/v1/namespaces",
        ] {
            assert!(seal(question(Method::POST, uri, review())).is_err(), "{uri}");
        }
        for (pointer, value) in [
            ("/kind", json!("Pod")),
            ("/kind", json!("SubjectAccessReview")),
            ("/apiVersion", json!("v1")),
            ("/spec/resourceAttributes/verb", json!(["delete"])),
            ("/spec/resourceAttributes", json!({})),
            ("/spec/resourceAttributes", json!([])),
            ("/spec", json!({"nonResourceAttributes": {"path": "/", "verb": "get"}})),
            ("", json!(null)),
            ("", json!([])),
        ] {
            let mut document = review();
            *document.pointer_mut(pointer).expect("is there") = value.clone();
            assert!(seal(question(Method::POST, REVIEWS, document)).is_err(), "{pointer} {value}");
        }
        for place in ["", "/spec", "/spec/resourceAttributes"] {
            let mut document = review();
            document.pointer_mut(place).expect("is there")["metadata"] = json!("x");
            assert!(seal(question(Method::POST, REVIEWS, document)).is_err(), "{place}");
        }
        let mut with_body = question(Method::POST, REVIEWS, review());
        *with_body.body_mut() = Body::from(b"{}".to_vec());
        assert!(seal(with_body).is_err(), "a body of its own");
        let mut unasked = Request::new(Body::from(review().to_string().into_bytes()));
        *unasked.method_mut() = Method::POST;
        *unasked.uri_mut() = REVIEWS.parse().expect("valid");
        assert!(seal(unasked).is_err(), "the right request by the wrong hands");
    }

    /// An approval for a change is judged as one, whatever else the request carries.
    #[test]
    fn a_question_opens_no_way_for_a_change() {
        let (shape, body) = every_shape().remove(4);
        let mut request = request(approved(shape, body, false));
        *request.uri_mut() = REVIEWS.parse().expect("valid");
        request.extensions_mut().insert(Question(review()));
        assert!(seal(request).is_err());
    }

    #[test]
    fn refuses_requests_that_nobody_approved_or_that_changed_since() {
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let mut request = Request::new(Body::empty());
            *request.method_mut() = method;
            assert!(seal(request).is_err());
        }
        assert!(seal(Request::new(Body::from(b"{}".to_vec()))).is_err(), "a GET with a body");
        assert!(seal(Request::new(Body::empty())).is_ok());
        // A GET that changes something.
        for path in ["pods/x/exec?command=sh", "pods/x/attach", "pods/x/portforward", "pods/x/proxy", "pods/x/proxy/a"]
        {
            let mut request = Request::new(Body::empty());
            *request.uri_mut() = format!("/api/v1/namespaces/production/{path}").parse().expect("valid");
            assert!(seal(request).is_err(), "{path}");
        }
        let mut upgrade = Request::new(Body::empty());
        upgrade.headers_mut().insert(header::UPGRADE, header::HeaderValue::from_static("websocket"));
        assert!(seal(upgrade).is_err());
        let (shape, body) = every_shape().remove(4);
        for uri in [
            "/api/v1/namespaces/production/pods/y",
            "/api/v1/namespaces/production/pods/x?dryRun=All",
            "/api/v1/namespaces/production/pods/x/log",
        ] {
            let mut changed = request(approved(shape, body.clone(), false));
            *changed.uri_mut() = uri.parse().expect("valid");
            assert!(seal(changed).is_err(), "{uri}");
        }
        let mut changed = request(approved(shape, body, false));
        *changed.method_mut() = Method::PUT;
        assert!(seal(changed).is_err());
        let collection = Approved {
            path: "/api/v1/namespaces/production/pods/#".to_owned(),
            ..approved(Shape::Delete, json!({"preconditions": {"uid": "u1"}}), false)
        };
        assert!(complete(&collection).and_then(|(uri, bytes)| verify(&collection, &uri, &bytes)).is_err());
    }
}
