//! What takes a change back, as a command for the person who is paged.
//!
//! A NetworkPolicy that selects by labels may hold other pods as well, so where the same run put those labels on a pod,
//! taking them off is what undoes it, and the policy stays.

use jiff::Timestamp;
use serde_json::Value;

use super::isolation::{self, DOMAIN};
use super::plan::Planned;
use crate::cluster::names::{ApiResource, Namespace, ObjectName};
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
            let (labels, changes) = label_changes(document, planned.before.as_ref()?)?;
            let overwrite = if changes.iter().any(|change| change.contains('=')) { " --overwrite" } else { "" };
            let (kind, namespace) = (short(&object.resource.to_string()), object.namespace.as_ref()?);
            let command =
                format!("kubectl label {kind} {} -n {namespace} {}{overwrite}", object.name, changes.join(" "));
            let isolates = kind == "pod" && labels.iter().any(|label| label.starts_with(DOMAIN));
            let lift = isolates.then(|| format!("{LIFT} --namespace {namespace} --pod {}", object.name));
            Some(Undo { command, labels, selects: Vec::new(), lift, expires_at: None })
        }
        Mutation::Patch { .. } | Mutation::Delete { .. } | Mutation::Evict { .. } => None,
    }
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
        other => other.to_owned(),
    }
}

/// The labels that a merge patch writes, and what puts each back; none where it writes none. A text that is no label is
/// not one that the API server takes, and never part of a command.
fn label_changes(document: &Value, before: &Value) -> Option<(Vec<String>, Vec<String>)> {
    let written = document.pointer("/metadata/labels")?.as_object().filter(|labels| !labels.is_empty())?;
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte));
    let mut labels = Vec::new();
    let mut changes = Vec::new();
    for label in written.keys() {
        let old = before.pointer("/metadata/labels").and_then(|labels| labels.get(label)).and_then(Value::as_str);
        if !plain(label) || label.starts_with('-') || !old.is_none_or(plain) {
            return None;
        }
        changes.push(old.map_or_else(|| format!("{label}-"), |old| format!("{label}={old}")));
        labels.push(label.clone());
    }
    Some((labels, changes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::names::{ObjectRef, Uid};
    use serde_json::json;

    fn object(resource: ApiResource, name: &str) -> ObjectRef {
        let name = ObjectName::parse(name).expect("valid");
        ObjectRef { resource, namespace: Namespace::parse("shop").ok(), name, uid: None }
    }

    fn undo(mutation: Mutation, before: Option<Value>) -> Option<Undo> {
        let stamped = super::super::isolation::Stamped::default();
        of(&Planned { mutation, uid: None, path: String::new(), before, touched: None, stamped })
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

    #[test]
    fn nothing_that_a_shell_would_obey_is_part_of_a_command() {
        for label in ["a; rm -rf x", "$(x)", "a b", "--all", "`x`"] {
            assert_eq!(patch(json!({label: "true"}), json!({})), None, "{label}");
        }
        assert_eq!(patch(json!({"a": "b"}), json!({"metadata": {"labels": {"a": "x; y"}}})), None);
    }
}
