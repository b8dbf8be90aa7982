//! What the account may do against what the configuration needs: what is missing, and what is too much.
//!
//! Missing is each need that the API server denies. Too much cannot be listed by asking, so a fixed list of what would
//! hurt is asked, less what the configuration needs: an account that may do it is worth more to an attacker than this
//! controller is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::task::JoinSet;

use super::CONFIG_MAP;
use super::needs::{Need, Place};
use crate::cluster::ApiError;
use crate::cluster::names::{Namespace, ObjectName};
use crate::cluster::review::{Access, Reviewer};
use crate::safety::policy::{KUBE_SYSTEM, Policy};

const RBAC: &str = "rbac.authorization.k8s.io";
const AT_ONCE: usize = 8;
/// For all questions together.
const WITHIN: Duration = Duration::from_secs(30);

/// Where the account is allowed too little or too much.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Review {
    pub missing: Vec<Missing>,
    pub excess: Vec<Excess>,
}

/// A need that the cluster does not grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    pub access: Access,
    pub why: Vec<String>,
}

/// `may not delete pods in production: action kill_pod, by default`
impl std::fmt::Display for Missing {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "may not {}: {}", self.access, self.why.join("; "))
    }
}

/// What the account may do and the configuration does not need, by what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excess {
    /// `delete pods`
    pub what: String,
    /// Namespaces, or nothing for the whole cluster.
    pub places: Vec<String>,
}

/// `may delete pods in kube-system, monitoring: more than this configuration needs`
impl std::fmt::Display for Excess {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let places = if self.places.is_empty() { "the whole cluster".to_owned() } else { self.places.join(", ") };
        write!(formatter, "may {} in {places}: more than this configuration needs", self.what)
    }
}

/// Asks. `own` is the namespace of the controller itself.
///
/// # Errors
/// The API server does not answer, or not within half a minute.
pub async fn review(needs: &[Need], policy: &Policy, own: &Namespace, reviewer: &Reviewer) -> Result<Review, ApiError> {
    let asking = async {
        let wanted: Vec<(Access, &Need)> =
            needs.iter().flat_map(|need| accesses(need).into_iter().map(move |access| (access, need))).collect();
        let mut questions: BTreeSet<Access> = wanted.iter().map(|(access, _)| access.clone()).collect();
        let dangers: Vec<_> =
            dangers(policy, own).into_iter().filter(|danger| !needs.iter().any(|need| covers(need, danger))).collect();
        questions.extend(dangers.iter().cloned());
        let allowed = ask(questions, reviewer).await?;
        let missing = wanted.into_iter().filter(|(access, _)| !allowed.contains(access));
        let missing = missing.map(|(access, need)| Missing { access, why: need.why.clone() }).collect();
        let excess = grouped(dangers.into_iter().filter(|danger| allowed.contains(danger)).collect());
        Ok(Review { missing, excess })
    };
    tokio::time::timeout(WITHIN, asking).await.unwrap_or_else(|_| {
        Err(ApiError::NoAnswer(format!("the questions were not all answered within {} s", WITHIN.as_secs())))
    })
}

/// Those that are allowed.
async fn ask(questions: BTreeSet<Access>, reviewer: &Reviewer) -> Result<BTreeSet<Access>, ApiError> {
    let mut questions = questions.into_iter();
    let mut asked = JoinSet::new();
    let mut allowed = BTreeSet::new();
    loop {
        while asked.len() < AT_ONCE {
            let Some(access) = questions.next() else { break };
            let reviewer = reviewer.clone();
            asked.spawn(async move {
                let answer = reviewer.may(&access).await;
                (access, answer)
            });
        }
        match asked.join_next().await {
            None => return Ok(allowed),
            Some(Ok((access, answer))) => {
                if answer? {
                    allowed.insert(access);
                }
            }
            Some(Err(error)) => return Err(ApiError::NotSent(format!("asking failed: {error}"))),
        }
    }
}

/// The questions that a need comes to: one for each name.
fn accesses(need: &Need) -> Vec<Access> {
    let namespace = match &need.place {
        Place::Namespace(namespace) => Some(namespace.clone()),
        Place::Cluster => None,
    };
    let access = |name: Option<ObjectName>| Access {
        verb: need.verb.as_str().to_owned(),
        group: need.group.clone(),
        resource: need.resource.clone(),
        namespace: namespace.clone(),
        name,
    };
    if need.names.is_empty() {
        return vec![access(None)];
    }
    // Names come from manifests and grants, which are checked when they are loaded.
    need.names.iter().filter_map(|name| ObjectName::parse(name).ok()).map(|name| access(Some(name))).collect()
}

/// Whether a need asks for all of it.
fn covers(need: &Need, access: &Access) -> bool {
    let place = match &need.place {
        Place::Cluster => true,
        Place::Namespace(namespace) => access.namespace.as_ref() == Some(namespace),
    };
    place
        && (need.verb.as_str(), &need.group, &need.resource) == (access.verb.as_str(), &access.group, &access.resource)
        && (need.names.is_empty()
            || access.name.as_ref().is_some_and(|name| need.names.iter().any(|own| own == name.as_str())))
}

/// Verb, group, resource: what hurts wherever it is allowed.
const ANYWHERE: &[(&str, &str, &str)] = &[
    ("delete", "", "pods"),
    ("create", "", "pods"),
    ("create", "", "pods/exec"),
    ("get", "", "secrets"),
    ("list", "", "secrets"),
    ("create", "", "serviceaccounts/token"),
    ("patch", "apps", "deployments"),
    ("patch", "apps", "daemonsets"),
    ("delete", "apps", "deployments"),
    ("delete", "networking.k8s.io", "networkpolicies"),
    ("patch", RBAC, "roles"),
    ("escalate", RBAC, "roles"),
    ("bind", RBAC, "roles"),
    ("create", RBAC, "rolebindings"),
];

/// What has no namespace, or is told only for the whole cluster.
const CLUSTER_WIDE: &[(&str, &str, &str)] = &[
    ("delete", "", "namespaces"),
    ("patch", "", "namespaces"),
    ("delete", "", "nodes"),
    ("patch", "", "nodes"),
    ("patch", RBAC, "clusterroles"),
    ("escalate", RBAC, "clusterroles"),
    ("bind", RBAC, "clusterroles"),
    ("create", RBAC, "clusterrolebindings"),
    ("impersonate", "", "users"),
    ("impersonate", "", "groups"),
    ("impersonate", "", "serviceaccounts"),
    ("delete", "admissionregistration.k8s.io", "validatingadmissionpolicybindings"),
    ("patch", "admissionregistration.k8s.io", "validatingadmissionpolicies"),
];

fn dangers(policy: &Policy, own: &Namespace) -> Vec<Access> {
    let access = |(verb, group, resource): (&str, &str, &str), namespace: Option<&Namespace>| Access {
        verb: verb.to_owned(),
        group: group.to_owned(),
        resource: resource.to_owned(),
        namespace: namespace.cloned(),
        name: None,
    };
    let mut namespaces: BTreeSet<Namespace> =
        policy.allowed_namespaces.iter().chain(&policy.denied_namespaces).cloned().collect();
    namespaces.extend(Namespace::parse(KUBE_SYSTEM));
    namespaces.insert(own.clone());
    let mut dangers = vec![access(("*", "*", "*"), None)];
    dangers.extend(CLUSTER_WIDE.iter().chain(ANYWHERE).map(|call| access(*call, None)));
    for namespace in &namespaces {
        dangers.extend(ANYWHERE.iter().map(|call| access(*call, Some(namespace))));
    }
    // Who may change the configuration may switch the dry run off.
    for verb in ["update", "patch"] {
        let mut configuration = access((verb, "", "configmaps"), Some(own));
        configuration.name = ObjectName::parse(CONFIG_MAP).ok();
        dangers.push(configuration);
    }
    dangers
}

/// By what it is. What is allowed in the whole cluster is not told again for each namespace, and where everything is
/// allowed, that is all there is to tell.
fn grouped(allowed: Vec<Access>) -> Vec<Excess> {
    if allowed.iter().any(|access| access.verb == "*" && access.namespace.is_none()) {
        return vec![Excess { what: "do anything".to_owned(), places: Vec::new() }];
    }
    let mut by_call: BTreeMap<String, BTreeSet<Option<String>>> = BTreeMap::new();
    for access in allowed {
        let place = access.namespace.as_ref().map(ToString::to_string);
        by_call.entry(access.call()).or_default().insert(place);
    }
    let excess = by_call.into_iter().map(|(what, places)| {
        let everywhere = places.contains(&None);
        Excess { what, places: if everywhere { Vec::new() } else { places.into_iter().flatten().collect() } }
    });
    excess.collect()
}

#[cfg(test)]
mod tests;
