//! A denied call names the line that allows it: pasted into a configuration, the line allows that call and no other.

use std::path::Path;

use serde_json::json;

use super::*;
use crate::cluster::PatchDocument;
use crate::config::Config;
use crate::safety::document::{self, Form, Touched};
use crate::safety::permissions::{Call, Reach};
use crate::safety::{fields, free};

const ACTION: &str = "hostile";

/// A call that owns what [`Call`] borrows.
#[derive(Debug, Clone)]
struct Asked {
    verb: Verb,
    resource: ApiResource,
    name: Option<ObjectName>,
    reach: Reach,
    touched: Option<Touched>,
    manifest: Option<Value>,
    current: Value,
}

impl Asked {
    fn call(&self) -> Call<'_> {
        Call {
            verb: self.verb,
            resource: &self.resource,
            name: self.name.as_ref(),
            reach: self.reach,
            metadata_only: false,
            touched: self.touched.as_ref(),
            manifest: self.manifest.as_ref(),
            current: &self.current,
            force: false,
        }
    }

    fn permit(&self, permissions: &Permissions) -> Result<(), String> {
        permissions.permit(ACTION, &self.call()).map_err(|refusal| refusal.detail)
    }

    /// Whether what this call asks for lies within what `other` asks for.
    fn is_part_of(&self, other: &Self) -> bool {
        let applies = other.manifest.is_some() && [Verb::Create, Verb::Patch].contains(&self.verb);
        let paths = |asked: &Self| asked.touched.clone().map(|touched| touched.paths).unwrap_or_default();
        let strategic = |asked: &Self| asked.touched.as_ref().is_some_and(|touched| touched.form == Form::Strategic);
        let written = |path: &Vec<String>| {
            paths(other).iter().any(|own| path.starts_with(own)) || free::is_free_metadata(path, &self.current)
                // To be granted at all these must be named whole.
                || fields::LIFE_AND_DEATH.iter().any(|field| {
                    fields::lies_in(path, field) && paths(other).iter().any(|own| fields::lies_in(own, field))
                })
        };
        (self.verb == other.verb || applies)
            && self.resource == other.resource
            && (self.name == other.name || (other.reach.is_target && self.reach.is_target))
            && (!strategic(self) || strategic(other))
            && paths(self).iter().all(written)
    }
}

fn pod(controlled: bool) -> Value {
    json!({"metadata": {"labels": {"app": "web"}, "ownerReferences": [{"kind": "ReplicaSet", "controller": controlled}]}})
}

fn documents(resource: &ApiResource, name: &str) -> Vec<(Verb, Touched, Option<Value>)> {
    let mut all = Vec::new();
    let mut patch = |document| {
        all.push((Verb::Patch, document::touched_by_patch(&document).expect("of its form"), None));
    };
    for document in [
        json!({"metadata": {"labels": {"quarantine": "yes"}}}),
        json!({"metadata": {"labels": {"app": "x", "app.kubernetes.io/name": "y"}}}),
        json!({"metadata": {"annotations": {"true": "x", "1e3": "y"}}}),
        json!({"metadata": {"ownerReferences": []}}),
        json!({"metadata": {"finalizers": null, "labels": {"a.example/b": "c"}}}),
        json!({"spec": {"replicas": 0}}),
        json!({"spec": {"template": {"spec": {"hostPID": true, "containers": []}}, "replicas": 1, "paused": true, "a": 1, "b": 2}}),
        json!({"data": {"config.yaml": "x", "config": "y"}}),
    ] {
        patch(PatchDocument::Merge(document.clone()));
        patch(PatchDocument::Strategic(document));
    }
    for operation in [
        json!({"op": "replace", "path": "/spec/replicas", "value": 0}),
        json!({"op": "move", "from": "/spec/paused", "path": "/metadata/annotations/paused"}),
        json!({"op": "remove", "path": "/metadata/ownerReferences/0"}),
        json!({"op": "test", "path": "/data/config.yaml", "value": "guess"}),
        json!({"op": "add", "path": "/metadata/labels/a.example~1b", "value": "c"}),
    ] {
        patch(PatchDocument::Operations(json!([operation])));
    }
    let namespace = Namespace::parse("production").expect("valid");
    for rest in [json!({"spec": {"egress": [{}]}}), json!({"data": {"a": "b"}, "metadata": {"labels": {"app": "x"}}})] {
        let mut manifest = rest.clone();
        manifest["apiVersion"] = json!(resource.api_version());
        manifest["kind"] = json!("Any");
        let name = ObjectName::parse(name).expect("valid");
        let touched = document::touched_by_manifest(&manifest, resource, Some(&namespace), Some(&name)).expect("sound");
        all.push((Verb::Patch, touched.clone(), Some(manifest.clone())));
        all.push((Verb::Create, touched, Some(manifest)));
    }
    all
}

fn universe() -> Vec<Asked> {
    let mut all = Vec::new();
    let kinds = [("", "pods"), ("apps", "deployments"), ("argoproj.io", "rollouts")];
    let reaches = [
        Reach { is_target: true, in_namespace: true, ..Reach::default() },
        Reach { is_owner: true, in_namespace: true, ..Reach::default() },
        Reach::default(),
    ];
    for (group, plural) in kinds {
        let resource = ApiResource::parse(group, "v1", plural).expect("valid");
        for reach in reaches {
            // Names that YAML would read as something else.
            for name in ["web", "1e3"] {
                let asked = |verb, name: Option<&str>, touched, manifest, current| Asked {
                    verb,
                    resource: resource.clone(),
                    name: name.map(|name| ObjectName::parse(name).expect("valid")),
                    reach,
                    touched,
                    manifest,
                    current,
                };
                for verb in [Verb::Get, Verb::Delete] {
                    all.push(asked(verb, Some(name), None, None, Value::Null));
                }
                if name == "web" && !reach.is_target {
                    all.push(asked(Verb::List, None, None, None, Value::Null));
                }
                for (verb, touched, manifest) in documents(&resource, name) {
                    let creates = verb == Verb::Create;
                    for current in [Value::Null, pod(true), pod(false)].into_iter().take(if creates { 1 } else { 3 }) {
                        all.push(asked(verb, Some(name), Some(touched.clone()), manifest.clone(), current));
                    }
                }
            }
        }
    }
    all
}

fn declared() -> Vec<Permission> {
    let mut all = everything(&[]);
    all.api_groups.push("argoproj.io".to_owned());
    all.resources.push("rollouts".to_owned());
    vec![all]
}

/// The grants of a configuration into which a denial's line was pasted.
fn pasted(detail: &str) -> Vec<Permission> {
    assert!(detail.contains(&format!("plugins.grants.{ACTION}")), "where it belongs: {detail}");
    let (_, line) = detail.split_once("; to allow it: `").unwrap_or_else(|| panic!("no line in: {detail}"));
    let line = line.strip_suffix('`').expect("the line ends the sentence");
    let text = format!("dryrun: true\nplugins:\n  grants:\n    {ACTION}:\n      {line}\nrules: []\n");
    let config = Config::parse(Path::new("config.yaml"), text.as_bytes());
    let mut config = config.unwrap_or_else(|error| panic!("{text}\n{error}"));
    config.plugins.grants.remove(ACTION).expect("the grant")
}

#[test]
fn the_line_of_a_denial_allows_that_call_and_no_other() {
    let universe = universe();
    let bare = Permissions { declared: declared(), granted: Vec::new() };
    let by_default: Vec<_> = universe.iter().map(|asked| asked.permit(&bare).is_ok()).collect();
    let mut denied = 0;
    let mut lines = std::collections::BTreeSet::new();
    for asked in &universe {
        let Err(detail) = asked.permit(&bare) else { continue };
        denied += 1;
        let granted = Permissions { declared: declared(), granted: pasted(&detail) };
        assert_eq!(asked.permit(&granted), Ok(()), "{detail}");
        // The same line of many calls is looked at once.
        if !lines.insert(detail.clone()) {
            continue;
        }
        for (number, (other, by_default)) in universe.iter().zip(&by_default).enumerate() {
            // Of other kinds a sample: each costs time, and a line names one kind.
            let looked_at = other.resource == asked.resource || number % 17 == 0;
            if looked_at && !by_default && other.permit(&granted).is_ok() {
                assert!(other.is_part_of(asked), "{detail}\nallows also {other:?}");
            }
        }
    }
    assert!(denied > 700 && lines.len() > 200, "{denied} {}", lines.len());
}

#[test]
fn says_so_where_no_line_can_allow_it() {
    let asked = |document| Asked {
        verb: Verb::Patch,
        resource: ApiResource::pods(),
        name: Some(ObjectName::parse("web").expect("valid")),
        reach: Reach::default(),
        touched: Some(document::touched_by_patch(&document).expect("of its form")),
        manifest: None,
        current: Value::Null,
    };
    let bare = Permissions { declared: declared(), granted: Vec::new() };
    let many: serde_json::Map<_, _> = (0..40).map(|number| (format!("k{number}"), json!(1))).collect();
    for (document, why) in [
        (PatchDocument::Merge(json!({"metadata": null})), "all of metadata"),
        (PatchDocument::Operations(json!([{"op": "replace", "path": "", "value": {}}])), "all of metadata"),
        (PatchDocument::Strategic(json!({"spec": {"$patch": "replace"}})), "directive"),
        (PatchDocument::Merge(json!({"data": {"it's": "x"}})), "a key that no field can name"),
        (PatchDocument::Merge(json!({ "data": many })), "more fields"),
        (PatchDocument::Merge(json!({"data": {"k".repeat(100_000): 1}})), "too long"),
    ] {
        let said = asked(document).permit(&bare).expect_err("denied");
        assert!(said.contains("no grant allows it") && said.contains(why), "{said}");
        assert!(said.len() < 1000, "kept for each call: {} bytes", said.len());
    }
    let undeclared = asked(PatchDocument::Merge(json!({"spec": {"a": 1}}))).permit(&Permissions::default());
    let said = undeclared.expect_err("not declared");
    let (_, permission) = said.split_once("would have to add ").expect("what its author has to add");
    let permission: Permission = serde_json::from_str(permission).expect("a permission of a manifest");
    assert!(said.contains("no grant helps") && permission.names("", "pods", Verb::Patch), "{said}");
}

#[test]
fn a_grant_for_less_is_named_as_what_it_is() {
    let grant = Permission { scope: Scope::Namespace, fields: vec!["spec.replicas".to_owned()], ..everything(&[]) };
    let permissions = Permissions { declared: declared(), granted: vec![grant] };
    let touched = document::touched_by_patch(&PatchDocument::Merge(json!({"spec": {"replicas": 0, "paused": true}})));
    let asked = Asked {
        verb: Verb::Patch,
        resource: ApiResource::parse("apps", "v1", "deployments").expect("valid"),
        name: Some(ObjectName::parse("web").expect("valid")),
        reach: Reach { in_namespace: true, ..Reach::default() },
        touched: Some(touched.expect("of its form")),
        manifest: None,
        current: Value::Null,
    };
    let said = asked.permit(&permissions).expect_err("more than granted");
    assert!(said.contains("but not for spec.replicas, spec.paused"), "{said}");
    assert!(
        said.contains("- {apiGroups: [apps], resources: [deployments], verbs: [patch], scope: namespace, resourceNames: [web], fields: [spec.replicas, spec.paused]}"),
        "{said}"
    );
}
