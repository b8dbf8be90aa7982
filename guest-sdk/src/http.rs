//! Servers outside of the cluster, as far as the operator granted them.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

pub use crate::bindings::falco_response::plugin::http::{Request as HttpRequest, Response as HttpResponse};
use crate::json::Value;
use crate::{Backend, ClusterError};

/// Requests to servers outside of the cluster. It comes from [`Host::http`](crate::Host::http).
///
/// The manifest declares the methods ([`Manifest::http`](crate::Manifest::http)), and the operator grants the URLs, and with
/// them the credentials: the action never sees those, and cannot set `Authorization`, `Cookie`, `Host` and the like. Each
/// request is sent once, nothing is followed, and any status is an answer. In a dry run nothing is sent, and the answer is
/// 200 without headers or body.
///
/// ```no_run
/// # use falco_response_sdk::prelude::*;
/// # fn f(request: &Request, host: &Host) -> Result<Outcome, Failure> {
/// let answer = host.http().post_json("https://hooks.example.com/falco", &request.alert()?)?;
/// match answer.status {
///     200..300 => Ok(Outcome::acted("told the hook")),
///     status => Err(Failure::new(["the hook answered ", &status.to_string()].concat())),
/// }
/// # }
/// ```
pub struct Http<'a> {
    backend: &'a Backend,
}

impl<'a> Http<'a> {
    pub(crate) fn new(backend: &'a Backend) -> Self {
        Self { backend }
    }

    /// Sends one request.
    ///
    /// ```no_run
    /// # use falco_response_sdk::{HttpRequest, prelude::*};
    /// # fn f(host: &Host) -> Result<(), Failure> {
    /// let answer = host.http().send(&HttpRequest::new("DELETE", "https://fw.example.com/peers/7").header("X-Case", "12"))?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Reason::Denied`](crate::Reason::Denied) for what is not declared, not granted, or no request that may be sent;
    /// [`Reason::Unavailable`](crate::Reason::Unavailable) where there was no connection or no answer;
    /// [`Reason::TooLarge`](crate::Reason::TooLarge) where the answer is more than is handed over.
    pub fn send(&self, request: &HttpRequest) -> Result<HttpResponse, ClusterError> {
        self.backend.send(request)
    }

    /// Posts a JSON document.
    ///
    /// ```no_run
    /// # use falco_response_sdk::prelude::*;
    /// # fn f(host: &Host) -> Result<(), Failure> {
    /// host.http().post_json("https://chat.example.com/hook", &object([("text", "a shell in a container".into())]))?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn post_json(&self, url: &str, document: &Value) -> Result<HttpResponse, ClusterError> {
        let request = HttpRequest::new("POST", url).header("Content-Type", "application/json");
        self.send(&request.body(document.to_string().into_bytes()))
    }
}

impl HttpRequest {
    /// Without headers or body. `method` is `GET`, `POST`, `PUT`, `PATCH` or `DELETE`.
    ///
    /// ```
    /// # use falco_response_sdk::HttpRequest;
    /// let request = HttpRequest::new("GET", "https://status.example.com/");
    /// assert_eq!(request.body, None);
    /// ```
    pub fn new(method: &str, url: &str) -> Self {
        Self { method: method.to_owned(), url: url.to_owned(), headers: vec![], body: None }
    }

    /// With a further header.
    ///
    /// ```
    /// # use falco_response_sdk::HttpRequest;
    /// let request = HttpRequest::new("GET", "https://status.example.com/").header("Accept", "text/plain");
    /// ```
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a body.
    ///
    /// ```
    /// # use falco_response_sdk::HttpRequest;
    /// let request = HttpRequest::new("PUT", "https://status.example.com/").body(*b"red");
    /// ```
    #[must_use]
    pub fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: Some(body.into()), ..self }
    }
}

impl HttpResponse {
    /// The body; what is not UTF-8 in it is replaced.
    ///
    /// ```
    /// # use falco_response_sdk::HttpResponse;
    /// let answer = HttpResponse { status: 200, headers: vec![], body: b"ok".to_vec() };
    /// assert_eq!(answer.text(), "ok");
    /// ```
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
