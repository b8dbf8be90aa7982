//! Evicts the pods of the node on which the alert's pod runs, as far as the controller and disruption budgets allow.

use falco_response_sdk::prelude::*;

parameters! {
    pub struct Parameters {
        /// Only pods of these namespaces; of all but kube-system when empty.
        namespaces: Vec<String> = vec![],
        /// Kinds of owners whose pods stay. A DaemonSet's stay in any case.
        skip_owners: Vec<String> = vec!["StatefulSet".into()],
        /// Also pods that no controller would make anew.
        unmanaged: bool = false,
        /// The most pods that one alert may cost.
        max_pods: u32 = 20,
        /// Seconds that the containers get to stop; each pod's own time when absent.
        grace_period_seconds: Option<u32> = None,
    }
}

/// What the controller never lets anybody touch.
const KUBE_SYSTEM: &str = "kube-system";

pub struct DrainNode;

impl Action for DrainNode {
    type Parameters = Parameters;
    const MANIFEST: Manifest = Manifest::new("drain_node", "Evicts the pods of the alert's node.")
        .target(Target::Nodes)
        .permissions(&[
            Permission::core(&["pods"], &[Verb::List], Scope::Node),
            Permission::core(&["pods/eviction"], &[Verb::Create], Scope::Node),
        ])
        .pages()
        .repeatable();

    fn check(parameters: &Parameters) -> Vec<Problem> {
        let mut problems = Vec::new();
        if parameters.max_pods == 0 {
            problems.push(Problem::new("/max_pods", "nothing would be evicted: give 1 or more"));
        }
        if parameters.namespaces.iter().any(|namespace| namespace == KUBE_SYSTEM) {
            problems.push(Problem::new("/namespaces", "kube-system is out of reach"));
        }
        problems
    }

    fn run(request: &Request, parameters: Parameters, host: &Host) -> Result<Outcome, Failure> {
        let node = request.target();
        let fields = ["spec.nodeName=", &node.name, ",status.phase!=Succeeded,status.phase!=Failed"].concat();
        let selection = Selection { fields: Some(fields), metadata_only: true, ..Selection::default() };
        let pods = host.cluster().query(kinds::PODS, &selection)?;
        let (mut drained, mut asked) = (Drained::default(), 0);
        for pod in &pods {
            let pod = Found::of(pod);
            if pod.stays_in_any_case() {
                continue;
            }
            let elsewhere = if parameters.namespaces.is_empty() {
                pod.namespace == KUBE_SYSTEM
            } else {
                parameters.namespaces.iter().all(|namespace| namespace != pod.namespace)
            };
            if elsewhere
                || !(parameters.unmanaged || pod.comes_back())
                || parameters.skip_owners.iter().any(|kind| pod.is_owned_by(kind))
                || asked == parameters.max_pods
            {
                drained.left.push(pod.to_string());
                continue;
            }
            asked += 1;
            match host.cluster().evict(&pod.reference(), parameters.grace_period_seconds) {
                Ok(()) => drained.evicted.push(pod.to_string()),
                // Gone meanwhile, or replaced by one that is not the one that was listed.
                Err(error) if matches!(error.reason, Reason::NotFound | Reason::Conflict) => {}
                Err(error) if error.reason == Reason::Blocked => drained.blocked.push(pod.to_string()),
                Err(error) if error.reason == Reason::Denied => drained.refused.push(pod.to_string()),
                // The next would fare no better.
                Err(error) => {
                    drained.note(host);
                    return Err(error.into());
                }
            }
        }
        drained.note(host);
        Ok(drained.outcome(&node.name))
    }
}

/// What became of the pods, by namespace and name.
#[derive(Default)]
struct Drained {
    evicted: Vec<String>,
    /// By a disruption budget.
    blocked: Vec<String>,
    /// By the controller: a namespace that is not allowed, a protected owner, a budget that is used up.
    refused: Vec<String>,
    left: Vec<String>,
}

impl Drained {
    fn note(&self, host: &Host) {
        for (key, pods) in
            [("evicted", &self.evicted), ("blocked", &self.blocked), ("refused", &self.refused), ("left", &self.left)]
        {
            if !pods.is_empty() {
                host.audit().note(key, &pods.join(", "));
            }
        }
    }

    fn outcome(&self, node: &str) -> Outcome {
        let mut said = ["evicted ", &self.evicted.len().to_string(), " pods of node ", node].concat();
        for (pods, how) in
            [(&self.blocked, "blocked by disruption budgets"), (&self.refused, "refused"), (&self.left, "left there")]
        {
            if !pods.is_empty() {
                said.push_str(&[", ", &pods.len().to_string(), " ", how].concat());
            }
        }
        if self.evicted.is_empty() { Outcome::skipped(said) } else { Outcome::acted(said) }
    }
}

/// A pod of the node, of which no more is known than its metadata.
struct Found<'a> {
    object: &'a Value,
    namespace: &'a str,
    name: &'a str,
}

impl<'a> Found<'a> {
    fn of(object: &'a Value) -> Self {
        let text = |key: &str| object.at(&["metadata", key]).as_str().unwrap_or_default();
        Self { object, namespace: text("namespace"), name: text("name") }
    }

    /// With its UID: one that took its name since is left alone.
    fn reference(&self) -> ObjectRef {
        let uid = self.object.at(&["metadata", "uid"]).as_str().map(ToOwned::to_owned);
        ObjectRef { uid, ..kinds::PODS.in_namespace(self.namespace, self.name) }
    }

    /// Static pods are their kubelet's, a DaemonSet's come back at once, and one that is being deleted goes by itself.
    fn stays_in_any_case(&self) -> bool {
        let metadata = |path: &[&str]| !self.object.at(&["metadata"]).at(path).is_null();
        metadata(&["annotations", "kubernetes.io/config.mirror"])
            || metadata(&["deletionTimestamp"])
            || self.is_owned_by("DaemonSet")
            || self.is_owned_by("Node")
    }

    /// Whether a controller makes another one in its place.
    fn comes_back(&self) -> bool {
        let owners = self.object.at(&["metadata", "ownerReferences"]).items();
        owners.iter().any(|owner| owner.at(&["controller"]).as_bool() == Some(true))
    }

    fn is_owned_by(&self, kind: &str) -> bool {
        let owners = self.object.at(&["metadata", "ownerReferences"]).items();
        owners.iter().any(|owner| owner.at(&["kind"]).as_str() == Some(kind))
    }
}

impl core::fmt::Display for Found<'_> {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str(&[self.namespace, "/", self.name].concat())
    }
}

export_action!(DrainNode);

#[cfg(test)]
mod tests;
