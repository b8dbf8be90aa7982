//! Which of the pods that are there now each rule could act on, whatever the alert: the checks of
//! [`crate::safety::clearance`] that need no alert, put to every pod of the allowed namespaces.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::permitted;
use crate::cluster::names::{ApiResource, Namespace};
use crate::cluster::{ApiError, Reader, Selection};
use crate::config::{Config, Rule};
use crate::plugins::Plugins;
use crate::plugins::manifest::Target;
use crate::respond::rules;
use crate::safety::checks::{self, Check};
use crate::safety::owners::{self, WalkError};
use crate::safety::policy::{Policy, RuleScope};

/// Why a pod is out of reach.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// By a kind of owner.
    Protected(String),
    /// A kind of owner that is not in `owner_kinds`.
    Unknown(String),
    /// A kind of owner that is, and could not be read.
    Unreadable(String),
    Mirror,
    Deleting,
    /// What should not occur in a cluster: owners without end, references without sense.
    Other,
}

/// What one rule can reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleReach {
    pub rule: String,
    /// Where it may act and the pods could be listed.
    pub namespaces: Vec<String>,
    pub tally: Tally,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    pub pods: usize,
    pub reachable: usize,
    pub out_of_reach: BTreeMap<Why, usize>,
}

/// Owners of one kind that keep pods out of reach, because they cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    pub pods: usize,
    /// One of them, with what would help.
    pub example: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reached {
    /// The rules with an action on pods, in the configuration's order.
    pub rules: Vec<RuleReach>,
    /// By API version and kind.
    pub obstacles: BTreeMap<(String, String), Obstacle>,
    /// Namespaces whose pods may not be listed, with the reason.
    pub unlisted: Vec<(Namespace, ApiError)>,
}

/// Looks at every pod once, and at the owners of each that has other ones than those before.
///
/// # Errors
/// The cluster does not answer.
pub async fn reach(config: &Config, plugins: &Plugins, reader: &Reader) -> Result<Reached, ApiError> {
    let mut problems = Vec::new();
    let policy = rules::policy(config, &mut problems);
    let mut reached = Reached::default();
    let mut tallies: BTreeMap<Namespace, Option<Tally>> = BTreeMap::new();
    for rule in config.rules.iter().filter(|rule| acts_on_pods(rule, plugins)) {
        let own = rule.namespaces.as_ref().map(|names| rules::namespaces(names, rule.location, &mut problems));
        let mut of_rule = RuleReach { rule: rule.name.clone(), namespaces: Vec::new(), tally: Tally::default() };
        for namespace in permitted::may_act_in(&policy, &RuleScope { namespaces: own }) {
            if !tallies.contains_key(&namespace) {
                let tally = match tally(&namespace, &policy, reader, &mut reached.obstacles).await {
                    Ok(tally) => Some(tally),
                    Err(error) if error.is_transient() => return Err(error),
                    Err(error) => {
                        reached.unlisted.push((namespace.clone(), error));
                        None
                    }
                };
                tallies.insert(namespace.clone(), tally);
            }
            if let Some(Some(tally)) = tallies.get(&namespace) {
                of_rule.tally.add(tally);
                of_rule.namespaces.push(namespace.to_string());
            }
        }
        reached.rules.push(of_rule);
    }
    Ok(reached)
}

fn acts_on_pods(rule: &Rule, plugins: &Plugins) -> bool {
    let plugin = |action: &String| plugins.get(action).map(|plugin| plugin.manifest.target);
    rule.actions.iter().any(|action| plugin(&action.action) == Some(Target::Pods))
}

async fn tally(
    namespace: &Namespace,
    policy: &Policy,
    reader: &Reader,
    obstacles: &mut BTreeMap<(String, String), Obstacle>,
) -> Result<Tally, ApiError> {
    let selection = Selection { namespace: Some(namespace.clone()), metadata_only: true, ..Selection::default() };
    let pods = reader.list(&ApiResource::pods(), &selection).await?;
    let mut tally = Tally { pods: pods.len(), ..Tally::default() };
    // Pods of one ReplicaSet differ in nothing that is asked of owners.
    let mut walked: HashMap<String, Result<(), WalkError>> = HashMap::new();
    for pod in pods {
        let owners = pod.pointer("/metadata/ownerReferences").map(Value::to_string).unwrap_or_default();
        let why = if checks::not_a_mirror_pod(&pod).is_err() {
            Some(Why::Mirror)
        } else {
            if !walked.contains_key(&owners) {
                let walk = owners::walk(&pod, namespace, reader, policy).await.map(|_| ());
                if let Err(WalkError::NoAnswer(error)) = walk {
                    return Err(error);
                }
                walked.insert(owners.clone(), walk);
            }
            match walked.get(&owners) {
                Some(Err(error)) => Some(why(error, policy, obstacles)),
                _ => checks::not_already_deleting(&pod).is_err().then_some(Why::Deleting),
            }
        };
        match why {
            Some(why) => *tally.out_of_reach.entry(why).or_default() += 1,
            None => tally.reachable += 1,
        }
    }
    Ok(tally)
}

fn why(error: &WalkError, policy: &Policy, obstacles: &mut BTreeMap<(String, String), Obstacle>) -> Why {
    let WalkError::Owner(owner, refusal) = error else { return Why::Other };
    if refusal.check != Check::OwnerUnreadable {
        return Why::Protected(owner.kind.clone());
    }
    let key = (owner.api_version.clone(), owner.kind.clone());
    let obstacle = obstacles.entry(key).or_insert_with(|| Obstacle { pods: 0, example: refusal.detail.clone() });
    obstacle.pods += 1;
    match policy.owner_kinds.find(owner) {
        None => Why::Unknown(owner.kind.clone()),
        Some(_) => Why::Unreadable(owner.kind.clone()),
    }
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.pods += other.pods;
        self.reachable += other.reachable;
        for (why, count) in &other.out_of_reach {
            *self.out_of_reach.entry(why.clone()).or_default() += count;
        }
    }
}

impl RuleReach {
    /// Whether the rule can act on nothing that is there.
    pub fn is_empty(&self) -> bool {
        self.tally.reachable == 0
    }
}

/// `` `Shell spawned` can reach 0 of 14 pods in production: all belong to protected StatefulSets ``
impl std::fmt::Display for RuleReach {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Tally { pods, reachable, out_of_reach } = &self.tally;
        if self.namespaces.is_empty() {
            return write!(formatter, "`{}` can reach no pod: it may act in no namespace", self.rule);
        }
        let places = self.namespaces.join(", ");
        write!(formatter, "`{}` can reach {reachable} of {pods} pods in {places}", self.rule)?;
        match out_of_reach.iter().collect::<Vec<_>>()[..] {
            [] => Ok(()),
            [(why, _)] if *reachable == 0 => write!(formatter, ": all {}", why.says(2)),
            ref several => {
                let list: Vec<_> =
                    several.iter().map(|(why, count)| format!("{count} {}", why.says(**count))).collect();
                write!(formatter, ": {}", list.join(", "))
            }
        }
    }
}

impl Why {
    fn says(&self, count: usize) -> String {
        let one = count == 1;
        let (belong, are, have) = if one { ("belongs", "is", "has") } else { ("belong", "are", "have") };
        match self {
            Self::Protected(kind) if one => format!("{belong} to a protected {kind}"),
            Self::Protected(kind) => format!("{belong} to protected {kind}s"),
            Self::Unknown(kind) => format!("{have} an owner of kind {kind}, which is not in owner_kinds"),
            Self::Unreadable(kind) => format!("{have} an owner of kind {kind} that cannot be read"),
            Self::Mirror if one => format!("{are} the mirror of a static pod"),
            Self::Mirror => format!("{are} mirrors of static pods"),
            Self::Deleting => format!("{are} being deleted already"),
            Self::Other => format!("{have} owners that make no sense"),
        }
    }
}

#[cfg(test)]
mod tests;
