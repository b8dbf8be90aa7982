//! The gate, switched off: whatever is asked is sent, to whatever has the name by now. For tests that show what the gate
//! is there for, with the fault `gate_off`; the program that is shipped has none of it.

use serde_json::Value;

use super::checks::{Check, Refusal};
use super::clearance;
use super::gate::{Change, Gate};
use super::plan::{Planned, Stop};
use crate::cluster::Mutation;
use crate::cluster::names::{ApiResource, ObjectName, ObjectRef, Subresource, Uid, collection_path};

impl Gate {
    pub(super) async fn unchecked(&self, change: Change) -> Result<Planned, Stop> {
        let planned = |mutation, uid, path| Planned { mutation, uid, path, before: None, touched: None };
        Ok(match change {
            Change::Create { resource, namespace, manifest } => {
                let name = manifest.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("");
                let name = parsed(name)?;
                let path = collection_path(&resource, namespace.as_ref());
                planned(Mutation::Create { resource, namespace, name, manifest }, None, path)
            }
            Change::Apply { object, manifest, force } => {
                let (uid, path) = (self.uid_now(&object).await.ok(), object.path());
                planned(Mutation::Apply { object, uid: uid.clone(), manifest, force }, uid, path)
            }
            Change::Patch { object, document } => {
                let (uid, path) = (self.uid_now(&object).await?, object.path());
                planned(Mutation::Patch { object, uid: uid.clone(), document }, Some(uid), path)
            }
            Change::Delete { object, grace_period_seconds, propagation } => {
                let (uid, path) = (self.uid_now(&object).await?, object.path());
                let uid_sent = uid.clone();
                planned(Mutation::Delete { object, uid, grace_period_seconds, propagation }, Some(uid_sent), path)
            }
            Change::Evict { pod, grace_period_seconds } => {
                let uid = self.uid_now(&pod).await?;
                let eviction =
                    ObjectRef { resource: ApiResource::pods().with_subresource(Subresource::Eviction), ..pod.clone() };
                planned(Mutation::Evict { pod, uid: uid.clone(), grace_period_seconds }, Some(uid), eviction.path())
            }
        })
    }

    async fn uid_now(&self, object: &ObjectRef) -> Result<Uid, Stop> {
        let plain = ObjectRef { uid: None, ..object.clone() };
        Ok(clearance::uid_of(&self.inner.reader.get(&plain).await.map_err(Stop::Api)?)?)
    }
}

fn parsed(name: &str) -> Result<ObjectName, Stop> {
    ObjectName::parse(name).map_err(|error| Refusal::new(Check::InvalidName, error.to_string()).into())
}
