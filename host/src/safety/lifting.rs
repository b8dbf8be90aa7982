//! Planning to take an isolation back: the steps that are asked before one is lifted, in [`super::gate`]'s order.
//!
//! It must be ours by label and name, and be deleted as it was read: by UID and resourceVersion. A person's edit, and
//! another replica that is faster, win. So it is with the labels that such policies select pods by; what else the pod bears is
//! not ours.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::CallError;
use super::checks::{Check, Refusal};
use super::document;
use super::gate::{self, Gate};
use super::isolation::{DOMAIN, Isolation, Stamped, is_policy};
use super::permissions::{Permission, Permissions, Scope, Verb};
use super::plan::{Pinned, Planned, Stop};
use super::run::{Purpose, Run};
use crate::cluster::names::{ApiResource, ObjectRef};
use crate::cluster::{Mutation, PatchDocument};

/// What records call it. No plugin can be called so.
pub const ACTION: &str = "lift_isolation";

/// What a run that lifts may do. No plugin declares it, and none can.
pub fn permissions() -> Permissions {
    let permission = |group: &str, resource: &str, verb, fields: &[&str]| Permission {
        api_groups: vec![group.to_owned()],
        resources: vec![resource.to_owned()],
        verbs: vec![verb],
        resource_names: Vec::new(),
        scope: Scope::Namespace,
        fields: fields.iter().map(|field| (*field).to_owned()).collect(),
    };
    let all = vec![
        permission("networking.k8s.io", "networkpolicies", Verb::Delete, &[]),
        permission("", "pods", Verb::Patch, &["metadata.labels"]),
    ];
    Permissions { declared: all.clone(), granted: all }
}

/// What is taken back. No plugin's call comes to be one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lift {
    /// An isolation, as it was read.
    Policy {
        policy: ObjectRef,
        resource_version: String,
        /// Also where somebody else has edited what it forbids: only a person says so.
        edited: bool,
    },
    /// Labels of isolations, off a pod.
    Labels { pod: ObjectRef, labels: Vec<String> },
}

impl Gate {
    /// Checks, records the intent, sends, records the result, as [`Gate::change`] does.
    ///
    /// # Errors
    /// Refused by a check, or by the API server, or no answer.
    pub async fn lift(&self, run: &Arc<Run>, lift: Lift) -> Result<Value, CallError> {
        let (verb, object) = match &lift {
            Lift::Policy { policy, .. } => ("delete", policy),
            Lift::Labels { pod, .. } => ("patch", pod),
        };
        let record = gate::record(verb, &object.resource, object.namespace.as_ref(), Some(&object.name), true, run);
        let planned = self.plan_to_lift(run, lift).await;
        self.carry_on(run, record, planned).await
    }

    async fn plan_to_lift(&self, run: &Run, lift: Lift) -> Result<Planned, Stop> {
        self.not_braked(run)?;
        if run.bounds.purpose != Purpose::Lift {
            return Err(Refusal::new(Check::Permission, "a run that answers an alert lifts nothing").into());
        }
        match lift {
            Lift::Policy { policy, resource_version, edited } => {
                self.plan_policy(run, policy, (resource_version, edited)).await
            }
            Lift::Labels { pod, labels } => self.plan_labels(run, pod, &labels).await,
        }
    }

    async fn plan_policy(
        &self,
        run: &Run,
        policy: ObjectRef,
        (resource_version, edited): (String, bool),
    ) -> Result<Planned, Stop> {
        if !is_policy(&policy.resource) {
            let detail = format!("{policy} is no NetworkPolicy, and nothing else is an isolation");
            return Err(Refusal::new(Check::Document, detail).into());
        }
        let Pinned { uid, object: before, .. } = self.pinned(run, &policy, Verb::Delete, None).await?;
        let found = Isolation::read(&before)
            .map_err(|why| Refusal::new(Check::Conflict, format!("{policy} {why}; it was left as it is")))?;
        if found.resource_version != resource_version {
            let detail = format!("{policy} was changed since it was looked at");
            return Err(Refusal::new(Check::Conflict, detail).into());
        }
        if found.edited && !edited {
            let detail = format!("somebody has edited what {policy} forbids: a person lifts it");
            return Err(Refusal::new(Check::Conflict, detail).into());
        }
        let path = policy.path();
        let mutation = Mutation::Delete {
            object: policy,
            uid: uid.clone(),
            resource_version: Some(resource_version),
            grace_period_seconds: None,
            propagation: None,
        };
        Ok(Planned {
            mutation,
            uid: Some(uid),
            path,
            before: Some(before.into_owned()),
            touched: None,
            stamped: Stamped::default(),
            counts_for: None,
        })
    }

    async fn plan_labels(&self, run: &Run, pod: ObjectRef, labels: &[String]) -> Result<Planned, Stop> {
        if pod.resource != ApiResource::pods() || labels.is_empty() {
            return Err(Refusal::new(Check::Document, "only a pod bears labels of an isolation").into());
        }
        if let Some(foreign) = labels.iter().find(|label| !label.starts_with(DOMAIN)) {
            let detail = format!("the label {foreign} is not ours: it does not begin with {DOMAIN}");
            return Err(Refusal::new(Check::Document, detail).into());
        }
        let gone: Map<String, Value> = labels.iter().map(|label| (label.clone(), Value::Null)).collect();
        let document = PatchDocument::Merge(json!({"metadata": {"labels": gone}}));
        let touched = document::touched_by_patch(&document)?;
        let Pinned { uid, object: before, .. } = self.pinned(run, &pod, Verb::Patch, Some(&touched)).await?;
        let path = pod.path();
        let mutation = Mutation::Patch { object: pod, uid: uid.clone(), document };
        Ok(Planned {
            mutation,
            uid: Some(uid),
            path,
            before: Some(before.into_owned()),
            touched: Some(touched),
            stamped: Stamped::default(),
            counts_for: None,
        })
    }
}
