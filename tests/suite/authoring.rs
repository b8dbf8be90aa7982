//! `plugin new`, `build` and `inspect` where the guide does not come along: what they refuse, and files that somebody
//! else made.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use integration_tests::controller::binary;
use integration_tests::root;
use serde_json::Value;

fn plugin(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(binary().unwrap()).arg("plugin").args(arguments).current_dir(directory).output().unwrap()
}

/// The exit code, and what was said.
fn told(output: &Output) -> (i32, String) {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

fn kill_pod() -> String {
    root().join("target/plugins/kill_pod.wasm").display().to_string()
}

#[test]
fn new_refuses_what_is_no_name_and_what_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let (code, said) = told(&plugin(directory.path(), &["new", "KillPod"]));
    assert!(code == 2 && said.contains("try kill_pod"), "{said}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    let (code, said) = told(&plugin(directory.path(), &["new", "kill-pod"]));
    assert!(code == 0 && said.contains("cd kill-pod"), "{said}");
    let (code, said) = told(&plugin(directory.path(), &["new", "kill-pod"]));
    assert!(code == 2 && said.contains("not empty"), "{said}");
    let (code, said) = told(&plugin(directory.path(), &["new", "other", "--sdk", "nowhere"]));
    assert!(code == 2 && said.contains("nowhere"), "{said}");
}

#[test]
fn new_takes_the_sdk_of_a_clone() {
    let directory = tempfile::tempdir().unwrap();
    let sdk = root().join("guest-sdk").display().to_string();
    let (code, said) = told(&plugin(directory.path(), &["new", "kill_pod", "--sdk", &sdk]));
    assert_eq!(code, 0, "{said}");
    assert!(!directory.path().join("kill_pod/vendor").exists());
    let manifest = std::fs::read_to_string(directory.path().join("kill_pod/Cargo.toml")).unwrap();
    assert!(manifest.contains("guest-sdk\"") && manifest.contains("name = \"kill-pod\""), "{manifest}");
}

#[test]
fn build_says_what_a_folder_lacks() {
    let directory = tempfile::tempdir().unwrap();
    let (code, said) = told(&plugin(directory.path(), &["build"]));
    assert!(code == 1 && said.contains("plugin new"), "{said}");
}

#[test]
fn build_says_how_to_get_the_webassembly_target() {
    let directory = tempfile::tempdir().unwrap();
    let (code, said) = told(&plugin(directory.path(), &["new", "kill-pod"]));
    assert_eq!(code, 0, "{said}");
    // A compiler without the target, and a rustup that cannot fetch it.
    for (program, text) in [("rustc", format!("echo {}", directory.path().display())), ("rustup", "exit 1".to_owned())]
    {
        let file = directory.path().join(program);
        std::fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", directory.path().display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(binary().unwrap());
    let output = command.args(["plugin", "build", "kill-pod"]).current_dir(directory.path()).env("PATH", path).output();
    let (code, said) = told(&output.unwrap());
    assert!(code == 1 && said.contains("rustup target add wasm32-unknown-unknown"), "{said}");
}

#[test]
fn build_stamps_a_manifest_into_what_another_tool_made() {
    let directory = tempfile::tempdir().unwrap();
    let manifest = directory.path().join("manifest.json");
    let stamp = ["build", "--stamp", &kill_pod(), "--manifest", "manifest.json", "--output", "renamed.wasm"];
    std::fs::write(&manifest, r#"{"contract":"0.1","name":"renamed","summary":"Tries.","target":"none"}"#).unwrap();
    let (code, said) = told(&plugin(directory.path(), &stamp));
    assert!(code == 0 && said.contains("renamed.wasm: "), "{said}");
    let (code, said) = told(&plugin(directory.path(), &["inspect", "renamed.wasm", "--json"]));
    let described: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &described["name"]), (0, &Value::from("renamed")));
    // What the controller would refuse is not written at all.
    std::fs::write(&manifest, r#"{"contract":"0.2","name":"renamed","summary":"Tries.","target":"none"}"#).unwrap();
    std::fs::remove_file(directory.path().join("renamed.wasm")).unwrap();
    let (code, said) = told(&plugin(directory.path(), &stamp));
    assert!(code == 1 && said.contains("\"0.2\""), "{said}");
    assert!(!directory.path().join("renamed.wasm").exists());
}

#[test]
fn inspect_tells_what_every_shipped_action_is() {
    let plugins = root().join("target/plugins").display().to_string();
    let directory = tempfile::tempdir().unwrap();
    for name in ["kill_pod", "isolate_namespace"] {
        let (code, by_name) = told(&plugin(directory.path(), &["inspect", name, "--plugins", &plugins]));
        let (_, by_file) = told(&plugin(directory.path(), &["inspect", &format!("{plugins}/{name}.wasm")]));
        assert_eq!((code, &by_name), (0, &by_file));
        for line in [format!("name         {name}\n"), "sha256:".to_owned(), "contract     0.1;".to_owned()] {
            assert!(by_name.contains(&line), "{by_name}");
        }
    }
    let (code, said) = told(&plugin(directory.path(), &["inspect", "kill_node", "--plugins", &plugins]));
    assert!(code == 2 && said.contains("there is annotate_pod, ") && said.contains("kill_pod"), "{said}");
    let (code, said) = told(&plugin(directory.path(), &["inspect", "registry.example/kill_pod:1"]));
    assert!(code == 2 && said.contains("--plugins DIR"), "{said}");
}

#[test]
fn inspect_survives_files_that_are_no_actions() {
    let directory = tempfile::tempdir().unwrap();
    let whole = std::fs::read(kill_pod()).unwrap();
    let mut files: Vec<Vec<u8>> =
        vec![Vec::new(), b"#!/bin/sh\n".to_vec(), vec![0; 4096], b"\0asm\x0d\0\x01\0".to_vec()];
    files.extend((1..8).map(|part| whole[..whole.len() * part / 8].to_vec()));
    // Lengths that lie, all over the file.
    files.extend((0..24).map(|part| {
        let mut bytes = whole.clone();
        let at = 8 + part * (whole.len() - 16) / 24;
        bytes[at..at + 6].copy_from_slice(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0x1b]);
        bytes
    }));
    for bytes in files {
        std::fs::write(directory.path().join("file.wasm"), bytes).unwrap();
        let (code, said) = told(&plugin(directory.path(), &["inspect", "file.wasm"]));
        assert!(code == 0 || (code == 1 && said.starts_with("error: file.wasm: ")), "{code}: {said}");
        assert!(!said.contains('\u{1b}') && !said.contains("panicked"), "{said}");
    }
    let (code, said) = told(&plugin(directory.path(), &["inspect", "."]));
    assert!(code == 1 && said.contains("not a regular file"), "{said}");
}
