//! A cluster in memory that speaks the Kubernetes REST API, for the demo, the harness and tests.
//!
//! It stands where a connection would, below the kube client, so that the code above is the code of production. It
//! decides as the API server does where the controller can tell the difference: preconditions, dry runs, ownership of
//! fields, grace periods, disruption budgets. No controllers run: nothing is re-created, no dependents are collected,
//! whatever a delete's propagation policy says. Nobody is authenticated and everything is allowed; what is answered to
//! the question what the controller may do, `access` says.

mod access;
mod apply;
mod delete;
mod exec;
mod http;
mod kinds;
mod load;
mod logs;
mod patch;
mod schema;
mod selectors;
mod status;
mod store;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use ::http::{Method, Request, Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use kube::client::Body;
use serde_json::{Value, json};

pub use load::{LoadError, Source};
use status::Failure;
use store::Store;

use super::names::{Namespace, ObjectRef};
use crate::ambient::Ambient;

#[derive(Clone)]
pub struct Simulation(Arc<Inner>);

struct Inner {
    ambient: Ambient,
    state: Mutex<State>,
}

struct State {
    store: Store,
    seen: Vec<Seen>,
    faults: Vec<Waiting>,
}

/// A request as it arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    pub method: Method,
    pub path_and_query: String,
    /// Null where there was none, or none that is JSON.
    pub body: Value,
    pub user_agent: String,
}

/// A fault that has not met all its requests.
struct Waiting {
    fault: Fault,
    /// Whether it is for that path alone, and not for what is below.
    whole: bool,
}

/// What goes wrong with the next `times` requests of that method below that path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub method: Method,
    pub path_prefix: String,
    pub times: u32,
    pub kind: FaultKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// Nothing is done; the answer is a `Status` with that code.
    Refuse(StatusCode),
    /// It is done, and the connection breaks before the answer.
    LoseAnswer,
    /// Nothing is done and nothing is ever said.
    Hang,
}

impl Simulation {
    /// Every `*.yaml` of the directory; documents are separated by `---`.
    ///
    /// # Errors
    /// What cannot be read or is no object of a known kind, with file and line.
    pub fn load(dir: &Path, ambient: &Ambient) -> Result<Self, LoadError> {
        Ok(Self::new(load::directory(dir, ambient.now())?, ambient))
    }

    /// As [`Self::load`], of one text.
    ///
    /// # Errors
    /// As [`Self::load`]; the file is called `manifests.yaml`.
    pub fn from_yaml(text: &str, ambient: &Ambient) -> Result<Self, LoadError> {
        Ok(Self::new(load::text(text, ambient.now())?, ambient))
    }

    /// As [`Self::load`], of manifests from several places.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn gather(sources: &[Source<'_>], ambient: &Ambient) -> Result<Self, LoadError> {
        Ok(Self::new(load::sources(sources, ambient.now())?, ambient))
    }

    fn new(store: Store, ambient: &Ambient) -> Self {
        let state = Mutex::new(State { store, seen: Vec::new(), faults: Vec::new() });
        Self(Arc::new(Inner { ambient: ambient.clone(), state }))
    }

    /// The object at a URL path, `/api/v1/namespaces/production/pods/x`, as it is now.
    pub fn object(&self, path: &str) -> Option<Value> {
        let mut state = self.state();
        state.store.sweep(self.0.ambient.now());
        let route = http::Route::parse(&state.store.kinds, path).ok()?;
        state.store.get(&route.key()?).cloned()
    }

    pub fn objects(&self) -> Vec<Value> {
        let mut state = self.state();
        state.store.sweep(self.0.ambient.now());
        state.store.iter().map(|(_, object)| object.clone()).collect()
    }

    /// Every object by what it is called in a call: `networkpolicies.networking.k8s.io production/x`.
    pub fn snapshot(&self) -> BTreeMap<String, Value> {
        let mut state = self.state();
        state.store.sweep(self.0.ambient.now());
        state.store.iter().map(|(key, object)| (key.qualified(), object.clone())).collect()
    }

    /// Takes away what will have served its grace period by then.
    pub fn pass_time(&self, time: SignedDuration) {
        let then = self.0.ambient.now().saturating_add(time).unwrap_or(Timestamp::MAX);
        self.state().store.sweep(then);
    }

    /// The URL path of what a call names: `pods production/x`, `pods in production`, `nodes y`, `nodes`; none where no
    /// such resource is served.
    pub fn path_of(&self, named: &str) -> Option<String> {
        let mut words = named.split_whitespace();
        let (resource, place) = (words.next()?, words.collect::<Vec<_>>());
        let state = self.state();
        let kind = state.store.kinds.by_resource(resource)?;
        let root = match kind.group.as_str() {
            "" => format!("/api/{}", kind.version),
            group => format!("/apis/{group}/{}", kind.version),
        };
        let plural = &kind.plural;
        match place.as_slice() {
            [] => Some(format!("{root}/{plural}")),
            ["in", namespace] if kind.namespaced => Some(format!("{root}/namespaces/{namespace}/{plural}")),
            [name] if !kind.namespaced && !name.contains('/') => Some(format!("{root}/{plural}/{name}")),
            [both] if kind.namespaced => {
                let (namespace, name) = both.split_once('/')?;
                Some(format!("{root}/namespaces/{namespace}/{plural}/{name}"))
            }
            _ => None,
        }
    }

    /// Puts an object in place, whoever would have made it and whatever its status: complete as [`Self::load`] would
    /// complete it.
    ///
    /// # Errors
    /// It is no object of a known kind.
    #[cfg(test)]
    pub fn place(&self, object: Value) -> Result<(), String> {
        load::place(&mut self.state().store, object, self.0.ambient.now())
    }

    #[cfg(test)]
    pub fn empty(ambient: &Ambient) -> Self {
        Self::new(Store::new(kinds::Kinds::built_in()), ambient)
    }

    /// Nothing yet, and nobody is told of what becomes of it: what [`super::overlay`] rehearses on.
    pub(super) fn scratch(ambient: &Ambient) -> Self {
        Self::new(Store::quiet(kinds::Kinds::built_in()), ambient)
    }

    /// Puts an object of a namespace in place as another cluster returned it, and that namespace.
    pub(super) fn lay(&self, object: &ObjectRef, manifest: Value) -> Value {
        let mut state = self.state();
        let (resource, namespace) = (&object.resource, object.namespace.as_ref().map_or("", Namespace::as_str));
        let kind = kinds::Kind {
            group: resource.group().to_owned(),
            version: resource.version().to_owned(),
            kind: manifest["kind"].as_str().unwrap_or_default().to_owned(),
            plural: resource.plural().to_owned(),
            namespaced: object.namespace.is_some(),
            custom: true,
        };
        let key = store::Key::new(&kind, namespace, object.name.as_str());
        state.store.kinds.learn(kind);
        if state.store.namespace(namespace).is_none() {
            let place = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
            let (group, plural) = (String::new(), "namespaces".to_owned());
            let key = store::Key { group, plural, namespace: String::new(), name: namespace.to_owned() };
            state.store.put(&key, place);
        }
        state.store.put(&key, manifest)
    }

    /// Every request so far, those that met a fault included.
    pub fn requests(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    pub fn inject(&self, fault: Fault) {
        self.state().faults.push(Waiting { fault, whole: false });
    }

    /// As [`Self::inject`], for requests to that path alone: a list and not what is in it, a pod and not its log.
    pub fn inject_at(&self, fault: Fault) {
        self.state().faults.push(Waiting { fault, whole: true });
    }

    /// From now on nothing goes wrong any more.
    pub fn forget_faults(&self) {
        self.state().faults.clear();
    }

    /// # Errors
    /// The connection broke: an injected fault.
    pub async fn respond(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, std::io::Error> {
        let fault = self.note(&request);
        match fault {
            Some(FaultKind::Refuse(code)) => Ok(http::render(code, &Failure::injected(code).to_json())),
            Some(FaultKind::Hang) => std::future::pending().await,
            Some(FaultKind::LoseAnswer) => {
                let _ = self.carry_out(&request);
                Err(std::io::Error::new(std::io::ErrorKind::ConnectionReset, "injected fault: the answer is lost"))
            }
            None => Ok(self.carry_out(&request)),
        }
    }

    /// What a command comes to; none for what is no command, and for one that is answered with a no.
    async fn run(
        &self,
        request: &Request<Vec<u8>>,
    ) -> Result<Option<Result<exec::Prints, Response<Vec<u8>>>>, std::io::Error> {
        let Some(Ok(prints)) = http::exec(&mut self.state().store, &self.0.ambient, request) else { return Ok(None) };
        match self.note(request) {
            None => Ok(Some(Ok(prints))),
            Some(FaultKind::Hang) => std::future::pending().await,
            Some(FaultKind::Refuse(code)) => Ok(Some(Err(http::render(code, &Failure::injected(code).to_json())))),
            Some(FaultKind::LoseAnswer) => {
                Err(std::io::Error::new(std::io::ErrorKind::ConnectionReset, "injected fault: the answer is lost"))
            }
        }
    }

    /// Records the request and finds the fault that it meets.
    fn note(&self, request: &Request<Vec<u8>>) -> Option<FaultKind> {
        let user_agent = request.headers().get(::http::header::USER_AGENT).and_then(|value| value.to_str().ok());
        let seen = Seen {
            method: request.method().clone(),
            path_and_query: request.uri().path_and_query().map(ToString::to_string).unwrap_or_default(),
            body: serde_json::from_slice(request.body()).unwrap_or(Value::Null),
            user_agent: user_agent.unwrap_or_default().to_owned(),
        };
        let mut state = self.state();
        // A rehearsal has nobody who asks what was seen, and what it would hold is the action's to choose.
        if state.store.told() {
            state.seen.push(seen);
        }
        let path = request.uri().path();
        let found = state.faults.iter_mut().find(|Waiting { fault, whole }| {
            let there = if *whole { path == fault.path_prefix } else { path.starts_with(&fault.path_prefix) };
            there && fault.times > 0 && fault.method == *request.method()
        })?;
        found.fault.times -= 1;
        Some(found.fault.kind)
    }

    fn carry_out(&self, request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
        http::answer(&mut self.state().store, &self.0.ambient, request)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A change is one assignment: a panic elsewhere leaves no half of one behind.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl tower::Service<Request<Body>> for Simulation {
    type Response = Response<Body>;
    type Error = tower::BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let simulation = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect_bytes().await?.to_vec();
            let request = Request::from_parts(head, body);
            match simulation.run(&request).await? {
                None => {}
                Some(Ok(prints)) => return exec::connect(request, prints).await,
                Some(Err(refused)) => return Ok(refused.map(Body::from)),
            }
            let response = simulation.respond(request).await?;
            Ok(response.map(Body::from))
        })
    }
}
