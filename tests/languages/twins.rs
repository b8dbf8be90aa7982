//! label_pod in each language: one manifest, and the same cases as in Rust.

use std::path::{Path, PathBuf};
use std::process::Command;

use integration_tests::controller::binary;
use integration_tests::languages::ALL;
use integration_tests::root;
use serde_json::Value;

use crate::component;

fn rust() -> PathBuf {
    root().join("target/plugins/label_pod.wasm")
}

fn plugin(arguments: &[&str], path: &Path) -> (bool, String) {
    let output = Command::new(binary().unwrap()).arg("plugin").args(arguments).arg(path).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

fn inspected(path: &Path) -> Value {
    let (good, text) = plugin(&["inspect", "--json"], path);
    assert!(good, "{text}");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn say_the_same_of_themselves() {
    let twin = inspected(&rust());
    for language in ALL {
        let found = inspected(&component(language, "label_pod.wasm"));
        for key in ["name", "summary", "target", "pages", "repeatable", "contract", "permissions", "parameters"] {
            assert!(twin.get(key).is_some(), "{key}");
            assert_eq!(found[key], twin[key], "{language:?} {key}");
        }
    }
}

#[test]
fn pass_the_same_cases() {
    let cases = root().join("plugins/label-pod");
    let cases = cases.to_str().unwrap();
    let mut components = vec![rust()];
    components.extend(ALL.map(|language| component(language, "label_pod.wasm")));
    for file in components {
        let (good, text) = plugin(&["test", cases, "--component"], &file);
        println!("{text}");
        assert!(good, "{}: {text}", file.display());
    }
}

#[test]
fn a_new_project_passes_its_tests_as_it_is() {
    for language in ALL {
        let project = language.components().join("new/quarantine-pod");
        let (good, text) =
            plugin(&["test", project.to_str().unwrap(), "--component"], &component(language, "new.wasm"));
        assert!(good, "{language:?}: {text}");
        assert_eq!(inspected(&component(language, "new.wasm"))["name"], "quarantine_pod", "{language:?}");
    }
}

#[test]
fn the_example_has_the_cases_of_its_twin_beside_it() {
    for language in ALL {
        let cases = language.example().join("cases").canonicalize().unwrap();
        assert_eq!(cases, root().join("plugins/label-pod/cases"), "{language:?}");
    }
}
