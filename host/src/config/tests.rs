use std::path::Path;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::safety::budget::Limit;
use crate::safety::permissions::{Scope, Verb};

const RUNBOOK_A: &str = include_str!("../../../tests/fixtures/config/runbook-a.yaml");
const RUNBOOK_B: &str = include_str!("../../../tests/fixtures/config/runbook-b.yaml");
const RUNBOOK_SHORT: &str = include_str!("../../../tests/fixtures/config/runbook-short.yaml");
const EVERYTHING: &str = include_str!("../../../tests/fixtures/config/everything.yaml");

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new("config.yaml"), text.as_bytes())
}

fn warnings(config: &Config) -> Vec<String> {
    let line =
        |warning: &Warning| format!("{}:{}: {}", warning.location.line, warning.location.column, warning.message);
    config.warnings.iter().map(line).collect()
}

/// A sound file with `lines` after it.
fn with(lines: &str) -> String {
    format!("allowed_namespaces: [production]\nrules: []\n{lines}")
}

/// A sound file with one rule that consists of `lines`.
fn with_rule(lines: &str) -> String {
    format!("rules:\n  - name: Miner\n    audit_reason: x\n{lines}")
}

#[test]
fn both_forms_of_the_runbook_load_unchanged() {
    for (text, actions) in [
        (RUNBOOK_A, vec!["kill_pod", "kill_pod", "kill_pod"]),
        (RUNBOOK_B, vec!["kill_pod", "kill_pod", "isolate_namespace"]),
        (RUNBOOK_SHORT, vec!["kill_pod", "isolate_namespace"]),
    ] {
        let config = parse(text).unwrap();
        assert!(!config.dryrun);
        assert_eq!(config.allowed_namespaces, ["production", "staging"]);
        assert_eq!(config.denied_namespaces, ["kube-system", "falco", "monitoring", "cert-manager"]);
        assert_eq!(config.protected_owners, ["DaemonSet", "StatefulSet"]);
        let of_rules: Vec<_> =
            config.rules.iter().flat_map(|rule| &rule.actions).map(|action| &action.action).collect();
        assert_eq!(of_rules, actions);
        assert_eq!(config.rules[0].name, "Crypto mining process detected");
        assert_eq!(config.rules[0].audit_reason, "Crypto miner process detected by Falco; automated termination");
        assert_eq!(config.rules[0].actions[0].parameters, json!({}));
        let [warning] = warnings(&config).try_into().unwrap();
        assert_eq!(
            warning,
            "1:1: no Graylog is set, so audit entries stay in the journal; add `audit: {graylog: {url: …}}`"
        );
    }
}

#[test]
fn what_is_not_said_has_the_documented_default() {
    let config = parse(RUNBOOK_SHORT).unwrap();
    assert_eq!(config.minimum_priority, Priority::Critical);
    assert_eq!((config.required_tag, config.identity, config.cluster_name.as_str()), (None, Identity::Name, ""));
    assert_eq!((config.max_alert_age, config.max_recovery_age), (Duration::from_secs(300), Duration::from_secs(600)));
    assert_eq!((config.concurrency, config.shutdown_delay), (16, Duration::ZERO));
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.journal, Path::new("/var/lib/falco-response/journal.db"));
    assert_eq!((config.token_file, config.listen, config.admin_listen), (None, None, None));
    assert_eq!(config.plugins.dir, Path::new("/plugins"));
    let limits = PluginLimits { timeout: Duration::from_secs(10), memory: 64 << 20, calls: 1000, log: 64 << 10 };
    assert_eq!((config.plugins.cache_dir, config.plugins.limits), (None, limits));
    let keeping = Keeping { keep: Duration::from_hours(400 * 24), max_bytes: 1 << 30, customer_facing: None };
    assert_eq!((config.audit, config.paging), (Audit { keeping, ..Audit::default() }, Paging::default()));
    assert!(config.redaction.builtin && config.redaction.patterns.is_empty());
    let kinds: Vec<_> = config.owner_kinds.iter().map(|owner| owner.kind.as_str()).collect();
    assert_eq!(
        kinds,
        ["ReplicaSet", "Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "ReplicationController"]
    );
    assert!(config.owner_kinds.iter().all(|owner| !owner.top_level));
    assert_eq!(config.sha256.len(), 64);
    let (rule, action) = (&config.rules[0], &config.rules[0].actions[0]);
    assert_eq!((rule.dryrun, &rule.namespaces, rule.timeout), (false, &None, None));
    assert_eq!((rule.location, action.location), (Location { line: 6, column: 5 }, Location { line: 7, column: 13 }));
    assert_eq!(action.on_failure, OnFailure::Stop);
}

#[test]
fn a_file_that_says_nothing_allows_nothing_and_says_so() {
    let config = parse("rules: []").unwrap();
    assert!(config.dryrun && config.allowed_namespaces.is_empty());
    assert_eq!(config.denied_namespaces, ["kube-system"]);
    assert_eq!(
        warnings(&config),
        [
            "1:1: `allowed_namespaces` names no namespace, so nothing will ever be acted on; list those to act in",
            "1:1: `dryrun` is not set and counts as true; write `dryrun: false` to act",
            "1:1: no Graylog is set, so audit entries stay in the journal; add `audit: {graylog: {url: …}}`",
            "1:8: there are no `rules`, so no alert is answered",
        ]
    );
}

#[test]
fn every_key_is_read() {
    let config = parse(EVERYTHING).unwrap();
    assert_eq!(warnings(&config), Vec::<String>::new());
    assert!(config.denied_namespaces.is_empty() && config.protected_owners.is_empty());
    let rollout = config.owner_kinds.last().unwrap();
    assert_eq!((rollout.api_version.as_str(), rollout.kind.as_str()), ("argoproj.io/v1alpha1", "Rollout"));
    assert!(rollout.top_level && rollout.plural == "rollouts" && config.owner_kinds.len() == 8);
    assert_eq!(config.required_tag.as_deref(), Some("autoresponse:true"));
    assert_eq!((config.minimum_priority, config.identity), (Priority::Error, Identity::Strict));
    assert_eq!((config.max_alert_age, config.max_recovery_age), (Duration::from_secs(120), Duration::from_secs(5400)));
    assert_eq!((config.cluster_name.as_str(), config.concurrency), ("prod-eu", 4));
    let limit = |actions, minutes| Limit { actions, per: Duration::from_mins(minutes) };
    assert_eq!(config.limits, Limits { owner: limit(3, 10), namespace: limit(15, 5), cluster: limit(40, 5) });
    assert_eq!(config.plugins.dir, Path::new("/opt/plugins"));
    assert_eq!(config.plugins.cache_dir.as_deref(), Some(Path::new("/var/cache/plugins")));
    assert_eq!(config.plugins.pins["kill_pod"], "a".repeat(64));
    let permission = Permission {
        api_groups: vec!["apps".into()],
        resources: vec!["deployments".into()],
        verbs: vec![Verb::Get, Verb::Patch],
        resource_names: vec!["checkout".into()],
        scope: Scope::Owners,
        fields: vec!["spec.replicas".into()],
    };
    assert_eq!(config.plugins.grants["scale_down"], [permission]);
    let limits = PluginLimits { timeout: Duration::from_secs(3), memory: 32 << 20, calls: 50, log: 1024 };
    assert_eq!(config.plugins.limits, limits);
    assert_eq!(config.journal, Path::new("/data/journal.db"));
    assert_eq!(config.token_file.as_deref(), Some(Path::new("/secrets/token")));
    assert_eq!(config.listen, "127.0.0.1:8081".parse().ok());
    assert_eq!(config.admin_listen, "127.0.0.1:9091".parse().ok());
    assert_eq!(config.shutdown_delay, Duration::from_secs(5));
    let keeping = Keeping {
        keep: Duration::from_hours(30 * 24),
        max_bytes: 64 << 20,
        customer_facing: Some(CustomerFacing {
            namespaces: vec!["production".to_owned()],
            label: Some(("tier".to_owned(), "customer".to_owned())),
            within: Duration::from_hours(12),
        }),
    };
    assert_eq!(config.audit.keeping, keeping);
    assert_eq!(config.audit.require, Require::Graylog);
    let graylog = config.audit.graylog.unwrap();
    assert_eq!(graylog.url, "https://graylog.golems.internal:12201/gelf");
    assert_eq!(graylog.ca_file.as_deref(), Some(Path::new("/secrets/graylog-ca.pem")));
    let login = Login { username: "falco".into(), password_file: "/secrets/graylog".into() };
    assert_eq!(graylog.login, Some(login));
    assert_eq!(graylog.headers_file.as_deref(), Some(Path::new("/secrets/graylog-headers")));
    let confirm =
        Confirm { url: "https://graylog.golems.internal:9000/api".into(), token_file: "/secrets/graylog-token".into() };
    assert_eq!(graylog.confirm, Some(confirm));
    let redaction = Redaction {
        builtin: false,
        patterns: vec![r"badge (?P<secret>\d+)".into()],
        key_file: Some("/secrets/redaction-key".into()),
    };
    assert_eq!(config.redaction, redaction);
    let webhook = Webhook {
        url: "https://pager.golems.internal/hook".into(),
        headers_file: Some("/secrets/webhook-headers".into()),
    };
    assert_eq!(config.paging.webhook, Some(webhook));
    let route = |action: Option<&str>, rule: &str, to: &[&str]| Route {
        action: action.map(str::to_owned),
        rule: Some(rule.to_owned()),
        to: to.iter().map(|&name| name.to_owned()).collect(),
    };
    assert_eq!(
        config.paging.routes,
        [
            route(Some("kill_pod"), "Shell spawned", &["webhook", "pagerduty"]),
            route(None, "Crypto mining process detected", &["alertmanager"])
        ]
    );
    let pagerduty = config.paging.pagerduty.unwrap();
    assert_eq!(pagerduty.url, "https://events.eu.pagerduty.com/v2/enqueue");
    assert_eq!(pagerduty.routing_key_file, Path::new("/secrets/pagerduty"));
    let alertmanager = "http://alertmanager.monitoring.svc.cluster.local:9093";
    assert_eq!(config.paging.alertmanager_url.as_deref(), Some(alertmanager));
    let [miner, shell] = config.rules.try_into().unwrap();
    assert!(miner.dryrun && !shell.dryrun);
    assert_eq!((miner.namespaces, miner.timeout), (Some(vec!["production".into()]), Some(Duration::from_secs(4))));
    assert_eq!(miner.actions[0].parameters, json!({"grace_period_seconds": 0}));
    assert_eq!(miner.actions[0].parameters_location, Location { line: 56, column: 17 });
    let [label, kill] = shell.actions.try_into().unwrap();
    assert_eq!((label.action.as_str(), label.on_failure), ("label_pod", OnFailure::Continue));
    assert_eq!(label.parameters, json!({"labels": {"quarantine": "yes"}}));
    assert_eq!((kill.action.as_str(), kill.on_failure), ("kill_pod", OnFailure::Stop));
    assert_eq!(label.confirm, Some(Confirmation { alerts: 3, pods: 2, within: Duration::from_mins(5) }), "the rule's");
    assert_eq!(kill.confirm, Some(Confirmation { alerts: 2, pods: 2, within: Duration::from_mins(1) }), "its own");
}

/// Each with what a person reads about it. The texts are under review like code.
#[test]
fn every_error_names_its_place_and_its_remedy() {
    let cases: &[(&str, String)] = &[
        ("unknown key at the top", RUNBOOK_SHORT.replace("allowed_name", "alowed_name")),
        ("unknown key of another program", with("replicas: 2")),
        ("unknown key in a section", with("plugins: {limits: {timout: 3s}}")),
        ("unknown key in the limits", with("limits: {pod: {actions: 5, per: 5m}, owner: {action: 5}}")),
        ("limits", with("limits: {owner: {actions: 0, per: 25h}, namespace: 15, cluster: {actions: 99999, per: 0}}")),
        ("unknown key in a rule", with_rule("    action: kill_pod\n    confirms: {alerts: 2}")),
        ("confirm: nothing to wait for", with_rule("    action: kill_pod\n    confirm: {alerts: 1}")),
        (
            "confirm: fewer alerts than pods",
            with_rule("    action: kill_pod\n    confirm: {alerts: 2, pods: 3, within: 25h}"),
        ),
        (
            "confirm: out of range",
            with_rule("    actions: [{action: kill_pod, confirm: {alerts: 101, pods: 0, window: 5m}}]"),
        ),
        ("expires_after: too short", with_rule("    action: isolate_namespace\n    expires_after: 30s")),
        (
            "expires_after: too long, and no time",
            with_rule("    actions: [{action: a, expires_after: 400d}, {action: b, expires_after: 0}]"),
        ),
        ("unknown key in an action", with_rule("    actions: [{action: kill_pod, onfailure: stop}]")),
        ("unknown key in a grant", with("plugins: {grants: {x: [{resource: [pods], verbs: [get], scope: target}]}}")),
        ("key twice", with("dryrun: true\ndryrun: false")),
        ("key twice in parameters", with_rule("    action: a\n    parameters: {b: {c: 1, c: 2}}")),
        ("wrong type: boolean", with("dryrun: yes")),
        ("wrong type: list", "allowed_namespaces: production\nrules: []".into()),
        ("wrong type: text", with("cluster_name: 12")),
        ("wrong type: map", with("audit: graylog")),
        ("wrong type: the whole file", "- a".into()),
        ("wrong type: rules", "rules: {a: b}".into()),
        ("wrong type: a rule", "rules: [kill_pod]".into()),
        ("a pattern", "allowed_namespaces: ['*', prod-*]\nrules: []".into()),
        ("no namespace's name", "allowed_namespaces: [Production, '', 7]\nrules: []".into()),
        ("duration without a unit", with("max_alert_age: 5")),
        ("duration of nothing", with("max_alert_age: 0s\nmax_recovery_age: soon")),
        ("size", with("plugins: {limits: {memory: 64MB, log: 0, calls: -1}}")),
        ("priority", with("minimum_priority: criticl")),
        ("identity", with("identity: strickt")),
        ("address", with("listen: ':8080'")),
        ("concurrency", with("limits: {concurrency: 0}")),
        ("pin", with("plugins: {pins: {kill_pod: abc}}")),
        ("verbs and scopes", with("plugins: {grants: {x: [{resources: [pods], verbs: [gett], scope: pod}]}}")),
        (
            "fields",
            with(
                "plugins: {grants: {x: [{apiGroups: [''], resources: [pods], verbs: [patch], scope: target, fields: [spec., 'a[b]']}]}}",
            ),
        ),
        ("grant without its parts", with("plugins: {grants: {x: [{}], y: z}}")),
        ("URL", with("audit: {graylog: {url: 'graylog:12201'}}")),
        ("Graylog without a URL", with("audit: {graylog: {}}")),
        ("Graylog's scheme and port", with("audit: {graylog: {url: 'gelf+tcp://graylog'}}")),
        (
            "what a bare socket has no use for",
            with(
                "audit: {graylog: {url: 'gelf+udp://g:12201', username: a, password_file: b, headers_file: c, ca_file: d}}",
            ),
        ),
        ("a CA without TLS", with("audit: {graylog: {url: 'http://g/gelf', ca_file: d}}")),
        ("a name without a password", with("audit: {graylog: {url: 'http://g/gelf', username: a}}")),
        ("a password without a name", with("audit: {graylog: {url: 'http://g/gelf', password_file: a}}")),
        ("confirmation without its parts", with("audit: {graylog: {url: 'http://g/gelf', confirm: {}}}")),
        ("the word of a Graylog that is not there", with("audit: {require: graylog}")),
        (
            "the word of a Graylog that says nothing",
            with("audit: {require: graylog, graylog: {url: 'gelf+tcp://g:12201'}}"),
        ),
        ("a word of nobody", with("audit: {require: disk, graylog: {url: 'http://g/gelf'}}")),
        ("paging without its parts", with("paging: {pagerduty: {}, alertmanager: {}, webhook: {}}")),
        ("a route without its parts", with("paging: {webhook: {url: 'http://w/'}, routes: [{}]}")),
        (
            "a route that leads nowhere",
            with_rule(
                "    action: kill_pod\npaging: {webhook: {url: 'http://w/'}, routes: [{action: kill_pod, to: []}]}",
            ),
        ),
        (
            "a route of slips",
            with_rule(
                "    action: kill_pod\npaging: {webhook: {url: 'http://w/'}, routes: [{action: kill, rule: Minr, to: [webhok, pagerduty]}]}",
            ),
        ),
        ("a pattern that cannot be used", with("redaction: {patterns: ['(', 'a*', '(?=b)'], builtin: maybe}")),
        ("too small a journal", with("audit: {max_bytes: 1Mi}")),
        ("kept for no time", with("audit: {keep: 0s}")),
        ("customers without a place", with("audit: {customer_facing: {within: 24h}}")),
        ("no label", with("audit: {customer_facing: {label: customer}}")),
        ("pattern of customers", with("audit: {customer_facing: {namespaces: ['prod-*']}}")),
        (
            "owner kind",
            with("owner_kinds: [{kind: rollout, apiVersion: a/b/c}, {apiVersion: apps/v1, kind: Job2, plural: ../x}]"),
        ),
        (
            "owner kind known already",
            with("owner_kinds: [{apiVersion: apps/v1, kind: Deployment, plural: deployments}]"),
        ),
        ("protected owner", with("protected_owners: [daemonset]")),
        ("tag as a map", with("required_tag:\n  autoresponse: true")),
        ("rule without its parts", "rules: [{}]".into()),
        ("rule that is nothing", "rules:\n  -\n".into()),
        ("action and actions", with_rule("    action: a\n    actions: [{action: b}]")),
        ("neither action nor actions", with_rule("    dryrun: true")),
        ("actions as words", with_rule("    actions: [kill_pod]")),
        ("no actions", with_rule("    actions: []")),
        ("parameters beside actions", with_rule("    actions: [{action: a}]\n    parameters: {b: 1}")),
        ("parameters that are no map", with_rule("    action: a\n    parameters: [1]")),
        ("on_failure", with_rule("    actions: [{action: a, on_failure: abort}]")),
        ("no namespaces", with_rule("    action: a\n    namespaces: []")),
        (
            "two rules of one name",
            with_rule("    action: kill_pod\n  - {name: Miner, audit_reason: y, action: isolate_namespace}"),
        ),
        ("several at once", "dryrn: true\nallowed_namespaces: [a*]\nrules: [{name: x, action: y}]".into()),
        ("a whole ConfigMap", "apiVersion: v1\nkind: ConfigMap\ndata: {}".into()),
        ("empty", String::new()),
        ("only a comment", "# nothing yet\n".into()),
        ("not YAML: brackets", "rules: [a\ndryrun: true".into()),
        ("not YAML: indentation", "rules:\n  - name: x\n action: y".into()),
        ("not YAML: tabs", "rules:\n\t- name: x".into()),
        ("not YAML: quotes", "rules: \"x".into()),
        ("two documents", "rules: []\n---\nrules: []".into()),
        ("unknown anchor", "rules: *nothing".into()),
        ("a key that is a list", "[a, b]: c".into()),
    ];
    let text: Vec<_> = cases
        .iter()
        .map(|(what, text)| match parse(text) {
            Ok(_) => panic!("{what} loads"),
            Err(error) => format!("# {what}\n{error}"),
        })
        .collect();
    insta::assert_snapshot!(text.join("\n"));
}

#[test]
fn warns_of_what_loads_and_does_not_work() {
    let config = parse(
        "dryrun: false\naudit: {graylog: {url: 'http://g/gelf'}}\nallowed_namespaces: [kube-system, staging]\n\
         denied_namespaces: [staging]\nrules: [{name: a, audit_reason: b, action: c, namespaces: [production]}]",
    )
    .unwrap();
    assert_eq!(
        warnings(&config),
        [
            "3:22: `allowed_namespaces` names kube-system, where nothing is ever acted on; take it out",
            "3:35: `staging` is both allowed and denied; denied counts, take it out of one list",
            "5:60: `production` is not in `allowed_namespaces`, so the rule does nothing there",
        ]
    );
}

/// The same texts are put to the policy itself (tests/real/admission.rs).
#[test]
fn warns_where_the_admission_policy_would_not_read_it_as_live() {
    let is_warned = |text: &str| {
        let config = parse(&format!("{text}\nallowed_namespaces: [a]\nrules: []\n")).unwrap();
        assert!(!config.dryrun, "{text:?}");
        let warnings = warnings(&config);
        warnings.iter().any(|warning| warning.contains("knows no other spelling than one line `dryrun: false`"))
    };
    for plain in [
        "dryrun: false",
        "dryrun: false # since Monday",
        "---\ndryrun:   false\r",
        "# dryrun: true\ndryrun: false",
        "identity: name\ndryrun:\tfalse \t",
    ] {
        assert!(!is_warned(plain), "{plain:?}");
    }
    for other in [
        "dryrun: False",
        "dryrun : false",
        "\"dryrun\": false",
        "'dryrun': false",
        "? dryrun\n: false",
        "dryrun: !!bool false",
        "dryrun:\n  false",
        "cluster_name: 'x\n\n  y'\ndryrun: FALSE",
    ] {
        assert!(is_warned(other), "{other:?}");
    }
}

#[test]
fn bytes_that_are_no_text_are_placed() {
    let error = Config::parse(Path::new("c.yaml"), b"dryrun: true\n# \xc3\xa4\xff\n").unwrap_err();
    assert_eq!(error.to_string(), "c.yaml:2:4: the file is not UTF-8 from here on");
}

#[test]
fn a_file_that_blows_up_is_refused_before_it_does() {
    let big = "#".repeat(tree::MAX_BYTES + 1);
    assert!(parse(&big).unwrap_err().to_string().contains("at most 1048576 are read"));
    let deep = format!("rules: {}{}", "[".repeat(60), "]".repeat(60));
    assert!(parse(&deep).unwrap_err().to_string().contains("not valid YAML"));
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..9 {
        let alias = format!("*a{}", n - 1);
        laughs.push_str(&format!("a{n}: &a{n} [{}]\n", [alias.as_str(); 10].join(", ")));
    }
    assert!(parse(&laughs).unwrap_err().to_string().contains("not valid YAML"));
}

#[test]
fn what_cannot_be_read_is_not_repeated_whole() {
    let error = parse(&"9".repeat(5000)).unwrap_err().to_string();
    assert!(error.contains("not valid YAML") && error.len() < 1000, "{error}");
}

#[test]
fn of_very_many_problems_the_first_are_told() {
    let lines: String = (0..2000).map(|n| format!("{}{n}: 1\n", "x".repeat(400))).collect();
    let error = parse(&with(&lines)).unwrap_err().to_string();
    assert_eq!(error.lines().count(), 51);
    assert!(error.ends_with("config.yaml:53:1: and 1950 more problems from here on"), "{error}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Config::load(Path::new("/nowhere/config.yaml")).unwrap_err().to_string();
    assert!(error.starts_with("cannot read /nowhere/config.yaml: "), "{error}");
}

#[test]
fn a_file_is_read_from_disk_as_from_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.yaml");
    std::fs::write(&path, EVERYTHING).unwrap();
    assert_eq!(Config::load(&path).unwrap(), Config::parse(&path, EVERYTHING.as_bytes()).unwrap());
}

#[test]
fn a_tag_counts_with_and_without_its_true() {
    for required in ["autoresponse", "autoresponse:true", "autoresponse: true"] {
        for tag in ["autoresponse", "autoresponse:true", "autoresponse: true"] {
            assert!(tag_matches(required, tag), "{required} {tag}");
        }
        for tag in ["", "true", "autoresponse:false", "autoresponses", "no_autoresponse", "Autoresponse"] {
            assert!(!tag_matches(required, tag), "{required} {tag}");
        }
    }
    assert!(!tag_matches("", "") && !tag_matches(":true", ""));
}

proptest! {
    #[test]
    fn any_bytes_load_or_are_refused_in_whole_lines(
        changes in prop::collection::vec((0..EVERYTHING.len(), 0..4_usize, any::<u8>()), 1..8)
    ) {
        let mut bytes = EVERYTHING.as_bytes().to_vec();
        for (index, how, byte) in changes {
            let index = index.min(bytes.len().saturating_sub(1));
            match how {
                0 => bytes[index] = byte,
                1 => bytes.insert(index, byte),
                2 => drop(bytes.remove(index)),
                _ => bytes[index] = b" \n:-[]{}&*#\"'!|>%@`?,"[usize::from(byte) % 21],
            }
        }
        if let Err(error) = Config::parse(Path::new("c.yaml"), &bytes) {
            for line in error.to_string().lines() {
                prop_assert!(line.starts_with("c.yaml:"), "{}", error);
            }
        }
    }

    #[test]
    fn a_prefix_of_a_file_loads_or_is_refused(length in 0..EVERYTHING.len()) {
        let _ = Config::parse(Path::new("c.yaml"), &EVERYTHING.as_bytes()[..length]);
    }
}

#[test]
fn a_file_that_cannot_be_used_still_brakes_unless_it_says_to_act() {
    for (text, expected) in [
        ("dryrun: false\nrulse: []", None),
        ("dryrun: true\nrulse: []", Some(Brake::Dry)),
        ("rulse: []", Some(Brake::Dry)),
        ("dryrun: no", Some(Brake::Dry)),
        ("dryrun: false\ndryrun: true", Some(Brake::Dry)),
        ("dryrun:", Some(Brake::Dry)),
        ("", Some(Brake::Unparsable)),
        ("dryrun: false\n  x", Some(Brake::Dry)),
        ("dryrun: false\n- x", Some(Brake::Unparsable)),
        ("[dryrun, false]", Some(Brake::Unparsable)),
        ("dryrun: fal", Some(Brake::Dry)),
    ] {
        assert_eq!(brake(text.as_bytes()), expected, "{text:?}");
    }
    assert_eq!(brake(b"dryrun: false\n\xff"), Some(Brake::Unparsable));
    assert_eq!(brake(RUNBOOK_A.as_bytes()), None);
}
