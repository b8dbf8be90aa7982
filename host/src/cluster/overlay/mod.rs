//! What a dry run has changed so far, laid over what it reads.
//!
//! A dry run's change is answered by the API server and forgotten. Without more, an action that labels a pod and reads
//! it again would find the old labels, and a chain `[label_pod, kill_pod]` would rehearse something else than what will
//! happen. So the answers are kept here, for one alert and all steps of its chain, and thrown away with them.
//!
//! Kept is a small cluster of its own: a simulation ([`super::simulated`]) of the objects that the chain has touched,
//! and of nothing else. A change to an object that the chain has not touched goes to the API server, dry, and its
//! answer is laid here. A further change to the same object is something that the API server cannot judge, since it
//! does not know the first; [`Overlay::send`] says who is asked instead.
//!
//! Which reads are answered from it:
//!
//! - every read of a dry run, its plugin's and the gate's own: clearance, owners, what is there before an apply. The API
//!   server is asked all the same, so that its no is a no, and another object under the name is that object;
//! - no read of a live run, of the follow-up after a kill, of a lookup after a restart: theirs is a [`Reader`] that was
//!   never made [`Reader::rehearsing`];
//! - no subresource but that it is absent where its object is.
//!
//! A pod that is deleted with a grace period is there, with a `deletionTimestamp`, until that time is over, as long as a
//! kubelet would take that does exactly what it is told; so the next action of a chain finds it terminating, as it will
//! when it is live. What other controllers would do meanwhile is not rehearsed: replacements, the garbage collector's
//! work, a pod that its ReplicaSet lets go for want of a label.

mod difference;
mod sending;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde_json::Value;

use super::client::{Reader, Writer};
use super::connect::connect_simulated;
use super::names::{ApiResource, Namespace, ObjectName, ObjectRef, Uid};
use super::simulated::Simulation;
use super::{ApiError, Selection, uid_str};
use crate::ambient::Ambient;

/// Shared by the steps of one alert's chain; cheap to clone, and empty until something is changed.
#[derive(Clone, Default)]
pub struct Overlay(Arc<OnceLock<Scratch>>);

/// The cluster in which the chain's changes have happened.
struct Scratch {
    simulation: Simulation,
    reader: Reader,
    /// Reaches nothing but the simulation beside it.
    writer: Writer,
    touched: Mutex<Touched>,
}

#[derive(Default)]
struct Touched {
    /// The objects that the chain has changed, each as the cluster had it before; null for what was not there.
    was: BTreeMap<Key, Value>,
    /// Given to objects that exist only here: another one each time, so no record is to name it.
    made_up: BTreeSet<String>,
}

/// What an object is found by, whichever version of its kind is asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    namespace: Option<String>,
    name: String,
    group: String,
    plural: String,
}

impl Key {
    fn of(object: &ObjectRef) -> Self {
        Self::new(&object.resource, object.namespace.as_ref().map(Namespace::as_str), object.name.as_str())
    }

    fn new(resource: &ApiResource, namespace: Option<&str>, name: &str) -> Self {
        Self {
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
            group: resource.group().to_owned(),
            plural: resource.plural().to_owned(),
        }
    }

    /// Of an item in a list.
    fn of_item(resource: &ApiResource, item: &Value) -> Self {
        let text = |key: &str| item["metadata"][key].as_str();
        Self::new(resource, text("namespace"), text("name").unwrap_or_default())
    }
}

impl Overlay {
    fn scratch(&self, ambient: &Ambient) -> &Scratch {
        self.0.get_or_init(|| {
            let simulation = Simulation::scratch(ambient);
            let (reader, writer) = connect_simulated(simulation.clone());
            Scratch { simulation, reader, writer, touched: Mutex::default() }
        })
    }

    /// Whether the chain has changed that object.
    pub fn knows(&self, object: &ObjectRef) -> bool {
        self.0.get().is_some_and(|scratch| scratch.touched().was.contains_key(&Key::of(object)))
    }

    /// Whether no object of the cluster has that UID.
    pub fn made_up(&self, uid: &Uid) -> bool {
        self.0.get().is_some_and(|scratch| scratch.touched().made_up.contains(uid.as_str()))
    }

    /// What a read of the object answers, given what the cluster `found`.
    pub(super) fn over(&self, object: &ObjectRef, found: Result<Value, ApiError>) -> Result<Value, ApiError> {
        let Some(scratch) = self.0.get() else { return found };
        match &found {
            Err(error) if !error.is_not_found() => return found,
            _ => {}
        }
        if object.resource.subresource().is_some() {
            return self.is_there(object).and(found);
        }
        if !scratch.meets(object, found.as_ref().ok()) {
            return found;
        }
        scratch.simulation.object(&object.path()).ok_or_else(|| absent(object))
    }

    /// # Errors
    /// The object is gone by what was rehearsed.
    pub(super) fn is_there(&self, object: &ObjectRef) -> Result<(), ApiError> {
        let plain = plain(object);
        let Some(scratch) = self.0.get().filter(|_| self.knows(&plain)) else { return Ok(()) };
        scratch.simulation.object(&plain.path()).map(|_| ()).ok_or_else(|| absent(&plain))
    }

    /// What the log of a pod answers, given what the cluster said. A pod that exists here alone has said nothing.
    pub(super) fn over_log(&self, pod: &ObjectRef, said: Result<String, ApiError>) -> Result<String, ApiError> {
        let pod = plain(pod);
        let Some(scratch) = self.0.get().filter(|_| self.knows(&pod)) else { return said };
        match &said {
            Err(error) if !error.is_not_found() => return said,
            _ => {}
        }
        let here = scratch.simulation.object(&pod.path()).ok_or_else(|| absent(&pod))?;
        let was = scratch.touched().was.get(&Key::of(&pod)).cloned().unwrap_or_default();
        if uid_str(&was) == uid_str(&here) { said } else { Ok(String::new()) }
    }

    /// What the cluster is asked for in place of this selection, so that enough is left when what was rehearsed is
    /// taken out of it. None where nothing was rehearsed that a list could show.
    pub(super) fn wider(&self, resource: &ApiResource, selection: &Selection) -> Option<Selection> {
        let touched = self.0.get()?.touched();
        let here = |key: &&Key| {
            resource.is(&key.group, &key.plural)
                && selection.namespace.as_ref().is_none_or(|own| key.namespace.as_deref() == Some(own.as_str()))
        };
        let count = u32::try_from(touched.was.keys().filter(here).count()).unwrap_or(u32::MAX);
        // A limit of nothing is nothing.
        let limit = selection.limit.map(|limit| if limit == 0 { 0 } else { limit.saturating_add(count) });
        (count > 0).then(|| Selection { limit, ..selection.clone() })
    }

    /// What a list answers, given what the cluster `found` by the wider selection.
    pub(super) async fn over_list(
        &self,
        resource: &ApiResource,
        selection: &Selection,
        found: Vec<Value>,
    ) -> Result<Vec<Value>, ApiError> {
        let Some(scratch) = self.0.get() else { return Ok(found) };
        let here = scratch.reader.list_there(resource, &Selection { limit: None, ..selection.clone() }).await?;
        let touched = scratch.touched();
        let stays = |item: &Value| {
            let was = touched.was.get(&Key::of_item(resource, item));
            // Another object under the name since then is that object.
            was.is_none_or(|was| !was.is_null() && uid_str(was) != uid_str(item))
        };
        let mut all: BTreeMap<Key, Value> = BTreeMap::new();
        let keyed = |item: Value| (Key::of_item(resource, &item), item);
        all.extend(here.into_iter().map(keyed).filter(|(key, _)| touched.was.contains_key(key)));
        all.extend(found.into_iter().filter(stays).map(keyed));
        // As the API server sorts them: by namespace, then name.
        let most = selection.limit.map_or(usize::MAX, |limit| limit as usize);
        Ok(all.into_values().take(most).collect())
    }
}

impl Scratch {
    fn touched(&self) -> MutexGuard<'_, Touched> {
        // Every change is one insertion or removal.
        self.touched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what was rehearsed on the object still holds, now that the cluster has `found` it so. What has changed
    /// there meanwhile is taken over.
    fn meets(&self, object: &ObjectRef, found: Option<&Value>) -> bool {
        let key = Key::of(object);
        let Some(was) = self.touched().was.get(&key).cloned() else { return false };
        let here = self.simulation.object(&object.path());
        let rehearsed_on_it = here.as_ref().is_none_or(|here| uid_str(here) == uid_str(&was));
        match found {
            // Made by the chain. Had somebody else made one before, ours would not have been.
            _ if was.is_null() => true,
            // Nothing but the chain's own successor could be there.
            None if !rehearsed_on_it => true,
            Some(now) if uid_str(now) == uid_str(&was) => {
                if let Some(here) = here.filter(|_| rehearsed_on_it && version(now) != version(&was)) {
                    let mut merged = now.clone();
                    json_patch::merge(&mut merged, &difference::between(&was, &here));
                    self.simulation.lay(object, merged);
                    self.touched().was.insert(key, now.clone());
                }
                true
            }
            // It has gone, or another one has taken its place: the chain's change went with it.
            None | Some(_) => {
                self.touched().was.remove(&key);
                false
            }
        }
    }

    /// Notes that the chain changes the object, which `was` so before.
    fn touch(&self, object: &ObjectRef, was: Value) {
        self.touched().was.insert(Key::of(object), was);
    }

    fn make_up(&self, object: &Value) {
        if let Some(uid) = uid_str(object) {
            self.touched().made_up.insert(uid.to_owned());
        }
    }
}

fn version(object: &Value) -> &Value {
    &object["metadata"]["resourceVersion"]
}

fn plain(object: &ObjectRef) -> ObjectRef {
    let resource = object.resource.without_subresource();
    ObjectRef { resource, ..object.clone() }
}

fn absent(object: &ObjectRef) -> ApiError {
    let message = format!("{} \"{}\" not found", object.resource, object.name);
    ApiError::Status { code: 404, reason: "NotFound".to_owned(), message, retry_after: None }
}

/// The object that a create makes.
fn created(resource: &ApiResource, namespace: Option<&Namespace>, name: &ObjectName) -> ObjectRef {
    ObjectRef { resource: resource.clone(), namespace: namespace.cloned(), name: name.clone(), uid: None }
}
