//! Between the contract's types, which are text, and the host's, which are safe in a URL.

use serde_json::Value;

use crate::cluster::names::{ApiResource, NameError, Namespace, ObjectName, ObjectRef, Subresource, Uid};
use crate::cluster::{LogOptions, PatchDocument, Propagation, Selection};
use crate::plugins::bindings::falco_response::plugin::{cluster as wit, types};
use crate::plugins::text::one_line;
use crate::safety::{CallError, Reason};

/// The most that one answer hands to the guest.
const ANSWER_LIMIT: usize = 4 << 20;

/// The most that one call brings. etcd keeps no object of more than 1.5 MiB, and read into memory a document takes many
/// times its length: without a limit an action could fill the controller's memory from within its own.
const DOCUMENT_LIMIT: usize = 1 << 20;

/// Of one selector; the API server takes no URI of more than a few KiB.
const SELECTOR_LIMIT: usize = 4 << 10;

/// Of a call to the cluster: commands have an interface of their own.
pub(super) fn resource(resource: &types::ApiResource) -> Result<ApiResource, NameError> {
    let parsed = ApiResource::parse(&resource.group, &resource.version, &resource.plural)?;
    if parsed.subresource() == Some(Subresource::Exec) {
        let rule = "one of eviction, log, scale, status: commands are run with `exec`";
        return Err(NameError::Invalid { kind: "subresource", text: "exec".to_owned(), rule });
    }
    Ok(parsed)
}

pub(super) fn namespace(namespace: Option<&str>) -> Result<Option<Namespace>, NameError> {
    namespace.map(Namespace::parse).transpose()
}

pub(super) fn object(object: &types::ObjectRef) -> Result<ObjectRef, NameError> {
    Ok(ObjectRef {
        resource: resource(&object.resource)?,
        namespace: namespace(object.namespace.as_deref())?,
        name: ObjectName::parse(&object.name)?,
        uid: object.uid.as_deref().map(Uid::parse).transpose()?,
    })
}

pub(super) fn selection(selection: wit::Selection) -> Result<Selection, NameError> {
    let bounded = |kind, text: Option<String>| match text {
        Some(text) if text.len() > SELECTOR_LIMIT => Err(NameError::TooLong { kind, limit: SELECTOR_LIMIT }),
        text => Ok(text),
    };
    Ok(Selection {
        namespace: namespace(selection.namespace.as_deref())?,
        labels: bounded("label selector", selection.labels)?,
        fields: bounded("field selector", selection.fields)?,
        limit: selection.limit,
        metadata_only: selection.metadata_only,
    })
}

pub(super) fn log_options(options: &wit::LogOptions) -> Result<LogOptions, NameError> {
    Ok(LogOptions {
        container: options.container.as_deref().map(ObjectName::parse).transpose()?,
        previous: options.previous,
        tail_lines: options.tail_lines,
    })
}

pub(super) fn propagation(propagation: wit::Propagation) -> Propagation {
    match propagation {
        wit::Propagation::Background => Propagation::Background,
        wit::Propagation::Foreground => Propagation::Foreground,
        wit::Propagation::Orphan => Propagation::Orphan,
    }
}

/// # Errors
/// Why it is none.
pub(super) fn patch_document(document: &wit::PatchDocument) -> Result<PatchDocument, String> {
    Ok(match document {
        wit::PatchDocument::Merge(text) => PatchDocument::Merge(json(text)?),
        wit::PatchDocument::Operations(text) => PatchDocument::Operations(json(text)?),
        wit::PatchDocument::Strategic(text) => PatchDocument::Strategic(json(text)?),
    })
}

/// A document that the action wrote. Of a key that stands twice the last one counts, here and for everybody after.
///
/// # Errors
/// Why it is none.
pub(super) fn json(text: &str) -> Result<Value, String> {
    if text.len() > DOCUMENT_LIMIT {
        return Err(format!("the document has {} bytes, and {DOCUMENT_LIMIT} are allowed", text.len()));
    }
    serde_json::from_str(text)
        .map_err(|error| format!("the document is not sound JSON: {}", one_line(&error.to_string(), 200)))
}

/// A document for the action.
pub(super) fn document(value: &Value) -> Result<String, CallError> {
    bounded(value.to_string())
}

pub(super) fn documents(values: &[Value]) -> Result<Vec<String>, CallError> {
    let mut room = ANSWER_LIMIT;
    let mut texts = Vec::with_capacity(values.len());
    for value in values {
        let text = value.to_string();
        room = room.checked_sub(text.len()).ok_or_else(too_large)?;
        texts.push(text);
    }
    Ok(texts)
}

pub(super) fn bounded(text: String) -> Result<String, CallError> {
    if text.len() > ANSWER_LIMIT { Err(too_large()) } else { Ok(text) }
}

fn too_large() -> CallError {
    CallError {
        reason: Reason::TooLarge,
        message: "the answer is larger than the 4 MiB that an action is handed at once: ask for less".to_owned(),
    }
}

pub(super) fn to_guest(object: &ObjectRef) -> types::ObjectRef {
    types::ObjectRef {
        resource: types::ApiResource {
            group: object.resource.group().to_owned(),
            version: object.resource.version().to_owned(),
            plural: object.resource.rbac_name(),
        },
        namespace: object.namespace.as_ref().map(|namespace| namespace.as_str().to_owned()),
        name: object.name.as_str().to_owned(),
        uid: object.uid.as_ref().map(|uid| uid.as_str().to_owned()),
    }
}

pub(super) fn error(error: CallError) -> wit::Error {
    let reason = match error.reason {
        Reason::Denied => wit::Reason::Denied,
        Reason::NotFound => wit::Reason::NotFound,
        Reason::AlreadyExists => wit::Reason::AlreadyExists,
        Reason::Conflict => wit::Reason::Conflict,
        Reason::Invalid => wit::Reason::Invalid,
        Reason::Blocked => wit::Reason::Blocked,
        Reason::TooLarge => wit::Reason::TooLarge,
        Reason::Unavailable => wit::Reason::Unavailable,
        Reason::Other => wit::Reason::Other,
    };
    wit::Error { reason, message: error.message }
}
