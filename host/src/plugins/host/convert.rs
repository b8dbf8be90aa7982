//! Between the contract's types, which are text, and the host's, which are safe in a URL.

use serde_json::Value;

use crate::cluster::names::{ApiResource, NameError, Namespace, ObjectName, ObjectRef, Uid};
use crate::cluster::{LogOptions, PatchDocument, Propagation, Selection};
use crate::plugins::bindings::falco_response::plugin::{cluster as wit, types};
use crate::plugins::text::one_line;
use crate::safety::{CallError, Reason};

/// The most that one answer hands to the guest.
const ANSWER_LIMIT: usize = 4 << 20;

pub(super) fn resource(resource: &types::ApiResource) -> Result<ApiResource, NameError> {
    ApiResource::parse(&resource.group, &resource.version, &resource.plural)
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
    Ok(Selection {
        namespace: namespace(selection.namespace.as_deref())?,
        labels: selection.labels,
        fields: selection.fields,
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

pub(super) fn patch_document(document: &wit::PatchDocument) -> Result<PatchDocument, CallError> {
    Ok(match document {
        wit::PatchDocument::Merge(text) => PatchDocument::Merge(json("patch", text)?),
        wit::PatchDocument::Operations(text) => PatchDocument::Operations(json("patch", text)?),
        wit::PatchDocument::Strategic(text) => PatchDocument::Strategic(json("patch", text)?),
    })
}

/// A document that the action wrote.
pub(super) fn json(what: &str, text: &str) -> Result<Value, CallError> {
    serde_json::from_str(text).map_err(|error| CallError {
        reason: Reason::Invalid,
        message: format!("the {what} is not sound JSON: {}", one_line(&error.to_string(), 200)),
    })
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
