//! The configuration, and what the checks know of it.

use crate::simulation::dice::Dice;

/// What an operator may have made of it while the controller was away.
pub fn changed(dice: &Dice, (config, dryrun): &(String, bool)) -> (String, bool) {
    let draw = dice.below(12);
    match draw % 3 {
        // Of some alerts everything that is left in the rule is done by then.
        _ if draw > 9 => {
            (config.replace(", {action: chaos, on_failure: stop}, {action: isolate_namespace}", ""), *dryrun)
        }
        0 => (config.replacen(&format!("dryrun: {dryrun}"), &format!("dryrun: {}", !dryrun), 1), !dryrun),
        1 => (config.replace("name: kill,", "name: nothing,"), *dryrun),
        _ => {
            let first = "{action: isolate_namespace, on_failure: continue}, ";
            (config.replace(first, ""), *dryrun)
        }
    }
}

pub fn config(dice: &Dice, dryrun: bool, protects_stateful_sets: bool) -> String {
    let protected = if protects_stateful_sets { "[DaemonSet, StatefulSet]" } else { "[]" };
    let identity = dice.one_of(&["name", "name", "strict"]);
    let recovery = dice.one_of(&["20s", "2m", "10m"]);
    let concurrency = dice.one_of(&[1, 2, 4, 16]);
    let timeout = dice.one_of(&["3s", "10s"]);
    format!(
        "dryrun: {dryrun}
allowed_namespaces: [production, staging, kube-system]
denied_namespaces: [monitoring]
protected_owners: {protected}
identity: {identity}
max_recovery_age: {recovery}
limits: {{concurrency: {concurrency}}}
plugins:
  limits: {{timeout: {timeout}, calls: 12}}
  grants:
    chaos:
      - {{apiGroups: [''], resources: [pods], verbs: [get, list, delete, patch], scope: cluster}}
      - {{apiGroups: [''], resources: [pods/eviction], verbs: [create], scope: cluster}}
      - {{apiGroups: [apps], resources: [deployments, daemonsets, statefulsets], verbs: [get, patch], scope: cluster, fields: [spec.replicas]}}
      - {{apiGroups: [networking.k8s.io], resources: [networkpolicies], verbs: [get, create, patch, delete], scope: cluster, fields: [spec]}}
rules:
  - {{name: kill, action: kill_pod, audit_reason: because}}
  - {{name: isolate, action: isolate_namespace, audit_reason: because}}
  - {{name: chaos, action: chaos, audit_reason: because}}
  - {{name: dry, action: kill_pod, dryrun: true, audit_reason: because}}
  - {{name: dry chaos, action: chaos, dryrun: true, audit_reason: because}}
  - {{name: narrow, action: kill_pod, namespaces: [staging], audit_reason: because}}
  - {{name: quick, action: chaos, timeout: 1s, audit_reason: because}}
  - name: both
    audit_reason: because
    actions: [{{action: isolate_namespace, on_failure: continue}}, {{action: kill_pod}}, {{action: chaos, on_failure: stop}}, {{action: isolate_namespace}}]
"
    )
}

/// The actions of each rule, each with whether the next is taken up after it failed.
pub fn steps(rule: &str) -> &'static [(&'static str, bool)] {
    match rule {
        "kill" | "dry" | "narrow" => &[("kill_pod", false)],
        "isolate" => &[("isolate_namespace", false)],
        "chaos" | "dry chaos" | "quick" => &[("chaos", false)],
        "both" => &[("isolate_namespace", true), ("kill_pod", false), ("chaos", false), ("isolate_namespace", false)],
        _ => &[],
    }
}

pub fn is_dry(rule: &str) -> bool {
    rule.starts_with("dry")
}
