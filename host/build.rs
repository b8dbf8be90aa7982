//! Puts what `plugin new` writes into the program: the templates, the SDK for Rust and the WIT files.
//!
//! The SDK's own Cargo.toml takes its versions from this workspace, which an author's project has none of, so its
//! inherited keys are filled in here.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

fn main() {
    let host = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let root = host.parent().expect("the host is a folder of the workspace").to_owned();
    let out = PathBuf::from(variable("OUT_DIR"));

    let manifest = standalone(&read(&root.join("guest-sdk/Cargo.toml")), &read(&root.join("Cargo.toml")));
    let standalone = out.join("sdk-Cargo.toml");
    fs::write(&standalone, manifest).unwrap_or_else(|error| panic!("{}: {error}", standalone.display()));

    let mut sdk = vec![("Cargo.toml".to_owned(), standalone), ("LICENSE".to_owned(), root.join("LICENSE"))];
    sdk.push(("README.md".to_owned(), root.join("guest-sdk/README.md")));
    files(&root.join("guest-sdk/src"), "src/", &mut sdk);
    let mut wit = Vec::new();
    files(&root.join("wit"), "", &mut wit);
    let mut text = table("SDK", &sdk) + &table("WIT", &wit);
    for language in ["rust", "python", "javascript"] {
        let mut template = Vec::new();
        files(&host.join("templates").join(language), "", &mut template);
        text += &table(&language.to_uppercase(), &template);
    }
    fs::write(out.join("embedded.rs"), text).expect("OUT_DIR takes files");

    for watched in ["Cargo.toml", "LICENSE", "guest-sdk", "wit", "host/templates", "host/build.rs"] {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|error| panic!("cargo sets {name}: {error}"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files below a folder that may be absent, by their paths in it, in order.
fn files(folder: &Path, prefix: &str, found: &mut Vec<(String, PathBuf)>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut entries: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_else(|| panic!("{}", path.display()));
        if path.is_dir() {
            // What a try-out within the templates leaves behind is no part of them.
            if !["target", "node_modules", "__pycache__", ".venv"].contains(&name) {
                files(&path, &format!("{prefix}{name}/"), found);
            }
        } else {
            found.push((format!("{prefix}{name}"), path.clone()));
        }
    }
}

fn table(name: &str, files: &[(String, PathBuf)]) -> String {
    let mut text = format!("pub static {name}: &[(&str, &str)] = &[\n");
    for (path, file) in files {
        writeln!(text, "    ({path:?}, include_str!({:?})),", file.display().to_string()).expect("a String takes it");
    }
    text + "];\n"
}

/// The SDK's Cargo.toml with what it inherits written out, and without what only this workspace needs of it.
fn standalone(manifest: &str, workspace: &str) -> String {
    let mut text = String::new();
    let mut section = "";
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        }
        if matches!(section, "[dev-dependencies]" | "[lints]") {
            continue;
        }
        let table = if section == "[package]" { "[workspace.package]" } else { "[workspace.dependencies]" };
        if let Some(key) = line.strip_suffix(".workspace = true") {
            writeln!(text, "{key} = {}", inherited(workspace, table, key)).expect("a String takes it");
        } else if let Some((key, rest)) = line.split_once(" = { workspace = true") {
            // Its own keys go behind those of the workspace.
            let own = rest.trim_end().strip_suffix('}').unwrap_or(rest).trim_end();
            let value = inherited(workspace, table, key);
            let value = match value.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')) {
                Some(inner) => inner.trim().to_owned(),
                None => format!("version = {value}"),
            };
            writeln!(text, "{key} = {{ {value}{own} }}").expect("a String takes it");
        } else {
            writeln!(text, "{line}").expect("a String takes it");
        }
    }
    let left = text.lines().find(|line| line.contains("workspace") && !line.trim_start().starts_with('#'));
    assert!(left.is_none(), "host/build.rs cannot fill in {left:?} of guest-sdk/Cargo.toml");
    text.trim_end().to_owned() + "\n"
}

fn inherited<'a>(workspace: &'a str, table: &str, key: &str) -> &'a str {
    let mut lines =
        workspace.lines().skip_while(|line| *line != table).skip(1).take_while(|line| !line.starts_with('['));
    let value = lines.find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix("= "));
    value.unwrap_or_else(|| panic!("{table} of the workspace says nothing of `{key}` on one line"))
}
