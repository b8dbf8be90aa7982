//! What actions of the configuration declare and nobody has granted: their calls will be refused, and better said now
//! than in the record of an alert.

use std::collections::BTreeSet;

use crate::cluster::names::qualified;
use crate::config::Config;
use crate::plugins::Plugins;
use crate::plugins::manifest::Manifest;
use crate::safety::permissions::Permission;
use crate::safety::standing::Standing;

/// One sentence for each verb and resource, by the actions' names.
pub fn sentences(config: &Config, plugins: &Plugins) -> Vec<String> {
    let actions: BTreeSet<&str> =
        config.rules.iter().flat_map(|rule| &rule.actions).map(|action| action.action.as_str()).collect();
    let plugins = actions.into_iter().filter_map(|name| plugins.get(name));
    plugins
        .flat_map(|plugin| {
            let grants = config.plugins.grants.get(&plugin.manifest.name).map_or(&[][..], Vec::as_slice);
            of_manifest(&plugin.manifest, grants)
        })
        .collect()
}

fn of_manifest(manifest: &Manifest, grants: &[Permission]) -> Vec<String> {
    let name = &manifest.name;
    let mut sentences = Vec::new();
    for permission in &manifest.permissions {
        for declared in permission.declared() {
            let (group, resource, verb) = (declared.group, declared.resource, declared.verb);
            let granted = grants.iter().any(|grant| grant.names(group, resource, verb));
            if declared.standing == Standing::Grant && !granted {
                sentences.push(format!(
                    "`{name}` declares {} {}, and nobody has granted it: such a call will be refused; `plugin inspect` \
                     has the lines for `plugins.grants`",
                    verb.as_str(),
                    qualified(group, resource)
                ));
            }
        }
    }
    sentences
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn says_what_is_declared_and_not_granted() {
        let manifest = json!({
            "contract": "0.1", "name": "scale_down", "summary": "Scales down.", "target": "pods",
            "permissions": [
                {"apiGroups": [""], "resources": ["pods"], "verbs": ["delete", "patch"], "scope": "target"},
                {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "patch"], "scope": "owners"},
            ],
        });
        let manifest = crate::plugins::manifest::parse(manifest.to_string().as_bytes()).unwrap();
        let sentences = of_manifest(&manifest, &[]);
        assert!(matches!(&sentences[..], [one] if one.contains("patch deployments.apps")), "{sentences:?}");
        let grant = json!({"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["patch"], "scope": "owners"});
        assert_eq!(of_manifest(&manifest, &[serde_json::from_value(grant).unwrap()]), Vec::<String>::new());
    }
}
