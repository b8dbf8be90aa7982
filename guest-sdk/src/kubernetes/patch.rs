//! Merge patches of metadata.

use alloc::string::String;

use crate::json::{Value, object};

/// A merge patch that sets these labels and leaves the others. A value that is `None` removes the label.
///
/// By default an action may add labels to its target that the pod does not have yet, without a domain or below
/// `falco-response/`; on a pod that nothing controls only the latter. Others need a grant.
///
/// ```
/// # use falco_response_sdk::kubernetes::labels;
/// let patch = labels([("falco-response/suspect", "true")]);
/// assert_eq!(patch.to_string(), r#"{"metadata":{"labels":{"falco-response/suspect":"true"}}}"#);
/// let removed = labels([("falco-response/suspect", None::<&str>)]);
/// assert_eq!(removed.to_string(), r#"{"metadata":{"labels":{"falco-response/suspect":null}}}"#);
/// ```
pub fn labels<K: Into<String>, V: Into<Value>>(labels: impl IntoIterator<Item = (K, V)>) -> Value {
    metadata("labels", labels)
}

/// A merge patch that sets these annotations and leaves the others. A value that is `None` removes the annotation.
///
/// By default an action may add annotations to its target that the pod does not have yet, without a domain or below
/// `falco-response/`, and change the latter.
///
/// ```
/// # use falco_response_sdk::kubernetes::annotations;
/// let patch = annotations([("falco-response/rule", "a \"shell\"")]);
/// assert_eq!(patch.to_string(), r#"{"metadata":{"annotations":{"falco-response/rule":"a \"shell\""}}}"#);
/// ```
pub fn annotations<K: Into<String>, V: Into<Value>>(annotations: impl IntoIterator<Item = (K, V)>) -> Value {
    metadata("annotations", annotations)
}

fn metadata<K: Into<String>, V: Into<Value>>(kind: &str, members: impl IntoIterator<Item = (K, V)>) -> Value {
    let members = object(members.into_iter().map(|(key, value)| (key, value.into())));
    object([("metadata", object([(kind, members)]))])
}
