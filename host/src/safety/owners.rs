//! The owner chain: every owner of an object up to the top, by UID, with a no as soon as one is protected or unknown.
//!
//! A protected kind is refused from the reference alone, nearest first, before anything is read. Owners that control
//! nothing count as well: invariant 5 speaks of any owner.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use serde_json::Value;

use super::checks::{self, Check, Refusal};
use super::policy::Policy;
use crate::cluster::names::{Namespace, ObjectRef, Uid};
use crate::cluster::owners::{self, OwnerKind, OwnerReference};
use crate::cluster::{ApiError, Reader, uid_str};

/// Deeper or wider than any real chain.
const MOST_OWNERS: usize = 16;

/// A controller of the target. `kind` is Kubernetes' `Deployment`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub kind: String,
    pub object: ObjectRef,
}

/// `Deployment/checkout`
impl std::fmt::Display for Owner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", self.kind, self.object.name)
    }
}

/// The controllers found, nearest first, and how a person names the top one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chain {
    pub controllers: Vec<Owner>,
    /// `Deployment/checkout`; none for an object that nothing controls. Also set for an owner that is not read.
    pub top: Option<String>,
}

/// Why the walk ended early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WalkError {
    Refused(Refusal),
    /// As [`Self::Refused`], for this owner's sake: it is protected, unknown or cannot be read.
    Owner(Box<OwnerReference>, Refusal),
    /// No answer from the cluster; asking again may help.
    NoAnswer(ApiError),
}

impl From<Refusal> for WalkError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Walks from `object` in `namespace` to the top.
///
/// # Errors
/// A protected owner anywhere, an owner that cannot be read or is not the one referred to, or no answer.
pub async fn walk(object: &Value, namespace: &Namespace, reader: &Reader, policy: &Policy) -> Result<Chain, WalkError> {
    let mut chain = Chain::default();
    let mut seen = BTreeSet::new();
    let mut waiting = VecDeque::new();
    enqueue(object, true, policy, &mut waiting)?;
    while let Some((reference, controls)) = waiting.pop_front() {
        if !is_new(&mut seen, &reference)? {
            continue;
        }
        let kind = kind_of(&reference, policy)?;
        if controls {
            chain.top = Some(reference.to_string());
            chain.controllers.push(Owner {
                kind: reference.kind.clone(),
                object: reference.object(kind.resource.clone(), namespace),
            });
        }
        if let Some(owner) = read(&reference, kind, namespace, reader).await? {
            enqueue(&owner, controls, policy, &mut waiting)?;
        }
    }
    Ok(chain)
}

/// The same for what does no harm to the object: a protected owner is where the walk ends.
///
/// # Errors
/// As [`walk`], but for protected owners.
pub async fn walk_to_protected(
    object: &Value,
    namespace: &Namespace,
    reader: &Reader,
    policy: &Policy,
) -> Result<Chain, WalkError> {
    match walk(object, namespace, reader, policy).await {
        Err(WalkError::Owner(owner, Refusal { check: Check::DaemonSet | Check::ProtectedOwner, .. })) => {
            let object = policy.owner_kinds.find(&owner).map(|kind| owner.object(kind.resource.clone(), namespace));
            let controllers = object.map(|object| Owner { kind: owner.kind.clone(), object }).into_iter().collect();
            Ok(Chain { controllers, top: Some(owner.to_string()) })
        }
        walked => walked,
    }
}

/// Whether an owner was not met before on this walk.
pub(super) fn is_new(seen: &mut BTreeSet<Uid>, reference: &OwnerReference) -> Result<bool, Refusal> {
    let new = seen.insert(reference.uid.clone());
    if seen.len() > MOST_OWNERS {
        return Err(Refusal::new(Check::OwnerUnreadable, format!("more than {MOST_OWNERS} owners")));
    }
    Ok(new)
}

pub(super) fn references(object: &Value) -> Result<Vec<OwnerReference>, Refusal> {
    owners::references(object).map_err(|error| Refusal::new(Check::OwnerUnreadable, error.to_string()))
}

/// What the policy knows of an owner's kind.
pub(super) fn kind_of<'a>(reference: &OwnerReference, policy: &'a Policy) -> Result<&'a OwnerKind, WalkError> {
    let kind = policy.owner_kinds.find(reference);
    kind.ok_or_else(|| WalkError::Owner(Box::new(reference.clone()), unknown_kind(reference)))
}

/// The owner itself; none where its kind is not read.
///
/// # Errors
/// It cannot be read, is another one by now, or no answer.
pub(super) async fn read(
    reference: &OwnerReference,
    kind: &OwnerKind,
    namespace: &Namespace,
    reader: &Reader,
) -> Result<Option<Arc<Value>>, WalkError> {
    if kind.top_level {
        return Ok(None);
    }
    let owner = reader
        .owner(&reference.object(kind.resource.clone(), namespace))
        .await
        .map_err(|error| unreadable(reference, error))?;
    if uid_str(&owner) != Some(reference.uid.as_str()) {
        let detail = format!("{reference} has another UID than the reference to it: the owner was replaced");
        return Err(WalkError::Owner(Box::new(reference.clone()), Refusal::new(Check::OwnerUnreadable, detail)));
    }
    Ok(Some(owner))
}

/// Checks every reference of `object` by its kind before any of them is read. `controls`: whether what holds the
/// references is itself on the controlling line.
fn enqueue(
    object: &Value,
    controls: bool,
    policy: &Policy,
    waiting: &mut VecDeque<(OwnerReference, bool)>,
) -> Result<(), WalkError> {
    let references = references(object)?;
    for reference in &references {
        checks::owner_not_protected(&reference.kind, &reference.to_string(), policy)
            .map_err(|refusal| WalkError::Owner(Box::new(reference.clone()), refusal))?;
    }
    waiting.extend(references.into_iter().map(|reference| {
        let controls = controls && reference.controller;
        (reference, controls)
    }));
    Ok(())
}

fn unknown_kind(reference: &OwnerReference) -> Refusal {
    let OwnerReference { api_version, kind, .. } = reference;
    let plural = format!("{}s", kind.to_lowercase());
    Refusal::new(
        Check::OwnerUnreadable,
        format!(
            "the owner {reference} is of a kind that is not in owner_kinds; if it protects nothing, add \
             `- {{apiVersion: {api_version}, kind: {kind}, plural: {plural}, top_level: true}}` to owner_kinds"
        ),
    )
}

fn unreadable(reference: &OwnerReference, error: ApiError) -> WalkError {
    if error.is_transient() {
        return WalkError::NoAnswer(error);
    }
    let detail = match &error {
        ApiError::Status { code: 404, .. } => {
            format!(
                "the owner {reference} is not in the namespace: what controls the pod is unknown; if its kind has no \
                 namespace, declare it top_level in owner_kinds"
            )
        }
        ApiError::Status { code: 403, .. } => {
            format!(
                "the owner {reference} may not be read: grant `get` on its kind ({}), or declare it top_level in owner_kinds",
                reference.api_version
            )
        }
        _ => format!("the owner {reference} cannot be read: {error}"),
    };
    WalkError::Owner(Box::new(reference.clone()), Refusal::new(Check::OwnerUnreadable, detail))
}
