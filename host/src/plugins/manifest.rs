//! The manifest: a JSON document in the component's custom section `falco-response:manifest`, read without compiling.
//!
//! Decides whether a manifest is sound in itself. Whether its permissions are granted is [`crate::safety`]'s, and
//! where the section stands in the file [`super::outline`]'s.

use serde::{Deserialize, Serialize};

use super::outline::{Outline, OutlineError};
use crate::cluster::names::{ApiResource, ObjectName};
use crate::safety::lifting;
use crate::safety::permissions::{Permission, Verb};
use crate::safety::web::WebMethod;

pub const SECTION: &str = "falco-response:manifest";
/// What a manifest names: actions for it run on every version that begins so.
pub const CONTRACT: &str = "0.1";
/// The whole version of the contract in `wit/`.
pub const VERSION: &str = "0.1.1";
/// A manifest is a few hundred bytes; with a generous parameter schema a few thousand.
pub const SIZE_LIMIT: usize = 64 << 10;
const NAME_LIMIT: usize = 63;
const SUMMARY_LIMIT: usize = 512;
/// Groups times resources times verbs, of all permissions: whoever reads them multiplies them out.
const CALLS_LIMIT: usize = 1000;

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
    /// The methods of its requests to servers outside of the cluster; the operator says which.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<WebMethod>,
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

impl Manifest {
    /// Whether it may make NetworkPolicies, as far as that stands in it.
    pub fn isolates(&self) -> bool {
        let makes = |permission: &Permission, verb| permission.names("networking.k8s.io", "networkpolicies", verb);
        self.permissions.iter().any(|permission| makes(permission, Verb::Create) || makes(permission, Verb::Patch))
    }
}

/// Why a manifest is refused; reads well after the file's name and a colon.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    #[error(transparent)]
    Component(#[from] OutlineError),
    #[error(
        "has no custom section `{SECTION}`: write it with the SDK's `export_action!`, and build with `plugin build`, \
         which lifts it into the component; `plugin build --stamp` puts one into what another tool made"
    )]
    Missing,
    #[error("has {0} custom sections `{SECTION}`, and one is allowed: build it anew and stamp it once")]
    Several(usize),
    #[error("the manifest has {size} bytes, and {SIZE_LIMIT} are allowed: shorten `summary` or `parameters`")]
    TooLarge { size: usize },
    #[error("the manifest is not sound JSON: {0}")]
    Json(String),
    #[error(
        "the manifest asks for contract {found:?}, and this controller offers {CONTRACT:?}: build it with the SDK of \
         contract {CONTRACT}, or run a controller that offers {found:?}"
    )]
    Contract { found: String },
    #[error("the manifest's {place}: {problem}")]
    Field { place: String, problem: String },
}

/// The manifest of a component, from the bytes of its file.
///
/// # Errors
/// Says what is wrong with the file or its manifest, and what to do.
pub fn read(file: &[u8]) -> Result<Manifest, ManifestError> {
    of_outline(&Outline::read(file)?)
}

/// The manifest among what was found in the file.
pub(super) fn of_outline(outline: &Outline<'_>) -> Result<Manifest, ManifestError> {
    match outline.manifests.as_slice() {
        [] => Err(ManifestError::Missing),
        [document] => parse(document),
        several => Err(ManifestError::Several(several.len())),
    }
}

/// What an unsound manifest calls its action, as far as that can be told: whoever reads why a rule has no action looks
/// for its name.
pub(super) fn name_in(outline: &Outline<'_>) -> Option<String> {
    #[derive(Deserialize)]
    struct NameOnly {
        name: String,
    }

    let document = outline.manifests.first().filter(|document| document.len() <= SIZE_LIMIT)?;
    let found: NameOnly = serde_json::from_slice(document).ok()?;
    is_action_name(&found.name).then_some(found.name)
}

/// A manifest from its JSON text.
///
/// # Errors
/// Says which part is wrong, and what to do.
pub fn parse(document: &[u8]) -> Result<Manifest, ManifestError> {
    /// Looked at first: a manifest of another contract may have keys that this one does not know.
    #[derive(Deserialize)]
    struct ContractOnly {
        contract: Option<String>,
    }

    if document.len() > SIZE_LIMIT {
        return Err(ManifestError::TooLarge { size: document.len() });
    }
    let json = |error: serde_json::Error| ManifestError::Json(super::text::one_line(&error.to_string(), 512));
    let first: ContractOnly = serde_json::from_slice(document).map_err(json)?;
    if let Some(found) = first.contract.filter(|found| found != CONTRACT) {
        return Err(ManifestError::Contract { found: super::text::one_line(&found, 32) });
    }
    let manifest: Manifest = serde_json::from_slice(document).map_err(json)?;
    check(&manifest)?;
    Ok(manifest)
}

fn check(manifest: &Manifest) -> Result<(), ManifestError> {
    let field =
        |place: &str, problem: &str| Err(ManifestError::Field { place: place.to_owned(), problem: problem.to_owned() });
    if !is_action_name(&manifest.name) {
        return field("`name`", "must be a lower-case letter and up to 62 lower-case letters, digits and `_`");
    }
    if manifest.name == lifting::ACTION {
        return field("`name`", "is what the controller calls its own lifting of isolations: choose another");
    }
    if manifest.summary.trim().is_empty() || manifest.summary.len() > SUMMARY_LIMIT {
        return field("`summary`", "must be a sentence of at most 512 bytes");
    }
    if manifest.summary.chars().any(char::is_control) {
        return field("`summary`", "must be one line without control characters");
    }
    if manifest.parameters.as_ref().is_some_and(|schema| !schema.is_object()) {
        return field("`parameters`", "must be a JSON Schema, which is an object; leave it out when there are none");
    }
    let calls =
        |one: &Permission| one.api_groups.len().saturating_mul(one.resources.len()).saturating_mul(one.verbs.len());
    if manifest.permissions.iter().map(calls).fold(0, usize::saturating_add) > CALLS_LIMIT {
        return field("`permissions`", "name more than 1000 combinations of group, resource and verb");
    }
    for (index, permission) in manifest.permissions.iter().enumerate() {
        check_permission(permission)
            .map_err(|problem| ManifestError::Field { place: format!("`permissions[{index}]`"), problem })?;
    }
    Ok(())
}

/// `[a-z][a-z0-9_]{0,62}`
fn is_action_name(name: &str) -> bool {
    name.len() <= NAME_LIMIT
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_')
}

fn check_permission(permission: &Permission) -> Result<(), String> {
    if permission.api_groups.is_empty() {
        return Err("`apiGroups` is empty: write [\"\"] for the core group".to_owned());
    }
    if permission.resources.is_empty() {
        return Err("`resources` is empty: name at least one, such as pods or deployments/scale".to_owned());
    }
    if permission.verbs.is_empty() {
        return Err("`verbs` is empty: name at least one of get, list, create, patch, delete".to_owned());
    }
    if !permission.fields.is_empty() {
        return Err("`fields` is only for grants in the configuration: remove it from the manifest".to_owned());
    }
    for group in &permission.api_groups {
        for resource in &permission.resources {
            // The version is no part of a permission; any valid one serves to check the rest.
            ApiResource::parse(group, "v1", resource).map_err(|error| format!("{error}; wildcards are not offered"))?;
        }
    }
    for name in &permission.resource_names {
        ObjectName::parse(name).map_err(|error| format!("`resourceNames`: {error}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn kill_pod() -> Value {
        json!({
            "contract": "0.1", "name": "kill_pod", "summary": "Deletes the alert's pod.", "target": "pods",
            "permissions": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["delete"], "scope": "target"}],
        })
    }

    fn error_with(change: impl FnOnce(&mut Value)) -> String {
        let mut manifest = kill_pod();
        change(&mut manifest);
        parse(manifest.to_string().as_bytes()).expect_err(&manifest.to_string()).to_string()
    }

    #[test]
    fn takes_a_manifest_and_its_defaults() {
        let manifest = parse(kill_pod().to_string().as_bytes()).expect("sound");
        assert_eq!(manifest.name, "kill_pod");
        assert_eq!(manifest.target, Target::Pods);
        assert!(!manifest.pages && !manifest.repeatable && manifest.parameters.is_none());
    }

    #[test]
    fn refuses_another_contract_before_its_unknown_keys_and_names_both_versions() {
        let error = error_with(|manifest| {
            manifest["contract"] = json!("0.2");
            manifest["rollback"] = json!(true);
        });
        assert!(error.contains("\"0.2\"") && error.contains("\"0.1\""), "{error}");
    }

    #[test]
    fn refuses_unknown_keys_and_values_by_name() {
        assert!(error_with(|manifest| manifest["page"] = json!(true)).contains("unknown field `page`"));
        let verb = error_with(|manifest| manifest["permissions"][0]["verbs"] = json!(["watch"]));
        assert!(verb.contains("`watch`") && verb.contains("`patch`"), "{verb}");
        assert!(error_with(|manifest| manifest["permissions"][0]["scope"] = json!("world")).contains("`world`"));
        assert!(error_with(|manifest| manifest["target"] = json!("deployments")).contains("`deployments`"));
    }

    #[test]
    fn refuses_names_that_would_not_do_in_a_metric_or_a_field_manager() {
        for name in ["", "Kill", "kill-pod", "1kill", "_kill", "kill pod", "kïll", &"a".repeat(64)] {
            let error = error_with(|manifest| manifest["name"] = json!(name));
            assert!(error.contains("`name`"), "{name:?}: {error}");
        }
        let mut longest = kill_pod();
        longest["name"] = json!("a".repeat(63));
        assert!(parse(longest.to_string().as_bytes()).is_ok());
    }

    #[test]
    fn refuses_a_summary_that_could_forge_a_line() {
        assert!(error_with(|manifest| manifest["summary"] = json!("a\nb")).contains("`summary`"));
        assert!(error_with(|manifest| manifest["summary"] = json!(" ")).contains("`summary`"));
    }

    #[test]
    fn refuses_permissions_that_say_nothing_or_too_much() {
        for (key, value, expected) in [
            ("apiGroups", json!([]), "core group"),
            ("resources", json!([]), "`resources` is empty"),
            ("resources", json!(["*"]), "wildcards"),
            ("resources", json!(["pods/attach"]), "subresource"),
            ("verbs", json!([]), "`verbs` is empty"),
            ("resourceNames", json!(["../x"]), "`resourceNames`"),
            ("fields", json!(["spec.replicas"]), "only for grants"),
        ] {
            let error = error_with(|manifest| manifest["permissions"][0][key] = value.clone());
            assert!(error.contains("`permissions[0]`") && error.contains(expected), "{key}={value}: {error}");
        }
    }

    #[test]
    fn refuses_permissions_that_multiply_beyond_reading() {
        let many: Vec<String> = (0..100).map(|number| format!("x{number}")).collect();
        let error = error_with(|manifest| {
            manifest["permissions"][0]["apiGroups"] = json!(many);
            manifest["permissions"][0]["resources"] = json!(many);
        });
        assert!(error.contains("combinations"), "{error}");
    }

    #[test]
    fn refuses_a_manifest_beyond_the_size_limit() {
        let error = error_with(|manifest| manifest["parameters"] = json!({"description": "x".repeat(SIZE_LIMIT)}));
        assert!(error.contains("65536 are allowed"), "{error}");
    }
}
