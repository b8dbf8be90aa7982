//! What the compiler says to whoever makes a mistake in an action: one message, in plain words, at the line that is wrong.
//!
//! Each file of `mistakes/` is a program that does not compile. Its first lines, `//~`, say how many errors there are and
//! what they must contain.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What the compiler said of each program, error by error.
fn check(programs: &[PathBuf]) -> BTreeMap<String, Vec<String>> {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = sdk.parent().unwrap();
    let project = tempfile::tempdir().unwrap();
    let bins = project.path().join("src/bin");
    std::fs::create_dir_all(&bins).unwrap();
    let manifest = format!(
        "[package]\nname = \"mistakes\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
         [dependencies]\nfalco-response-sdk = {{ path = {:?} }}\n\n[workspace]\n",
        sdk.display().to_string()
    );
    std::fs::write(project.path().join("Cargo.toml"), manifest).unwrap();
    std::fs::copy(root.join("Cargo.lock"), project.path().join("Cargo.lock")).unwrap();
    for program in programs {
        std::fs::copy(program, bins.join(program.file_name().unwrap())).unwrap();
    }
    let output = Command::new(env!("CARGO"))
        .args(["check", "--quiet", "--offline", "--bins", "--keep-going", "--message-format", "json"])
        .current_dir(project.path())
        // Beside what the other tests build for authors.
        .env("CARGO_TARGET_DIR", root.join("target/authors"))
        .output()
        .unwrap();
    let mut said: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for message in String::from_utf8(output.stdout).unwrap().lines() {
        let message: Value = serde_json::from_str(message).expect("cargo writes JSON");
        let is_error =
            message["message"]["level"] == "error" && !message["message"]["spans"].as_array().unwrap().is_empty();
        if message["reason"] == "compiler-message" && is_error {
            let program = message["target"]["name"].as_str().unwrap().to_owned();
            said.entry(program).or_default().push(message["message"]["rendered"].as_str().unwrap().to_owned());
        }
    }
    assert!(!said.is_empty(), "cargo said nothing:\n{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[test]
fn each_mistake_is_one_message_in_plain_words() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes");
    let mut programs: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    programs.sort();
    assert!(programs.len() > 8, "{programs:?}");
    let said = check(&programs);
    let mut wrong = Vec::new();
    for program in &programs {
        let name = program.file_stem().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(program).unwrap();
        let mut expected = text.lines().map_while(|line| line.strip_prefix("//~ "));
        let count: usize = expected.next().and_then(|line| line.split(' ').next()).unwrap().parse().unwrap();
        let errors = said.get(name).cloned().unwrap_or_default();
        let all = errors.join("\n");
        if errors.len() != count {
            wrong.push(format!("{name}: {} errors instead of {count}:\n{all}", errors.len()));
        }
        wrong
            .extend(expected.filter(|line| !all.contains(line)).map(|line| format!("{name}: not said: {line}\n{all}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
