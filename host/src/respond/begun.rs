//! Lists of actions that began under other rules than those in force. They end as they began, with what both let them do:
//! what is taken away meanwhile, a version of a plugin, its signer, a grant, is not used any more.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::rules::{Rules, Step};
use crate::config::Config;
use crate::plugins::{Plugin, Plugins};
use crate::safety::checks::{Check, Refusal};
use crate::safety::permissions::Permission;
use crate::safety::web::WebGrant;

/// What a configuration lets actions be and do, by their names.
pub struct Sanctions {
    in_force: BTreeMap<String, Arc<Plugin>>,
    pins: BTreeMap<String, String>,
    grants: BTreeMap<String, Vec<Permission>>,
    web_grants: BTreeMap<String, Vec<WebGrant>>,
}

impl Sanctions {
    pub fn of(config: &Config, plugins: &Plugins) -> Self {
        let in_force = plugins.iter().map(|plugin| (plugin.manifest.name.clone(), Arc::clone(plugin)));
        Self {
            in_force: in_force.collect(),
            pins: config.plugins.pins.clone(),
            grants: config.plugins.grants.clone(),
            web_grants: config.plugins.web_grants.clone(),
        }
    }

    /// Why a version that was in force must not be started any more.
    fn check(&self, plugin: &Plugin) -> Result<(), String> {
        let (name, sha256) = (&plugin.manifest.name, &plugin.sha256);
        let in_force = self.in_force.get(name).ok_or("there is no such plugin any more")?;
        if in_force.sha256 == *sha256 {
            return Ok(());
        }
        if let Some(pin) = self.pins.get(name).filter(|pin| *pin != sha256) {
            return Err(format!("`plugins.pins` asks for {pin} by now"));
        }
        if !in_force.trusts(plugin) {
            return Err("`plugins.signed_by` asks for other signers by now".to_owned());
        }
        Ok(())
    }
}

impl Rules {
    /// Why these rules would not start a version with which a list began under others.
    pub fn withdrawn(&self, plugin: &Plugin) -> Option<Refusal> {
        let why = self.sanctions.check(plugin).err()?;
        let (name, sha256) = (&plugin.manifest.name, &plugin.sha256);
        let detail = format!("{name} {sha256}, with which this list of actions began, is not started any more: {why}");
        Some(Refusal::new(Check::Permission, detail))
    }

    /// A step that began without its plugin, with the one that has been fetched meanwhile; none where it has not.
    pub fn arrived(&self, rule: &str, begun: &Step) -> Option<Step> {
        let mut steps = self.steps().into_iter().filter(|(name, _)| *name == rule).map(|(_, step)| step);
        let found = steps
            .find(|step| step.action == begun.action && step.parameters == begun.parameters && step.plugin.is_ok())?;
        let mut step = begun.clone();
        step.plugin.clone_from(&found.plugin);
        step.awaited = false;
        step.permissions.declared.clone_from(&found.permissions.declared);
        step.web.declared.clone_from(&found.web.declared);
        Some(step)
    }

    /// A step of a list that began under other rules, with those of its grants that these give as well.
    pub fn narrowed(&self, step: &Step) -> Step {
        let mut step = step.clone();
        let (granted, web) = (self.sanctions.grants.get(&step.action), self.sanctions.web_grants.get(&step.action));
        step.permissions.granted.retain(|grant| granted.is_some_and(|granted| granted.contains(grant)));
        step.web.granted.retain(|grant| web.is_some_and(|granted| granted.contains(grant)));
        step
    }
}
