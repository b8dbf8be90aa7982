//! What RBAC cannot say, as admission policies for the controller's ServiceAccount.
//!
//! Two policies. The first takes no parameter and concerns every mutating request of the account: only what is
//! effective, in its namespaces, pinned to a UID, on nothing of a protected owner. The second lets through dry runs
//! only, while the ConfigMap does not say `dryrun: false`.
//!
//! They are two because the API server looks for a parameter before it asks whose request it is: with
//! `parameterNotFoundAction: Deny`, a ConfigMap that is not there would stop everybody's requests in the whole cluster,
//! the one that creates it included. So a missing ConfigMap opens the second policy, which matches no more than the
//! controller may change; it never opens the first.
//!
//! An eviction shows the API server's policies the Eviction alone, never the pod or its owners. So it needs the
//! operator's own grant, where a plugin has it by default.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use super::CONFIG_MAP;
use super::needs::{self, Place};
use super::permitted::{self, Reach};
use super::roles::{Account, list, quoted};
use crate::config::Config;
use crate::plugins::Plugins;
use crate::plugins::manifest::Target;
use crate::safety::effective::Basis;
use crate::safety::free::OWN_DOMAIN;
use crate::safety::isolation::{DOMAIN, MANAGED_BY};
use crate::safety::permissions::Verb;
use crate::safety::policy::{DAEMON_SET, KUBE_SYSTEM, Policy};

/// The place of what has no namespace.
const NOWHERE: &str = "";

const POLICIES: (&str, &str) = ("networking.k8s.io", "networkpolicies");

/// Group, resource, operation and names (empty: any).
type Change = (String, String, &'static str, Vec<String>);

/// What the policies are made of.
struct Fence<'a> {
    account: &'a Account,
    /// With the namespaces in which each may be made.
    changes: BTreeMap<Change, BTreeSet<String>>,
    /// Kinds that an object's owners must not be of; sorted.
    protected: BTreeSet<String>,
    /// Group and plural of those kinds.
    untouchable: BTreeSet<(String, String)>,
    /// Of pods, whether labels and annotations are all that may be patched.
    pods_free_metadata: bool,
    /// Whether of those labels the ones may go that isolations put on.
    pods_unmarked: bool,
    /// Which NetworkPolicies need not be closing ones.
    opening: Granted,
    /// Which NetworkPolicies may be deleted that are not ours; none where none is deleted at all.
    deleted: Option<Granted>,
}

/// The NetworkPolicies that the operator granted more of than is granted by default.
enum Granted {
    All,
    /// Sorted; by default none.
    Named(BTreeSet<String>),
}

impl Granted {
    /// By the names of each grant.
    fn of(grants: &[&[String]]) -> Self {
        if grants.iter().any(|names| names.is_empty()) {
            Self::All
        } else {
            Self::Named(grants.concat().into_iter().collect())
        }
    }
}

/// The documents, always in the same order.
pub fn print(account: &Account, config: &Config, plugins: &Plugins) -> String {
    let manifests = needs::manifests(plugins);
    let fence = Fence::of(account, config, &manifests);
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = fence.documents(&mut text);
    text
}

impl<'a> Fence<'a> {
    fn of(account: &'a Account, config: &Config, manifests: &permitted::Manifests<'_>) -> Self {
        let (policy, actions, _) = permitted::actions(config, manifests);
        // The names that grants cover, each; none where nothing is granted.
        let granted = |group: &str, resource: &str, verbs: &[Verb]| -> Vec<&[String]> {
            let effective = actions.iter().flat_map(|action| action.effective.iter().map(move |one| (action, one)));
            let granted = effective.filter(|(action, one)| {
                matches!(one.basis, Basis::Granted { .. })
                    && (one.group.as_str(), one.resource.as_str()) == (group, resource)
                    && verbs.contains(&one.verb)
                    && permitted::reach(one, action.target, &policy) != Reach::Nowhere
            });
            granted.map(|(_, one)| one.names.as_slice()).collect()
        };
        let isolating = || {
            actions
                .iter()
                .filter(|action| !action.namespaces.is_empty() && permitted::isolates(action, &policy).is_some())
        };
        let evictions = !granted("", "pods/eviction", &[Verb::Create]).is_empty();
        let mut changes: BTreeMap<Change, BTreeSet<String>> = BTreeMap::new();
        for need in needs::of_manifests(config, manifests).0 {
            let operation = match need.verb {
                Verb::Get | Verb::List => continue,
                // To admission a command is a connection, however it is opened.
                Verb::Create if need.resource == "pods/exec" => "CONNECT",
                Verb::Create => "CREATE",
                Verb::Patch => "UPDATE",
                Verb::Delete => "DELETE",
            };
            // Of what has no namespace, a node is all that is ever changed.
            let place = match need.place {
                Place::Namespace(namespace) => namespace.to_string(),
                Place::Cluster => NOWHERE.to_owned(),
            };
            if need.resource == "pods/eviction" && !evictions {
                continue;
            }
            let change = (need.group, need.resource, operation, need.names);
            changes.entry(change).or_default().insert(place);
        }
        Self {
            account,
            changes,
            untouchable: untouchable(&policy),
            protected: policy.protected_owners.iter().cloned().chain([DAEMON_SET.to_owned()]).collect(),
            pods_free_metadata: granted("", "pods", &[Verb::Patch]).is_empty(),
            pods_unmarked: isolating().any(|action| action.target == Target::Pods),
            opening: Granted::of(&granted(POLICIES.0, POLICIES.1, &[Verb::Create, Verb::Patch])),
            deleted: isolating().next().map(|_| Granted::of(&granted(POLICIES.0, POLICIES.1, &[Verb::Delete]))),
        }
    }

    fn documents(&self, text: &mut String) -> fmt::Result {
        let name = self.account.cluster_name();
        policy(text, &name, "")?;
        writeln!(text, "  matchConstraints:\n    resourceRules:")?;
        resource_rule(text, "*", &["*/*"], &["CREATE", "UPDATE", "DELETE", "CONNECT"], &[])?;
        self.match_conditions(text)?;
        writeln!(text, "  variables:")?;
        let of_nodes = if self.cordons() { &VARIABLES_OF_NODES[..] } else { &[] };
        for (name, expression) in VARIABLES.iter().chain(of_nodes) {
            writeln!(text, "    - name: {name}\n      expression: {}", quoted(expression))?;
        }
        writeln!(text, "  validations:")?;
        for (expression, message) in self.validations() {
            validation(text, &expression, message)?;
        }
        binding(text, &name, None)?;
        // Without anything to change there is nothing that could be live.
        if !self.changes.is_empty() {
            self.dry_run(text)?;
        }
        Ok(())
    }

    fn match_conditions(&self, text: &mut String) -> fmt::Result {
        let own = format!("request.userInfo.username == {}", quoted(&self.account.username()));
        // Reviews store nothing. Newer API servers do not ask policies about them at all.
        let review = "request.resource.group == 'authorization.k8s.io' && \
                      request.resource.resource in ['selfsubjectaccessreviews', 'selfsubjectrulesreviews']";
        writeln!(text, "  matchConditions:")?;
        writeln!(text, "    - name: the-controller\n      expression: {}", quoted(&own))?;
        writeln!(text, "    - name: no-question-about-itself\n      expression: {}", quoted(&format!("!({review})")))
    }

    fn validations(&self) -> Vec<(String, &'static str)> {
        let kinds = list(&self.protected);
        let untouchable = self.untouchable.iter().map(|(group, plural)| format!("{group}/{plural}"));
        let policies = quoted(&format!("{}/{}", POLICIES.0, POLICIES.1));
        let uid = |options: &str| {
            format!(
                "has({options}.preconditions) && has({options}.preconditions.uid) && {options}.preconditions.uid != ''"
            )
        };
        let mut all = vec![
            (self.effective(), "no configured action may do this here"),
            (format!("variables.place != {}", quoted(KUBE_SYSTEM)), "kube-system is out of reach"),
            (format!("!(variables.whole in {})", list(untouchable)), "an object of a protected kind is out of reach"),
            (
                format!(
                    "variables.whole == {policies} || request.operation == 'CREATE' || \
                     !variables.owners.exists(owner, owner.kind in {kinds})"
                ),
                "an object with a protected owner is out of reach",
            ),
            (
                format!("request.operation != 'DELETE' || (request.options != null && {})", uid("request.options")),
                "a delete names the UID of what was checked",
            ),
            (
                format!(
                    "variables.what != '/pods/eviction' || request.operation != 'CREATE' || \
                     (has(object.deleteOptions) && {})",
                    uid("object.deleteOptions")
                ),
                "an eviction names the UID of what was checked",
            ),
            (
                "request.operation == 'DELETE' || request.operation == 'CONNECT' || \
                 (variables.ownersAfter == variables.owners && variables.finalizersAfter == variables.finalizers)"
                    .to_owned(),
                "ownerReferences and finalizers stay as they are",
            ),
        ];
        if let Granted::Named(opening) = &self.opening {
            let closed = |side: &str| format!("(!has(object.spec.{side}) || object.spec.{side}.size() == 0)");
            let mut expression = format!(
                "variables.what != {policies} || !(request.operation in ['CREATE', 'UPDATE']) || \
                 !has(object.spec) || ({} && {})",
                closed("ingress"),
                closed("egress")
            );
            if !opening.is_empty() {
                expression.push_str(&format!(" || variables.name in {}", list(opening)));
            }
            all.push((expression, "a NetworkPolicy of ours allows nothing"));
        }
        if self.cordons() {
            let unscheduled = unchanged("oldObject.spec", "object.spec", "key == 'unschedulable'");
            let own = format!("key.startsWith({})", quoted(&format!("{OWN_DOMAIN}/")));
            let labels = unchanged("variables.labels", "variables.labelsAfter", &own);
            let annotations = unchanged("variables.annotations", "variables.annotationsAfter", &own);
            let expression = format!(
                "variables.what != '/nodes' || request.operation != 'UPDATE' || ({unscheduled} && {labels} && {annotations})"
            );
            all.push((expression, "of a node only spec.unschedulable and marks of our own are changed"));
        }
        if let Some(Granted::Named(others)) = &self.deleted {
            let label = format!("oldObject.metadata.labels[{}] == {}", quoted(MANAGED_BY.0), quoted(MANAGED_BY.1));
            let mut expression = format!(
                "variables.what != {policies} || request.operation != 'DELETE' || \
                 (has(oldObject.metadata.labels) && {} in oldObject.metadata.labels && {label} && \
                 has(request.options.preconditions.resourceVersion))",
                quoted(MANAGED_BY.0)
            );
            if !others.is_empty() {
                expression.push_str(&format!(" || variables.name in {}", list(others)));
            }
            all.push((expression, "a NetworkPolicy that is deleted is ours, and as it was read"));
        }
        if self.pods_free_metadata {
            let own =
                if self.pods_unmarked { format!("key.startsWith({}) || ", quoted(DOMAIN)) } else { String::new() };
            let expression = format!(
                "variables.what != '/pods' || request.operation != 'UPDATE' || \
                 (object.spec == oldObject.spec && (!has(oldObject.metadata.labels) || \
                 oldObject.metadata.labels.all(key, {own}has(object.metadata.labels) && \
                 key in object.metadata.labels && \
                 object.metadata.labels[key] == oldObject.metadata.labels[key])))"
            );
            all.push((expression, "of a pod, new labels and annotations are all that may be patched"));
        }
        all
    }

    /// Whether nodes are changed at all.
    fn cordons(&self) -> bool {
        self.changes.keys().any(|(group, resource, ..)| group.is_empty() && resource == "nodes")
    }

    /// Default deny.
    fn effective(&self) -> String {
        let change = |((group, resource, operation, names), namespaces): (&Change, &BTreeSet<String>)| {
            let mut text = format!(
                "(variables.place in {} && variables.what == {} && request.operation == {}",
                list(namespaces),
                quoted(&format!("{group}/{resource}")),
                quoted(operation)
            );
            if !names.is_empty() {
                text.push_str(&format!(" && variables.name in {}", list(names)));
            }
            text.push(')');
            text
        };
        let changes: Vec<_> = self.changes.iter().map(change).collect();
        // A deletecollection has no name.
        if changes.is_empty() {
            "false".to_owned()
        } else {
            format!("variables.name != '' && ({})", changes.join(" || "))
        }
    }

    fn dry_run(&self, text: &mut String) -> fmt::Result {
        let name = format!("{}.dry-run", self.account.cluster_name());
        text.push_str("---\n");
        policy(text, &name, "  paramKind:\n    apiVersion: v1\n    kind: ConfigMap\n")?;
        let namespaces: BTreeSet<_> = self.changes.values().flatten().filter(|place| *place != NOWHERE).collect();
        writeln!(text, "  matchConstraints:")?;
        // What has no namespace is matched whatever is selected here.
        if !namespaces.is_empty() {
            writeln!(text, "    namespaceSelector:\n      matchExpressions:")?;
            writeln!(
                text,
                "        - {{key: kubernetes.io/metadata.name, operator: In, values: {}}}",
                list(namespaces)
            )?;
        }
        writeln!(text, "    resourceRules:")?;
        for (group, resource, operation, names) in self.changes.keys() {
            // A POST has no name yet.
            let names = if *operation == "CREATE" { &[][..] } else { names };
            resource_rule(text, group, &[resource], &[operation], names)?;
        }
        self.match_conditions(text)?;
        writeln!(text, "  validations:")?;
        validation(
            text,
            &format!("request.dryRun == true || ({LIVE})"),
            "only dry runs, unless the ConfigMap has one line `dryrun: false` and no key `stop`",
        )?;
        binding(text, &name, Some(self.account))
    }
}

/// That two maps differ in nothing but keys of which that holds.
fn unchanged(before: &str, after: &str, exempt: &str) -> String {
    format!(
        "{before}.all(key, {exempt} || (key in {after} && {after}[key] == {before}[key])) && \
         {after}.all(key, {exempt} || key in {before})"
    )
}

const VARIABLES: [(&str, &str); 8] = [
    ("place", "has(request.namespace) ? request.namespace : ''"),
    ("whole", "request.resource.group + '/' + request.resource.resource"),
    (
        "what",
        "variables.whole + (has(request.subResource) && request.subResource != '' ? '/' + request.subResource : '')",
    ),
    (
        "name",
        "request.operation == 'CREATE' && has(object.metadata.name) ? object.metadata.name : \
         (has(request.name) ? request.name : '')",
    ),
    (
        "owners",
        "oldObject != null && has(oldObject.metadata.ownerReferences) ? oldObject.metadata.ownerReferences : []",
    ),
    (
        "ownersAfter",
        "object != null && has(object.metadata) && has(object.metadata.ownerReferences) ? \
         object.metadata.ownerReferences : []",
    ),
    ("finalizers", "oldObject != null && has(oldObject.metadata.finalizers) ? oldObject.metadata.finalizers : []"),
    (
        "finalizersAfter",
        "object != null && has(object.metadata) && has(object.metadata.finalizers) ? object.metadata.finalizers : []",
    ),
];

const VARIABLES_OF_NODES: [(&str, &str); 4] = [
    ("labels", "oldObject != null && has(oldObject.metadata.labels) ? oldObject.metadata.labels : {}"),
    (
        "labelsAfter",
        "object != null && has(object.metadata) && has(object.metadata.labels) ? object.metadata.labels : {}",
    ),
    ("annotations", "oldObject != null && has(oldObject.metadata.annotations) ? oldObject.metadata.annotations : {}"),
    (
        "annotationsAfter",
        "object != null && has(object.metadata) && has(object.metadata.annotations) ? object.metadata.annotations : {}",
    ),
];

/// Whether the ConfigMap says so beyond doubt: one line at the very left that begins with `dryrun:`, it says `false`,
/// and there is one document. What is written otherwise counts as a dry run, as does a key named `stop`; the loading of a
/// configuration warns of it.
const LIVE: &str = r#"has(params.data) && !('stop' in params.data) && (!has(params.binaryData) || !('stop' in params.binaryData)) && 'config.yaml' in params.data && params.data['config.yaml'].matches(r'(?m)^dryrun:[ \t]+false[ \t]*(?:[ \t]#[^\n]*)?\r?$') && params.data['config.yaml'].findAll(r'(?m)^["\x27]?dryrun["\x27]?[ \t]*:').size() == 1 && !params.data['config.yaml'].matches(r'\n(?:---|\.\.\.)')"#;

fn untouchable(policy: &Policy) -> BTreeSet<(String, String)> {
    let protected = policy
        .owner_kinds
        .iter()
        .filter(|kind| kind.kind == DAEMON_SET || policy.protected_owners.contains(&kind.kind));
    let named = protected.map(|kind| (kind.resource.group().to_owned(), kind.resource.plural().to_owned()));
    named.chain([("apps".to_owned(), "daemonsets".to_owned())]).collect()
}

fn policy(text: &mut String, name: &str, param: &str) -> fmt::Result {
    writeln!(text, "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicy")?;
    writeln!(text, "metadata:\n  name: \"{name}\"\nspec:\n  failurePolicy: Fail")?;
    text.write_str(param)
}

fn resource_rule(
    text: &mut String,
    group: &str,
    resources: &[&str],
    operations: &[&str],
    names: &[String],
) -> fmt::Result {
    writeln!(text, "      - apiGroups: {}\n        apiVersions: [\"*\"]", list([group]))?;
    writeln!(text, "        operations: {}\n        resources: {}", list(operations), list(resources))?;
    if names.is_empty() { Ok(()) } else { writeln!(text, "        resourceNames: {}", list(names)) }
}

fn validation(text: &mut String, expression: &str, message: &str) -> fmt::Result {
    writeln!(text, "    - expression: {}\n      message: {}", quoted(expression), quoted(message))
}

fn binding(text: &mut String, name: &str, account: Option<&Account>) -> fmt::Result {
    writeln!(text, "---\napiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingAdmissionPolicyBinding")?;
    writeln!(text, "metadata:\n  name: \"{name}\"\nspec:\n  policyName: \"{name}\"\n  validationActions: [Deny]")?;
    let Some(account) = account else { return Ok(()) };
    writeln!(text, "  paramRef:\n    name: {CONFIG_MAP}\n    namespace: \"{}\"", account.namespace)?;
    writeln!(text, "    # Deny would stop everybody else's requests, too, while the ConfigMap is not there.")?;
    writeln!(text, "    parameterNotFoundAction: Allow")
}
