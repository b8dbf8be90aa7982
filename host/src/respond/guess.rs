//! Which owners a pod will turn out to have, going by the last one whose name began like its own.
//!
//! It is only where to look first: they are read at the same time as the pod, and what the pod itself refers to decides
//! ([`crate::safety::owners`]). A wrong guess is a read that nobody needed.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::cluster::names::{Namespace, ObjectName, ObjectRef};
use crate::safety::clearance::Cleared;
use crate::safety::policy::Policy;

/// Workloads that are remembered; a few hundred bytes each.
const MOST: usize = 1024;

/// Namespace, and a pod's name without what its controller put last.
type Beginning = (Namespace, String);

#[derive(Default)]
pub(super) struct Guesses(Mutex<HashMap<Beginning, Vec<ObjectRef>>>);

impl Guesses {
    /// Nearest first; nothing where no such pod was seen yet.
    pub fn of(&self, namespace: &Namespace, pod: &ObjectName) -> Vec<ObjectRef> {
        let Some(beginning) = beginning(namespace, pod) else { return Vec::new() };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&beginning).cloned().unwrap_or_default()
    }

    /// What a pod did turn out to have.
    pub fn learn(&self, cleared: &Cleared, policy: &Policy) {
        let Some(namespace) = &cleared.object.namespace else { return };
        let Some(beginning) = beginning(namespace, &cleared.object.name) else { return };
        let is_read = |object: &ObjectRef| {
            policy.owner_kinds.iter().any(|kind| kind.resource == object.resource && !kind.top_level)
        };
        let owners = cleared.chain.controllers.iter().map(|owner| &owner.object);
        let owners: Vec<_> = owners.filter(|object| is_read(object)).cloned().collect();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.get(&beginning) == Some(&owners) {
            return;
        }
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(beginning, owners);
    }
}

/// `shop-7d9f4b` of `shop-7d9f4b-xkp2m`.
fn beginning(namespace: &Namespace, pod: &ObjectName) -> Option<Beginning> {
    let (beginning, _) = pod.as_str().rsplit_once('-')?;
    Some((namespace.clone(), beginning.to_owned()))
}
