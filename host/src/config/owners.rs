//! Controllers of pods: which kinds are protected, and which may be read on the way to the top.

use super::OwnerKind;
use super::section::{Problems, Section};
use super::tree::{Node, excerpt};
use crate::cluster::names::ApiResource;

/// API version, kind, plural.
const BUILT_IN: &[(&str, &str, &str)] = &[
    ("apps/v1", "ReplicaSet", "replicasets"),
    ("apps/v1", "Deployment", "deployments"),
    ("apps/v1", "StatefulSet", "statefulsets"),
    ("apps/v1", "DaemonSet", "daemonsets"),
    ("batch/v1", "Job", "jobs"),
    ("batch/v1", "CronJob", "cronjobs"),
    ("v1", "ReplicationController", "replicationcontrollers"),
];

/// `[]` protects nothing beyond what code protects; absent means the default.
pub fn protected(top: &Section<'_>, problems: &mut Problems) -> Vec<String> {
    let Some(kinds) = top.texts("protected_owners", problems) else {
        return vec!["DaemonSet".into(), "StatefulSet".into()];
    };
    for (location, text) in &kinds {
        if let Err(message) = kind(text) {
            problems.add(*location, format!("`protected_owners`: {message}"));
        }
    }
    kinds.into_iter().map(|(_, text)| text.to_owned()).collect()
}

/// The built-in kinds and the configured ones.
pub fn kinds(top: &Section<'_>, problems: &mut Problems) -> Vec<OwnerKind> {
    let mut kinds: Vec<OwnerKind> = BUILT_IN
        .iter()
        .map(|(api_version, kind, plural)| OwnerKind {
            api_version: (*api_version).into(),
            kind: (*kind).into(),
            plural: (*plural).into(),
            top_level: false,
        })
        .collect();
    for node in top.list("owner_kinds", problems).unwrap_or_default() {
        let Some(owner) = owner_kind(node, problems) else { continue };
        if kinds.iter().any(|known| (&known.api_version, &known.kind) == (&owner.api_version, &owner.kind)) {
            let message = format!("`owner_kinds`: {} {} is already known, take it out", owner.api_version, owner.kind);
            problems.add(node.location, message);
        }
        kinds.push(owner);
    }
    kinds
}

fn owner_kind(node: &Node, problems: &mut Problems) -> Option<OwnerKind> {
    let section = Section::open(node, "owner_kinds[]", &["apiVersion", "kind", "plural", "top_level"], problems)?;
    for (key, example) in [
        ("apiVersion", "`apiVersion: argoproj.io/v1alpha1`"),
        ("kind", "`kind: Rollout`"),
        ("plural", "`plural: rollouts`"),
    ] {
        if section.get(key).is_none() {
            section.missing(key, example, problems);
        }
    }
    let api_version = section.text("apiVersion", problems);
    let kind = section.parsed("kind", problems, |text| kind(text).map(str::to_owned));
    let plural = section.parsed("plural", problems, plural);
    let top_level = section.bool("top_level", problems).unwrap_or(false);
    let (api_version, kind, plural) = (api_version?, kind?, plural?);
    // Core kinds have no group: `v1`.
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    if let Err(error) = ApiResource::parse(group, version, &plural) {
        problems.add(node.location, format!("`owner_kinds`: {error}"));
        return None;
    }
    Some(OwnerKind { api_version: api_version.to_owned(), kind, plural, top_level })
}

fn kind(text: &str) -> Result<&str, String> {
    let sound = text.starts_with(|c: char| c.is_ascii_uppercase()) && text.bytes().all(|c| c.is_ascii_alphanumeric());
    if sound { Ok(text) } else { Err(format!("`{}` is not a kind, write one like `DaemonSet`", excerpt(text))) }
}

fn plural(text: &str) -> Result<String, String> {
    let sound = !text.is_empty() && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-');
    if sound {
        Ok(text.to_owned())
    } else {
        Err(format!("`{}` is not a plural, write one like `rollouts`", excerpt(text)))
    }
}
