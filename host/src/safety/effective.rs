//! What a plugin may do in effect, told beforehand: both what it declares and what is granted, as patterns.
//!
//! [`Permissions::permit`] judges one call; this lists the calls that it could permit, for those who grant them
//! elsewhere: RBAC and admission.

use super::defaults::{DEFAULT_GRANTS, Object};
use super::permissions::{Permissions, Scope, Verb};

/// Calls of one verb on one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    pub group: String,
    /// Plural, with a subresource after a slash.
    pub resource: String,
    pub verb: Verb,
    /// Empty: any.
    pub names: Vec<String>,
    /// The object is within both: what was declared, and what was granted.
    pub scopes: [Scope; 2],
    pub basis: Basis,
}

/// Who granted it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Basis {
    Default,
    /// The operator, with these further paths for what is written.
    Granted {
        fields: Vec<String>,
    },
}

impl Permissions {
    /// In the order of the manifest; parts may overlap.
    pub fn effective(&self) -> Vec<Effective> {
        let mut found = Vec::new();
        for declared in &self.declared {
            for (group, resource, verb) in declared.calls() {
                let default = DEFAULT_GRANTS.iter().filter(|default| {
                    let object = match default.object {
                        Object::Of(own, plural) => own == group && plural == resource,
                        Object::Whole => !resource.contains('/'),
                    };
                    object && default.verb == verb
                });
                let default = default.map(|default| (default.scope, default.only.names(declared), Basis::Default));
                let granted = self.granted.iter().filter(|grant| grant.names(group, resource, verb));
                let granted = granted.map(|grant| {
                    let names = (!grant.resource_names.is_empty()).then(|| grant.resource_names.clone());
                    (grant.scope, names, Basis::Granted { fields: grant.fields.clone() })
                });
                for (scope, names, basis) in default.chain(granted) {
                    let Some(names) = both(&declared.resource_names, names) else { continue };
                    // A list has no name, so a permission with names covers none.
                    if verb == Verb::List && !names.is_empty() {
                        continue;
                    }
                    found.push(Effective {
                        group: group.to_owned(),
                        resource: resource.to_owned(),
                        verb,
                        names,
                        scopes: [declared.scope, scope],
                        basis,
                    });
                }
            }
        }
        found
    }
}

/// Names within both lists, of which an empty or absent one means any. None: there is no such name.
fn both(declared: &[String], granted: Option<Vec<String>>) -> Option<Vec<String>> {
    let names = match granted {
        None => return Some(declared.to_vec()),
        Some(granted) if declared.is_empty() => granted,
        Some(granted) => granted.into_iter().filter(|name| declared.contains(name)).collect(),
    };
    (!names.is_empty()).then_some(names)
}
