//! The policies: for each direction one that closes it for the pods that bear its label, and one for the exceptions.
//!
//! Their names are fixed, and they select labels that only this action uses. So one policy serves every isolated pod of
//! a namespace, rules with different parameters do not touch what the other wrote, and what the default grant and RBAC
//! name by name is enough.

use falco_response_sdk::prelude::*;

/// All names that there are; they stand in the manifest.
pub const NAMES: [&str; 4] = [
    "falco-pod-isolation-egress",
    "falco-pod-isolation-egress-exceptions",
    "falco-pod-isolation-ingress",
    "falco-pod-isolation-ingress-exceptions",
];
/// Beside the labels of the directions, on a pod for which the exceptions count.
pub const EXCEPTED: &str = "falco-response/isolated-except";
/// The value of every label.
pub const ON: &str = "true";

#[derive(Clone, Copy)]
pub enum Direction {
    Egress,
    Ingress,
}

impl Direction {
    /// What a pod bears whose traffic in this direction is cut.
    pub fn label(self) -> &'static str {
        match self {
            Self::Egress => "falco-response/isolated-egress",
            Self::Ingress => "falco-response/isolated-ingress",
        }
    }

    /// Of a policy: its type, its rules, and the peers of one.
    fn words(self) -> [&'static str; 3] {
        match self {
            Self::Egress => ["Egress", "egress", "to"],
            Self::Ingress => ["Ingress", "ingress", "from"],
        }
    }

    /// Policies add up: what another one allows stays allowed.
    pub fn is_opened_by(self, policy: &Value) -> bool {
        let [_, rules, _] = self.words();
        !policy.at(&["spec", rules]).items().is_empty()
    }
}

pub struct Policy {
    name: &'static str,
    spec: Value,
}

impl Policy {
    /// Nothing in this direction.
    pub fn closing(direction: Direction) -> Self {
        let selected = object([(direction.label(), ON.into())]);
        Self { name: NAMES[direction as usize * 2], spec: spec(direction, selected, array([])) }
    }

    /// Only these, for pods that have exceptions.
    pub fn allowing(direction: Direction, peers: &[Value]) -> Self {
        let [.., key] = direction.words();
        let selected = object([(direction.label(), ON.into()), (EXCEPTED, ON.into())]);
        let rules = array([object([(key, array(peers.iter().cloned()))])]);
        Self { name: NAMES[direction as usize * 2 + 1], spec: spec(direction, selected, rules) }
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    pub fn object(&self, namespace: &str) -> ObjectRef {
        kinds::NETWORK_POLICIES.in_namespace(namespace, self.name)
    }

    /// The document to apply. Nothing in it is of one alert: applied again, it changes nothing.
    pub fn document(&self, namespace: &str) -> Value {
        let labels = object([("app.kubernetes.io/managed-by", "falco-response-controller".into())]);
        object([
            ("apiVersion", "networking.k8s.io/v1".into()),
            ("kind", "NetworkPolicy".into()),
            ("metadata", object([("name", self.name.into()), ("namespace", namespace.into()), ("labels", labels)])),
            ("spec", self.spec.clone()),
        ])
    }

    /// Whether what the cluster has is this policy, and nothing more. The API server leaves out a list that is empty.
    pub fn is(&self, found: &Value) -> bool {
        let found = found.at(&["spec"]);
        let same = |key: &str| {
            let (own, other) = (self.spec.at(&[key]), found.at(&[key]));
            own == other || (is_empty(own) && is_empty(other))
        };
        self.spec.members().iter().chain(found.members()).all(|(key, _)| same(key))
    }
}

fn spec(direction: Direction, selected: Value, rules: Value) -> Value {
    let [policy_type, key, _] = direction.words();
    object([
        ("podSelector", object([("matchLabels", selected)])),
        ("policyTypes", array([policy_type.into()])),
        (key, rules),
    ])
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}
