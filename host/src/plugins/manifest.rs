//! The manifest: a JSON document in the component's custom section `falco-response:manifest`, read without compiling.

use serde::{Deserialize, Serialize};

use crate::safety::permissions::Permission;

pub const SECTION: &str = "falco-response:manifest";
pub const CONTRACT: &str = "0.1";

/// What kind of object the action works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    Pods,
    Namespaces,
    Nodes,
    None,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub contract: String,
    /// `kill_pod`
    pub name: String,
    pub summary: String,
    pub target: Target,
    #[serde(default)]
    pub permissions: Vec<Permission>,
    /// Whether the person on call is paged when the action changed something.
    #[serde(default)]
    pub pages: bool,
    /// Whether it may be run again after a crash.
    #[serde(default)]
    pub repeatable: bool,
    /// JSON Schema of the parameters.
    #[serde(default)]
    pub parameters: Option<serde_json::Value>,
}
