//! What every object says of itself.

use crate::json::Value;
use crate::{Kind, ObjectRef};

/// An object's `metadata`. What is not there, or is no text, reads as absent.
///
/// ```
/// # use falco_response_sdk::{json::Value, kubernetes::Metadata};
/// let object = Value::parse(r#"{"metadata": {"name": "web-1", "namespace": "shop", "uid": "7c1e"}}"#).unwrap();
/// let metadata = Metadata::of(&object);
/// assert_eq!((metadata.name(), metadata.namespace(), metadata.uid()), ("web-1", Some("shop"), Some("7c1e")));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Metadata<'a> {
    object: &'a Value,
}

/// The owner that controls an object: of a pod its ReplicaSet, and not the Deployment above that
/// ([`Request::owners`](crate::Request::owners) has the whole chain of the target).
///
/// ```
/// # use falco_response_sdk::{json::Value, kubernetes::Metadata};
/// let pod = Value::parse(r#"{"metadata": {"ownerReferences": [
///     {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-7d9f4b", "uid": "1", "controller": true}]}}"#).unwrap();
/// let controller = Metadata::of(&pod).controller().unwrap();
/// assert_eq!((controller.kind, controller.name), ("ReplicaSet", "web-7d9f4b"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Controller<'a> {
    /// `apps/v1`
    pub api_version: &'a str,
    /// `ReplicaSet`
    pub kind: &'a str,
    /// Its name, in the namespace of what it controls.
    pub name: &'a str,
    /// Which one of that name.
    pub uid: &'a str,
}

impl<'a> Metadata<'a> {
    /// Of an object as the API server sends it.
    ///
    /// ```
    /// # use falco_response_sdk::{json::Value, kubernetes::Metadata};
    /// assert_eq!(Metadata::of(&Value::Null).name(), "");
    /// ```
    pub fn of(object: &'a Value) -> Self {
        Self { object }
    }

    fn text(self, key: &str) -> Option<&'a str> {
        self.object.at(&["metadata", key]).as_str()
    }

    /// The object's name; empty where it has none.
    ///
    /// ```
    /// # use falco_response_sdk::{json::Value, kubernetes::Metadata};
    /// # let object = Value::parse(r#"{"metadata": {"name": "web-1"}}"#).unwrap();
    /// assert_eq!(Metadata::of(&object).name(), "web-1");
    /// ```
    pub fn name(self) -> &'a str {
        self.text("name").unwrap_or_default()
    }

    /// None for cluster-scoped objects.
    ///
    /// ```
    /// # use falco_response_sdk::{json::Value, kubernetes::Metadata};
    /// # let object = Value::parse(r#"{"metadata": {"namespace": "shop"}}"#).unwrap();
    /// assert_eq!(Metadata::of(&object).namespace(), Some("shop"));
    /// ```
    pub fn namespace(self) -> Option<&'a str> {
        self.text("namespace")
    }

    /// Which object of this name it is.
    ///
    /// ```
    /// # use falco_response_sdk::{json::Value, kubernetes::Metadata};
    /// # let object = Value::parse(r#"{"metadata": {"uid": "7c1e"}}"#).unwrap();
    /// assert_eq!(Metadata::of(&object).uid(), Some("7c1e"));
    /// ```
    pub fn uid(self) -> Option<&'a str> {
        self.text("uid")
    }

    /// One label.
    ///
    /// ```
    /// # use falco_response_sdk::{json::Value, kubernetes::Metadata};
    /// let object = Value::parse(r#"{"metadata": {"labels": {"app.kubernetes.io/name": "shop"}}}"#).unwrap();
    /// assert_eq!(Metadata::of(&object).label("app.kubernetes.io/name"), Some("shop"));
    /// ```
    pub fn label(self, key: &str) -> Option<&'a str> {
        self.object.at(&["metadata", "labels", key]).as_str()
    }

    /// One annotation.
    ///
    /// ```
    /// # use falco_response_sdk::{json::Value, kubernetes::Metadata};
    /// let object = Value::parse(r#"{"metadata": {"annotations": {"falco-response/rule": "Miner"}}}"#).unwrap();
    /// assert_eq!(Metadata::of(&object).annotation("falco-response/rule"), Some("Miner"));
    /// ```
    pub fn annotation(self, key: &str) -> Option<&'a str> {
        self.object.at(&["metadata", "annotations", key]).as_str()
    }

    /// The owner that controls it; none for what somebody made by hand.
    ///
    /// ```
    /// # use falco_response_sdk::{json::Value, kubernetes::Metadata};
    /// let by_hand = Value::parse(r#"{"metadata": {"name": "debug"}}"#).unwrap();
    /// assert_eq!(Metadata::of(&by_hand).controller(), None);
    /// ```
    pub fn controller(self) -> Option<Controller<'a>> {
        let owners = self.object.at(&["metadata", "ownerReferences"]).items();
        let controller = owners.iter().find(|owner| owner.at(&["controller"]).as_bool() == Some(true))?;
        let text = |key| controller.at(&[key]).as_str().unwrap_or_default();
        Some(Controller { api_version: text("apiVersion"), kind: text("kind"), name: text("name"), uid: text("uid") })
    }

    /// The reference to this very object: with its UID, so that a call reaches no other one of its name.
    ///
    /// ```
    /// # use falco_response_sdk::{json::Value, kinds, kubernetes::Metadata};
    /// let policy = Value::parse(r#"{"metadata": {"name": "falco-x", "namespace": "shop", "uid": "7c1e"}}"#).unwrap();
    /// let reference = Metadata::of(&policy).reference(kinds::NETWORK_POLICIES);
    /// assert_eq!((reference.name.as_str(), reference.uid.as_deref()), ("falco-x", Some("7c1e")));
    /// ```
    pub fn reference(self, kind: Kind) -> ObjectRef {
        ObjectRef {
            resource: kind.into(),
            namespace: self.namespace().map(Into::into),
            name: self.name().into(),
            uid: self.uid().map(Into::into),
        }
    }
}
