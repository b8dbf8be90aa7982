//! An action as people and programs read it. Every text of the plugin's is escaped: it may be anybody's.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cluster::names::qualified;
use crate::plugins::described::Described;
use crate::plugins::manifest::{CONTRACT, Manifest, Target};
use crate::safety::denials;
use crate::safety::permissions::{Permission, Verb};
use crate::safety::standing::Standing;
use crate::telemetry::escape;

/// Everything, for a person.
pub fn text(described: &Described) -> String {
    let Described { manifest, sha256, size, .. } = described;
    let mut text = String::new();
    let yes = |flag: bool, yes: &'static str, no: &'static str| if flag { yes } else { no };
    for (key, value) in [
        ("name", manifest.name.clone()),
        ("summary", escape::text(&manifest.summary)),
        ("target", target(manifest.target).to_owned()),
        ("pages", yes(manifest.pages, "yes, when it changed something", "no").to_owned()),
        ("repeatable", yes(manifest.repeatable, "yes: may run again after a crash", "no: runs once").to_owned()),
        ("contract", format!("{}; this controller offers {CONTRACT}", manifest.contract)),
        ("size", format!("{size} bytes")),
        ("digest", format!("sha256:{sha256}")),
    ] {
        line(&mut text, key, &value);
    }
    text.push_str(&parameters(manifest));
    text.push_str(&permissions(described));
    let (needed, wider) = grants(manifest);
    text.push_str(&yaml(&manifest.name, "to grant what is not granted by default:", &needed));
    text.push_str(&yaml(&manifest.name, "to let it do more than is granted by default:", &wider));
    text + fields(needed.iter().chain(&wider)) + &servers(manifest)
}

/// What it may reach, and what an operator has to grant.
pub fn reach(described: &Described) -> String {
    let (needed, _) = grants(&described.manifest);
    let lines = yaml(&described.manifest.name, "to grant what is not granted by default:", &needed);
    permissions(described) + &lines + fields(&needed) + &servers(&described.manifest)
}

fn permissions(described: &Described) -> String {
    let mut text = String::new();
    let imports: Vec<_> = described.imports.iter().map(|import| interface(import)).collect();
    line(&mut text, "imports", &if imports.is_empty() { "nothing".to_owned() } else { imports.join(", ") });
    let lines = access(&described.manifest);
    if lines.is_empty() && !described.manifest.http.is_empty() {
        line(&mut text, "permissions", "none in the cluster");
    } else if lines.is_empty() {
        line(&mut text, "permissions", "none: it looks at the alert and its target, and changes nothing");
    }
    let width = lines.iter().map(|line| line.what.chars().count()).max().unwrap_or_default();
    for (index, Access { what, standing, .. }) in lines.iter().enumerate() {
        let padded = format!("{what:<width$}  {}", sentence(standing));
        line(&mut text, if index == 0 { "permissions" } else { "" }, &padded);
    }
    if !described.manifest.http.is_empty() {
        let what = format!("{} to servers outside of the cluster  needs a grant", methods(&described.manifest));
        line(&mut text, "http", &what);
    }
    text
}

fn methods(manifest: &Manifest) -> String {
    manifest.http.iter().map(|method| method.as_str()).collect::<Vec<_>>().join(", ")
}

/// The line that names a server, which only the operator knows.
fn servers(manifest: &Manifest) -> String {
    if manifest.http.is_empty() {
        return String::new();
    }
    let (name, methods) = (&manifest.name, methods(manifest));
    format!(
        "\nto let it send to a server:\n\n  plugins:\n    grants:\n      {name}:\n        \
         - {{urls: [\"https://hooks.example.com/falco\"], methods: [{methods}]}}\n"
    )
}

/// The same for programs, on one line.
pub fn json(described: &Described) -> String {
    let Described { manifest, sha256, size, imports, .. } = described;
    let access: Vec<Value> = access(manifest)
        .into_iter()
        .map(|Access { permission, group, resource, verb, standing, .. }| {
            let (word, limits) = match standing {
                Standing::Default => ("default", Vec::new()),
                Standing::Part(limits) => ("part", limits),
                Standing::Grant => ("grant", Vec::new()),
                Standing::Nothing(_) => ("nothing", Vec::new()),
            };
            json!({
                "apiGroup": group, "resource": resource, "verb": verb, "scope": permission.scope,
                "resourceNames": permission.resource_names, "granted": word, "limits": limits,
            })
        })
        .collect();
    let (needed, wider) = grants(manifest);
    let mut told = json!({
        "name": manifest.name, "summary": manifest.summary, "contract": manifest.contract, "target": manifest.target,
        "pages": manifest.pages, "repeatable": manifest.repeatable, "permissions": manifest.permissions,
        "access": access, "grants": needed, "wider_grants": wider, "parameters": manifest.parameters,
        "imports": imports, "size": size, "sha256": sha256,
    });
    if !manifest.http.is_empty() {
        told["http"] = json!(manifest.http);
    }
    escape::json(&told)
}

fn line(text: &mut String, key: &str, value: &str) {
    writeln!(text, "{key:<12} {value}").expect("a String takes what it is given");
}

fn target(target: Target) -> &'static str {
    match target {
        Target::Pods => "pods: the one that the alert is about",
        Target::Namespaces => "namespaces: the one that the alert is about",
        Target::Nodes => "nodes: the one that the alert's pod runs on",
        Target::None => "none: the alert alone",
    }
}

/// `falco-response:plugin/cluster@0.1.0` without what all have.
fn interface(import: &str) -> String {
    let name = import.rsplit('/').next().unwrap_or(import);
    escape::text(name.split('@').next().unwrap_or(name))
}

/// One verb on one resource.
struct Access<'a> {
    what: String,
    permission: &'a Permission,
    group: &'a str,
    resource: &'a str,
    verb: Verb,
    standing: Standing,
}

fn access(manifest: &Manifest) -> Vec<Access<'_>> {
    let mut all = Vec::new();
    for permission in &manifest.permissions {
        for declared in permission.declared() {
            let names = match &permission.resource_names[..] {
                [] => String::new(),
                names => format!(" {}", names.join(", ")),
            };
            let what = format!(
                "{} {}{names} ({})",
                declared.verb.as_str(),
                qualified(declared.group, declared.resource),
                word(permission.scope)
            );
            all.push(Access {
                what: escape::text(&what),
                permission,
                group: declared.group,
                resource: declared.resource,
                verb: declared.verb,
                standing: declared.standing,
            });
        }
    }
    all
}

/// As manifests and grants have it.
fn word(value: impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn sentence(standing: &Standing) -> String {
    match standing {
        Standing::Default => "granted by default".to_owned(),
        Standing::Part(parts) => format!("granted by default: {}", parts.join("; or ")),
        Standing::Grant => "needs a grant".to_owned(),
        Standing::Nothing(why) => format!("covers nothing: {why}"),
    }
}

/// The grants without which it cannot do what it declares, and those that widen what it has by default.
fn grants(manifest: &Manifest) -> (Vec<Permission>, Vec<Permission>) {
    let of = |wanted: fn(&Standing) -> bool| -> Vec<Permission> {
        let mut grants: Vec<Permission> = Vec::new();
        for Access { permission, group, resource, verb, .. } in
            access(manifest).into_iter().filter(|access| wanted(&access.standing))
        {
            let alone = Permission {
                api_groups: vec![group.to_owned()],
                resources: vec![resource.to_owned()],
                verbs: Vec::new(),
                resource_names: permission.resource_names.clone(),
                scope: permission.scope,
                fields: Vec::new(),
            };
            let same = grants.iter_mut().find(|grant| Permission { verbs: Vec::new(), ..(*grant).clone() } == alone);
            match same {
                Some(grant) if grant.verbs.contains(&verb) => {}
                Some(grant) => grant.verbs.push(verb),
                None => grants.push(Permission { verbs: vec![verb], ..alone }),
            }
        }
        grants
    };
    (of(|standing| *standing == Standing::Grant), of(|standing| matches!(standing, Standing::Part(_))))
}

/// The lines of the configuration.
fn yaml(name: &str, why: &str, grants: &[Permission]) -> String {
    if grants.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{why}\n\n  plugins:\n    grants:\n      {name}:\n");
    for grant in grants {
        let list = |texts: &[String]| texts.iter().map(|text| denials::yaml(text)).collect::<Vec<_>>().join(", ");
        let verbs: Vec<_> = grant.verbs.iter().map(|verb| verb.as_str()).collect();
        let mut one = format!(
            "{{apiGroups: [{}], resources: [{}], verbs: [{}], scope: {}",
            list(&grant.api_groups),
            list(&grant.resources),
            verbs.join(", "),
            word(grant.scope)
        );
        if !grant.resource_names.is_empty() {
            one += &format!(", resourceNames: [{}]", list(&grant.resource_names));
        }
        writeln!(text, "        - {}}}", escape::text(&one)).expect("a String takes what it is given");
    }
    text
}

/// What no manifest says, and a grant has to.
fn fields<'a>(grants: impl IntoIterator<Item = &'a Permission>) -> &'static str {
    let writes = |grant: &Permission| grant.verbs.iter().any(|verb| matches!(verb, Verb::Patch | Verb::Create));
    if grants.into_iter().any(writes) {
        "\nwhat it may write beyond labels and annotations is named in `fields`, as in fields: [spec.replicas]\n"
    } else {
        ""
    }
}

/// From the schema, as far as it has the shape that the SDK writes; any other is shown as it is.
fn parameters(manifest: &Manifest) -> String {
    let mut text = String::new();
    let properties = manifest.parameters.as_ref().and_then(|schema| schema["properties"].as_object());
    match (&manifest.parameters, properties) {
        (None, _) => line(&mut text, "parameters", "none"),
        (Some(schema), None) => line(&mut text, "parameters", &escape::json_in_text(schema)),
        (Some(_), Some(properties)) if properties.is_empty() => line(&mut text, "parameters", "none"),
        (Some(_), Some(properties)) => {
            for (index, (name, schema)) in properties.iter().enumerate() {
                let description = schema["description"].as_str().map(|text| format!(": {}", text.trim()));
                let one = format!("{name} ({}){}", kind(schema, 0), description.unwrap_or_default());
                line(&mut text, if index == 0 { "parameters" } else { "" }, &escape::text(&one));
            }
        }
    }
    text
}

/// Schemas within schemas: what the SDK writes has two.
const NESTING: usize = 8;

fn kind(schema: &Value, depth: usize) -> String {
    if depth == NESTING {
        return "…".to_owned();
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let kinds: Vec<_> = any.iter().take(NESTING).map(|schema| kind(schema, depth + 1)).collect();
        return kinds.join(" or ");
    }
    match schema["type"].as_str() {
        Some("array") => format!("list of {}", kind(&schema["items"], depth + 1)),
        Some("object") if schema["additionalProperties"].is_object() => {
            format!("map to {}", kind(&schema["additionalProperties"], depth + 1))
        }
        Some("integer") if schema["minimum"] == 0 => "integer of at least 0".to_owned(),
        Some(name) => name.to_owned(),
        None => "any".to_owned(),
    }
}

#[cfg(test)]
mod tests;
