//! The readers, what sound input of each looks like, and what has to hold of any.

use std::path::Path;

use falco_response_sdk::json as sdk;

use crate::alert::Alert;
use crate::cluster::simulated::Simulation;
use crate::config::Config;
use crate::plugins::described::Described;
use crate::plugins::file::COMPONENT_LIMIT;
use crate::plugins::registry::artifact::{Artifact, CONFIG_LIMIT, make};
use crate::plugins::registry::signature;
use crate::plugins::{manifest, outline};
use crate::redact::Redaction;

pub(super) struct Reader {
    pub name: &'static str,
    /// Sound documents, whose pieces the cases are made of.
    pub samples: fn() -> Vec<Vec<u8>>,
    /// What stands between the pieces.
    pub words: &'static [&'static str],
    /// Whether a sample is taken.
    pub takes: fn(&[u8]) -> bool,
    /// What must hold of any input, beside that it ends and does not panic.
    pub read: fn(&[u8]) -> Result<(), String>,
}

#[rustfmt::skip]
const JSON: &[&str] = &[
    "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u", "\\ud83d", "\\ude00", "\\u0000", "\"a\":", "null", "true", "fals",
    "0", "-0", "-", "1e400", "1E+2", "0.1e-7", "12345678901234567890123", "01", ".", "NaN", "\u{feff}", "\u{2028}", " ",
    "\n", "\t", "\u{b}", "\0", "//", "é", "\u{10ffff}",
];

#[rustfmt::skip]
const YAML: &[&str] = &[
    "- ", ": ", "? ", "\n", "\n  ", "\t", "&a ", "*a", "<<: *a", "!!binary ", "!!map", "|\n", ">-\n", "---\n", "...\n", "%YAML 9\n",
    "#", "{", "}", "[", "]", ",", "'", "\"", "\\x", "\u{feff}", "\u{85}", "\0", "0x", ".inf", "null", "~", "dryrun: false\n",
    "name: ", "rules:\n", "9999999999999999999999", "-1", "1e9", "5m", "64Mi",
];

#[rustfmt::skip]
const BINARY: &[&str] = &[
    "\0asm", "\u{1}", "\0", "\u{d}", "\u{7f}", "\u{80}", "falco-response:manifest", "falco-response:plugin/log@0.1.0", "{}",
];

#[rustfmt::skip]
const SECRETS: &[&str] = &[
    "password=", "-p", "Bearer ", "Authorization: ", "token", "=", ":", " ", "'", "\"", "AKIA", "https://u:p@", "[redacted]", "\n",
    "--", "-----BEGIN PRIVATE KEY-----", "eyJhbGciOi", ".", "é",
];

pub(super) const READERS: &[Reader] = &[
    Reader {
        name: "sdk json",
        samples: json_samples,
        words: JSON,
        takes: |text| sdk_value(text).is_some(),
        read: sdk_json,
    },
    Reader { name: "alert", samples: alerts, words: JSON, takes: |text| Alert::parse(text).is_ok(), read: alert },
    Reader {
        name: "manifest",
        samples: manifests,
        words: JSON,
        takes: |text| manifest::parse(text).is_ok(),
        read: of_manifest,
    },
    Reader {
        name: "configuration",
        samples: configurations,
        words: YAML,
        takes: |text| parsed(text).is_ok(),
        read: configuration,
    },
    Reader { name: "cluster's yaml", samples: clusters, words: YAML, takes: |_| true, read: cluster },
    Reader { name: "component", samples: components, words: BINARY, takes: outline::is_component, read: component },
    Reader {
        name: "artifact",
        samples: artifacts,
        words: JSON,
        takes: |text| Artifact::read(text).is_ok(),
        read: artifact,
    },
    Reader { name: "redaction", samples: secrets, words: SECRETS, takes: |_| true, read: redaction },
];

fn artifacts() -> Vec<Vec<u8>> {
    let described = Described {
        manifest: manifest::parse(&manifests()[0]).expect("a sound one"),
        sha256: "0".repeat(64),
        size: 4,
        imports: Vec::new(),
        exports: Vec::new(),
    };
    vec![make(b"\0asm", &described).manifest]
}

/// Whoever wrote the manifest, no more is fetched than fits.
fn artifact(input: &[u8]) -> Result<(), String> {
    // Of signatures the same holds.
    let signed = signature::listed(input).unwrap_or_default();
    let Ok(Artifact { config, component }) = Artifact::read(input) else { return Ok(()) };
    let within = config.size <= CONFIG_LIMIT && component.size <= COMPONENT_LIMIT && signed.len() <= 32;
    if within { Ok(()) } else { Err(format!("{config:?} and {component:?} are larger than they may be")) }
}

fn texts(list: &[&str]) -> Vec<Vec<u8>> {
    list.iter().map(|text| text.as_bytes().to_vec()).collect()
}

const SHELL: &str = integration_tests::alerts::SHELL;

fn json_samples() -> Vec<Vec<u8>> {
    texts(&[
        SHELL,
        r#"{"a":[1,-2.5e3,true,null,"\u00e9\ud83d\ude00\n\"\\\/"],"b":{"c":{},"d":[]},"":0}"#,
        "[[[[[[[[[[[[1]]]]]]]]]]]]",
        " 12 ",
        r#""text""#,
    ])
}

fn sdk_value(input: &[u8]) -> Option<sdk::Value> {
    sdk::Value::parse(std::str::from_utf8(input).ok()?).ok()
}

/// As deep as the deepest bracket that is open at once, outside of strings as far as that can be told.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '{' | '[' if !quoted => depth += 1,
            '}' | ']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// It takes what serde_json takes, and for the same; but for depth, where it is stricter, and numbers, of which it keeps the
/// text whatever their size.
fn sdk_json(input: &[u8]) -> Result<(), String> {
    let Ok(text) = std::str::from_utf8(input) else { return Ok(()) };
    match (sdk::Value::parse(text), serde_json::from_str::<serde_json::Value>(text)) {
        (Ok(ours), Ok(theirs)) => {
            let written = ours.to_string();
            let again: serde_json::Value =
                serde_json::from_str(&written).map_err(|error| format!("it wrote {written}: {error}"))?;
            if again != theirs {
                return Err(format!("it made {written} of it"));
            }
            match sdk::Value::parse(&written) {
                Ok(read) if read == ours => Ok(()),
                read => Err(format!("it reads back its own {written} as {read:?}")),
            }
        }
        (Err(_), Err(_)) => Ok(()),
        (Ok(_), Err(error)) if error.to_string().contains("number out of range") => Ok(()),
        (Err(error), Ok(_)) if error.message == "nested too deeply" && depth(text) > 64 => Ok(()),
        (ours, theirs) => Err(format!("{ours:?}, and serde_json {theirs:?}")),
    }
}

fn alerts() -> Vec<Vec<u8>> {
    texts(&[SHELL, integration_tests::alerts::NOTICE])
}

/// An error is one line of bounded length, since it is sent back; what an alert says of itself can be asked.
fn alert(input: &[u8]) -> Result<(), String> {
    match Alert::parse(input) {
        Err(error) => one_line(&error.to_string()),
        Ok(alert) => {
            let _ =
                (alert.field("proc.name"), alert.text("k8s.pod.name"), crate::safety::identity::Subject::of(&alert));
            if alert.raw().as_bytes() == input { Ok(()) } else { Err("it keeps another text".to_owned()) }
        }
    }
}

fn one_line(message: &str) -> Result<(), String> {
    if message.len() > 2000 {
        return Err(format!("a message of {} bytes", message.len()));
    }
    if message.chars().any(char::is_control) {
        return Err(format!("a message with control characters: {message:?}"));
    }
    Ok(())
}

fn manifests() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"contract":"0.1","name":"kill_pod","summary":"Deletes the alert's pod.","target":"pods","pages":false,"repeatable":true,
            "permissions":[{"apiGroups":[""],"resources":["pods"],"verbs":["delete"],"scope":"target"}],
            "parameters":{"type":"object","additionalProperties":false,"properties":{"grace":{"type":"integer","minimum":0}}}}"#,
        r#"{"contract":"0.1","name":"isolate","summary":"Isolates.","target":"namespaces","permissions":[{"apiGroups":
            ["networking.k8s.io"],"resources":["networkpolicies"],"verbs":["get","create","patch"],"resourceNames":["falco-x"],
            "scope":"namespace"}]}"#,
    ])
}

/// Of a manifest that is taken, name and summary stand in logs and metrics.
fn of_manifest(input: &[u8]) -> Result<(), String> {
    match manifest::parse(input) {
        Err(error) => one_line(&error.to_string()),
        Ok(manifest) => one_line(&manifest.name).and_then(|()| one_line(&manifest.summary)),
    }
}

fn configurations() -> Vec<Vec<u8>> {
    texts(&[
        include_str!("../../../tests/fixtures/config/everything.yaml"),
        include_str!("../../../tests/fixtures/config/runbook-b.yaml"),
        include_str!("../../../tests/fixtures/config/runbook-short.yaml"),
    ])
}

fn parsed(input: &[u8]) -> Result<Config, String> {
    Config::parse(Path::new("config.yaml"), input).map_err(|error| error.to_string())
}

/// Whatever is taken keeps what the code closes closed; whatever is not says so in lines without control characters.
fn configuration(input: &[u8]) -> Result<(), String> {
    match parsed(input) {
        Ok(_) => Ok(()),
        Err(message) => message.lines().take(60).try_for_each(one_line),
    }
}

fn clusters() -> Vec<Vec<u8>> {
    texts(&[
        include_str!("../../../deploy/demo/cluster/production.yaml"),
        include_str!("../../../deploy/demo/cluster/staging.yaml"),
    ])
}

fn cluster(input: &[u8]) -> Result<(), String> {
    let Ok(text) = std::str::from_utf8(input) else { return Ok(()) };
    let (ambient, _) = crate::ambient::fixed::at("2026-11-24T12:00:00Z");
    let _ = Simulation::from_yaml(text, &ambient);
    Ok(())
}

fn components() -> Vec<Vec<u8>> {
    let text = r#"(component
        (@custom "falco-response:manifest" "{}")
        (core module (memory 1) (func (export "f")) (@custom "name" "x"))
        (component (import "a" (func)))
        (import "falco-response:plugin/log@0.1.0" (instance (export "write" (func (param "m" string))))))"#;
    vec![wat::parse_str(text).expect("WAT"), wat::parse_str("(component)").expect("WAT")]
}

fn component(input: &[u8]) -> Result<(), String> {
    outline::problem(input).map_or(Ok(()), |message| one_line(&message))
}

fn secrets() -> Vec<Vec<u8>> {
    texts(&[
        "mysql -u root -phunter2 --password=hunter2 db",
        "curl -H 'Authorization: Bearer abc.def.ghi' https://user:pass@example.com/?token=xyz",
        "export AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    ])
}

/// It only ever takes out: what is left around the marks stood in the text, in that order.
fn redaction(input: &[u8]) -> Result<(), String> {
    let Ok(text) = std::str::from_utf8(input) else { return Ok(()) };
    let redacted = Redaction::new(&crate::config::Redaction::default()).apply(text);
    let mut rest = text;
    for part in redacted.text.split(crate::redact::MARK) {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            // The marks of the text itself are part of it.
            None if text.contains(crate::redact::MARK) => return Ok(()),
            None => return Err(format!("{part:?} did not stand there")),
        }
    }
    if redacted.count == 0 && redacted.text != text {
        Err("it changed what it did not count".to_owned())
    } else {
        Ok(())
    }
}
