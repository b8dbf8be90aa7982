//! The `plugins` section. Whether the plugins exist is for those who load them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::section::{Problems, Section, report_repeated_keys_below};
use super::tree::{Node, excerpt};
use super::{PluginLimits, Plugins, registry, suggest, web_grants};
use crate::safety::fields;
use crate::safety::permissions::Permission;

const KEYS: &[&str] = &["cache_dir", "dir", "grants", "limits", "oci", "pins", "registry", "signed_by"];
const VERBS: &[&str] = &["get", "list", "create", "patch", "delete"];
const SCOPES: &[&str] = &["target", "owners", "namespace", "node", "cluster"];

pub fn read(top: &Section<'_>, problems: &mut Problems) -> Plugins {
    let section = top.section("plugins", KEYS, problems);
    let mut plugins = Plugins {
        dir: "/plugins".into(),
        cache_dir: None,
        oci: Vec::new(),
        registry: registry::Registry::default(),
        signed_by: Vec::new(),
        pins: BTreeMap::new(),
        grants: BTreeMap::new(),
        web_grants: BTreeMap::new(),
        limits: PluginLimits { timeout: Duration::from_secs(10), memory: 64 << 20, calls: 1000, log: 64 << 10 },
    };
    let Some(section) = section else { return plugins };
    if let Some(dir) = section.text("dir", problems) {
        plugins.dir = dir.into();
    }
    plugins.cache_dir = section.text("cache_dir", problems).map(Into::into);
    plugins.oci = registry::artifacts(&section, problems);
    plugins.registry = registry::read(&section, problems);
    plugins.signed_by = registry::signers(&section, problems);
    plugins.pins = pins(&section, problems);
    grants(&section, &mut plugins, problems);
    limits(&section, &mut plugins.limits, problems);
    plugins
}

fn limits(section: &Section<'_>, limits: &mut PluginLimits, problems: &mut Problems) {
    let Some(section) = section.section("limits", &["calls", "log", "memory", "timeout"], problems) else { return };
    if let Some(timeout) = section.span("timeout", problems) {
        limits.timeout = timeout;
    }
    if let Some(memory) = section.size("memory", problems) {
        limits.memory = memory;
    }
    if let Some(calls) = section.number("calls", 1..=u64::from(u32::MAX), problems) {
        limits.calls = u32::try_from(calls).unwrap_or(u32::MAX);
    }
    if let Some(log) = section.size("log", problems) {
        limits.log = log;
    }
}

fn pins(section: &Section<'_>, problems: &mut Problems) -> BTreeMap<String, String> {
    let mut pins = BTreeMap::new();
    if let Some(node) = section.get("pins") {
        report_repeated_keys_below(node, problems);
    }
    for (key, node) in section.entries("pins", problems).unwrap_or_default() {
        let value = node.to_json();
        let digest = value.as_str().and_then(|text| text.strip_prefix("sha256:"));
        match digest.filter(|digest| digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            Some(digest) => drop(pins.insert(key.name.clone(), digest.to_ascii_lowercase())),
            None => {
                let name = section.path_of("pins");
                let found = node.describe();
                let message =
                    format!("`{name}.{}` expects `sha256:` and 64 hex digits, not {found}", excerpt(&key.name));
                problems.add(node.location, message);
            }
        }
    }
    pins
}

fn grants(section: &Section<'_>, plugins: &mut Plugins, problems: &mut Problems) {
    for (key, node) in section.entries("grants", problems).unwrap_or_default() {
        let path = format!("plugins.grants.{}", excerpt(&key.name));
        let super::tree::Content::List(items) = &node.value else {
            problems.add(node.location, format!("`{path}` expects a list of permissions, not {}", node.describe()));
            continue;
        };
        let item_path = format!("{path}[]");
        let (web, cluster): (Vec<_>, Vec<_>) = items.iter().partition(|item| web_grants::is_one(item));
        let web = web.into_iter().filter_map(|item| web_grants::read(item, &item_path, problems)).collect();
        let permissions = cluster.into_iter().filter_map(|item| permission(item, &item_path, problems)).collect();
        plugins.web_grants.insert(key.name.clone(), web);
        if plugins.grants.insert(key.name.clone(), permissions).is_some() {
            problems.add(key.location, format!("`{path}` is already set, put both into one list"));
        }
    }
}

fn permission(node: &Node, path: &str, problems: &mut Problems) -> Option<Permission> {
    let keys = &["apiGroups", "fields", "resourceNames", "resources", "scope", "verbs"];
    let section = Section::open(node, path, keys, problems)?;
    for (key, example) in [
        ("apiGroups", "`apiGroups: [\"\"]` for the core group"),
        ("resources", "`resources: [pods]`"),
        ("verbs", "`verbs: [get]`"),
        ("scope", "`scope: target`"),
    ] {
        if section.get(key).is_none() {
            section.missing(key, example, problems);
        }
    }
    let mut texts = |key| {
        let texts = section.texts(key, problems).unwrap_or_default();
        texts.into_iter().map(|(_, text)| text.to_owned()).collect::<Vec<_>>()
    };
    let (resources, resource_names) = (texts("resources"), texts("resourceNames"));
    let fields = section.texts("fields", problems).unwrap_or_default();
    let fields = fields.into_iter().map(|(location, text)| {
        if fields::parse(text).is_none() {
            let (name, text) = (section.name("fields"), excerpt(text));
            let message = format!(
                "{name}: `{text}` names no field; write `spec.replicas`, and \"data['a.b']\" for a key with more than a name"
            );
            problems.add(location, message);
        }
        text.to_owned()
    });
    let fields = fields.collect();
    let api_groups = section.texts_even_empty("apiGroups", problems).unwrap_or_default();
    let api_groups = api_groups.into_iter().map(|(_, text)| text.to_owned()).collect();
    let verbs = section.texts("verbs", problems).unwrap_or_default();
    let verbs = verbs.into_iter().filter_map(|(location, text)| {
        let verb = word(text, VERBS);
        verb.map_err(|message| problems.add(location, format!("{}: {message}", section.name("verbs")))).ok()
    });
    let verbs = verbs.collect();
    let scope = section.parsed("scope", problems, |text| word(text, SCOPES))?;
    Some(Permission { api_groups, resources, verbs, resource_names, scope, fields })
}

/// One of a few words, read by the type that knows them.
fn word<T: DeserializeOwned>(text: &str, known: &[&str]) -> Result<T, String> {
    serde_json::from_value(text.into())
        .map_err(|_| format!("`{}` is not a choice{}", excerpt(text), suggest::phrase(text, known)))
}
