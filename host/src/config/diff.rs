//! What has changed between two configurations, in words for a record; and which of it lets more happen than before.

use std::collections::BTreeSet;
use std::fmt::Debug;

use super::{ActionRef, Config, Identity, OnFailure, Rule};

/// One thing that is different.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// `allowed_namespaces: + staging`
    pub text: String,
    /// A stable word for what it widens; none where it does not.
    pub widens: Option<&'static str>,
}

#[derive(Default)]
struct Changes(Vec<Change>);

/// Everything that differs and is in force at once.
pub fn changes(old: &Config, new: &Config) -> Vec<Change> {
    let mut found = Changes::default();
    found.value("dryrun", &old.dryrun, &new.dryrun, (!new.dryrun).then_some("dry_to_live"));
    found.list("allowed_namespaces", &old.allowed_namespaces, &new.allowed_namespaces, Some("namespace_allowed"), None);
    found.list("denied_namespaces", &old.denied_namespaces, &new.denied_namespaces, None, Some("namespace_not_denied"));
    found.list("protected_owners", &old.protected_owners, &new.protected_owners, None, Some("owner_not_protected"));
    let kinds = |config: &Config| {
        let kind = |kind: &super::OwnerKind| {
            format!("{} {}{}", kind.api_version, kind.kind, if kind.top_level { " (top level)" } else { "" })
        };
        config.owner_kinds.iter().map(kind).collect::<Vec<_>>()
    };
    found.list("owner_kinds", &kinds(old), &kinds(new), Some("owner_kind_added"), None);
    let untagged = new.required_tag != old.required_tag && old.required_tag.is_some();
    found.value("required_tag", &old.required_tag, &new.required_tag, untagged.then_some("tag_removed"));
    let lower = new.minimum_priority > old.minimum_priority;
    found.value("minimum_priority", &old.minimum_priority, &new.minimum_priority, lower.then_some("priority_lowered"));
    let looser = new.identity == Identity::Name;
    found.value("identity", &old.identity, &new.identity, looser.then_some("identity_loosened"));
    for (name, before, after) in [
        ("max_alert_age", old.max_alert_age, new.max_alert_age),
        ("max_recovery_age", old.max_recovery_age, new.max_recovery_age),
    ] {
        found.value(name, &before, &after, (after > before).then_some("age_raised"));
    }
    for (name, before, after) in [
        ("limits.owner", old.limits.owner, new.limits.owner),
        ("limits.namespace", old.limits.namespace, new.limits.namespace),
        ("limits.cluster", old.limits.cluster, new.limits.cluster),
    ] {
        let raised = after.actions > before.actions || after.per < before.per;
        let words = |limit: crate::safety::budget::Limit| format!("{} in {:?}", limit.actions, limit.per);
        found.value(name, &words(before), &words(after), raised.then_some("limits_raised"));
    }
    let facing = |config: &Config| format!("{:?}", config.audit.keeping.customer_facing);
    found.value("audit.customer_facing", &facing(old), &facing(new), None);
    found.value("redaction", &old.redaction, &new.redaction, None);
    plugins(old, new, &mut found);
    rules(old, new, &mut found);
    found.0
}

/// The keys that differ and count only from the next start on.
pub fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    // Which actions are customer-facing counts at once.
    let audit = |config: &Config| {
        let mut audit = config.audit.clone();
        audit.keeping.customer_facing = None;
        audit
    };
    let keys = [
        ("listen", old.listen != new.listen),
        ("admin_listen", old.admin_listen != new.admin_listen),
        ("journal", old.journal != new.journal),
        ("cluster_name", old.cluster_name != new.cluster_name),
        ("shutdown_delay", old.shutdown_delay != new.shutdown_delay),
        ("limits.concurrency", old.concurrency != new.concurrency),
        ("plugins.limits.memory", old.plugins.limits.memory != new.plugins.limits.memory),
        ("audit", audit(old) != audit(new)),
        ("paging", old.paging != new.paging),
    ];
    keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
}

fn plugins(old: &Config, new: &Config, found: &mut Changes) {
    let (before, after) = (&old.plugins, &new.plugins);
    found.value("plugins.dir", &before.dir, &after.dir, None);
    let artifacts = |plugins: &super::Plugins| plugins.oci.iter().map(ToString::to_string).collect::<Vec<_>>();
    found.list("plugins.oci", &artifacts(before), &artifacts(after), None, None);
    found.value("plugins.registry", &before.registry, &after.registry, None);
    let unsigned = after.signed_by.is_empty().then_some("signature_not_required");
    let signer = after.signed_by.iter().any(|key| !before.signed_by.contains(key)).then_some("signer_added");
    let widens = unsigned.or(signer).filter(|_| !before.signed_by.is_empty());
    found.value("plugins.signed_by", &before.signed_by, &after.signed_by, widens);
    let limits = |plugins: &super::Plugins| {
        let limits = plugins.limits;
        format!("timeout {:?}, calls {}, log {}", limits.timeout, limits.calls, limits.log)
    };
    found.value("plugins.limits", &limits(before), &limits(after), None);
    let pins = |plugins: &super::Plugins| {
        plugins.pins.iter().map(|(name, digest)| format!("{name} {digest}")).collect::<Vec<_>>()
    };
    found.list("plugins.pins", &pins(before), &pins(after), None, Some("pin_removed"));
    let grants = |plugins: &super::Plugins| {
        let one = |(name, list): (&String, &Vec<_>)| {
            list.iter().map(|permission| format!("{name}: {permission:?}")).collect::<Vec<_>>()
        };
        let outside = |(name, list): (&String, &Vec<_>)| {
            list.iter().map(|grant| format!("{name}: {grant:?}")).collect::<Vec<_>>()
        };
        let (cluster, outside) = (plugins.grants.iter().flat_map(one), plugins.web_grants.iter().flat_map(outside));
        cluster.chain(outside).collect::<Vec<_>>()
    };
    found.list("plugins.grants", &grants(before), &grants(after), Some("grant_added"), None);
}

fn rules(old: &Config, new: &Config, found: &mut Changes) {
    let named = |rules: &[Rule], name: &str| rules.iter().find(|rule| rule.name == name).cloned();
    for rule in old.rules.iter().filter(|rule| named(&new.rules, &rule.name).is_none()) {
        found.add(format!("rules: - {:?}", rule.name), None);
    }
    for rule in &new.rules {
        match named(&old.rules, &rule.name) {
            None => found.add(format!("rules: + {:?}", rule.name), Some("rule_added")),
            Some(before) => changed_rule(&before, rule, found),
        }
    }
}

fn changed_rule(old: &Rule, new: &Rule, found: &mut Changes) {
    let at = |key: &str| format!("rules {:?} {key}", new.name);
    found.value(&at("audit_reason"), &old.audit_reason, &new.audit_reason, None);
    found.value(&at("dryrun"), &old.dryrun, &new.dryrun, (!new.dryrun).then_some("dry_to_live"));
    found.value(&at("timeout"), &old.timeout, &new.timeout, None);
    let wider = match (&old.namespaces, &new.namespaces) {
        (Some(_), None) => true,
        (Some(before), Some(after)) => after.iter().any(|name| !before.contains(name)),
        (None, _) => false,
    };
    found.value(&at("namespaces"), &old.namespaces, &new.namespaces, wider.then_some("rule_widened"));
    let words = |actions: &[ActionRef]| {
        let one = |action: &ActionRef| {
            let ActionRef { action, parameters, on_failure, confirm, expires_after, .. } = action;
            let lasts = expires_after.map(|expires| format!(" expires after {:?}", expires.lasts)).unwrap_or_default();
            format!("{action} {parameters} {on_failure:?} {confirm:?}{lasts}")
        };
        actions.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    let wider = new.actions.iter().enumerate().any(|(index, action)| more_than(old, index, action));
    found.value(&at("actions"), &words(&old.actions), &words(&new.actions), wider.then_some("rule_widened"));
}

/// Whether an action is new in its place, goes on where it stopped, or waits for less.
fn more_than(old: &Rule, index: usize, action: &ActionRef) -> bool {
    let Some(before) = old.actions.get(index).filter(|before| before.action == action.action) else { return true };
    let waits_less = match (before.confirm, action.confirm) {
        (Some(_), None) => true,
        (Some(before), Some(after)) => {
            after.alerts < before.alerts || after.pods < before.pods || after.within > before.within
        }
        (None, _) => false,
    };
    waits_less || (before.on_failure, action.on_failure) == (OnFailure::Stop, OnFailure::Continue)
}

impl Changes {
    fn add(&mut self, text: String, widens: Option<&'static str>) {
        self.0.push(Change { text, widens });
    }

    fn value<T: PartialEq + Debug>(&mut self, name: &str, old: &T, new: &T, widens: Option<&'static str>) {
        if old != new {
            self.add(format!("{name}: {old:?} -> {new:?}"), widens);
        }
    }

    fn list(
        &mut self,
        name: &str,
        old: &[String],
        new: &[String],
        added: Option<&'static str>,
        removed: Option<&'static str>,
    ) {
        let (old, new): (BTreeSet<_>, BTreeSet<_>) = (old.iter().collect(), new.iter().collect());
        for one in old.difference(&new) {
            self.add(format!("{name}: - {one}"), removed);
        }
        for one in new.difference(&old) {
            self.add(format!("{name}: + {one}"), added);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const BASE: &str = "
dryrun: true
allowed_namespaces: [production]
denied_namespaces: [kube-system, falco]
protected_owners: [StatefulSet]
required_tag: autoresponse
identity: strict
plugins: {signed_by: [a.pub], pins: {kill_pod: 'sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'}, grants: {x: [{apiGroups: [''], resources: [pods], verbs: [get], scope: namespace}]}}
rules:
  - {name: a, audit_reason: r, dryrun: true, namespaces: [production], actions: [{action: kill_pod, confirm: {alerts: 2}}]}
";

    fn config(text: &str) -> Config {
        Config::parse(Path::new("config.yaml"), text.as_bytes()).expect("valid")
    }

    fn widened(from: &str, to: &str) -> Vec<&'static str> {
        assert!(BASE.contains(from), "{from}");
        let (old, new) = (config(BASE), config(&BASE.replace(from, to)));
        let found = changes(&old, &new);
        assert!(!found.is_empty(), "{from} -> {to}");
        let back = changes(&new, &old);
        assert!(back.iter().all(|change| change.widens.is_none()), "the way back only narrows: {back:?}");
        found.into_iter().filter_map(|change| change.widens).collect()
    }

    #[test]
    fn each_widening_has_its_word_and_its_opposite_has_none() {
        for (from, to, word) in [
            ("dryrun: true\nallowed", "dryrun: false\nallowed", "dry_to_live"),
            ("[production]\nden", "[production, staging]\nden", "namespace_allowed"),
            ("[kube-system, falco]", "[kube-system]", "namespace_not_denied"),
            ("[StatefulSet]", "[]", "owner_not_protected"),
            ("required_tag: autoresponse\n", "", "tag_removed"),
            ("identity: strict", "identity: name", "identity_loosened"),
            ("identity: strict", "identity: strict\nmax_alert_age: 6m", "age_raised"),
            ("identity: strict", "identity: strict\nminimum_priority: error", "priority_lowered"),
            ("identity: strict", "identity: strict\nlimits: {owner: {actions: 6}}", "limits_raised"),
            ("identity: strict", "identity: strict\nlimits: {cluster: {per: 4m}}", "limits_raised"),
            ("[a.pub]", "[a.pub, b.pub]", "signer_added"),
            ("signed_by: [a.pub], ", "", "signature_not_required"),
            ("verbs: [get]", "verbs: [get, delete]", "grant_added"),
            ("rules:\n", "rules:\n  - {name: b, audit_reason: r, action: kill_pod}\n", "rule_added"),
            ("dryrun: true, names", "dryrun: false, names", "dry_to_live"),
            ("namespaces: [production], ", "", "rule_widened"),
            (", confirm: {alerts: 2}", "", "rule_widened"),
            ("confirm: {alerts: 2}}", "confirm: {alerts: 2}}, {action: other}", "rule_widened"),
        ] {
            // A grant that changes is one that goes and one that comes: only the way there is compared.
            if word == "grant_added" {
                let found = changes(&config(BASE), &config(&BASE.replace(from, to)));
                assert!(found.iter().any(|change| change.widens == Some(word)), "{found:?}");
                continue;
            }
            assert_eq!(widened(from, to), [word], "{from} -> {to}");
        }
    }

    #[test]
    fn what_is_the_same_is_no_change_and_what_needs_a_restart_is_named() {
        let base = config(BASE);
        assert_eq!(changes(&base, &config(&format!("# a comment\n{BASE}"))), []);
        let new = config(&format!("{BASE}\nlisten: 127.0.0.1:1\nlimits: {{concurrency: 3}}\n"));
        assert_eq!(changes(&base, &new), []);
        assert_eq!(needs_restart(&base, &new), ["listen", "limits.concurrency"]);
    }
}
