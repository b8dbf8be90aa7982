//! Planning a change: the steps that are asked before it is recorded and sent. Their order stands in [`super::gate`].

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::Value;

use super::budget::Account;
use super::checks::{self, Check, Refusal};
use super::clearance::{self, NotCleared};
use super::dependents;
use super::document::{self, Touched};
use super::gate::{Change, Gate};
use super::isolation::{self, MANAGED_BY, Marks, Stamped};
use super::nodes;
use super::owners::Chain;
use super::permissions::{Call, Reach, Verb};
use super::policy::DAEMON_SET;
use super::run::{Purpose, Run};
use crate::cluster::names::{ApiResource, NameError, Namespace, ObjectName, ObjectRef, Subresource, Uid};
use crate::cluster::{ApiError, Mutation};

/// What any container may take to stop.
const LONGEST_GRACE: u32 = 3600;

/// A change that passed every check, with what is needed to send it and to judge the answer.
pub(super) struct Planned {
    pub mutation: Mutation,
    pub uid: Option<Uid>,
    pub path: String,
    /// The object before, where it was read and is needed: an apply or patch that changes nothing is told apart by it, and a
    /// rehearsal goes on from it.
    pub before: Option<Value>,
    pub touched: Option<Touched>,
    /// Of a NetworkPolicy that is made or applied, what the host wrote on it.
    pub stamped: Stamped,
    /// Whom it counts for by itself; none where it is one action with the rest of the run.
    pub counts_for: Option<Account>,
}

/// An object that is there, cleared for a change.
pub(super) struct Pinned<'a> {
    pub uid: Uid,
    /// As it is.
    pub object: Cow<'a, Value>,
    /// Whom it counts for what is done to it; none of what is one action with the rest of the run.
    pub account: Option<Account>,
}

/// Why a change was not sent.
pub(super) enum Stop {
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
    /// Steps 1 to 6.
    pub(super) async fn plan(&self, run: &Run, change: Change) -> Result<Planned, Stop> {
        #[cfg(any(test, feature = "faults"))]
        if crate::faults::is("gate_off") {
            return super::unguarded::as_asked(change).map_err(Stop::from);
        }
        self.not_braked(run)?;
        let Purpose::Answer(marks) = &run.bounds.purpose else {
            return Err(Refusal::new(Check::Permission, "a run that lifts does nothing else").into());
        };
        match change {
            Change::Create { resource, namespace, manifest } => {
                plan_create(run, resource, namespace, manifest, (marks, self.inner.ambient.now()))
            }
            Change::Apply { object, manifest, force } => self.plan_apply(run, object, manifest, force, marks).await,
            Change::Patch { object, document } => {
                let touched = document::touched_by_patch(&document)?;
                isolation::leaves_marks_alone(&object.resource, &touched)?;
                let Pinned { uid, object: before, account } =
                    self.pinned(run, &object, Verb::Patch, Some(&touched)).await?;
                let path = object.path();
                // What is done to the target is the action itself.
                let counts_for = account.filter(|_| !run.is_target(&object));
                let mutation = Mutation::Patch { object, uid: uid.clone(), document };
                let (before, touched) = (Some(before.into_owned()), Some(touched));
                Ok(Planned { mutation, uid: Some(uid), path, before, touched, stamped: Stamped::default(), counts_for })
            }
            Change::Delete { object, grace_period_seconds, propagation } => {
                no_subresource(&object.resource)?;
                soon_enough(grace_period_seconds)?;
                let Pinned { uid, object: before, account } = self.pinned(run, &object, Verb::Delete, None).await?;
                if !owns_nothing(&object.resource) {
                    let namespace = permitted_namespace(run, &object.resource, object.namespace.as_ref())?;
                    let (reader, policy) = (self.reader_of(run), &run.bounds.policy);
                    dependents::no_daemon_set_goes_along(&object, &uid, &namespace, &reader, policy)
                        .await
                        .map_err(NotCleared::from)?;
                }
                let path = object.path();
                let mutation = Mutation::Delete {
                    object,
                    uid: uid.clone(),
                    resource_version: None,
                    grace_period_seconds,
                    propagation,
                };
                let (before, stamped) = (rehearsed(run, before), Stamped::default());
                Ok(Planned { mutation, uid: Some(uid), path, before, touched: None, stamped, counts_for: account })
            }
            Change::Evict { pod, grace_period_seconds } => {
                soon_enough(grace_period_seconds)?;
                if pod.resource != ApiResource::pods() {
                    return Err(
                        Refusal::new(Check::Document, format!("only pods are evicted, not {}", pod.resource)).into()
                    );
                }
                let eviction =
                    ObjectRef { resource: ApiResource::pods().with_subresource(Subresource::Eviction), ..pod.clone() };
                let Pinned { uid, object: before, account } = self.pinned(run, &eviction, Verb::Create, None).await?;
                let mutation = Mutation::Evict { pod, uid: uid.clone(), grace_period_seconds };
                let path = eviction.path();
                let (before, stamped) = (rehearsed(run, before), Stamped::default());
                Ok(Planned { mutation, uid: Some(uid), path, before, touched: None, stamped, counts_for: account })
            }
        }
    }

    /// Step 1.
    pub(super) fn not_braked(&self, run: &Run) -> Result<(), Refusal> {
        match self.braked().filter(|_| !run.bounds.dry_run) {
            Some(why) => Err(Refusal::new(Check::Stopped, why)),
            None => Ok(()),
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
        marks: &Marks,
    ) -> Result<Planned, Stop> {
        no_subresource(&object.resource)?;
        let mut touched =
            document::touched_by_manifest(&manifest, &object.resource, object.namespace.as_ref(), Some(&object.name))?;
        isolation::leave_out_marks(&object.resource, &mut touched);
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
        let reader = self.reader_of(run);
        let before = match reader.get(&ObjectRef { uid: None, ..object.clone() }).await {
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
                same_uid(&object, &uid, run)?;
                if !reach.is_target && !isolation::is_ours(before) {
                    let detail = format!(
                        "{object} is there already and is not ours (no label {}={})",
                        MANAGED_BY.0, MANAGED_BY.1
                    );
                    return Err(Refusal::new(Check::Conflict, detail).into());
                }
                if !judged_by_namespace_alone(&object.resource) && !reach.is_target {
                    clearance::clear_other(&object, &namespace, before, &reader, &run.bounds.policy).await?;
                }
                Some(uid)
            }
        };
        complete_metadata(&mut manifest, &object.name, object.namespace.as_ref());
        let (event_id, now) = (&run.identity.event_id, self.inner.ambient.now());
        let stamped = isolation::stamp(&object.resource, &mut manifest, (marks, event_id), before.as_ref(), now);
        let path = object.path();
        let counts_for = by_itself(&ObjectRef { uid: uid.clone(), ..object.clone() }, reach);
        Ok(Planned {
            mutation: Mutation::Apply { object, uid: uid.clone(), manifest, force },
            uid,
            path,
            before,
            touched: Some(touched),
            stamped,
            counts_for,
        })
    }

    /// For a change to an object that is there: asks everything, and answers with its UID and the object as it is.
    pub(super) async fn pinned<'a>(
        &self,
        run: &'a Run,
        object: &ObjectRef,
        verb: Verb,
        touched: Option<&Touched>,
    ) -> Result<Pinned<'a>, Stop> {
        let reach = run.reach(&object.resource, object.namespace.as_ref(), Some(&object.name));
        let namespace = match touched.filter(|_| object.namespace.is_none() && object.resource.is("", "nodes")) {
            Some(touched) => {
                nodes::may_be_patched(&object.resource, &object.name, reach, touched)?;
                None
            }
            None => Some(permitted_namespace(run, &object.resource, object.namespace.as_ref())?),
        };
        let permit = |reach: Reach, current: &Value| {
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
            permit(reach, &target.manifest)?;
            same_uid(object, uid, run)?;
            let account = target.object.namespace.as_ref().map(|own| Account::of(Some(target), own.as_str()));
            return Ok(Pinned { uid: uid.clone(), object: Cow::Borrowed(&target.manifest), account });
        }
        let plain = ObjectRef { resource: object.resource.without_subresource(), uid: None, ..object.clone() };
        let is_pod = plain.resource == ApiResource::pods();
        // Whether a pod runs on the alert's node is seen once it was read.
        let perhaps = Reach { is_node: reach.is_node || (is_pod && run.node().is_some()), ..reach };
        permit(perhaps, &Value::Null).or_else(|_| permit(reach, &Value::Null))?;
        let reader = self.reader_of(run);
        let found = reader.get(&plain).await.map_err(Stop::Api)?;
        let on_node = is_pod
            && found.pointer("/spec/nodeName").and_then(Value::as_str).is_some_and(|its| run.node() == Some(its));
        permit(Reach { is_node: reach.is_node || on_node, ..reach }, &found)?;
        let (uid, chain) = match &namespace {
            Some(namespace) if !judged_by_namespace_alone(&plain.resource) => {
                clearance::clear_other(&plain, namespace, &found, &reader, &run.bounds.policy).await?
            }
            _ => (clearance::uid_of(&found)?, Chain::default()),
        };
        same_uid(object, &uid, run)?;
        // A node has no namespace, and is the alert's.
        let one_with_the_run = reach.is_owner || namespace.is_none() || judged_by_namespace_alone(&plain.resource);
        let pinned = ObjectRef { uid: Some(uid.clone()), ..plain };
        let account = if is_pod {
            Some(Account::of_pod(&pinned, &chain))
        } else {
            (!one_with_the_run).then(|| Account::of_object(&pinned, &chain))
        };
        Ok(Pinned { uid, object: Cow::Owned(found), account })
    }
}

fn plan_create(
    run: &Run,
    resource: ApiResource,
    namespace: Option<Namespace>,
    mut manifest: Value,
    (marks, now): (&Marks, Timestamp),
) -> Result<Planned, Stop> {
    no_subresource(&resource)?;
    let invalid = |error: NameError| Refusal::new(Check::InvalidName, error.to_string());
    let name =
        ObjectName::parse(manifest.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("")).map_err(invalid)?;
    let mut touched = document::touched_by_manifest(&manifest, &resource, namespace.as_ref(), Some(&name))?;
    isolation::leave_out_marks(&resource, &mut touched);
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
    let stamped = isolation::stamp(&resource, &mut manifest, (marks, &run.identity.event_id), None, now);
    let path = crate::cluster::names::collection_path(&resource, namespace.as_ref());
    let made = ObjectRef { resource: resource.clone(), namespace: namespace.clone(), name: name.clone(), uid: None };
    let counts_for = by_itself(&made, reach);
    Ok(Planned {
        mutation: Mutation::Create { resource, namespace, name, manifest },
        uid: None,
        path,
        before: None,
        touched: Some(touched),
        stamped,
        counts_for,
    })
}

/// Whom an object counts for that is made or applied whole; none where it is one action with the rest of the run.
fn by_itself(object: &ObjectRef, reach: Reach) -> Option<Account> {
    let one_with_the_run = reach.is_target || reach.is_owner || judged_by_namespace_alone(&object.resource);
    (!one_with_the_run).then(|| Account::of_object(object, &Chain::default()))
}

/// What a rehearsal goes on from when an object goes; nothing else needs it.
fn rehearsed(run: &Run, object: Cow<'_, Value>) -> Option<Value> {
    run.bounds.dry_run.then(|| object.into_owned())
}

/// Steps 3 and 4: the namespace that is written to, which must be one that a target may be in.
pub(super) fn permitted_namespace(
    run: &Run,
    resource: &ApiResource,
    namespace: Option<&Namespace>,
) -> Result<Namespace, Refusal> {
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

/// An object that is deleted for a year from now on lives for a year, and nobody deletes it again meanwhile.
fn soon_enough(grace_period_seconds: Option<u32>) -> Result<(), Refusal> {
    match grace_period_seconds {
        Some(seconds) if seconds > LONGEST_GRACE => {
            let detail =
                format!("a grace period of {seconds} s keeps alive what is deleted: {LONGEST_GRACE} s at most");
            Err(Refusal::new(Check::Document, detail))
        }
        _ => Ok(()),
    }
}

/// What a NetworkPolicy does, it does to its whole namespace; nobody's pod dies of it.
fn judged_by_namespace_alone(resource: &ApiResource) -> bool {
    isolation::is_policy(resource)
}

/// No controller makes what belongs to a pod or a NetworkPolicy.
fn owns_nothing(resource: &ApiResource) -> bool {
    *resource == ApiResource::pods() || judged_by_namespace_alone(resource)
}

/// The UID that the plugin names, where it names one, is the one that will be pinned; and so is that of the target and its
/// owners as they were cleared. A permission for an owner is none for what took its name since.
pub(super) fn same_uid(object: &ObjectRef, uid: &Uid, run: &Run) -> Result<(), Refusal> {
    let cleared = run.cleared_uid(object);
    if object.uid.as_ref().is_some_and(|own| own != uid) || cleared.is_some_and(|cleared| cleared != uid) {
        return Err(Refusal::new(Check::Conflict, format!("{object} has another UID than the one that was checked")));
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
