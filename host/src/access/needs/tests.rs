use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::cluster::names::{ApiResource, ObjectName};
use crate::plugins::manifest::Manifest;
use crate::safety::document::{Form, Touched};
use crate::safety::permissions::{Call, Permission, Permissions, Reach as CallReach};

/// As the shipped plugins declare it; `tests/suite/rbac.rs` asks the plugins themselves.
fn manifest(name: &str, target: &str, permissions: Value) -> Manifest {
    let document =
        json!({"contract": "0.1", "name": name, "summary": "s", "target": target, "permissions": permissions});
    crate::plugins::manifest::parse(document.to_string().as_bytes()).expect("sound")
}

fn kill_pod() -> Manifest {
    manifest(
        "kill_pod",
        "pods",
        json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["delete"], "scope": "target"}]),
    )
}

fn isolate_namespace() -> Manifest {
    let policies = |verbs: Value| json!({"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": verbs, "scope": "namespace"});
    let mut named = policies(json!(["get", "create", "patch"]));
    named["resourceNames"] = json!(["falco-emergency-isolation"]);
    manifest("isolate_namespace", "namespaces", json!([named, policies(json!(["list"]))]))
}

fn config(text: &str) -> Config {
    Config::parse(Path::new("config.yaml"), text.as_bytes()).expect("valid")
}

fn runbook(name: &str) -> Config {
    config(
        &std::fs::read_to_string(integration_tests::root().join("tests/fixtures/config").join(name)).expect("is there"),
    )
}

fn lines(config: &Config, manifests: &[&Manifest]) -> Vec<String> {
    let manifests = manifests.iter().map(|manifest| (manifest.name.as_str(), *manifest)).collect();
    let (needs, problems) = of_manifests(config, &manifests);
    assert_eq!(problems, []);
    let sorted: BTreeSet<_> = needs.iter().map(|need| (&need.place, &need.group, &need.resource, need.verb)).collect();
    assert_eq!(sorted.len(), needs.len(), "merged");
    assert!(needs.is_sorted() && needs.iter().all(|need| !need.why.is_empty()));
    needs.iter().map(line).collect()
}

/// `production get deployments.apps`, `* get nodes [n1]`
fn line(need: &Need) -> String {
    let place = match &need.place {
        Place::Namespace(namespace) => namespace.as_str(),
        Place::Cluster => "*",
    };
    let group = if need.group.is_empty() { String::new() } else { format!(".{}", need.group) };
    let names = if need.names.is_empty() { String::new() } else { format!(" [{}]", need.names.join(" ")) };
    format!("{place} {} {}{group}{names}", need.verb.as_str(), need.resource)
}

const WALK: [&str; 5] = [
    "get replicationcontrollers",
    "get deployments.apps",
    "get replicasets.apps",
    "get cronjobs.batch",
    "get jobs.batch",
];

#[test]
fn the_runbook_needs_this_and_nothing_else() {
    let mut expected = Vec::new();
    for namespace in ["production", "staging"] {
        expected.extend(
            [
                "get pods",
                "delete pods",
                WALK[0],
                WALK[1],
                WALK[2],
                WALK[3],
                WALK[4],
                "get networkpolicies.networking.k8s.io [falco-emergency-isolation]",
                "list networkpolicies.networking.k8s.io",
                "create networkpolicies.networking.k8s.io [falco-emergency-isolation]",
                "patch networkpolicies.networking.k8s.io [falco-emergency-isolation]",
                "delete networkpolicies.networking.k8s.io [falco-emergency-isolation]",
            ]
            .map(|line| format!("{namespace} {line}")),
        );
    }
    let (kill, isolate) = (kill_pod(), isolate_namespace());
    for name in ["runbook-b.yaml", "runbook-short.yaml"] {
        assert_eq!(lines(&runbook(name), &[&kill, &isolate]), expected, "{name}");
    }
    // The first form isolates nothing.
    let without: Vec<_> = expected.into_iter().filter(|line| !line.contains("networkpolicies")).collect();
    assert_eq!(lines(&runbook("runbook-a.yaml"), &[&kill, &isolate]), without);
}

const HEAD: &str = "dryrun: true
allowed_namespaces: [a, b, kube-system, falco]
denied_namespaces: [falco]
";

fn rule(action: &str) -> String {
    format!("rules: [{{name: r, audit_reason: s, action: {action}}}]\n")
}

#[test]
fn a_rules_own_namespaces_narrow_what_its_action_needs() {
    let rules = "rules:
  - {name: r, audit_reason: s, action: kill_pod, namespaces: [a]}
  - {name: q, audit_reason: s, action: isolate_namespace, namespaces: [b]}
";
    let lines = lines(&config(&format!("{HEAD}{rules}")), &[&kill_pod(), &isolate_namespace()]);
    assert!(lines.contains(&"a delete pods".to_owned()), "{lines:?}");
    assert!(lines.iter().all(|line| line.starts_with("a ") != line.contains("networkpolicies")), "{lines:?}");
}

#[test]
fn nothing_is_needed_in_kube_system_or_where_it_is_denied() {
    let lines = lines(&config(&format!("{HEAD}{}", rule("kill_pod"))), &[&kill_pod()]);
    assert!(lines.iter().all(|line| line.starts_with("a ") || line.starts_with("b ")), "{lines:?}");
    assert!(!lines.is_empty());
}

#[test]
fn a_dry_rule_needs_the_same() {
    let live = format!("{HEAD}{}", rule("kill_pod"));
    let dry = live.replace("action: kill_pod", "action: kill_pod, dryrun: true");
    assert_eq!(lines(&config(&live), &[&kill_pod()]), lines(&config(&dry), &[&kill_pod()]));
}

#[test]
fn owner_kinds_are_read_unless_they_are_protected_or_top_level() {
    let more = "protected_owners: [Job]
owner_kinds:
  - {apiVersion: argoproj.io/v1alpha1, kind: Rollout, plural: rollouts}
  - {apiVersion: example.com/v1, kind: Installation, plural: installations, top_level: true}
";
    let lines = lines(&config(&format!("{HEAD}{more}{}", rule("kill_pod"))), &[&kill_pod()]);
    let has = |text: &str| lines.iter().any(|line| line.ends_with(text));
    assert!(has("get rollouts.argoproj.io") && has("get statefulsets.apps") && has("get cronjobs.batch"), "{lines:?}");
    assert!(!has(" jobs.batch") && !has("installations.example.com"), "{lines:?}");
    assert!(!has("daemonsets.apps"), "whatever the configuration says: {lines:?}");
}

#[test]
fn a_grant_counts_as_far_as_it_is_declared() {
    let scale = manifest(
        "scale",
        "pods",
        json!([
            {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "patch"], "scope": "owners"},
            {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "delete"], "resourceNames": ["x", "y"], "scope": "namespace"},
            {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "patch"], "scope": "node"},
            {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "scope": "cluster"},
        ]),
    );
    let rules = rule("scale");
    let bare = lines(&config(&format!("{HEAD}{rules}")), &[&scale]);
    assert_eq!(bare.iter().filter(|line| line.starts_with("a ")).count(), 1 + 5, "owners and pods only: {bare:?}");
    let grants = "plugins:
  grants:
    scale:
      - {apiGroups: [apps], resources: [deployments, statefulsets], verbs: [patch, delete], scope: owners, fields: [spec.replicas]}
      - {apiGroups: [\"\"], resources: [configmaps], verbs: [get, delete], resourceNames: [y, z], scope: cluster}
      - {apiGroups: [\"\"], resources: [nodes], verbs: [get, patch], scope: node}
";
    let lines = lines(&config(&format!("{HEAD}{grants}{rules}")), &[&scale]);
    let has = |text: &str| lines.iter().any(|line| line == text);
    assert!(has("a patch deployments.apps") && !has("a delete deployments.apps"), "{lines:?}");
    assert!(has("a get configmaps [y]") && has("b delete configmaps [y]"), "{lines:?}");
    assert!(has("a list daemonsets.apps"), "a delete may take a DaemonSet along: {lines:?}");
    assert_eq!(lines.iter().filter(|line| line.starts_with('*')).collect::<Vec<_>>(), ["* get nodes", "* patch nodes"]);
    assert!(!lines.iter().any(|line| line.contains("secrets")), "declared, not granted: {lines:?}");
}

#[test]
fn an_action_without_a_plugin_is_a_problem_with_its_place() {
    let config = runbook("runbook-b.yaml");
    let kill = kill_pod();
    let (needs, problems) = of_manifests(&config, &[("kill_pod", &kill)].into());
    assert!(!needs.is_empty());
    assert_eq!(problems.len(), 1);
    assert_eq!(
        (problems[0].location.line, problems[0].message.contains("isolate_namespace")),
        (27, true),
        "{problems:?}"
    );
}

fn permission() -> impl Strategy<Value = Permission> {
    let groups = vec!["", "apps", "networking.k8s.io"];
    let resources = vec![
        "pods",
        "pods/eviction",
        "pods/log",
        "deployments",
        "daemonsets",
        "networkpolicies",
        "nodes",
        "namespaces",
        "secrets",
    ];
    let names = vec!["target", "web", "falco-x", "n1", "a"];
    let verbs = vec![Verb::Get, Verb::List, Verb::Create, Verb::Patch, Verb::Delete];
    let scopes = vec![Scope::Target, Scope::Owners, Scope::Namespace, Scope::Node, Scope::Cluster];
    let texts = |list: Vec<&'static str>, size| {
        prop::sample::subsequence(list, size).prop_map(|list| list.into_iter().map(str::to_owned).collect::<Vec<_>>())
    };
    (
        texts(groups, 1..=3),
        texts(resources, 1..=9),
        prop::sample::subsequence(verbs, 1..=5),
        texts(names, 0..=2),
        prop::sample::select(scopes),
    )
        .prop_map(|(api_groups, resources, verbs, resource_names, scope)| Permission {
            api_groups,
            resources,
            verbs,
            resource_names,
            scope,
            fields: Vec::new(),
        })
}

#[derive(Debug, Clone)]
struct Asked {
    verb: Verb,
    resource: (&'static str, &'static str),
    namespace: Option<&'static str>,
    name: Option<&'static str>,
}

fn asked() -> impl Strategy<Value = Asked> {
    let resources = vec![
        ("", "pods"),
        ("", "pods/eviction"),
        ("", "pods/log"),
        ("apps", "deployments"),
        ("apps", "daemonsets"),
        ("networking.k8s.io", "networkpolicies"),
        ("", "nodes"),
        ("", "namespaces"),
        ("", "secrets"),
    ];
    (
        prop::sample::select(vec![Verb::Get, Verb::List, Verb::Create, Verb::Patch, Verb::Delete]),
        prop::sample::select(resources),
        prop::sample::select(vec![Some("a"), Some("b"), Some("falco"), Some("kube-system"), None]),
        prop::sample::select(vec![Some("target"), Some("web"), Some("falco-x"), Some("n1"), Some("a"), None]),
    )
        .prop_map(|(verb, resource, namespace, name)| {
            // A list has no name.
            let name = name.filter(|_| verb != Verb::List);
            Asked { verb, resource, namespace, name }
        })
}

fn is_alerts_node(asked: &Asked) -> bool {
    asked.resource == ("", "nodes") && asked.namespace.is_none() && asked.name == Some("n1")
}

/// Where the gate knows on which node a pod runs: a list says so, and what is changed was read.
fn is_seen_to_run_somewhere(asked: &Asked) -> bool {
    match asked.resource {
        ("", "pods") => matches!(asked.verb, Verb::List | Verb::Patch | Verb::Delete),
        ("", "pods/eviction") => asked.verb == Verb::Create,
        _ => false,
    }
}

fn is_covered(needs: &[Need], asked: &Asked) -> bool {
    needs.iter().any(|need| {
        let place = match &need.place {
            Place::Cluster => true,
            // A namespace lies within itself.
            Place::Namespace(own) => {
                asked.namespace.or(asked.name.filter(|_| asked.resource.1 == "namespaces")) == Some(own.as_str())
            }
        };
        place
            && (need.group.as_str(), need.resource.as_str(), need.verb)
                == (asked.resource.0, asked.resource.1, asked.verb)
            && (need.names.is_empty() || asked.name.is_some_and(|name| need.names.iter().any(|own| own == name)))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    /// The target is pod `a/target` of Deployment `a/web` on node `n1`, or namespace `a`.
    #[test]
    fn what_is_permitted_is_covered(
        declared in prop::collection::vec(permission(), 1..3),
        granted in prop::collection::vec(permission(), 0..3),
        asked in asked(),
        pods in any::<bool>(),
        on_node in any::<bool>(),
    ) {
        let (group, plural) = asked.resource;
        let resource = ApiResource::parse(group, "v1", plural).expect("valid");
        let name = asked.name.map(|name| ObjectName::parse(name).expect("valid"));
        let of_pod = |group, plural, own: &str| pods && resource.is(group, plural) && asked.namespace == Some("a") && asked.name == Some(own);
        let reach = CallReach {
            is_target: of_pod("", "pods", "target")
                || (!pods && resource.is("", "namespaces") && asked.namespace.is_none() && asked.name == Some("a")),
            is_owner: of_pod("apps", "deployments", "web"),
            in_namespace: asked.namespace == Some("a"),
            is_node: pods && (is_alerts_node(&asked) || on_node && is_seen_to_run_somewhere(&asked)),
        };
        let path = |path: &[&str]| vec![path.iter().map(|part| (*part).to_owned()).collect()];
        let patched = Touched { form: Form::Merge, paths: path(&["metadata", "labels", "x"]) };
        let applied = Touched { form: Form::Manifest, paths: path(&["spec", "egress"]) };
        let closing = json!({"spec": {"egress": []}});
        let permissions = Permissions { declared: declared.clone(), granted: granted.clone() };
        let permitted = [(&patched, None), (&applied, Some(&closing))].into_iter().any(|(touched, manifest)| {
            let call = Call {
                verb: asked.verb,
                resource: &resource,
                name: name.as_ref(),
                reach,
                metadata_only: true,
                touched: asked.verb.writes().then_some(touched),
                manifest,
                current: &Value::Null,
                force: false,
            };
            permissions.permit("test", &call).is_ok()
        });
        // What the gate refuses whatever is granted.
        let refused = asked.verb.writes()
            && !(pods && asked.verb == Verb::Patch && is_alerts_node(&asked))
            && (!matches!(asked.namespace, Some("a" | "b")) || resource.is("apps", "daemonsets") || ["nodes", "namespaces"].contains(&plural));
        let mut config = config(&format!("{HEAD}{}", rule("test")));
        config.plugins.grants.insert("test".to_owned(), granted);
        let mut manifest = manifest("test", if pods { "pods" } else { "namespaces" }, json!([]));
        manifest.permissions = declared;
        let (needs, problems) = of_manifests(&config, &[("test", &manifest)].into());
        prop_assert_eq!(problems, []);
        prop_assert!(!permitted || refused || is_covered(&needs, &asked), "{:?}", needs);
        prop_assert!(needs.iter().all(|need| match &need.place {
            Place::Namespace(namespace) => ["a", "b"].contains(&namespace.as_str()),
            Place::Cluster => !need.verb.writes() || (need.verb, need.resource.as_str()) == (Verb::Patch, "nodes"),
        }), "{:?}", needs);
    }
}

fn cordon_and_drain() -> [Manifest; 2] {
    let cordon = json!([{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "patch"], "scope": "target"}]);
    let drain = json!([
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"], "scope": "node"},
        {"apiGroups": [""], "resources": ["pods/eviction"], "verbs": ["create"], "scope": "node"},
    ]);
    [manifest("cordon", "nodes", cordon), manifest("drain", "nodes", drain)]
}

#[test]
fn a_node_is_patched_in_the_cluster_and_its_pods_are_evicted_in_the_namespaces() {
    let [cordon, drain] = cordon_and_drain();
    let walk = |namespace: &str| WALK.map(|what| format!("{namespace} {what}"));
    let sorted = |mut lines: Vec<String>| {
        lines.sort();
        lines
    };
    let bare = sorted(lines(&config(&format!("{HEAD}{}", rule("cordon"))), &[&cordon]));
    let host = || {
        let pods = ["a", "b"].map(|namespace| format!("{namespace} get pods"));
        let walked = ["a", "b"].into_iter().flat_map(walk);
        walked.chain(pods).chain(["* get nodes".to_owned()]).collect::<Vec<_>>()
    };
    assert_eq!(bare, sorted(host()), "nothing is granted");
    let grants = "plugins:
  grants:
    cordon: [{apiGroups: [''], resources: [nodes], verbs: [patch], scope: target, fields: [spec.unschedulable]}]
    drain:
      - {apiGroups: [''], resources: [pods], verbs: [list], scope: node}
      - {apiGroups: [''], resources: [pods/eviction], verbs: [create], scope: node}
";
    let granted = |action: &str, manifest: &Manifest| {
        sorted(lines(&config(&format!("{HEAD}{grants}{}", rule(action))), &[manifest]))
    };
    let with =
        |further: &[&str]| sorted(host().into_iter().chain(further.iter().map(|one| (*one).to_owned())).collect());
    assert_eq!(granted("cordon", &cordon), with(&["* patch nodes"]));
    // By default, too, what runs on the node in the alert's own namespace is listed.
    let drained = ["* list pods", "a list pods", "b list pods", "a create pods/eviction", "b create pods/eviction"];
    assert_eq!(granted("drain", &drain), with(&drained));
}
