//! The contract's functions, answered from memory: natively what `live` is in a component.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::store::merged;
use super::{Attachment, Call, Mock, Operation, State, error, priority};
use crate::json::Value;
use crate::{
    ApiResource, ClusterError, DeleteOptions, FalcoPriority, Level, LogOptions, ObjectRef, Owner, PatchDocument,
    Reason, Selection,
};

/// The controller's limits.
const LARGEST_ATTACHMENT: usize = 1 << 20;
const MOST_ATTACHMENTS: usize = 8;

impl Mock {
    pub(crate) fn id(&self) -> String {
        "01890000-0000-7000-8000-000000000000".to_owned()
    }

    pub(crate) fn attempt(&self) -> u32 {
        self.attempt
    }

    pub(crate) fn parameters(&self) -> String {
        self.parameters.clone()
    }

    pub(crate) fn reason(&self) -> String {
        self.reason.clone()
    }

    pub(crate) fn alert(&self) -> String {
        self.alert.to_string()
    }

    pub(crate) fn field(&self, name: &str) -> Option<String> {
        match self.alert.at(&["output_fields", name]) {
            Value::Null => None,
            Value::Text(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }

    pub(crate) fn rule(&self) -> String {
        self.text("rule")
    }

    pub(crate) fn priority(&self) -> FalcoPriority {
        priority(&self.text("priority"))
    }

    pub(crate) fn time(&self) -> String {
        self.text("time")
    }

    pub(crate) fn output(&self) -> String {
        self.text("output")
    }

    fn text(&self, key: &str) -> String {
        self.alert.at(&[key]).as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn target(&self) -> ObjectRef {
        self.target.clone().expect("the controller traps here, too: the alert has no target, use Mock::on")
    }

    pub(crate) fn target_manifest(&self) -> String {
        let target = self.target();
        self.state.borrow().store.get(&target).map(Value::to_string).unwrap_or_default()
    }

    pub(crate) fn owners(&self) -> Vec<Owner> {
        self.owners.clone()
    }

    /// Records a call, and lets it through to `answer` where it is declared and no test made it fail.
    pub(super) fn call<T>(
        &self,
        call: Call,
        answer: impl FnOnce(&mut State) -> Result<T, ClusterError>,
    ) -> Result<T, ClusterError> {
        let (permissions, exists) = {
            let state = &mut *self.state.borrow_mut();
            state.calls.push(call.clone());
            (state.permissions, state.store.get(&call.object).is_some())
        };
        self.allowed(permissions, call.operation, &call.object, exists)?;
        let state = &mut *self.state.borrow_mut();
        match state.failure(&call) {
            Some(failure) => Err(failure),
            None => answer(state),
        }
    }

    pub(crate) fn get(&self, object: &ObjectRef) -> Result<String, ClusterError> {
        self.call(Call::to(Operation::Get, object), |state| Ok(state.store.identified(object)?.to_string()))
    }

    pub(crate) fn query(&self, kind: &ApiResource, selection: &Selection) -> Result<Vec<String>, ClusterError> {
        let object = ObjectRef {
            resource: kind.clone(),
            namespace: selection.namespace.clone(),
            name: String::new(),
            uid: None,
        };
        self.call(Call::to(Operation::Query, &object), |state| {
            Ok(state.store.select(kind, selection).iter().map(Value::to_string).collect())
        })
    }

    pub(crate) fn create(
        &self,
        kind: &ApiResource,
        namespace: Option<&str>,
        manifest: &str,
    ) -> Result<String, ClusterError> {
        let manifest = read(manifest)?;
        let name = manifest.at(&["metadata", "name"]).as_str().unwrap_or_default().to_owned();
        let object = ObjectRef { resource: kind.clone(), namespace: namespace.map(ToOwned::to_owned), name, uid: None };
        self.call(Call { document: manifest.clone(), ..Call::to(Operation::Create, &object) }, |state| {
            if state.store.get(&object).is_some() {
                return Err(error(Reason::AlreadyExists, "an object of that name is there"));
            }
            let stored = state.store.put(&object, manifest);
            Ok(state.answer(Operation::Create, stored))
        })
    }

    /// Merges: who owns which field is not kept, so a conflict over fields is what [`Mock::failing`] makes. An object
    /// that is there and not marked as the controller's is a conflict, as it is in the controller.
    pub(crate) fn apply(&self, object: &ObjectRef, manifest: &str, force: bool) -> Result<String, ClusterError> {
        let manifest = read(manifest)?;
        self.call(Call { document: manifest.clone(), force, ..Call::to(Operation::Apply, object) }, |state| {
            let old = match state.store.get(object) {
                Some(_) => state.store.identified(object)?.clone(),
                None => Value::Null,
            };
            let marked = old.at(&["metadata", "labels", "app.kubernetes.io/managed-by"]).as_str();
            if !old.is_null() && marked != Some("falco-response-controller") {
                return Err(error(
                    Reason::Conflict,
                    [&super::describe(object), " is there already and is not the controller's"].concat(),
                ));
            }
            let stored = state.store.put(object, merged(old, &manifest));
            Ok(state.answer(Operation::Apply, stored))
        })
    }

    pub(crate) fn patch(&self, object: &ObjectRef, document: &PatchDocument) -> Result<String, ClusterError> {
        let change = read(&document.to_string())?;
        self.call(Call { document: change.clone(), ..Call::to(Operation::Patch, object) }, |state| {
            let old = state.store.identified(object)?.clone();
            let PatchDocument::Merge(_) = document else {
                // Recorded, with what the test wants for an answer; the mock cannot carry it out.
                return Ok(state.answer(Operation::Patch, old));
            };
            let stored = state.store.put(object, merged(old, &change));
            Ok(state.answer(Operation::Patch, stored))
        })
    }

    pub(crate) fn remove(&self, object: &ObjectRef, options: DeleteOptions) -> Result<(), ClusterError> {
        let grace_period_seconds = options.grace_period_seconds;
        self.call(Call { grace_period_seconds, ..Call::to(Operation::Delete, object) }, |state| state.take(object))
    }

    pub(crate) fn evict(&self, pod: &ObjectRef, grace_period_seconds: Option<u32>) -> Result<(), ClusterError> {
        self.call(Call { grace_period_seconds, ..Call::to(Operation::Evict, pod) }, |state| state.take(pod))
    }

    pub(crate) fn logs(&self, pod: &ObjectRef, options: &LogOptions) -> Result<String, ClusterError> {
        self.call(Call::to(Operation::Logs, pod), |state| {
            state.store.identified(pod)?;
            let mut of_pod = state
                .logs
                .iter()
                .filter(|(of, ..)| (&of.namespace, &of.name) == (&pod.namespace, &pod.name))
                .peekable();
            let some = of_pod.peek().is_some();
            let asked = |of: &Option<String>| of.is_none() || *of == options.container;
            let text = match of_pod.find(|(_, container, _)| asked(container)) {
                Some((_, _, text)) => text.as_str(),
                None if some => {
                    let container = options.container.as_deref().unwrap_or_default();
                    let message = ["container \"", container, "\" in pod \"", &pod.name, "\" is waiting to start"];
                    return Err(error(Reason::Invalid, message.concat()));
                }
                None => "",
            };
            let lines: Vec<&str> = text.split_inclusive('\n').collect();
            let first = options.tail_lines.map_or(0, |tail| lines.len().saturating_sub(tail as usize));
            Ok(lines[first..].concat())
        })
    }

    pub(crate) fn note(&self, key: &str, value: &str) {
        self.state.borrow_mut().notes.push((key.to_owned(), value.to_owned()));
    }

    pub(crate) fn attach(&self, name: &str, media_type: &str, content: &[u8]) -> Result<(), String> {
        let attachment =
            Attachment { name: name.to_owned(), media_type: media_type.to_owned(), content: content.to_owned() };
        let attachments = &mut self.state.borrow_mut().attachments;
        if content.len() > LARGEST_ATTACHMENT {
            return Err("an attachment may have 1 MiB".to_owned());
        }
        if attachments.len() >= MOST_ATTACHMENTS {
            return Err("an entry takes 8 attachments".to_owned());
        }
        if attachments.iter().any(|present| present.name == name) {
            return Err("there is an attachment of this name already".to_owned());
        }
        attachments.push(attachment);
        Ok(())
    }

    pub(crate) fn log(&self, level: Level, message: &str) {
        self.state.borrow_mut().lines.push((level, message.to_owned()));
    }
}

impl State {
    /// What a test made of this call, if anything; one that fails a number of times has one less from then on.
    fn failure(&mut self, call: &Call) -> Option<ClusterError> {
        let of_call = |object: &ObjectRef| {
            ObjectRef { uid: None, ..object.clone() } == ObjectRef { uid: None, ..call.object.clone() }
        };
        let failing = self.failures.iter_mut().find(|failing| {
            failing.operation == call.operation
                && failing.times != Some(0)
                && failing.object.as_ref().is_none_or(of_call)
        })?;
        failing.times = failing.times.map(|times| times - 1);
        Some(failing.error.clone())
    }

    fn answer(&self, operation: Operation, stored: Value) -> String {
        match self.answers.iter().find(|(of, _)| *of == operation) {
            Some((_, answer)) => answer.to_string(),
            None => stored.to_string(),
        }
    }

    fn take(&mut self, object: &ObjectRef) -> Result<(), ClusterError> {
        self.store.identified(object)?;
        self.store.remove(object);
        Ok(())
    }
}

impl Call {
    fn to(operation: Operation, object: &ObjectRef) -> Self {
        Self { operation, object: object.clone(), document: Value::Null, force: false, grace_period_seconds: None }
    }
}

fn read(document: &str) -> Result<Value, ClusterError> {
    Value::parse(document).map_err(|problem| error(Reason::Invalid, problem))
}
