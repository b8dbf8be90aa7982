//! Labels the pod that the alert is about.
//!
//! A small complete action to start from: replace what it does, and keep what you need.

use falco_response_sdk::prelude::*;

/// The label's key. What begins with `falco-response/` is for actions, and needs no grant.
const LABEL: &str = "falco-response/{{crate}}";

parameters! {
    /// What a rule may say about this action. The comments become the descriptions in the manifest.
    pub struct Parameters {
        /// The label's value.
        value: String = "yes".into(),
    }
}

pub struct {{type}};

impl Action for {{type}} {
    type Parameters = Parameters;

    /// What the controller and the operator learn of the action without running it. What is not declared here is refused,
    /// and so is what is declared and not granted: `plugin inspect` says which is which.
    const MANIFEST: Manifest = Manifest::new("{{name}}", "Labels the pod that the alert is about.")
        .target(Target::Pods)
        .permissions(&[Permission::core(&["pods"], &[Verb::Patch], Scope::Target)])
        .repeatable();

    /// What the types of the parameters cannot say. Called when the configuration is loaded.
    fn check(parameters: &Parameters) -> Vec<Problem> {
        if is_label_value(&parameters.value) {
            vec![]
        } else {
            vec![Problem::new("/value", "must be a label's value: up to 63 letters, digits, `-`, `_` and `.`")]
        }
    }

    /// Called once for an alert. The pod is there, is the alert's, and may be acted on: the controller has seen to that.
    fn run(request: &Request, parameters: Parameters, host: &Host) -> Result<Outcome, Failure> {
        let pod = request.target();
        let now = request.target_manifest()?;
        if now.at(&["metadata", "labels", LABEL]).as_str() == Some(&parameters.value) {
            return Ok(Outcome::skipped("has the label already"));
        }
        let labels = object([(LABEL, parameters.value.into())]);
        let change = object([("metadata", object([("labels", labels)]))]);
        // `?` ends the run with the controller's own word on why a call was refused.
        host.cluster().merge(&pod, &change)?;
        Ok(Outcome::acted(["labelled pod ", &pod.name].concat()))
    }
}

/// As the API server checks it.
fn is_label_value(value: &str) -> bool {
    let ends = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    value.len() <= 63
        && value.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        && ends(value.chars().next())
        && ends(value.chars().next_back())
}

export_action!({{type}});

#[cfg(test)]
mod tests;
