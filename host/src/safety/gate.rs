//! The one gate: every call of a plugin, reading or changing, passes here on its way to the cluster.
//!
//! The gate owns the only [`Writer`] there is, so nothing else can change the cluster. A change is asked, in this order:
//!
//! 1. the brake: a file named `stop`;
//! 2. the document is of its form and names the call's own object;
//! 3. the object has a namespace, and that namespace passes the same checks as a target's;
//! 4. it is no DaemonSet, and no subresource in disguise;
//! 5. the plugin declares and was granted it, down to the paths that are written;
//! 6. the object is the one that was cleared, or is read and cleared now; its UID is pinned;
//! 7. the intent is on disk, and neither the brake was pulled nor the time ran out meanwhile.
//!
//! Only then is it sent, dry or live; and its result is recorded, also when the plugin is stopped in between.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use super::checks::{self, Check, Refusal};
use super::clearance::{self, NotCleared};
use super::document::{self, Touched};
use super::permissions::{Call, Verb};
use super::policy::DAEMON_SET;
use super::run::{CallRecord, Effect, Run};
use super::{CallError, Reason, send};
use crate::ambient::Ambient;
use crate::cluster::names::{ApiResource, NameError, Namespace, ObjectName, ObjectRef, Subresource, Uid};
use crate::cluster::{ApiError, LogOptions, Mutation, PatchDocument, Propagation, Reader, Selection, Writer};

/// What marks an object as made by us, and the only mark under which an apply may touch one that is there already.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "falco-response-controller");

/// What a plugin asks to change, already parsed into safe names, not yet checked or pinned.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    Create { resource: ApiResource, namespace: Option<Namespace>, manifest: Value },
    Apply { object: ObjectRef, manifest: Value, force: bool },
    Patch { object: ObjectRef, document: PatchDocument },
    Delete { object: ObjectRef, grace_period_seconds: Option<u32>, propagation: Option<Propagation> },
    Evict { pod: ObjectRef, grace_period_seconds: Option<u32> },
}

#[derive(Clone)]
pub struct Gate {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub reader: Reader,
    pub writer: Writer,
    pub ambient: Ambient,
    stop_file: Option<PathBuf>,
}

impl Inner {
    pub(super) fn stopped(&self) -> bool {
        // A file that cannot be looked at may be there.
        self.stop_file.as_ref().is_some_and(|file| file.try_exists().unwrap_or(true))
    }
}

/// What a refusal by the brake says.
pub(super) const STOPPED: &str =
    "a file named `stop` lies beside the configuration: nothing live is sent while it does";

/// A change that passed every check, with what is needed to send it and to judge the answer.
pub(super) struct Planned {
    pub mutation: Mutation,
    pub uid: Option<Uid>,
    pub path: String,
    /// The object before, where it was read: an apply or patch that changes nothing is told apart by it.
    pub before: Option<Value>,
    pub touched: Option<Touched>,
}

/// Why a change was not sent.
enum Stop {
    Refused(Refusal),
    Api(ApiError),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<NotCleared> for Stop {
    fn from(not_cleared: NotCleared) -> Self {
        match not_cleared {
            NotCleared::Refused(refusal) => Self::Refused(refusal),
            NotCleared::NoAnswer(error) => Self::Api(error),
        }
    }
}

impl Gate {
    /// Takes the writer for good. `stop_file`: while it exists, nothing live is sent.
    pub fn new(reader: Reader, writer: Writer, ambient: Ambient, stop_file: Option<PathBuf>) -> Self {
        Self { inner: Arc::new(Inner { reader, writer, ambient, stop_file }) }
    }

    pub fn reader(&self) -> &Reader {
        &self.inner.reader
    }

    /// Whether the brake is on.
    pub fn stopped(&self) -> bool {
        self.inner.stopped()
    }

    /// # Errors
    /// Not permitted, not found, another object of that name, or no answer.
    pub async fn get(&self, run: &Run, object: &ObjectRef) -> Result<Value, CallError> {
        let record = record("get", &object.resource, object.namespace.as_ref(), Some(&object.name), false, run);
        permit_read(run, Verb::Get, &object.resource, object.namespace.as_ref(), Some(&object.name), true)
            .map_err(|refusal| deny(run, &record, refusal))?;
        let found = self.inner.reader.get(object).await.map_err(|error| fail(run, &record, &error))?;
        still_the_one(run, object, &found).map_err(|refusal| deny(run, &record, refusal))?;
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
        permit_read(run, Verb::List, resource, namespace, None, selection.metadata_only)
            .map_err(|refusal| deny(run, &record, refusal))?;
        let found = self.inner.reader.list(resource, selection).await.map_err(|error| fail(run, &record, &error))?;
        Ok(found.into_iter().map(for_plugin).collect())
    }

    /// # Errors
    /// Not permitted, not found, another pod of that name, or no answer.
    pub async fn logs(&self, run: &Run, pod: &ObjectRef, options: &LogOptions) -> Result<String, CallError> {
        let log = ApiResource::pods().with_subresource(Subresource::Log);
        let record = record("logs", &log, pod.namespace.as_ref(), Some(&pod.name), false, run);
        permit_read(run, Verb::Get, &log, pod.namespace.as_ref(), Some(&pod.name), false)
            .map_err(|refusal| deny(run, &record, refusal))?;
        let text = self.inner.reader.logs(pod, options).await.map_err(|error| fail(run, &record, &error))?;
        // A log has no UID of its own: whose it was is asked afterwards.
        let plain = ObjectRef { resource: ApiResource::pods(), ..pod.clone() };
        let found = self.inner.reader.get(&plain).await.map_err(|error| fail(run, &record, &error))?;
        still_the_one(run, &plain, &found).map_err(|refusal| deny(run, &record, refusal))?;
        Ok(text)
    }

    /// Checks, records the intent, sends, records the result. Answers with the object as the API server returned it,
    /// null where it returned none.
    ///
    /// # Errors
    /// Refused by a check or a permission, or by the API server, or no answer.
    pub async fn change(&self, run: &Arc<Run>, change: Change) -> Result<Value, CallError> {
        let record = match &change {
            Change::Create { resource, namespace, manifest } => {
                let name = manifest
                    .pointer("/metadata/name")
                    .and_then(Value::as_str)
                    .and_then(|name| ObjectName::parse(name).ok());
                record("create", resource, namespace.as_ref(), name.as_ref(), true, run)
            }
            Change::Apply { object, .. } => {
                record("apply", &object.resource, object.namespace.as_ref(), Some(&object.name), true, run)
            }
            Change::Patch { object, .. } => {
                record("patch", &object.resource, object.namespace.as_ref(), Some(&object.name), true, run)
            }
            Change::Delete { object, .. } => {
                record("delete", &object.resource, object.namespace.as_ref(), Some(&object.name), true, run)
            }
            Change::Evict { pod, .. } => {
                record("evict", &pod.resource, pod.namespace.as_ref(), Some(&pod.name), true, run)
            }
        };
        match self.plan(run, change).await {
            Ok(planned) => send::send(&self.inner, run, record, planned).await,
            Err(Stop::Refused(refusal)) => Err(deny(run, &record, refusal)),
            Err(Stop::Api(error)) => Err(fail(run, &record, &error)),
        }
    }

    /// Records that a plugin's call named something that is no valid name, and gives the error it gets.
    pub fn refuse_name(&self, run: &Run, function: &'static str, error: &NameError) -> CallError {
        let mut call = record(function, &ApiResource::core("unknown"), None, None, true, run);
        call.resource = "invalid name".to_owned();
        deny(run, &call, Refusal::new(Check::InvalidName, error.to_string()))
    }

    /// Steps 1 to 6.
    async fn plan(&self, run: &Run, change: Change) -> Result<Planned, Stop> {
        if !run.bounds.dry_run && self.stopped() {
            return Err(Refusal::new(Check::Stopped, STOPPED).into());
        }
        match change {
            Change::Create { resource, namespace, manifest } => plan_create(run, resource, namespace, manifest),
            Change::Apply { object, manifest, force } => self.plan_apply(run, object, manifest, force).await,
            Change::Patch { object, document } => {
                let touched = document::touched_by_patch(&document)?;
                let (uid, before) = self.pinned(run, &object, Verb::Patch, Some(&touched)).await?;
                let path = object.path();
                let mutation = Mutation::Patch { object, uid: uid.clone(), document };
                Ok(Planned { mutation, uid: Some(uid), path, before: Some(before), touched: Some(touched) })
            }
            Change::Delete { object, grace_period_seconds, propagation } => {
                no_subresource(&object.resource)?;
                let (uid, _) = self.pinned(run, &object, Verb::Delete, None).await?;
                let path = object.path();
                let mutation = Mutation::Delete { object, uid: uid.clone(), grace_period_seconds, propagation };
                Ok(Planned { mutation, uid: Some(uid), path, before: None, touched: None })
            }
            Change::Evict { pod, grace_period_seconds } => {
                if pod.resource != ApiResource::pods() {
                    return Err(
                        Refusal::new(Check::Document, format!("only pods are evicted, not {}", pod.resource)).into()
                    );
                }
                let eviction =
                    ObjectRef { resource: ApiResource::pods().with_subresource(Subresource::Eviction), ..pod.clone() };
                let (uid, _) = self.pinned(run, &eviction, Verb::Create, None).await?;
                let mutation = Mutation::Evict { pod, uid: uid.clone(), grace_period_seconds };
                Ok(Planned { mutation, uid: Some(uid), path: eviction.path(), before: None, touched: None })
            }
        }
    }

    /// An apply on the target never creates; one on an object that is not ours is a conflict, also where the API
    /// server would see none because nobody owns the fields.
    async fn plan_apply(
        &self,
        run: &Run,
        object: ObjectRef,
        mut manifest: Value,
        force: bool,
    ) -> Result<Planned, Stop> {
        no_subresource(&object.resource)?;
        let touched =
            document::touched_by_manifest(&manifest, &object.resource, object.namespace.as_ref(), Some(&object.name))?;
        let namespace = permitted_namespace(run, &object.resource, object.namespace.as_ref())?;
        let reach = run.reach(&object.resource, object.namespace.as_ref(), Some(&object.name));
        let permit = |verb: Verb, current: &Value| {
            let (manifest, touched) = (Some(&manifest), Some(&touched));
            let call = Call {
                verb,
                resource: &object.resource,
                name: Some(&object.name),
                reach,
                metadata_only: false,
                touched,
                manifest,
                current,
                force,
            };
            run.bounds.permissions.permit(&run.identity.action, &call)
        };
        permit(Verb::Patch, &Value::Null)?;
        let before = match self.inner.reader.get(&ObjectRef { uid: None, ..object.clone() }).await {
            Ok(before) => Some(before),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(Stop::Api(error)),
        };
        let uid = match &before {
            None if reach.is_target || object.uid.is_some() => {
                return Err(Refusal::new(
                    Check::Conflict,
                    format!("{object} is gone, and an apply does not bring it back"),
                )
                .into());
            }
            None => {
                permit(Verb::Create, &Value::Null)?;
                None
            }
            Some(before) => {
                permit(Verb::Patch, before)?;
                let uid = clearance::uid_of(before)?;
                same_uid(&object, &uid, run, reach.is_target)?;
                if !reach.is_target && !is_ours(before) {
                    let detail = format!(
                        "{object} is there already and is not ours (no label {}={})",
                        MANAGED_BY.0, MANAGED_BY.1
                    );
                    return Err(Refusal::new(Check::Conflict, detail).into());
                }
                if !judged_by_namespace_alone(&object.resource) && !reach.is_target {
                    clearance::clear_other(&object, &namespace, before, &self.inner.reader, &run.bounds.policy).await?;
                }
                Some(uid)
            }
        };
        complete_metadata(&mut manifest, &object.name, object.namespace.as_ref());
        let path = object.path();
        Ok(Planned {
            mutation: Mutation::Apply { object, uid: uid.clone(), manifest, force },
            uid,
            path,
            before,
            touched: Some(touched),
        })
    }

    /// For a change to an object that is there: asks everything, and answers with its UID and the object as it is.
    async fn pinned(
        &self,
        run: &Run,
        object: &ObjectRef,
        verb: Verb,
        touched: Option<&Touched>,
    ) -> Result<(Uid, Value), Stop> {
        let namespace = permitted_namespace(run, &object.resource, object.namespace.as_ref())?;
        let reach = run.reach(&object.resource, object.namespace.as_ref(), Some(&object.name));
        let permit = |current: &Value| {
            let call = Call {
                verb,
                resource: &object.resource,
                name: Some(&object.name),
                reach,
                metadata_only: false,
                touched,
                manifest: None,
                current,
                force: false,
            };
            run.bounds.permissions.permit(&run.identity.action, &call)
        };
        if let Some(target) = run.target().filter(|_| reach.is_target)
            && let Some(uid) = &target.object.uid
        {
            permit(&target.manifest)?;
            same_uid(object, uid, run, true)?;
            return Ok((uid.clone(), target.manifest.clone()));
        }
        permit(&Value::Null)?;
        let plain = ObjectRef { resource: without_subresource(&object.resource), uid: None, ..object.clone() };
        let found = self.inner.reader.get(&plain).await.map_err(Stop::Api)?;
        permit(&found)?;
        let uid = if judged_by_namespace_alone(&plain.resource) {
            clearance::uid_of(&found)?
        } else {
            clearance::clear_other(&plain, &namespace, &found, &self.inner.reader, &run.bounds.policy).await?
        };
        same_uid(object, &uid, run, false)?;
        Ok((uid, found))
    }
}

fn plan_create(
    run: &Run,
    resource: ApiResource,
    namespace: Option<Namespace>,
    mut manifest: Value,
) -> Result<Planned, Stop> {
    no_subresource(&resource)?;
    let invalid = |error: NameError| Refusal::new(Check::InvalidName, error.to_string());
    let name =
        ObjectName::parse(manifest.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("")).map_err(invalid)?;
    let touched = document::touched_by_manifest(&manifest, &resource, namespace.as_ref(), Some(&name))?;
    permitted_namespace(run, &resource, namespace.as_ref())?;
    let reach = run.reach(&resource, namespace.as_ref(), Some(&name));
    let call = Call {
        verb: Verb::Create,
        resource: &resource,
        name: Some(&name),
        reach,
        metadata_only: false,
        touched: Some(&touched),
        manifest: Some(&manifest),
        current: &Value::Null,
        force: false,
    };
    run.bounds.permissions.permit(&run.identity.action, &call)?;
    complete_metadata(&mut manifest, &name, namespace.as_ref());
    let path = crate::cluster::names::collection_path(&resource, namespace.as_ref());
    Ok(Planned {
        mutation: Mutation::Create { resource, namespace, name, manifest },
        uid: None,
        path,
        before: None,
        touched: Some(touched),
    })
}

/// Steps 3 and 4: the namespace that is written to, which must be one that a target may be in.
fn permitted_namespace(run: &Run, resource: &ApiResource, namespace: Option<&Namespace>) -> Result<Namespace, Refusal> {
    let Some(namespace) = namespace else {
        let detail =
            format!("{resource} without a namespace: no list of namespaces covers it, and its effects reach every one");
        return Err(Refusal::new(Check::ClusterScoped, detail));
    };
    checks::namespace(namespace, &run.bounds.policy, &run.bounds.rule)?;
    if resource.is("apps", "daemonsets") {
        checks::owner_not_protected(DAEMON_SET, DAEMON_SET, &run.bounds.policy)?;
    }
    Ok(namespace.clone())
}

fn no_subresource(resource: &ApiResource) -> Result<(), Refusal> {
    match resource.subresource() {
        Some(_) => {
            Err(Refusal::new(Check::Document, format!("{resource} is a subresource, which this call does not write")))
        }
        None => Ok(()),
    }
}

fn without_subresource(resource: &ApiResource) -> ApiResource {
    ApiResource::parse(resource.group(), resource.version(), resource.plural())
        .expect("parts of a parsed resource parse again")
}

/// What a NetworkPolicy does, it does to its whole namespace; nobody's pod dies of it.
fn judged_by_namespace_alone(resource: &ApiResource) -> bool {
    resource.is("networking.k8s.io", "networkpolicies")
}

fn is_ours(object: &Value) -> bool {
    object.pointer("/metadata/labels").and_then(|labels| labels.get(MANAGED_BY.0)).and_then(Value::as_str)
        == Some(MANAGED_BY.1)
}

/// The UID that the plugin names, where it names one, is the one that will be pinned.
fn same_uid(object: &ObjectRef, uid: &Uid, run: &Run, is_target: bool) -> Result<(), Refusal> {
    let cleared = run.target().filter(|_| is_target).and_then(|target| target.object.uid.as_ref());
    if object.uid.as_ref().is_some_and(|own| own != uid) || cleared.is_some_and(|cleared| cleared != uid) {
        return Err(Refusal::new(Check::Conflict, format!("{object} has another UID than the one that was checked")));
    }
    Ok(())
}

/// What was read is what was asked for: the UID that the plugin names, or that of the target that was cleared.
fn still_the_one(run: &Run, object: &ObjectRef, found: &Value) -> Result<(), Refusal> {
    let is_target = run.reach(&object.resource, object.namespace.as_ref(), Some(&object.name)).is_target;
    let cleared = run.target().filter(|_| is_target).and_then(|target| target.object.uid.as_ref());
    let found = found.pointer("/metadata/uid").and_then(Value::as_str);
    if object.uid.as_ref().or(cleared).is_some_and(|expected| found != Some(expected.as_str())) {
        return Err(Refusal::new(Check::Conflict, format!("{object} has another UID now")));
    }
    Ok(())
}

/// Names and namespace come from the call; a manifest that named others was refused.
fn complete_metadata(manifest: &mut Value, name: &ObjectName, namespace: Option<&Namespace>) {
    if let Some(map) = manifest.as_object_mut() {
        let metadata = map.entry("metadata").or_insert_with(|| Value::Object(serde_json::Map::new()));
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.insert("name".to_owned(), name.as_str().into());
            if let Some(namespace) = namespace {
                metadata.insert("namespace".to_owned(), namespace.as_str().into());
            }
        }
    }
}

fn permit_read(
    run: &Run,
    verb: Verb,
    resource: &ApiResource,
    namespace: Option<&Namespace>,
    name: Option<&ObjectName>,
    metadata_only: bool,
) -> Result<(), Refusal> {
    let reach = run.reach(resource, namespace, name);
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

fn record(
    verb: &'static str,
    resource: &ApiResource,
    namespace: Option<&Namespace>,
    name: Option<&ObjectName>,
    mutating: bool,
    run: &Run,
) -> CallRecord {
    CallRecord {
        verb,
        resource: resource.to_string(),
        namespace: namespace.cloned(),
        name: name.cloned(),
        uid: None,
        is_target: run.reach(resource, namespace, name).is_target,
        mutating,
        effect: Effect::Unchanged,
        detail: String::new(),
        sent_at: None,
        accepted_at: None,
        attempts: 0,
    }
}

/// Puts a refused call on record.
pub(super) fn deny(run: &Run, record: &CallRecord, refusal: Refusal) -> CallError {
    let conflict = refusal.check == Check::Conflict;
    let effect = if conflict { Effect::Conflict } else { Effect::Denied(Some(refusal.check)) };
    run.push(CallRecord { effect, detail: refusal.detail.clone(), ..record.clone() });
    CallError { reason: if conflict { Reason::Conflict } else { Reason::Denied }, message: refusal.detail }
}

/// Puts a failed read, or a change that failed before it was sent, on record.
fn fail(run: &Run, record: &CallRecord, error: &ApiError) -> CallError {
    let gone = error.is_not_found() && (record.verb == "delete" || record.verb == "evict");
    let effect = match error {
        _ if gone => Effect::Gone,
        ApiError::Status { code: 403 | 401, .. } => Effect::Denied(None),
        // Nothing was sent yet: a change that was not sent because a read before it got no answer.
        error if error.is_transient() => {
            if record.mutating {
                Effect::NotSent
            } else {
                Effect::NoAnswer
            }
        }
        _ => Effect::Api,
    };
    run.push(CallRecord { effect, detail: error.to_string(), ..record.clone() });
    send::call_error(error)
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
