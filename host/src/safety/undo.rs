//! What takes a change back, as a command for the person who is paged.
//!
//! A NetworkPolicy that selects by labels may hold other pods as well, so where the same run put those labels on a pod,
//! taking them off is what undoes it, and the policy stays.

use jiff::Timestamp;
use serde_json::Value;

use super::isolation::{self, DOMAIN};
use super::plan::Planned;
use crate::cluster::names::{ApiResource, Namespace, ObjectName, ObjectRef};
use crate::cluster::{Mutation, PatchDocument};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undo {
    command: String,
    /// The labels that the change put on its object.
    labels: Vec<String>,
    /// The labels that a policy selects by.
    selects: Vec<String>,
    /// The controller's own command for it, which puts it on record as well; none for what is no isolation.
    lift: Option<String>,
    /// When it is taken back without anybody's doing.
    pub expires_at: Option<Timestamp>,
}

const LIFT: &str = "falco-response-controller lift";

/// Nobody types a longer command.
const MOST_LABELS: usize = 16;

/// The commands for changes that were made, in one line; the last change is taken back first.
pub fn line<'a>(changes: impl DoubleEndedIterator<Item = &'a Undo>) -> Option<String> {
    joined(changes, |undo| Some(&undo.command))
}

/// The controller's own commands for it, which leave a record; none where there is no isolation to lift.
pub fn lift<'a>(changes: impl DoubleEndedIterator<Item = &'a Undo>) -> Option<String> {
    joined(changes, |undo| undo.lift.as_ref())
}

fn joined<'a>(
    changes: impl DoubleEndedIterator<Item = &'a Undo>,
    command: impl Fn(&'a Undo) -> Option<&'a String>,
) -> Option<String> {
    let changes: Vec<_> = changes.collect();
    let labels: Vec<_> = changes.iter().flat_map(|undo| &undo.labels).collect();
    if labels.len() > MOST_LABELS {
        return None;
    }
    let held_by_labels =
        |undo: &Undo| !undo.selects.is_empty() && undo.selects.iter().all(|label| labels.contains(&label));
    let commands: Vec<_> =
        changes.iter().rev().filter(|undo| !held_by_labels(undo)).filter_map(|undo| command(undo)).cloned().collect();
    (!commands.is_empty()).then(|| commands.join(" && "))
}

/// None where no command does it: a deletion, or what only a look at the object can tell.
pub(super) fn of(planned: &Planned) -> Option<Undo> {
    match &planned.mutation {
        Mutation::Create { resource, namespace, name, manifest } => {
            made(resource, namespace.as_ref()?, name, (manifest, planned.stamped.expires_at))
        }
        Mutation::Apply { object, manifest, .. } => {
            let made_of = (manifest, planned.stamped.expires_at);
            // What was there before an apply is not gone with it; of a policy, what it closed is.
            (planned.before.is_none() || isolation::is_policy(&object.resource))
                .then(|| made(&object.resource, object.namespace.as_ref()?, &object.name, made_of))
                .flatten()
        }
        Mutation::Patch { object, document: PatchDocument::Merge(document), .. } => {
            patched(object, document, planned.before.as_ref()?)
        }
        Mutation::Patch { .. } | Mutation::Delete { .. } | Mutation::Evict { .. } => None,
    }
}

/// What of a merge patch a command takes back; what else it writes stays.
fn patched(object: &ObjectRef, document: &Value, before: &Value) -> Option<Undo> {
    let place = object.namespace.as_ref().map(|namespace| format!(" -n {namespace}")).unwrap_or_default();
    let (kind, name) = (short(&object.resource.to_string()), &object.name);
    let mut undo =
        Undo { command: String::new(), labels: Vec::new(), selects: Vec::new(), lift: None, expires_at: None };
    let mut commands = Vec::new();
    for (verb, key) in [("label", "labels"), ("annotate", "annotations")] {
        let Changes { keys, words } = changes(document, before, key)?;
        if words.is_empty() {
            continue;
        }
        let overwrite = if words.iter().any(|word| word.contains('=')) { " --overwrite" } else { "" };
        commands.push(format!("kubectl {verb} {kind} {name}{place} {}{overwrite}", words.join(" ")));
        if verb == "label" {
            let isolates = kind == "pod" && keys.iter().any(|label| label.starts_with(DOMAIN));
            let namespace = object.namespace.as_ref().filter(|_| isolates);
            undo.lift = namespace.map(|namespace| format!("{LIFT} --namespace {namespace} --pod {name}"));
            undo.labels = keys;
        }
    }
    let was = |field: &str| document.pointer(field).filter(|now| before.pointer(field) != Some(now)).is_some();
    if object.resource == ApiResource::nodes() && was("/spec/unschedulable") {
        let cordoned = before.pointer("/spec/unschedulable") == Some(&Value::Bool(true));
        commands.push(format!("kubectl {} {name}", if cordoned { "cordon" } else { "uncordon" }));
    }
    if was("/spec/replicas")
        && let Some(replicas) = before.pointer("/spec/replicas").and_then(Value::as_u64)
    {
        commands.push(format!("kubectl scale {kind}/{name}{place} --replicas={replicas}"));
    }
    if was("/spec/suspend") {
        let suspended = before.pointer("/spec/suspend") == Some(&Value::Bool(true));
        commands.push(format!("kubectl patch {kind} {name}{place} -p '{{\"spec\":{{\"suspend\":{suspended}}}}}'"));
    }
    undo.command = commands.join(" && ");
    (!undo.command.is_empty()).then_some(undo)
}

fn made(
    resource: &ApiResource,
    namespace: &Namespace,
    name: &ObjectName,
    (manifest, expires_at): (&Value, Option<Timestamp>),
) -> Option<Undo> {
    let selected = manifest.pointer("/spec/podSelector/matchLabels").and_then(Value::as_object);
    let selects = selected.into_iter().flatten().map(|(label, _)| label.clone()).collect();
    let command = format!("kubectl delete {} {name} -n {namespace}", short(&resource.to_string()));
    let liftable = isolation::is_policy(resource) && name.as_str().starts_with(isolation::PREFIX);
    let lift = liftable.then(|| format!("{LIFT} --namespace {namespace} --policy {name}"));
    Some(Undo { command, labels: Vec::new(), selects, lift, expires_at })
}

/// As people type it.
fn short(resource: &str) -> String {
    match resource {
        "networkpolicies.networking.k8s.io" => "networkpolicy".to_owned(),
        "pods" => "pod".to_owned(),
        "nodes" => "node".to_owned(),
        other => other.to_owned(),
    }
}

/// The labels or annotations that a merge patch writes.
#[derive(Default)]
struct Changes {
    keys: Vec<String>,
    /// What puts each back.
    words: Vec<String>,
}

/// None where one cannot be part of a command: a text that is no label's value, and a key that the API server would not take.
fn changes(document: &Value, before: &Value, kind: &str) -> Option<Changes> {
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte));
    let of =
        |object: &Value| object.get("metadata").and_then(|metadata| metadata.get(kind)).cloned().unwrap_or_default();
    let (written, there) = (of(document), of(before));
    let mut changes = Changes::default();
    for key in written.as_object().into_iter().flat_map(|written| written.keys()) {
        let old = there.get(key).and_then(Value::as_str);
        if !plain(key) || key.starts_with('-') || !old.is_none_or(plain) {
            return None;
        }
        changes.words.push(old.map_or_else(|| format!("{key}-"), |old| format!("{key}={old}")));
        changes.keys.push(key.clone());
    }
    Some(changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::names::Uid;
    use serde_json::json;

    fn object(resource: ApiResource, name: &str) -> ObjectRef {
        let name = ObjectName::parse(name).expect("valid");
        ObjectRef { resource, namespace: Namespace::parse("shop").ok(), name, uid: None }
    }

    fn undo(mutation: Mutation, before: Option<Value>) -> Option<Undo> {
        let stamped = isolation::Stamped::default();
        of(&Planned { mutation, uid: None, path: String::new(), before, touched: None, stamped, removes: None })
    }

    fn policy(name: &str, selector: Value) -> Option<Undo> {
        let resource = ApiResource::parse("networking.k8s.io", "v1", "networkpolicies").expect("valid");
        let manifest = json!({"spec": {"podSelector": selector}});
        undo(Mutation::Apply { object: object(resource, name), uid: None, manifest, force: false }, None)
    }

    fn patch(labels: Value, before: Value) -> Option<Undo> {
        let document = PatchDocument::Merge(json!({"metadata": {"labels": labels}}));
        let uid = Uid::parse("u").expect("valid");
        undo(Mutation::Patch { object: object(ApiResource::pods(), "web-1"), uid, document }, Some(before))
    }

    #[test]
    fn a_policy_for_a_whole_namespace_is_deleted() {
        let changes = [policy("falco-x", json!({}))];
        assert_eq!(line(changes.iter().flatten()).as_deref(), Some("kubectl delete networkpolicy falco-x -n shop"));
        let lift = "falco-response-controller lift --namespace shop --policy falco-x";
        assert_eq!(super::lift(changes.iter().flatten()).as_deref(), Some(lift));
    }

    #[test]
    fn a_policy_that_selects_what_was_labelled_stays_for_the_other_pods() {
        let selector = json!({"matchLabels": {"falco-response/isolated": "true"}});
        let labelled = patch(json!({"falco-response/isolated": "true"}), json!({"metadata": {}}));
        let changes = [policy("falco-x", selector.clone()), labelled];
        let command = "kubectl label pod web-1 -n shop falco-response/isolated-";
        assert_eq!(line(changes.iter().flatten()).as_deref(), Some(command));
        let lift = "falco-response-controller lift --namespace shop --pod web-1";
        assert_eq!(super::lift(changes.iter().flatten()).as_deref(), Some(lift));
        // Nothing else would take this one back.
        let changes = [policy("falco-x", selector)];
        assert_eq!(line(changes.iter().flatten()).as_deref(), Some("kubectl delete networkpolicy falco-x -n shop"));
    }

    #[test]
    fn a_label_that_was_there_gets_its_value_back() {
        let before = json!({"metadata": {"labels": {"tier": "web"}}});
        let changes = [patch(json!({"tier": "db", "new": "x"}), before)];
        let command = "kubectl label pod web-1 -n shop new- tier=web --overwrite";
        let found = line(changes.iter().flatten()).expect("there is a command");
        let sorted = |text: &str| {
            let mut words: Vec<_> = text.split(' ').map(str::to_owned).collect();
            words.sort();
            words
        };
        assert_eq!(sorted(&found), sorted(command));
    }

    fn merge(object: ObjectRef, document: Value, before: Value) -> Option<String> {
        let uid = Uid::parse("u").expect("valid");
        let mutation = Mutation::Patch { object, uid, document: PatchDocument::Merge(document) };
        line(undo(mutation, Some(before)).iter())
    }

    #[test]
    fn a_node_is_uncordoned_and_its_marks_are_taken_off() {
        let node = || ObjectRef { namespace: None, ..object(ApiResource::nodes(), "n1") };
        let cordon =
            json!({"spec": {"unschedulable": true}, "metadata": {"annotations": {"falco-response/why": "x y"}}});
        let both = "kubectl annotate node n1 falco-response/why- && kubectl uncordon n1";
        assert_eq!(merge(node(), cordon.clone(), json!({})).as_deref(), Some(both));
        let marked = "kubectl annotate node n1 falco-response/why-";
        assert_eq!(merge(node(), cordon, json!({"spec": {"unschedulable": true}})).as_deref(), Some(marked));
        let uncordon = json!({"spec": {"unschedulable": false}});
        let there = json!({"spec": {"unschedulable": true}});
        assert_eq!(merge(node(), uncordon, there).as_deref(), Some("kubectl cordon n1"));
    }

    #[test]
    fn a_workload_gets_its_replicas_back() {
        let deployments = ApiResource::parse("apps", "v1", "deployments").expect("valid");
        let to_zero = json!({"spec": {"replicas": 0}});
        let back = "kubectl scale deployments.apps/web -n shop --replicas=3";
        let there = json!({"spec": {"replicas": 3}});
        assert_eq!(merge(object(deployments.clone(), "web"), to_zero.clone(), there).as_deref(), Some(back));
        assert_eq!(merge(object(deployments.clone(), "web"), to_zero.clone(), to_zero), None);
        let restart =
            json!({"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "x"}}}}});
        assert_eq!(merge(object(deployments, "web"), restart, json!({})), None);
        let jobs = ApiResource::parse("batch", "v1", "cronjobs").expect("valid");
        let back = r#"kubectl patch cronjobs.batch web -n shop -p '{"spec":{"suspend":false}}'"#;
        assert_eq!(merge(object(jobs, "web"), json!({"spec": {"suspend": true}}), json!({})).as_deref(), Some(back));
    }

    #[test]
    fn nothing_that_a_shell_would_obey_is_part_of_a_command() {
        for label in ["a; rm -rf x", "$(x)", "a b", "--all", "`x`"] {
            assert_eq!(patch(json!({label: "true"}), json!({})), None, "{label}");
        }
        assert_eq!(patch(json!({"a": "b"}), json!({"metadata": {"labels": {"a": "x; y"}}})), None);
    }
}
