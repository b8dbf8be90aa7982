use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use serde_json::{Value, json};

use super::render::render;
use super::{Manifest, Permission, Scope, Target, Verb};
use crate::Parameters as _;

crate::parameters! {
    /// Not part of the schema.
    struct Parameters {
        /// Quotes " and \ backslashes,
        /// over two lines.
        flag: bool = true,
        natural: u32 = 1,
        ratio: f64 = 0.5,
        names: Vec<String> = Vec::new(),
        labels: BTreeMap<String, String> = BTreeMap::new(),
        maybe: Option<Vec<i64>> = None,
    }
}

const MANIFEST: Manifest = Manifest::new("try_it", "Tries \"it\".")
    .target(Target::Nodes)
    .permissions(&[
        Permission::core(&["pods", "pods/eviction"], &[Verb::Get, Verb::Create], Scope::Node),
        Permission::new(&["apps"], &["deployments"], &[Verb::Patch], Scope::Owners).named(&["a", "b"]),
    ])
    .pages();

const LENGTH: usize = render::<0>(&MANIFEST, Parameters::FIELDS).len;
const BYTES: [u8; LENGTH] = render::<LENGTH>(&MANIFEST, Parameters::FIELDS).bytes;

#[test]
fn renders_the_manifest_that_the_controller_reads() {
    let manifest: Value = serde_json::from_slice(&BYTES).unwrap();
    assert_eq!(
        manifest,
        json!({
            "contract": "0.1",
            "name": "try_it",
            "summary": "Tries \"it\".",
            "target": "nodes",
            "pages": true,
            "repeatable": false,
            "permissions": [
                {"apiGroups": [""], "resources": ["pods", "pods/eviction"], "verbs": ["get", "create"], "scope": "node"},
                {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["patch"], "resourceNames": ["a", "b"],
                    "scope": "owners"},
            ],
            "parameters": {
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "flag": {"description": "Quotes \" and \\ backslashes, over two lines.", "type": "boolean"},
                    "natural": {"type": "integer", "minimum": 0},
                    "ratio": {"type": "number"},
                    "names": {"type": "array", "items": {"type": "string"}},
                    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                    "maybe": {"anyOf": [{"type": "null"}, {"type": "array", "items": {"type": "integer"}}]},
                },
            },
        })
    );
}

#[test]
fn takes_defaults_for_what_a_rule_leaves_out() {
    let parameters: Parameters = crate::json::from_str(r#"{"ratio": 2, "maybe": [-3], "labels": {"a": "b"}}"#).unwrap();
    assert!(parameters.flag);
    assert_eq!(parameters.natural, 1);
    assert_eq!(parameters.ratio, 2.0);
    assert_eq!(parameters.names, Vec::<String>::new());
    assert_eq!(parameters.labels, BTreeMap::from([("a".into(), "b".into())]));
    assert_eq!(parameters.maybe, Some(Vec::from([-3])));
}
