//! Kubernetes objects, as far as actions commonly look into them: what an object's metadata says, a pod's containers, and
//! the documents that most actions write.
//!
//! All of it works on [`Value`]s and costs what is used of it. There are no types of whole objects here: see
//! [Types](#types).
//!
//! ```
//! use falco_response_sdk::json::Value;
//! use falco_response_sdk::kubernetes::{self, Metadata, NetworkPolicy, Pod};
//!
//! let pod = Value::parse(r#"{"metadata": {"name": "web-1", "labels": {"app": "web"}},
//!     "spec": {"nodeName": "n1", "containers": [{"name": "web", "image": "shop/web:2"}]}}"#).unwrap();
//! assert_eq!(Metadata::of(&pod).label("app"), Some("web"));
//! assert_eq!(Pod::of(&pod).containers().next().unwrap().name, "web");
//!
//! let mark = kubernetes::labels([("falco-response/suspect", "true")]);
//! let closed = NetworkPolicy::new("shop", "falco-suspects").selecting("falco-response/suspect", "true").no_egress();
//! # let _ = (mark, closed.document());
//! ```
//!
//! # Types
//!
//! With [`Value`]s, kill_pod is a component of 44 KB. With the types of the crate `k8s-openapi` an action holds the code that
//! reads every field of what it names: a pod has several hundred. They are therefore not offered here; an action that
//! wants them can bring them along, and read `to_string()` of a [`Value`] with serde_json.

mod metadata;
mod patch;
mod pod;
mod policy;

pub use metadata::{Controller, Metadata};
pub use patch::{annotations, labels};
pub use pod::{Container, Pod, Role};
pub use policy::NetworkPolicy;

#[cfg(doc)]
use crate::json::Value;
