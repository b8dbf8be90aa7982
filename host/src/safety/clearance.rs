//! Clearing a target: everything that is asked before an action starts, in the order in which it is asked.
//!
//! | | pods | nodes | namespaces |
//! |---|---|---|---|
//! | 1 | the alert names a namespace and a pod, validly | the same | a namespace, validly |
//! | 2 | not kube-system, not denied, allowed, in the rule's own namespaces | the same | the same |
//! | 3 | the alert is fresh | the same | the same |
//! | 4 | the pod exists | the same | |
//! | 5 | no mirror pod | the same | |
//! | 6 | is the alert's pod | the same | |
//! | 7 | not already being deleted | the same | |
//! | 8 | no protected, unknown or unreadable owner | no unknown or unreadable owner | |
//! | 9 | | the pod's node exists | |
//!
//! What needs no call to the API server comes first.
//!
//! A node is the one on which the alert's pod runs: the pod is the proof that the alert is about it, so an alert whose
//! pod is gone is about no node. That a DaemonSet or another protected owner stands behind that pod does not matter:
//! nothing that is done to a node reaches a pod that runs there ([`super::nodes`]), and an agent that was taken over is
//! a good reason to keep further pods away. A pod that is to be evicted from there is cleared by itself.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::checks::{self, Check, Refusal};
use super::identity::{self, Identified, Proof, Subject};
use super::owners::{self, Chain, WalkError};
use super::policy::{Policy, RuleScope};
use crate::cluster::names::{ApiResource, Namespace, ObjectName, ObjectRef, Uid};
use crate::cluster::{ApiError, Reader, uid_str};

/// How long a pod may take to report its containers before the alert's container id counts as unknown.
const CONTAINER_IDS_WITHIN: Duration = Duration::from_secs(2);
const CONTAINER_IDS_EVERY: Duration = Duration::from_millis(200);

/// What the alert is about, read, identified and cleared for action.
#[derive(Debug, Clone, PartialEq)]
pub struct Cleared {
    pub object: ObjectRef,
    /// The object as it was read. A namespace is not read: of it, only what is known.
    pub manifest: Value,
    pub chain: Chain,
    pub proof: Option<Proof>,
    /// Of a node: the alert's pod on it.
    pub pod: Option<Box<Self>>,
}

impl Cleared {
    /// The pod that the alert is about, where it was looked at.
    pub fn alerts_pod(&self) -> Option<&Self> {
        self.pod.as_deref().or_else(|| (self.object.resource == ApiResource::pods()).then_some(self))
    }

    /// The name of the node that the alert's pod runs on.
    pub fn node(&self) -> Option<&str> {
        self.alerts_pod()?.manifest.pointer("/spec/nodeName").and_then(Value::as_str)
    }

    /// The namespace that the action is about: the target's own, the target itself, or that of the pod on the node.
    pub fn namespace(&self) -> Option<Namespace> {
        match self.alerts_pod().map_or(&self.object.namespace, |pod| &pod.object.namespace) {
            Some(namespace) => Some(namespace.clone()),
            None if self.object.resource == ApiResource::namespaces() => {
                Namespace::parse(self.object.name.as_str()).ok()
            }
            None => None,
        }
    }
}

/// Why a target was not cleared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotCleared {
    Refused(Refusal),
    /// The cluster gave no answer; the alert waits and is tried again.
    NoAnswer(ApiError),
}

impl From<Refusal> for NotCleared {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<WalkError> for NotCleared {
    fn from(error: WalkError) -> Self {
        match error {
            WalkError::Refused(refusal) | WalkError::Owner(_, refusal) => Self::Refused(refusal),
            WalkError::NoAnswer(error) => Self::NoAnswer(error),
        }
    }
}

/// What is cleared, by whose rules.
pub struct Question<'a> {
    pub subject: &'a Subject,
    pub received_at: Timestamp,
    pub policy: &'a Policy,
    pub rule: &'a RuleScope,
}

impl Question<'_> {
    /// # Errors
    /// The first check that says no, or no answer from the cluster.
    pub async fn pod(&self, reader: &Reader) -> Result<Cleared, NotCleared> {
        #[cfg(any(test, feature = "faults"))]
        if crate::faults::is("gate_off") {
            return super::unguarded::pod(self.subject, reader).await;
        }
        let (object, manifest, proof) = self.alerts_pod(reader).await?;
        let namespace = self.subject.namespace()?;
        let chain = owners::walk(&manifest, &namespace, reader, self.policy).await?;
        Ok(Cleared { object, manifest, chain, proof: Some(proof), pod: None })
    }

    /// # Errors
    /// The first check that says no, or no answer from the cluster.
    pub async fn node(&self, reader: &Reader) -> Result<Cleared, NotCleared> {
        let (object, manifest, proof) = self.alerts_pod(reader).await?;
        let namespace = self.subject.namespace()?;
        let chain = owners::walk_to_protected(&manifest, &namespace, reader, self.policy).await?;
        let name = manifest.pointer("/spec/nodeName").and_then(Value::as_str).unwrap_or("");
        if name.is_empty() {
            return Err(Refusal::new(Check::NodeAbsent, format!("{object} is on no node yet")).into());
        }
        let name = ObjectName::parse(name).map_err(|error| Refusal::new(Check::InvalidName, error.to_string()))?;
        let node = ObjectRef { resource: ApiResource::nodes(), namespace: None, name, uid: None };
        let found = match reader.get(&node).await {
            Ok(found) => found,
            Err(error) if error.is_transient() => return Err(NotCleared::NoAnswer(error)),
            Err(error) => {
                let detail = format!("the pod's node {} cannot be read: {error}", node.name);
                return Err(Refusal::new(Check::NodeAbsent, detail).into());
            }
        };
        let node = ObjectRef { uid: Some(uid_of(&found)?), ..node };
        let pod = Cleared { object, manifest, chain, proof: Some(proof), pod: None };
        Ok(Cleared { object: node, manifest: found, chain: Chain::default(), proof: None, pod: Some(Box::new(pod)) })
    }

    /// All that is asked of the alert's pod but for its owners.
    async fn alerts_pod(&self, reader: &Reader) -> Result<(ObjectRef, Value, Proof), NotCleared> {
        let (namespace, name) = self.candidate()?;
        let (pod, proof) = self.identified_pod(reader, &namespace, &name).await?;
        checks::not_already_deleting(&pod)?;
        let uid = uid_of(&pod)?;
        let object = ObjectRef { resource: ApiResource::pods(), namespace: Some(namespace), name, uid: Some(uid) };
        Ok((object, pod, proof))
    }

    /// The pod that is to be read, after everything that can be asked without the cluster.
    ///
    /// # Errors
    /// The first check that says no.
    pub fn candidate(&self) -> Result<(Namespace, ObjectName), Refusal> {
        let namespace = self.subject.namespace()?;
        let name = self.subject.pod()?;
        checks::namespace(&namespace, self.policy, self.rule)?;
        checks::fresh(self.subject.time, self.received_at, self.policy)?;
        Ok((namespace, name))
    }

    /// The pod may be long gone: only what is known of the alert is asked.
    ///
    /// # Errors
    /// The first check that says no.
    pub fn namespace(&self) -> Result<Cleared, Refusal> {
        let namespace = self.subject.namespace()?;
        #[cfg(any(test, feature = "faults"))]
        if crate::faults::is("gate_off") {
            return Self::namespace_itself(&namespace);
        }
        checks::namespace(&namespace, self.policy, self.rule)?;
        checks::fresh(self.subject.time, self.received_at, self.policy)?;
        Self::namespace_itself(&namespace)
    }

    fn namespace_itself(namespace: &Namespace) -> Result<Cleared, Refusal> {
        let name = ObjectName::parse(namespace.as_str())
            .map_err(|error| Refusal::new(Check::InvalidName, error.to_string()))?;
        let manifest = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name.as_str()}});
        let object = ObjectRef { resource: ApiResource::namespaces(), namespace: None, name, uid: None };
        Ok(Cleared { object, manifest, chain: Chain::default(), proof: None, pod: None })
    }

    async fn identified_pod(
        &self,
        reader: &Reader,
        namespace: &Namespace,
        name: &ObjectName,
    ) -> Result<(Value, Proof), NotCleared> {
        let object = ObjectRef {
            resource: ApiResource::pods(),
            namespace: Some(namespace.clone()),
            name: name.clone(),
            uid: None,
        };
        let mut waited = Duration::ZERO;
        loop {
            let pod = match reader.get(&object).await {
                Ok(pod) => pod,
                Err(error) if error.is_not_found() => {
                    return Err(Refusal::new(Check::PodAbsent, format!("pod {namespace}/{name} does not exist")).into());
                }
                Err(error) if error.is_transient() => return Err(NotCleared::NoAnswer(error)),
                Err(error) => {
                    return Err(Refusal::new(
                        Check::PodAbsent,
                        format!("pod {namespace}/{name} cannot be read: {error}"),
                    )
                    .into());
                }
            };
            checks::not_a_mirror_pod(&pod)?;
            match identity::identify(&pod, self.subject, self.policy.strict_identity) {
                Identified::Yes(proof) => return Ok((pod, proof)),
                Identified::No(refusal) => return Err(refusal.into()),
                Identified::NotYet if waited < CONTAINER_IDS_WITHIN => {
                    tokio::time::sleep(CONTAINER_IDS_EVERY).await;
                    waited += CONTAINER_IDS_EVERY;
                }
                Identified::NotYet => {
                    let detail = "the pod reports no container ids to compare with the alert's";
                    return Err(Refusal::new(Check::IdentityUnproven, detail).into());
                }
            }
        }
    }
}

/// What an object that is not the alert's own target is asked before a change (an operator's grant lets a plugin name
/// it): the same, but for the identity. Answers with the UID to pin, and with the owners.
///
/// # Errors
/// The first check that says no, or no answer.
pub async fn clear_other(
    object: &ObjectRef,
    namespace: &Namespace,
    read: &Value,
    reader: &Reader,
    policy: &Policy,
) -> Result<(Uid, Chain), NotCleared> {
    if let Some(kind) = policy.owner_kinds.kind_of(&object.resource) {
        checks::owner_not_protected(kind, &format!("{kind}/{}", object.name), policy)?;
    }
    if object.resource.is("", "pods") {
        checks::not_a_mirror_pod(read)?;
        checks::not_already_deleting(read)?;
    }
    let chain = owners::walk(read, namespace, reader, policy).await?;
    Ok((uid_of(read)?, chain))
}

/// The UID that a change is pinned to.
///
/// # Errors
/// An answer without a UID cannot be acted on.
pub fn uid_of(object: &Value) -> Result<Uid, Refusal> {
    let text = uid_str(object).unwrap_or("");
    Uid::parse(text)
        .map_err(|error| Refusal::new(Check::Conflict, format!("the API server's answer has no usable UID: {error}")))
}
