//! The rules in force: a configuration, joined with the plugins that its actions name.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::begun::Sanctions;
use crate::alert::{Alert, Priority};
use crate::cluster::names::{ApiResource, Namespace};
use crate::cluster::owners::{OwnerKind, OwnerKinds};
use crate::config::{self, ActionRef, Config, Confirmation, CustomerFacing, Location, OnFailure, Problem};
use crate::plugins::{ParameterProblem, Plugin, Plugins, Unusable, schema};
use crate::redact::Redaction;
use crate::safety::budget::Limits;
use crate::safety::checks::{self, Refusal};
use crate::safety::clearance::Cleared;
use crate::safety::permissions::Permissions;
use crate::safety::policy::{Policy, RuleScope};
use crate::safety::web::WebPermissions;

/// How far in the future an alert may be before its node's clock is doubted.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(60);

/// One consistent set; an alert keeps the one it started with.
pub struct Rules {
    by_name: HashMap<String, Arc<Rule>>,
    required_tag: Option<String>,
    minimum_priority: Priority,
    pub policy: Arc<Policy>,
    pub limits: Limits,
    pub dryrun: bool,
    pub config_sha256: String,
    /// What records call the cluster, and part of `action_id`.
    pub cluster_name: String,
    pub max_recovery_age: Duration,
    /// What of an alert's text is taken out before it is kept.
    pub redaction: Redaction,
    pub customer_facing: Option<CustomerFacing>,
    /// Files that are no plugins, and which version is in force all the same.
    pub unusable: Vec<Unusable>,
    /// What actions may be and do.
    pub sanctions: Sanctions,
}

pub struct Rule {
    pub name: String,
    pub audit_reason: String,
    pub dryrun: bool,
    pub scope: RuleScope,
    pub timeout: Option<Duration>,
    /// In order; at least one.
    pub steps: Vec<Step>,
}

#[derive(Clone)]
pub struct Step {
    pub action: String,
    /// The plugin, or why there is none that could run this step.
    pub plugin: Result<Arc<Plugin>, String>,
    /// There is none, and it may be one that is being fetched: what is said of it is not the last word.
    pub awaited: bool,
    /// JSON.
    pub parameters: String,
    pub permissions: Permissions,
    pub web: WebPermissions,
    pub on_failure: OnFailure,
    pub confirm: Option<Confirmation>,
    /// How long what it isolates stays so; none: until it is lifted.
    pub lasts: Option<Duration>,
}

/// What becomes of an alert.
pub enum Match {
    /// The text is a metric's label.
    Unwanted(&'static str),
    Wanted(Arc<Rule>),
}

impl Rules {
    /// Joins them. What is wrong between them is returned beside the rules: each such step is without a plugin.
    pub async fn join(config: &Config, plugins: &Plugins, cluster_name: String) -> (Self, Vec<Problem>) {
        let mut problems = Vec::new();
        let policy = Arc::new(policy(config, &mut problems));
        let mut by_name = HashMap::new();
        for rule in &config.rules {
            let mut steps = Vec::new();
            for action in &rule.actions {
                let plugin = usable_plugin(action, plugins).await.map_err(|found| {
                    let messages: Vec<_> = found.iter().map(|problem| problem.message.clone()).collect();
                    problems.extend(found);
                    messages.join("; ")
                });
                steps.push(step(action, plugin, config, plugins));
            }
            problems.extend(expires_in_vain(rule, &steps));
            let narrowed = rule.namespaces.as_ref().map(|names| namespaces(names, rule.location, &mut problems));
            let joined = Rule {
                name: rule.name.clone(),
                audit_reason: rule.audit_reason.clone(),
                dryrun: rule.dryrun,
                scope: RuleScope { namespaces: narrowed },
                timeout: rule.timeout,
                steps,
            };
            by_name.insert(rule.name.clone(), Arc::new(joined));
        }
        let rules = Self {
            by_name,
            required_tag: config.required_tag.clone(),
            minimum_priority: config.minimum_priority,
            policy,
            limits: config.limits,
            dryrun: config.dryrun,
            config_sha256: config.sha256.clone(),
            cluster_name,
            max_recovery_age: config.max_recovery_age,
            redaction: Redaction::new(&config.redaction),
            customer_facing: config.audit.keeping.customer_facing.clone(),
            unusable: plugins.unusable.clone(),
            sanctions: Sanctions::of(config, plugins),
        };
        (rules, problems)
    }

    /// By exact name, then tag, then priority.
    pub fn find(&self, alert: &Alert) -> Match {
        let Some(rule) = self.by_name.get(&alert.rule) else { return Match::Unwanted("no_rule") };
        let tagged = |required: &str| alert.tags.iter().any(|tag| config::tag_matches(required, tag));
        if self.required_tag.as_deref().is_some_and(|required| !tagged(required)) {
            return Match::Unwanted("tag");
        }
        if alert.priority > self.minimum_priority {
            return Match::Unwanted("priority");
        }
        Match::Wanted(Arc::clone(rule))
    }

    /// Whether what an alert still causes is a dry run under these rules. What they no longer want is not done live.
    pub fn is_dry(&self, alert: &Alert) -> bool {
        self.dryrun || self.by_name.get(&alert.rule).is_none_or(|rule| rule.dryrun)
    }

    /// Why these rules would not let an action at what was cleared under others.
    pub fn forbids(&self, alert: &Alert, cleared: Option<&Cleared>) -> Option<Refusal> {
        let namespace = alert.text("k8s.ns.name").and_then(|text| Namespace::parse(&text).ok())?;
        let anywhere = RuleScope::default();
        let scope = self.by_name.get(&alert.rule).map_or(&anywhere, |rule| &rule.scope);
        let owners = cleared.into_iter().flat_map(|cleared| &cleared.chain.controllers);
        let judged = checks::namespace(&namespace, &self.policy, scope).and_then(|()| {
            owners
                .map(|owner| (owner, owner.to_string()))
                .try_for_each(|(owner, described)| checks::owner_not_protected(&owner.kind, &described, &self.policy))
        });
        judged.err()
    }

    pub fn names(&self) -> BTreeSet<String> {
        self.by_name.keys().cloned().collect()
    }

    /// Whether an isolation ever ends by itself.
    pub fn expires(&self) -> bool {
        self.by_name.values().flat_map(|rule| &rule.steps).any(|step| step.lasts.is_some())
    }

    /// The namespaces in which an action may isolate, one that is not at hand perhaps.
    pub fn isolating_in(&self) -> BTreeSet<Namespace> {
        let isolates = |step: &Step| step.plugin.as_ref().map_or(true, |plugin| plugin.manifest.isolates());
        let rules = self.by_name.values().filter(|rule| rule.steps.iter().any(isolates));
        let may_act =
            |rule: &Rule, namespace: &Namespace| checks::namespace(namespace, &self.policy, &rule.scope).is_ok();
        let found = rules.flat_map(|rule| self.policy.allowed_namespaces.iter().filter(move |it| may_act(rule, it)));
        found.cloned().collect()
    }

    /// How long what was done can still matter to what is decided.
    pub fn longest_memory(&self) -> Duration {
        let confirms = self.by_name.values().flat_map(|rule| &rule.steps).filter_map(|step| step.confirm);
        confirms.map(|confirm| confirm.within).fold(self.limits.longest(), Duration::max)
    }

    /// Every step, with its rule's name; in the order of those.
    pub fn steps(&self) -> Vec<(&str, &Step)> {
        let rules = self.by_name.values();
        let steps = rules.flat_map(|rule| rule.steps.iter().map(|step| (rule.name.as_str(), step)));
        let mut steps: Vec<_> = steps.collect();
        steps.sort_by_key(|(rule, _)| *rule);
        steps
    }

    /// The rules of which a step has no plugin, with the reason; sorted.
    pub fn without_plugin(&self) -> Vec<(String, String)> {
        let without = |(rule, step): (&str, &Step)| Some((rule.to_owned(), step.plugin.as_ref().err()?.clone()));
        let mut found: Vec<_> = self.steps().into_iter().filter_map(without).collect();
        found.sort();
        found
    }
}

async fn usable_plugin(action: &ActionRef, plugins: &Plugins) -> Result<Arc<Plugin>, Vec<Problem>> {
    let Some(plugin) = plugins.get(&action.action) else {
        let broken = plugins.unusable.iter().find(|unusable| unusable.name.as_deref() == Some(&action.action));
        let message = match broken {
            Some(broken) => {
                format!("the action `{}` has no usable plugin: {}: {}", action.action, broken.origin, broken.reason)
            }
            None => {
                let there = names(plugins);
                format!("no plugin describes itself as `{}`; there are: {there}{}", action.action, nameless(plugins))
            }
        };
        return Err(vec![Problem { location: action.location, message }]);
    };
    match plugin.validate(&action.parameters.to_string()).await {
        Ok(()) => Ok(Arc::clone(plugin)),
        Err(problems) => Err(problems.iter().map(|problem| of_parameters(problem, action, plugin)).collect()),
    }
}

/// `expires_after` where nothing is isolated, as far as that is known: of a rule, by none of its actions.
fn expires_in_vain(rule: &config::Rule, steps: &[Step]) -> Option<Problem> {
    let isolates = |step: &Step| step.plugin.as_ref().ok().map(|plugin| plugin.manifest.isolates());
    let pairs =
        || rule.actions.iter().zip(steps).filter_map(|(action, step)| Some((action, step, action.expires_after?)));
    let own = pairs().find(|(_, step, expires)| !expires.of_rule && isolates(step) == Some(false));
    if let Some((action, _, expires)) = own {
        let message = format!("`expires_after` is for what isolates, and `{}` makes no NetworkPolicy", action.action);
        return Some(Problem { location: expires.location, message });
    }
    let (_, _, expires) = pairs().find(|(_, _, expires)| expires.of_rule)?;
    steps.iter().all(|step| isolates(step) == Some(false)).then(|| Problem {
        location: expires.location,
        message: format!(
            "`expires_after` is for what isolates, and no action of rule {:?} makes a NetworkPolicy",
            rule.name
        ),
    })
}

/// Each in the place where the very key or value stands.
fn of_parameters(problem: &ParameterProblem, action: &ActionRef, plugin: &Plugin) -> Problem {
    let ParameterProblem { at, message } = problem;
    let known = plugin.manifest.parameters.as_ref().is_none_or(|schema| schema::speaks_of(schema, at));
    let place = if known { action.places.value(at) } else { action.places.key(at) };
    let whose = if at.is_empty() { String::new() } else { format!(" {at}") };
    let message = format!("the action `{}` does not take the parameters{whose}: {message}", action.action);
    Problem { location: place.unwrap_or(action.parameters_location), message }
}

fn names(plugins: &Plugins) -> String {
    let names: Vec<_> = plugins.iter().map(|plugin| plugin.manifest.name.as_str()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The files of which it cannot be told what they would be.
fn nameless(plugins: &Plugins) -> String {
    let nameless = plugins.unusable.iter().filter(|unusable| unusable.name.is_none());
    nameless.map(|unusable| format!("; cannot be used: {}: {}", unusable.origin, unusable.reason)).collect()
}

/// Whether a plugin of this name, which nobody has, may be among those that are being fetched: their names are not known
/// until they are there.
fn is_awaited(name: &str, plugins: &Plugins) -> bool {
    let known = plugins.unusable.iter().any(|unusable| unusable.name.as_deref() == Some(name));
    plugins.awaited && plugins.get(name).is_none() && !known
}

fn step(action: &ActionRef, plugin: Result<Arc<Plugin>, String>, config: &Config, plugins: &Plugins) -> Step {
    let declared = plugin.as_ref().map(|plugin| plugin.manifest.permissions.clone()).unwrap_or_default();
    let granted = config.plugins.grants.get(&action.action).cloned().unwrap_or_default();
    let web = WebPermissions {
        declared: plugin.as_ref().map(|plugin| plugin.manifest.http.clone()).unwrap_or_default(),
        granted: config.plugins.web_grants.get(&action.action).cloned().unwrap_or_default(),
    };
    Step {
        action: action.action.clone(),
        awaited: plugin.is_err() && is_awaited(&action.action, plugins),
        plugin,
        parameters: action.parameters.to_string(),
        permissions: Permissions { declared, granted },
        web,
        on_failure: action.on_failure,
        confirm: action.confirm,
        lasts: action.expires_after.map(|expires| expires.lasts),
    }
}

/// The configuration's loader has checked the names; one that slips through is a problem, and allows nothing.
pub(crate) fn namespaces(names: &[String], location: Location, problems: &mut Vec<Problem>) -> BTreeSet<Namespace> {
    let mut parsed = BTreeSet::new();
    for name in names {
        match Namespace::parse(name) {
            Ok(namespace) => {
                parsed.insert(namespace);
            }
            Err(error) => problems.push(Problem { location, message: error.to_string() }),
        }
    }
    parsed
}

pub(crate) fn policy(config: &Config, problems: &mut Vec<Problem>) -> Policy {
    let top = Location { line: 1, column: 1 };
    let mut kinds = Vec::new();
    for own in &config.owner_kinds {
        let (group, version) = own.api_version.split_once('/').unwrap_or(("", &own.api_version));
        match ApiResource::parse(group, version, &own.plural) {
            Ok(resource) => kinds.push(OwnerKind { kind: own.kind.clone(), resource, top_level: own.top_level }),
            Err(error) => problems.push(Problem { location: top, message: format!("owner_kinds: {error}") }),
        }
    }
    Policy {
        allowed_namespaces: namespaces(&config.allowed_namespaces, top, problems),
        denied_namespaces: namespaces(&config.denied_namespaces, top, problems),
        protected_owners: config.protected_owners.iter().cloned().collect(),
        owner_kinds: OwnerKinds::new(kinds),
        strict_identity: config.identity == config::Identity::Strict,
        max_alert_age: config.max_alert_age,
        max_clock_skew: MAX_CLOCK_SKEW,
    }
}
