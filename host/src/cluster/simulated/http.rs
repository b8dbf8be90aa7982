//! From a request to an answer: paths, query parameters, reading. Changes are [`super::write`]'s.

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::access;
use super::exec::Prints;
use super::kinds::{Kind, Kinds};
use super::selectors::{Fields, Labels};
use super::status::Failure;
use super::store::{Key, Store};
use super::{delete, write};
use crate::ambient::Ambient;

pub type Answer = Result<(StatusCode, Value), Failure>;

/// A resource path, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub kind: Kind,
    pub namespace: Option<String>,
    pub name: Option<String>,
    pub subresource: Option<String>,
}

impl Route {
    pub fn parse(kinds: &Kinds, path: &str) -> Result<Self, Failure> {
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, version, rest) = match segments.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return Err(Failure::no_such_path()),
        };
        // `namespaces/x` and `namespaces/x/status` are the namespace, `namespaces/x/pods` what is in it.
        let (namespace, rest) = match rest {
            ["namespaces", _] | ["namespaces", _, "status" | "finalize"] => (None, rest),
            ["namespaces", namespace, inner @ ..] if !inner.is_empty() => (Some((*namespace).to_owned()), inner),
            _ => (None, rest),
        };
        let (plural, name, subresource) = match rest {
            [plural] => (plural, None, None),
            [plural, name] => (plural, Some(*name), None),
            [plural, name, subresource] => (plural, Some(*name), Some(*subresource)),
            _ => return Err(Failure::no_such_path()),
        };
        let kind = kinds.by_path(group, version, plural).ok_or_else(Failure::no_such_path)?.clone();
        let misplaced = if kind.namespaced { namespace.is_none() && name.is_some() } else { namespace.is_some() };
        if misplaced {
            return Err(Failure::no_such_path());
        }
        let owned = |text: &str| text.to_owned();
        Ok(Self { kind, namespace, name: name.map(owned), subresource: subresource.map(owned) })
    }

    pub fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or_default()
    }

    /// None for a collection.
    pub fn key(&self) -> Option<Key> {
        Some(Key::new(&self.kind, self.namespace(), self.name.as_deref()?))
    }
}

/// Query parameters, decoded.
pub struct Query(Vec<(String, String)>);

impl Query {
    fn parse(request: &Request<Vec<u8>>) -> Self {
        let query = request.uri().query().unwrap_or_default();
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// Empty counts as absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// All values of a name that may come several times.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }

    pub fn is_true(&self, name: &str) -> bool {
        matches!(self.get(name), Some("true" | "1"))
    }

    /// # Errors
    /// 422 for a value other than `All`: a typing error must not be a live run.
    pub fn dry_run(&self, options: &str) -> Result<bool, Failure> {
        let values: Vec<Value> =
            self.0.iter().filter(|(key, _)| key == "dryRun").map(|(_, value)| json!(value)).collect();
        dry_run(options, &values)
    }
}

pub fn dry_run(options: &str, values: &[Value]) -> Result<bool, Failure> {
    match values.iter().find(|value| *value != "All") {
        Some(_) => {
            let why = format!("Unsupported value: {}: supported values: \"All\"", json!(values));
            Err(Failure::invalid_options(options, "dryRun", &why))
        }
        None => Ok(!values.is_empty()),
    }
}

/// What a command comes to; none where the request is about no command.
pub fn exec(store: &mut Store, ambient: &Ambient, request: &Request<Vec<u8>>) -> Option<Result<Prints, Failure>> {
    store.sweep(ambient.now());
    let route = Route::parse(&store.kinds, request.uri().path()).ok()?;
    let upgrades = request.method() == Method::GET && request.headers().contains_key(http::header::UPGRADE);
    let exec = upgrades && route.kind.is_pod() && route.subresource.as_deref() == Some("exec");
    exec.then(|| store.commands.answer(get(store, &route)?, &Query::parse(request)))
}

pub fn answer(store: &mut Store, ambient: &Ambient, request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
    store.sweep(ambient.now());
    match request.uri().path() {
        "/readyz" | "/livez" | "/healthz" if request.method() == Method::GET => return text("ok"),
        "/version" if request.method() == Method::GET => {
            let version = json!({
                "major": "1", "minor": "33", "gitVersion": "v1.33.0+simulated", "gitCommit": "", "gitTreeState": "clean",
                "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "", "platform": "linux/amd64",
            });
            return render(StatusCode::OK, &version);
        }
        access::PATH => {
            let answer = match *request.method() {
                Method::POST => body(request).and_then(|document| access::review(store, document)),
                _ => Err(Failure::method_not_allowed()),
            };
            return match answer {
                Ok((code, body)) => render(code, &body),
                Err(failure) => render(failure.code, &failure.to_json()),
            };
        }
        _ => {}
    }
    if let Some(Err(failure)) = exec(store, ambient, request) {
        return render(failure.code, &failure.to_json());
    }
    let answer = Route::parse(&store.kinds, request.uri().path()).and_then(|route| {
        if request.method() == Method::GET && route.kind.is_pod() && route.subresource.as_deref() == Some("log") {
            let pod = get(store, &route)?;
            let log = store.logs.answer(pod, &Query::parse(request))?;
            // Without a node there is nobody to ask.
            let nobody = log.is_empty() && pod.pointer("/spec/nodeName").is_none();
            return Ok(if nobody { respond(StatusCode::NO_CONTENT, "text/plain", Vec::new()) } else { text(&log) });
        }
        dispatch(store, ambient, request, &route).map(|(code, body)| render(code, &body))
    });
    answer.unwrap_or_else(|failure| render(failure.code, &failure.to_json()))
}

fn dispatch(store: &mut Store, ambient: &Ambient, request: &Request<Vec<u8>>, route: &Route) -> Answer {
    let query = Query::parse(request);
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let metadata_only =
        header(ACCEPT).split(',').next().is_some_and(|first| first.contains("as=PartialObjectMetadata"));
    if let Some(subresource) = route.subresource.as_deref() {
        let evict = route.kind.is_pod() && subresource == "eviction";
        return match (evict, request.method()) {
            (true, &Method::POST) => delete::evict(store, ambient, route, &query, &body(request)?),
            (true, _) => Err(Failure::method_not_allowed()),
            (false, _) if subresource == "status" => Err(Failure::not_simulated("the status subresource")),
            (false, _) => Err(Failure::no_such_path()),
        };
    }
    // Without a field manager the API server takes the program's name.
    let program = header(http::header::USER_AGENT).split('/').next().filter(|name| !name.is_empty());
    let manager = query.get("fieldManager").or(program).unwrap_or("unknown");
    let writer = write::Writer { store, ambient, route, query: &query, manager };
    match (request.method(), route.name.is_some()) {
        (&Method::GET, true) => {
            let object = get(writer.store, route)?;
            let object = if metadata_only { partial(object) } else { object.clone() };
            Ok((StatusCode::OK, object))
        }
        (&Method::GET, false) => list(writer.store, route, &query, metadata_only),
        (&Method::POST, false) => writer.create(body(request)?),
        (&Method::PUT, true) => writer.replace(body(request)?),
        (&Method::PATCH, true) => {
            let content_type = header(CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
            writer.patch(content_type, request.body())
        }
        (&Method::DELETE, true) => {
            let options = if request.body().is_empty() { None } else { Some(body(request)?) };
            writer.delete(options)
        }
        // Deleting a collection is something the controller must never do: it fails here where a cluster obeys.
        _ => Err(Failure::method_not_allowed()),
    }
}

fn body(request: &Request<Vec<u8>>) -> Result<Value, Failure> {
    serde_json::from_slice(request.body())
        .map_err(|error| Failure::bad_request(format!("the object provided is unrecognized: {error}")))
}

fn get<'a>(store: &'a Store, route: &Route) -> Result<&'a Value, Failure> {
    let key = route.key().ok_or_else(Failure::method_not_allowed)?;
    store.get(&key).ok_or_else(|| Failure::not_found(&route.kind, &key.name))
}

fn list(store: &Store, route: &Route, query: &Query, metadata_only: bool) -> Answer {
    if query.is_true("watch") {
        return Err(Failure::not_simulated("watching"));
    }
    let labels = Labels::parse(query.get("labelSelector").unwrap_or_default()).map_err(Failure::bad_request)?;
    let fields =
        Fields::parse(&route.kind, query.get("fieldSelector").unwrap_or_default()).map_err(Failure::bad_request)?;
    let number = |text: &str| text.parse::<i64>();
    let limit = match query.get("limit").map(number).transpose() {
        Ok(limit) => usize::try_from(limit.unwrap_or(0)).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX),
        Err(_) => {
            let text = query.get("limit").unwrap_or_default();
            return Err(Failure::bad_request(format!("strconv.ParseInt: parsing \"{text}\": invalid syntax")));
        }
    };
    // The token is the last object handed out; what was created or deleted since then does no harm.
    let after = match query.get("continue") {
        Some(token) => Some(token.split_once('/').ok_or_else(|| {
            let why = "continue key is not valid: illegal base64 data at input byte 0";
            Failure::bad_request(format!("invalid continue token: {why}"))
        })?),
        None => None,
    };
    let mut found = store
        .list(&route.kind, route.namespace.as_deref())
        .filter(|(key, _)| after.is_none_or(|after| (key.namespace.as_str(), key.name.as_str()) > after))
        .filter(|(_, object)| labels.matches(object) && fields.matches(object))
        .peekable();
    let mut items = Vec::new();
    let mut metadata = json!({ "resourceVersion": store.version().to_string() });
    while let Some((key, object)) = found.next() {
        items.push(if metadata_only { partial(object) } else { item(&route.kind, object) });
        if items.len() == limit && found.peek().is_some() {
            metadata["continue"] = json!(format!("{}/{}", key.namespace, key.name));
            if query.get("labelSelector").or(query.get("fieldSelector")).is_none() {
                metadata["remainingItemCount"] = json!(found.count());
            }
            break;
        }
    }
    let (api_version, kind) = if metadata_only {
        ("meta.k8s.io/v1".to_owned(), "PartialObjectMetadataList".to_owned())
    } else {
        (route.kind.api_version(), format!("{}List", route.kind.kind))
    };
    Ok((StatusCode::OK, json!({ "kind": kind, "apiVersion": api_version, "metadata": metadata, "items": items })))
}

/// In a list of a built-in kind the items do not repeat what they are.
fn item(kind: &Kind, object: &Value) -> Value {
    let mut object = object.clone();
    if let (false, Some(object)) = (kind.custom, object.as_object_mut()) {
        object.shift_remove("apiVersion");
        object.shift_remove("kind");
    }
    object
}

fn partial(object: &Value) -> Value {
    json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"] })
}

pub fn render(code: StatusCode, body: &Value) -> Response<Vec<u8>> {
    respond(code, "application/json", body.to_string().into_bytes())
}

fn text(body: &str) -> Response<Vec<u8>> {
    respond(StatusCode::OK, "text/plain", body.as_bytes().to_vec())
}

fn respond(code: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response<Vec<u8>> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}
