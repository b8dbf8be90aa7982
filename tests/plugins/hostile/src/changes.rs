//! Every function of the host that can change something, each called once and within what can be granted.

use falco_response_sdk::prelude::*;
use falco_response_sdk::{PatchDocument, Propagation};

use crate::documents;
use crate::reach::POLICY;

/// None where `behaviour` is not one of these.
pub fn make(behaviour: &str, target: &ObjectRef, namespace: &str, host: &Host) -> Option<Result<(), ClusterError>> {
    let cluster = host.cluster();
    let labels = documents::metadata("labels", object([("falco-response/quarantine", "true".into())]));
    let policy = kinds::NETWORK_POLICIES.in_namespace(namespace, POLICY);
    let closed = || documents::policy(namespace, POLICY, array([]));
    let pod = || documents::labelled_pod(namespace, &target.name);
    let done = match behaviour {
        "label" => cluster.merge(target, &labels).map(drop),
        "label_by_operations" => {
            let document = documents::operations("/metadata/labels/falco-response~1quarantine", "true".into());
            cluster.patch(target, &PatchDocument::Operations(document.to_string())).map(drop)
        }
        "label_by_strategy" => cluster.patch(target, &PatchDocument::Strategic(labels.to_string())).map(drop),
        "label_by_apply" => cluster.apply(target, &pod()).map(drop),
        "label_by_force" => cluster.apply_forced(target, &pod()).map(drop),
        "apply_policy" => cluster.apply(&policy, &closed()).map(drop),
        "create_policy" => cluster.create(kinds::NETWORK_POLICIES, Some(namespace), &closed()).map(drop),
        "evict_target" => cluster.evict(target, None),
        "evict_target_soon" => cluster.evict(target, Some(1)),
        "delete_target" => cluster.delete(target, DeleteOptions::default()),
        "delete_target_now" => {
            let propagation = Some(Propagation::Foreground);
            cluster.delete(target, DeleteOptions { grace_period_seconds: Some(0), propagation })
        }
        _ => return None,
    };
    Some(done)
}
