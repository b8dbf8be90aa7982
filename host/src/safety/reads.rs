//! Reading through the gate: what a plugin may see, and what it sees of it.

use serde_json::Value;

use super::checks::{Check, Refusal};
use super::gate::{Gate, deny, fail, record};
use super::permissions::{Call, Reach, Verb};
use super::run::{CallRecord, Run};
use super::{CallError, clearance};
use crate::cluster::names::{ApiResource, ObjectName, ObjectRef, Subresource, Uid};
use crate::cluster::{LogOptions, Selection, uid_str};

impl Gate {
    /// # Errors
    /// Not permitted, not found, another object of that name, or no answer.
    pub async fn get(&self, run: &Run, object: &ObjectRef) -> Result<Value, CallError> {
        let record = record("get", &object.resource, object.namespace.as_ref(), Some(&object.name), false, run);
        let reach = run.reach(&object.resource, object.namespace.as_ref(), Some(&object.name));
        permit_read(run, Verb::Get, &object.resource, Some(&object.name), reach, true)
            .map_err(|refusal| deny(run, &record, refusal))?;
        let found = self.reader_of(run).get(object).await.map_err(|error| fail(run, &record, &error))?;
        still_the_one(run, object, &found).map_err(|refusal| deny(run, &record, refusal))?;
        // What an action found to be as it wants it is what it was about; that the target is, goes without saying.
        let uid = if record.is_target { None } else { clearance::uid_of(&found).ok().filter(|uid| !run.made_up(uid)) };
        run.push(CallRecord { uid, ..record });
        Ok(for_plugin(found))
    }

    /// # Errors
    /// Not permitted, too large, or no answer.
    pub async fn query(
        &self,
        run: &Run,
        resource: &ApiResource,
        selection: &Selection,
    ) -> Result<Vec<Value>, CallError> {
        let namespace = selection.namespace.as_ref();
        let record = record("list", resource, namespace, None, false, run);
        if resource.subresource().is_some() {
            // Its collection would be that of the objects themselves, which another permission is for.
            let refusal =
                Refusal::new(Check::Document, format!("{resource} is a subresource, and those are not listed"));
            return Err(deny(run, &record, refusal));
        }
        let mut reach = run.reach(resource, namespace, None);
        reach.is_node |= resource.is("", "pods") && is_of_node(selection, run);
        permit_read(run, Verb::List, resource, None, reach, selection.metadata_only)
            .map_err(|refusal| deny(run, &record, refusal))?;
        let found = self.reader_of(run).list(resource, selection).await.map_err(|error| fail(run, &record, &error))?;
        run.push(record);
        let seen = if selection.metadata_only { metadata_only } else { for_plugin };
        Ok(found.into_iter().map(seen).collect())
    }

    /// # Errors
    /// Not permitted, not found, another pod of that name, or no answer.
    pub async fn logs(&self, run: &Run, pod: &ObjectRef, options: &LogOptions) -> Result<String, CallError> {
        let log = ApiResource::pods().with_subresource(Subresource::Log);
        let record = record("logs", &log, pod.namespace.as_ref(), Some(&pod.name), false, run);
        let reach = run.reach(&log, pod.namespace.as_ref(), Some(&pod.name));
        permit_read(run, Verb::Get, &log, Some(&pod.name), reach, false)
            .map_err(|refusal| deny(run, &record, refusal))?;
        let text = self.reader_of(run).logs(pod, options).await.map_err(|error| fail(run, &record, &error))?;
        // A log has no UID of its own: whose it was is asked afterwards.
        let plain = ObjectRef { resource: ApiResource::pods(), ..pod.clone() };
        let found = self.reader_of(run).get(&plain).await.map_err(|error| fail(run, &record, &error))?;
        still_the_one(run, &plain, &found).map_err(|refusal| deny(run, &record, refusal))?;
        run.push(record);
        Ok(text)
    }
}

/// What was read is what was asked for: the UID that the plugin names, and that of the target or owner that was cleared.
fn still_the_one(run: &Run, object: &ObjectRef, found: &Value) -> Result<(), Refusal> {
    let found = uid_str(found);
    let another = |expected: &Uid| found != Some(expected.as_str());
    if object.uid.as_ref().is_some_and(another) || run.cleared_uid(object).is_some_and(another) {
        return Err(Refusal::new(Check::Conflict, format!("{object} has another UID now")));
    }
    Ok(())
}

/// Whether only what runs on the alert's node is selected. A backslash takes the meaning from the comma that follows it.
fn is_of_node(selection: &Selection, run: &Run) -> bool {
    let fields = selection.fields.as_deref().filter(|fields| !fields.contains('\\')).unwrap_or_default();
    let nodes = || fields.split(',').filter_map(|term| term.strip_prefix("spec.nodeName="));
    run.node().is_some_and(|own| nodes().any(|named| named == own))
}

fn permit_read(
    run: &Run,
    verb: Verb,
    resource: &ApiResource,
    name: Option<&ObjectName>,
    reach: Reach,
    metadata_only: bool,
) -> Result<(), Refusal> {
    let call = Call {
        verb,
        resource,
        name,
        reach,
        metadata_only,
        touched: None,
        manifest: None,
        current: &Value::Null,
        force: false,
    };
    run.bounds.permissions.permit(&run.identity.action, &call)
}

/// What a plugin sees of an object: without the bookkeeping, and without the values of environment variables, which
/// hold secrets more often than not.
pub fn for_plugin(mut object: Value) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
    }
    strip_environment(&mut object);
    object
}

/// What a list that was permitted for its metadata shows, whatever the API server, or what stands for it, answered.
fn metadata_only(object: Value) -> Value {
    let Value::Object(mut object) = for_plugin(object) else { return Value::Null };
    object.retain(|key, _| ["apiVersion", "kind", "metadata"].contains(&key.as_str()));
    Value::Object(object)
}

/// Documents come from a parser that bounds their depth.
fn strip_environment(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                if key == "env"
                    && let Some(variables) = value.as_array_mut()
                {
                    variables.iter_mut().filter_map(Value::as_object_mut).for_each(|variable| {
                        variable.remove("value");
                    });
                } else {
                    strip_environment(value);
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(strip_environment),
        _ => {}
    }
}
