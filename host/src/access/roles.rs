//! The needs as a ServiceAccount, Roles and their bindings.
//!
//! A Role for each namespace, so that nothing is bound elsewhere; a ClusterRole only for what is needed cluster-wide.
//! Every text is quoted as JSON, which YAML reads as it stands.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use super::needs::{Need, Place};
use crate::cluster::names::{Namespace, ObjectName};

/// Who the controller is in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub namespace: Namespace,
    pub name: ObjectName,
}

impl Account {
    /// What the API server calls it.
    pub fn username(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.name)
    }

    /// Of its objects that have no namespace of their own.
    pub fn cluster_name(&self) -> String {
        format!("{}.{}", self.name, self.namespace)
    }
}

/// The documents, always in the same order.
pub fn print(account: &Account, needs: &[Need]) -> String {
    let mut places: BTreeMap<&Place, Vec<&Need>> = BTreeMap::new();
    for need in needs {
        places.entry(&need.place).or_default().push(need);
    }
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = documents(&mut text, account, &places);
    text
}

fn documents(text: &mut String, account: &Account, places: &BTreeMap<&Place, Vec<&Need>>) -> fmt::Result {
    let Account { namespace, name } = account;
    writeln!(
        text,
        "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: \"{name}\"\n  namespace: \"{namespace}\""
    )?;
    for (place, needs) in places {
        let (prefix, own_name, own_namespace) = match place {
            Place::Namespace(own) => ("", name.to_string(), format!("  namespace: \"{own}\"\n")),
            Place::Cluster => ("Cluster", account.cluster_name(), String::new()),
        };
        let group = "rbac.authorization.k8s.io";
        writeln!(text, "---\napiVersion: {group}/v1\nkind: {prefix}Role")?;
        write!(text, "metadata:\n  name: \"{own_name}\"\n{own_namespace}rules:\n")?;
        rules(text, needs)?;
        writeln!(text, "---\napiVersion: {group}/v1\nkind: {prefix}RoleBinding")?;
        write!(text, "metadata:\n  name: \"{own_name}\"\n{own_namespace}")?;
        writeln!(text, "roleRef:\n  apiGroup: {group}\n  kind: {prefix}Role\n  name: \"{own_name}\"")?;
        writeln!(text, "subjects:\n  - kind: ServiceAccount\n    name: \"{name}\"\n    namespace: \"{namespace}\"")?;
    }
    Ok(())
}

/// One rule for the verbs of each resource, with the reason for each verb above it.
fn rules(text: &mut String, needs: &[&Need]) -> fmt::Result {
    let mut rules: Vec<(&Need, Vec<&Need>)> = Vec::new();
    for need in needs {
        let same =
            |first: &Need| (&first.group, &first.resource, &first.names) == (&need.group, &need.resource, &need.names);
        match rules.iter_mut().find(|(first, _)| same(first)) {
            Some((_, verbs)) => verbs.push(need),
            None => rules.push((need, vec![need])),
        }
    }
    for (first, verbs) in rules {
        for need in &verbs {
            for why in &need.why {
                writeln!(text, "  # {}: {why}", need.verb.as_str())?;
            }
        }
        let verbs: Vec<_> = verbs.iter().map(|need| need.verb.as_str()).collect();
        writeln!(text, "  - apiGroups: {}", list([&first.group]))?;
        writeln!(text, "    resources: {}", list([&first.resource]))?;
        if !first.names.is_empty() {
            writeln!(text, "    resourceNames: {}", list(&first.names))?;
        }
        writeln!(text, "    verbs: {}", list(verbs))?;
    }
    Ok(())
}

/// `["get", "delete"]`
pub(super) fn list(texts: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let quoted: Vec<_> = texts.into_iter().map(|text| quoted(text.as_ref())).collect();
    format!("[{}]", quoted.join(", "))
}

pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
