//! A pod's spec.

use crate::json::Value;

/// A pod, as the API server sends it: the target's [manifest](crate::Request::target_manifest), or one that was listed.
///
/// ```
/// # use falco_response_sdk::{json::Value, kubernetes::Pod};
/// let pod = Value::parse(r#"{"spec": {"nodeName": "n1", "hostNetwork": true, "serviceAccountName": "web"}}"#).unwrap();
/// let pod = Pod::of(&pod);
/// assert_eq!((pod.node(), pod.service_account(), pod.is_on_host_network()), (Some("n1"), Some("web"), true));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Pod<'a> {
    pod: &'a Value,
}

/// One of a pod's containers.
///
/// ```
/// # use falco_response_sdk::{json::Value, kubernetes::{Pod, Role}};
/// let pod = Value::parse(r#"{"spec": {"containers": [{"name": "web", "image": "shop/web:2"}]}}"#).unwrap();
/// let web = Pod::of(&pod).containers().next().unwrap();
/// assert_eq!((web.name, web.image, web.role), ("web", "shop/web:2", Role::Main));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Container<'a> {
    /// As logs are asked for.
    pub name: &'a str,
    /// As the pod's spec has it, which need not be a digest.
    pub image: &'a str,
    /// What it is there for.
    pub role: Role,
}

/// What a container is there for.
///
/// ```
/// # use falco_response_sdk::{json::Value, kubernetes::{Pod, Role}};
/// let pod = Value::parse(r#"{"spec": {"ephemeralContainers": [{"name": "debugger"}]}}"#).unwrap();
/// assert!(Pod::of(&pod).containers().all(|container| container.role == Role::Ephemeral));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// One of `containers`.
    Main,
    /// One of `initContainers`, sidecars included.
    Init,
    /// One that `kubectl debug` put there.
    Ephemeral,
}

impl<'a> Pod<'a> {
    /// Of an object as the API server sends it.
    ///
    /// ```
    /// # use falco_response_sdk::{json::Value, kubernetes::Pod};
    /// assert_eq!(Pod::of(&Value::Null).node(), None);
    /// ```
    pub fn of(pod: &'a Value) -> Self {
        Self { pod }
    }

    /// Every container: those of the pod first, then init and ephemeral ones.
    ///
    /// ```
    /// # use falco_response_sdk::{json::Value, kubernetes::Pod};
    /// let pod = Value::parse(r#"{"spec": {"initContainers": [{"name": "setup"}], "containers": [{"name": "web"}]}}"#).unwrap();
    /// let names: Vec<_> = Pod::of(&pod).containers().map(|container| container.name).collect();
    /// assert_eq!(names, ["web", "setup"]);
    /// ```
    pub fn containers(self) -> impl Iterator<Item = Container<'a>> {
        let lists =
            [("containers", Role::Main), ("initContainers", Role::Init), ("ephemeralContainers", Role::Ephemeral)];
        lists.into_iter().flat_map(move |(key, role)| {
            self.pod.at(&["spec", key]).items().iter().map(move |container| {
                let text = |key| container.at(&[key]).as_str().unwrap_or_default();
                Container { name: text("name"), image: text("image"), role }
            })
        })
    }

    /// The node that it runs on; none while it waits for one.
    ///
    /// ```
    /// # use falco_response_sdk::{json::Value, kubernetes::Pod};
    /// # let pod = Value::parse(r#"{"spec": {"nodeName": "n1"}}"#).unwrap();
    /// assert_eq!(Pod::of(&pod).node(), Some("n1"));
    /// ```
    pub fn node(self) -> Option<&'a str> {
        self.pod.at(&["spec", "nodeName"]).as_str()
    }

    /// The account whose token it holds.
    ///
    /// ```
    /// # use falco_response_sdk::{json::Value, kubernetes::Pod};
    /// # let pod = Value::parse(r#"{"spec": {"serviceAccountName": "web"}}"#).unwrap();
    /// assert_eq!(Pod::of(&pod).service_account(), Some("web"));
    /// ```
    pub fn service_account(self) -> Option<&'a str> {
        self.pod.at(&["spec", "serviceAccountName"]).as_str()
    }

    /// Whether it uses its node's network, where no NetworkPolicy reaches it.
    ///
    /// ```
    /// # use falco_response_sdk::{json::Value, kubernetes::Pod};
    /// # let pod = Value::parse(r#"{"spec": {"hostNetwork": true}}"#).unwrap();
    /// assert!(Pod::of(&pod).is_on_host_network());
    /// ```
    pub fn is_on_host_network(self) -> bool {
        self.pod.at(&["spec", "hostNetwork"]).as_bool() == Some(true)
    }
}
