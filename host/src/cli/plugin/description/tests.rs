use serde_json::{Value, json};

use super::*;

fn described(manifest: Value) -> Described {
    let manifest = crate::plugins::manifest::parse(manifest.to_string().as_bytes()).unwrap();
    let imports = ["falco-response:plugin/cluster@0.1.0", "falco-response:plugin/request@0.1.0"];
    Described {
        manifest,
        sha256: "ab".repeat(32),
        size: 4711,
        imports: imports.map(str::to_owned).to_vec(),
        exports: Vec::new(),
    }
}

fn scale_down() -> Described {
    described(json!({
        "contract": "0.1", "name": "scale_down", "summary": "Scales the pod's Deployment to zero.", "target": "pods",
        "pages": true,
        "permissions": [
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "patch"], "scope": "target"},
            {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "patch"], "scope": "owners"},
            {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": ["token"], "scope": "namespace"},
        ],
        "parameters": {"type": "object", "additionalProperties": false, "properties": {
            "replicas": {"description": " How many are left.", "type": "integer", "minimum": 0},
            "names": {"type": "array", "items": {"anyOf": [{"type": "null"}, {"type": "string"}]}},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        }},
    }))
}

#[test]
fn says_what_is_granted_what_is_not_and_what_to_write() {
    insta::assert_snapshot!(text(&scale_down()));
}

#[test]
fn the_lines_to_grant_are_ones_that_the_configuration_takes() {
    let text = text(&scale_down());
    let start = text.find("\n  plugins:").unwrap();
    let block: String = text[start..]
        .lines()
        .skip(1)
        .take_while(|line| !line.is_empty())
        .map(|line| format!("{}\n", &line[2..]))
        .collect();
    let whole = format!("rules: []\n{block}");
    let config = crate::config::Config::parse(std::path::Path::new("config.yaml"), whole.as_bytes());
    let config = config.unwrap_or_else(|error| panic!("{error}\n{block}"));
    assert_eq!(config.plugins.grants["scale_down"].len(), 2);
}

#[test]
fn programs_get_the_same() {
    let value: Value = serde_json::from_str(&json(&scale_down())).unwrap();
    assert_eq!(
        value["grants"][0],
        json!({"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["patch"], "scope": "owners"})
    );
    assert_eq!(value["access"][1]["granted"], "part");
    assert_eq!(value["parameters"]["properties"]["replicas"]["minimum"], 0);
}

#[test]
fn a_hostile_manifest_cannot_forge_a_line() {
    let evil = "\u{1b}[31m\nDRY_RUN kill_pod\u{202e}";
    let evils = described(json!({
        "contract": "0.1", "name": "evil", "summary": "DRY_RUN \u{202e}nothing.", "target": "none",
        "parameters": {"properties": {evil: {"description": evil, "type": evil}}},
    }));
    for text in [text(&evils), json(&evils)] {
        assert!(!text.contains("DRY_RUN"), "{text}");
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
    }
    assert_eq!(text(&evils).lines().filter(|line| line.contains("[31m")).count(), 1);
    // A schema of another shape is shown, too.
    let odd = described(json!({
        "contract": "0.1", "name": "odd", "summary": "Odd.", "target": "none", "parameters": {"oneOf": [evil]},
    }));
    assert!(!text(&odd).contains(['\u{1b}', '\u{202e}']));
}

#[test]
fn an_endless_schema_comes_to_an_end() {
    let mut schema = json!({"type": "string"});
    for _ in 0..100 {
        schema = json!({"anyOf": [schema.clone(), {"type": "array", "items": {"type": "null"}}]});
    }
    assert!(kind(&schema, 0).len() < 10_000);
}
