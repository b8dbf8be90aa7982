//! Whose logs are kept first, since not all may fit.

use falco_response_sdk::json::Value;

/// The names of all containers: the one that the alert names, the others of the pod, those that were attached to it
/// while it ran, and those that came before.
pub fn of<'m>(manifest: &'m Value, named: Option<&str>) -> Vec<&'m str> {
    let mut names: Vec<&str> = ["containers", "ephemeralContainers", "initContainers"]
        .iter()
        .flat_map(|kind| manifest.at(&["spec", kind]).items())
        .filter_map(|container| container.at(&["name"]).as_str())
        .collect();
    if let Some(first) = names.iter().position(|name| Some(*name) == named) {
        names[..=first].rotate_right(1);
    }
    names
}
