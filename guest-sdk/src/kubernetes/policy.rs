//! NetworkPolicies that close.

use alloc::string::String;
use alloc::vec::Vec;

use crate::json::{Value, array, object};
use crate::{ObjectRef, kinds};

/// A NetworkPolicy that forbids and allows nothing: the kind that an action may apply by default, provided that its name
/// begins with `falco-` and stands in the manifest's permission ([`Permission::named`](crate::Permission::named)).
///
/// Policies add up: what another one allows stays allowed. It bears the label by which the controller knows its own.
///
/// ```
/// # use falco_response_sdk::kubernetes::NetworkPolicy;
/// let policy = NetworkPolicy::new("shop", "falco-suspects")
///     .selecting("falco-response/suspect", "true")
///     .annotated("falco-response/rule", "Crypto mining process detected")
///     .no_egress()
///     .no_ingress();
/// let document = policy.document();
/// assert_eq!(document.at(&["spec", "policyTypes"]).items().len(), 2);
/// assert_eq!(document.at(&["spec", "podSelector", "matchLabels", "falco-response/suspect"]).as_str(), Some("true"));
/// ```
#[derive(Debug, Clone)]
pub struct NetworkPolicy {
    namespace: String,
    name: String,
    selector: Vec<(String, Value)>,
    annotations: Vec<(String, Value)>,
    directions: Vec<(&'static str, &'static str)>,
}

impl NetworkPolicy {
    /// On every pod of the namespace, until [`selecting`](Self::selecting) says less. Say what it closes by
    /// [`no_egress`](Self::no_egress) and [`no_ingress`](Self::no_ingress): of one that says neither, the API server makes one
    /// without ingress.
    ///
    /// ```
    /// # use falco_response_sdk::kubernetes::NetworkPolicy;
    /// let everything = NetworkPolicy::new("shop", "falco-emergency-isolation").no_egress();
    /// assert_eq!(everything.document().at(&["spec", "podSelector"]).to_string(), "{}");
    /// ```
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        let (selector, annotations, directions) = (Vec::new(), Vec::new(), Vec::new());
        Self { namespace: namespace.into(), name: name.into(), selector, annotations, directions }
    }

    /// Only on pods with this label, and with those of earlier calls.
    ///
    /// ```
    /// # use falco_response_sdk::kubernetes::NetworkPolicy;
    /// let policy = NetworkPolicy::new("shop", "falco-x").selecting("app", "web").selecting("tier", "front").no_egress();
    /// assert_eq!(policy.document().at(&["spec", "podSelector", "matchLabels"]).members().len(), 2);
    /// ```
    #[must_use]
    pub fn selecting(mut self, label: impl Into<String>, value: impl Into<String>) -> Self {
        self.selector.push((label.into(), Value::from(value.into())));
        self
    }

    /// With a further annotation: why it is there, for whoever finds it.
    ///
    /// ```
    /// # use falco_response_sdk::kubernetes::NetworkPolicy;
    /// let policy = NetworkPolicy::new("shop", "falco-x").annotated("falco-response/event-id", "0190").no_egress();
    /// ```
    #[must_use]
    pub fn annotated(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.annotations.push((key.into(), Value::from(value.into())));
        self
    }

    /// Nothing may leave the pods.
    ///
    /// ```
    /// # use falco_response_sdk::kubernetes::NetworkPolicy;
    /// let policy = NetworkPolicy::new("shop", "falco-x").no_egress();
    /// assert_eq!(policy.document().at(&["spec", "policyTypes"]).to_string(), r#"["Egress"]"#);
    /// ```
    #[must_use]
    pub fn no_egress(self) -> Self {
        self.closing("Egress", "egress")
    }

    /// Nothing may reach the pods.
    ///
    /// ```
    /// # use falco_response_sdk::kubernetes::NetworkPolicy;
    /// let policy = NetworkPolicy::new("shop", "falco-x").no_ingress();
    /// assert_eq!(policy.document().at(&["spec", "policyTypes"]).to_string(), r#"["Ingress"]"#);
    /// ```
    #[must_use]
    pub fn no_ingress(self) -> Self {
        self.closing("Ingress", "ingress")
    }

    fn closing(mut self, direction: &'static str, rules: &'static str) -> Self {
        if !self.directions.contains(&(direction, rules)) {
            self.directions.push((direction, rules));
        }
        self
    }

    /// What to apply it to.
    ///
    /// ```no_run
    /// # use falco_response_sdk::{kubernetes::NetworkPolicy, prelude::*};
    /// # fn f(host: &Host, policy: &NetworkPolicy) -> Result<(), Failure> {
    /// host.cluster().apply(&policy.reference(), &policy.document())?;
    /// # Ok(()) }
    /// ```
    pub fn reference(&self) -> ObjectRef {
        kinds::NETWORK_POLICIES.in_namespace(self.namespace.as_str(), self.name.as_str())
    }

    /// The document to apply.
    ///
    /// ```
    /// # use falco_response_sdk::kubernetes::NetworkPolicy;
    /// let document = NetworkPolicy::new("shop", "falco-x").no_egress().document();
    /// assert_eq!(document.at(&["kind"]).as_str(), Some("NetworkPolicy"));
    /// ```
    pub fn document(&self) -> Value {
        let ours = ("app.kubernetes.io/managed-by", Value::from("falco-response-controller"));
        let mut metadata = Vec::from([
            ("name", Value::from(self.name.as_str())),
            ("namespace", Value::from(self.namespace.as_str())),
            ("labels", object([ours])),
        ]);
        if !self.annotations.is_empty() {
            metadata.push(("annotations", object(self.annotations.iter().cloned())));
        }
        let mut selector = Vec::new();
        if !self.selector.is_empty() {
            selector.push(("matchLabels", object(self.selector.iter().cloned())));
        }
        let types = array(self.directions.iter().map(|(direction, _)| Value::from(*direction)));
        let mut spec = Vec::from([("podSelector", object(selector)), ("policyTypes", types)]);
        spec.extend(self.directions.iter().map(|(_, rules)| (*rules, array([]))));
        object([
            ("apiVersion", "networking.k8s.io/v1".into()),
            ("kind", "NetworkPolicy".into()),
            ("metadata", object(metadata)),
            ("spec", object(spec)),
        ])
    }
}
