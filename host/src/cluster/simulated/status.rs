//! The API server's refusals, in its own words: clients and people recognise a cluster by them.

use http::StatusCode;
use serde_json::{Value, json};

use super::kinds::Kind;

/// A `Status` object that says no.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    pub code: StatusCode,
    reason: &'static str,
    message: String,
    details: Value,
}

impl Failure {
    /// Callers are tracked, so that a test can hold the table of behaviours to every place that refuses something.
    #[track_caller]
    fn new(code: StatusCode, reason: &'static str, message: String) -> Self {
        #[cfg(test)]
        super::tests::note(std::panic::Location::caller());
        Self { code, reason, message, details: json!({}) }
    }

    fn about(mut self, kind: &Kind, name: &str) -> Self {
        self.details = json!({ "name": name, "kind": kind.plural });
        if !kind.group.is_empty() {
            self.details["group"] = json!(kind.group);
        }
        self
    }

    fn because(mut self, reason: &str, message: &str, field: Option<&str>) -> Self {
        let mut cause = json!({ "reason": reason, "message": message });
        if let Some(field) = field {
            cause["field"] = json!(field);
        }
        self.details["causes"] = json!([cause]);
        self
    }

    #[track_caller]
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message.into())
    }

    /// A path that nothing is served at.
    #[track_caller]
    pub fn no_such_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", "the server could not find the requested resource".into())
    }

    #[track_caller]
    pub fn not_found(kind: &Kind, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", kind.resource());
        Self::new(StatusCode::NOT_FOUND, "NotFound", message).about(kind, name)
    }

    #[track_caller]
    pub fn namespace_not_found(name: &str) -> Self {
        let mut failure = Self::new(StatusCode::NOT_FOUND, "NotFound", format!("namespaces \"{name}\" not found"));
        failure.details = json!({ "name": name, "kind": "namespaces" });
        failure
    }

    #[track_caller]
    pub fn namespace_terminating(kind: &Kind, name: &str, namespace: &str) -> Self {
        let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
        let message = format!("{} \"{name}\" is forbidden: {why}", kind.resource());
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message).about(kind, name).because(
            "NamespaceTerminating",
            &format!("namespace {namespace} is being terminated"),
            Some("metadata.namespace"),
        )
    }

    #[track_caller]
    pub fn already_exists(kind: &Kind, name: &str, leaving: bool) -> Self {
        let leaving = if leaving { "object is being deleted: " } else { "" };
        let message = format!("{leaving}{} \"{name}\" already exists", kind.resource());
        Self::new(StatusCode::CONFLICT, "AlreadyExists", message).about(kind, name)
    }

    #[track_caller]
    pub fn conflict(kind: &Kind, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", kind.resource());
        Self::new(StatusCode::CONFLICT, "Conflict", message).about(kind, name)
    }

    /// Here the API server names the kind where it names the resource elsewhere.
    #[track_caller]
    pub fn precondition(kind: &Kind, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} \"{name}\": {why}", kind.qualified_kind());
        let mut failure = Self::new(StatusCode::CONFLICT, "Conflict", message).about(kind, name);
        failure.details["kind"] = json!(kind.kind);
        failure
    }

    /// Server-side apply met fields of another manager.
    #[track_caller]
    pub fn apply_conflict(message: String, causes: Value) -> Self {
        let mut failure = Self::new(StatusCode::CONFLICT, "Conflict", message);
        failure.details = json!({ "causes": causes });
        failure
    }

    #[track_caller]
    pub fn invalid(kind: &Kind, name: &str, field: &str, why: &str) -> Self {
        let message = format!("{} \"{name}\" is invalid: {field}: {why}", kind.qualified_kind());
        let mut failure = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message).about(kind, name);
        failure.details["kind"] = json!(kind.kind);
        failure.because("FieldValueInvalid", why, Some(field))
    }

    #[track_caller]
    pub fn invalid_options(options: &str, field: &str, why: &str) -> Self {
        let message = format!("{options}.meta.k8s.io \"\" is invalid: {field}: {why}");
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message)
    }

    /// A SelfSubjectAccessReview that asks nothing, or two things.
    #[track_caller]
    pub fn invalid_review() -> Self {
        let message = "SelfSubjectAccessReview.authorization.k8s.io \"\" is invalid: spec.resourceAttributes: Invalid \
                       value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message.to_owned())
    }

    /// A JSON patch that does not fit, a failed `test` included; a real one does not say why either.
    #[track_caller]
    pub fn patch_does_not_fit() -> Self {
        let message = "the server rejected our request due to an error in our request".to_owned();
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message)
    }

    /// A patch after which the object is none of its kind.
    #[track_caller]
    pub fn bad_patch(why: &str) -> Self {
        let message = format!(" \"\" is invalid: patch: Invalid value: {why}");
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message)
    }

    #[track_caller]
    pub fn strict_patch(field: &str) -> Self {
        Self::bad_patch(&format!("strict decoding error: unknown field \"{field}\""))
    }

    #[track_caller]
    pub fn strict(kind: &Kind, field: &str) -> Self {
        Self::undecodable(kind, &format!("strict decoding error: unknown field \"{field}\""))
    }

    /// An apply whose document does not fit the schema: a 500, whatever the field validation, and no reason.
    #[track_caller]
    pub fn untyped(kind: &Kind, namespace: &str, name: &str, field: &str) -> Self {
        let message = format!(
            "failed to create typed patch object ({namespace}/{name}; {}, Kind={}): .{field}: field not declared in schema",
            kind.api_version(),
            kind.kind
        );
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "", message)
    }

    #[track_caller]
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource".to_owned();
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
    }

    #[track_caller]
    pub fn unsupported_media_type(kind: &Kind) -> Self {
        let message = if kind.custom {
            "the body of the request was in an unknown format - accepted media types include: \
             application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
        } else {
            "415: Unsupported Media Type"
        };
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message.to_owned())
    }

    #[track_caller]
    pub fn another_namespace() -> Self {
        Self::bad_request("the namespace of the provided object does not match the namespace sent on the request")
    }

    /// The store says so, not the API: hence a 500, and no reason.
    #[track_caller]
    pub fn version_on_create() -> Self {
        let message = "resourceVersion should not be set on objects to be created".to_owned();
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "", message)
    }

    /// Of a custom kind, which names the resource where others name the kind.
    #[track_caller]
    pub fn version_required(kind: &Kind, name: &str) -> Self {
        let field = "metadata.resourceVersion: Invalid value: 0: must be specified for an update";
        let message = format!("{} \"{name}\" is invalid: {field}", kind.resource());
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message).about(kind, name)
    }

    #[track_caller]
    pub fn undecodable(kind: &Kind, why: &str) -> Self {
        Self::bad_request(format!("{0} in version \"{1}\" cannot be handled as a {0}: {why}", kind.kind, kind.version))
    }

    #[track_caller]
    pub fn disruption_budget(budget: &str, desired: i64, current: i64) -> Self {
        let message = "Cannot evict pod as it would violate the pod's disruption budget.".to_owned();
        let why = format!("The disruption budget {budget} needs {desired} healthy pods and has {current} currently");
        Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message).because("DisruptionBudget", &why, None)
    }

    #[track_caller]
    pub fn several_disruption_budgets() -> Self {
        let message =
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "", message.to_owned())
    }

    /// What a cluster would do and the simulation does not.
    #[track_caller]
    pub fn not_simulated(what: &str) -> Self {
        let message = format!("the simulated cluster does not do this: {what}");
        Self::new(StatusCode::NOT_IMPLEMENTED, "NotImplemented", message)
    }

    /// A fault that a test injected.
    #[track_caller]
    pub fn injected(code: StatusCode) -> Self {
        let reason = match code.as_u16() {
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "NotFound",
            409 => "Conflict",
            429 => "TooManyRequests",
            500 => "InternalError",
            503 => "ServiceUnavailable",
            504 => "Timeout",
            _ => "",
        };
        Self::new(code, reason, format!("injected fault {}", code.as_u16()))
    }

    pub fn to_json(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "details": self.details, "code": self.code.as_u16(),
        });
        if self.reason.is_empty() {
            status.as_object_mut().map(|status| status.shift_remove("reason"));
        }
        status
    }
}

/// The answer to a delete of what is not handed back, and to an eviction.
pub fn success(code: StatusCode, details: Option<Value>) -> Value {
    let mut status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success" });
    match details {
        Some(details) => status["details"] = details,
        None => status["code"] = json!(code.as_u16()),
    }
    status
}
