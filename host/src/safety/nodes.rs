//! What may be changed on a node, whatever is granted: that further pods are kept away, and marks of our own.
//!
//! Most of a node kills. A taint with `NoExecute` ends every pod that does not tolerate it; a label that a DaemonSet
//! selects its nodes by ends that DaemonSet's pod when it is taken away, kube-system's included; a node that is deleted takes
//! everything with it. An annotation belongs to whoever owns its domain, and there are controllers that drain or reboot a node
//! for the sake of one. Only `spec.unschedulable` does nothing to what runs there, and nobody but us acts on keys below
//! `falco-response/`.
//!
//! And it is the node of the alert's pod, which is the only one that the alert says anything about.

use super::checks::{Check, Refusal, Verdict};
use super::document::{Form, Path, Touched};
use super::free;
use super::permissions::Reach;
use crate::cluster::names::{ApiResource, ObjectName};

/// Whether a change with this document is one that a grant can allow.
pub(super) fn may_be_patched(resource: &ApiResource, name: &ObjectName, reach: Reach, touched: &Touched) -> Verdict {
    let refuse = |what: &str| {
        let detail = format!(
            "{what}: of a node only `spec.unschedulable` is patched, and labels and annotations below {}/, whatever is \
             granted: anything else can end pods of every namespace",
            free::OWN_DOMAIN
        );
        Err(Refusal::new(Check::ClusterScoped, detail))
    };
    if *resource != ApiResource::nodes() {
        return refuse(&format!("{} {resource}", resource.api_version()));
    }
    if !(reach.is_target || reach.is_node) {
        let detail = format!("node {name} is not the one that the alert's pod runs on, and no other is changed");
        return Err(Refusal::new(Check::ClusterScoped, detail));
    }
    if touched.form != Form::Merge {
        return refuse("a patch of another form than a merge patch");
    }
    match touched.paths.iter().find(|path| !is_harmless(path)) {
        Some(path) => refuse(&super::fields::name(path).unwrap_or_else(|| "a patch of all of it".to_owned())),
        None => Ok(()),
    }
}

fn is_harmless(path: &Path) -> bool {
    match path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["spec", "unschedulable"] => true,
        ["metadata", "labels" | "annotations", key] => free::is_own_key(key),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::document;
    use super::*;
    use crate::cluster::PatchDocument;

    fn asked(document: &PatchDocument) -> Verdict {
        let touched = document::touched_by_patch(document)?;
        let reach = Reach { is_target: true, is_node: true, ..Reach::default() };
        may_be_patched(&ApiResource::nodes(), &ObjectName::parse("n1").unwrap(), reach, &touched)
    }

    fn merge(document: Value) -> Verdict {
        asked(&PatchDocument::Merge(document))
    }

    #[test]
    fn a_node_is_cordoned_uncordoned_and_marked() {
        for document in [
            json!({"spec": {"unschedulable": true}}),
            json!({"spec": {"unschedulable": false}}),
            json!({"spec": {"unschedulable": null}}),
            json!({"metadata": {"labels": {"falco-response/suspect": "yes"}}}),
            json!({"metadata": {"annotations": {"falco-response/why": "a miner"}}, "spec": {"unschedulable": true}}),
        ] {
            assert_eq!(merge(document.clone()), Ok(()), "{document}");
        }
    }

    #[test]
    fn nothing_else_of_it_is_patched() {
        for document in [
            json!({"spec": {"taints": [{"key": "x", "effect": "NoExecute"}]}}),
            json!({"spec": {"unschedulable": true, "taints": null}}),
            json!({"spec": {"unschedulable": {"x": true}}}),
            json!({"spec": {"podCIDR": "10.0.0.0/24"}}),
            json!({"spec": {"providerID": "x"}}),
            json!({"spec": null}),
            json!({"spec": {}}),
            json!({"metadata": null}),
            json!({"metadata": {"labels": null}}),
            json!({"metadata": {"labels": {"kubernetes.io/os": null}}}),
            json!({"metadata": {"labels": {"disk": "ssd"}}}),
            json!({"metadata": {"labels": {"falco-response.example/x": "y"}}}),
            json!({"metadata": {"labels": {"x.falco-response/x": "y"}}}),
            json!({"metadata": {"annotations": []}}),
            json!({"metadata": {"annotations": {"weave.works/kured-reboot-in-progress": "yes"}}}),
            json!({"metadata": {"annotations": {"note": "x"}}}),
            json!({"metadata": {"finalizers": ["x/y"]}}),
            json!({"metadata": {"ownerReferences": []}}),
            json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}),
            json!({"status": {"conditions": []}}),
            json!({}),
        ] {
            let refused = merge(document.clone()).expect_err("refused");
            assert_eq!(refused.check, Check::ClusterScoped, "{document}");
        }
    }

    #[test]
    fn only_by_a_merge_patch_of_the_node_itself_and_only_of_the_alerts_node() {
        let cordon = json!({"spec": {"unschedulable": true}});
        assert!(asked(&PatchDocument::Strategic(cordon.clone())).is_err());
        let operation = json!([{"op": "add", "path": "/spec/unschedulable", "value": true}]);
        assert!(asked(&PatchDocument::Operations(operation)).is_err());
        let touched = document::touched_by_patch(&PatchDocument::Merge(cordon)).unwrap();
        let name = ObjectName::parse("n1").unwrap();
        let of = |resource: ApiResource, reach: Reach| may_be_patched(&resource, &name, reach, &touched);
        let node = Reach { is_node: true, ..Reach::default() };
        assert!(of(ApiResource::nodes(), node).is_ok());
        assert!(of(ApiResource::nodes(), Reach::default()).is_err());
        for other in [
            ("", "v1", "nodes/status"),
            ("", "v2", "nodes"),
            ("metrics.k8s.io", "v1", "nodes"),
            ("", "v1", "namespaces"),
        ] {
            assert!(of(ApiResource::parse(other.0, other.1, other.2).unwrap(), node).is_err(), "{other:?}");
        }
    }
}
