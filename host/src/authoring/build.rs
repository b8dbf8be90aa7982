//! From a project's folder to a component that the controller takes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use falco_response_component as component;
use falco_response_component::toolchain;
use serde_json::Value;

use super::project::{Kind, Recipe, read};
use super::tool;
use crate::plugins::described::Described;
use crate::plugins::file::{COMPONENT_LIMIT, content};

/// A component, and what it says of itself.
pub struct Built {
    pub component: Vec<u8>,
    pub described: Described,
}

/// Builds the project in a folder; the compiler's own words go to standard error. `profile` is cargo's.
///
/// # Errors
/// Says which step failed, and what to do.
pub fn project(folder: &Path, profile: &str) -> Result<Built, String> {
    let folder = folder.canonicalize().map_err(|error| format!("{}: {error}", folder.display()))?;
    let bytes = match Kind::of(&folder)? {
        Kind::Rust => rust(&folder, profile)?,
        Kind::Other { recipe, manifest } => other(&folder, &recipe, &manifest)?,
    };
    sound(bytes)
}

/// Stamps a manifest into a component that some other tool made.
///
/// # Errors
/// One of the two is none.
pub fn stamped(file: &Path, manifest: &Path) -> Result<Built, String> {
    let in_file = |problem: String| format!("{}: {problem}", file.display());
    let bytes = content(file, COMPONENT_LIMIT).map_err(in_file)?;
    let bytes = component::stamp(&bytes, &read(manifest)?).map_err(in_file)?;
    sound(bytes)
}

/// Writes the component so that a controller which watches the folder never sees half a file.
///
/// # Errors
/// It cannot be written.
pub fn write(file: &Path, component: &[u8]) -> Result<(), String> {
    let draft = file.with_extension("wasm.new");
    fs::write(&draft, component)
        .and_then(|()| fs::rename(&draft, file))
        .map_err(|error| format!("cannot write {}: {error}", file.display()))
}

/// What the controller would say of it when it loads it, said now.
fn sound(component: Vec<u8>) -> Result<Built, String> {
    let size = component.len() as u64;
    if size > COMPONENT_LIMIT {
        return Err(format!("the component has {size} bytes, and the controller takes {COMPONENT_LIMIT}"));
    }
    let described = Described::of(&component).map_err(|problem| format!("the component {problem}"))?;
    Ok(Built { component, described })
}

fn rust(folder: &Path, profile: &str) -> Result<Vec<u8>, String> {
    let library = toolchain::ensure_target(folder)?;
    let mut cargo = toolchain::cargo(folder);
    // Alone: beside an `rlib`, cargo leaves out the link-time optimization, a quarter of the component's size.
    cargo.args(["rustc", "--lib", "--crate-type", "cdylib", "--profile", profile, "--target", toolchain::TARGET]);
    cargo.args(["--message-format", "json-render-diagnostics"]);
    library.configure(&mut cargo);
    // Flags of the environment would replace those in .cargo/config.toml, and with them the small stack.
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    let output = cargo.stderr(Stdio::inherit()).output().map_err(|error| format!("cannot run cargo: {error}"))?;
    if !output.status.success() {
        return Err("cargo did not build it; what it said is above".to_owned());
    }
    let module = module(&String::from_utf8_lossy(&output.stdout), &folder.join("Cargo.toml"))?;
    let core = fs::read(&module).map_err(|error| format!("cannot read {}: {error}", module.display()))?;
    component::encode(&core)
}

/// The module among what cargo says it made: of this crate, not of one that it depends on.
fn module(messages: &str, manifest: &Path) -> Result<PathBuf, String> {
    let mut artifacts = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact")
        .filter(|message| message["manifest_path"].as_str().is_some_and(|path| Path::new(path) == manifest));
    let module = artifacts.find_map(|message| {
        let files = message["filenames"].as_array()?.iter().filter_map(Value::as_str);
        files.map(PathBuf::from).find(|file| file.extension().is_some_and(|extension| extension == "wasm"))
    });
    module.ok_or_else(|| {
        format!("{} makes no module: is there a src/lib.rs that calls export_action!?", manifest.display())
    })
}

fn other(folder: &Path, recipe: &Recipe, manifest: &[u8]) -> Result<Vec<u8>, String> {
    // Looked at first: a tool may take a minute.
    crate::plugins::manifest::parse(manifest).map_err(|error| format!("manifest.json: {error}"))?;
    let made = folder.join(&recipe.component);
    tool::run(folder, recipe, &made)?;
    let bytes = content(&made, COMPONENT_LIMIT).map_err(|problem| format!("{}: {problem}", made.display()))?;
    component::stamp(&bytes, manifest).map_err(|problem| format!("{}: {problem}", made.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHER: &str =
        r#"{"reason":"compiler-artifact","manifest_path":"/p/vendor/sdk/Cargo.toml","filenames":["/t/sdk.wasm"]}"#;

    #[test]
    fn finds_the_module_of_the_crate_itself() {
        let own =
            r#"{"reason":"compiler-artifact","manifest_path":"/p/Cargo.toml","filenames":["/t/x.rlib","/t/x.wasm"]}"#;
        let messages = [OTHER, "not JSON", own, r#"{"reason":"build-finished","success":true}"#].join("\n");
        assert_eq!(module(&messages, Path::new("/p/Cargo.toml")), Ok(PathBuf::from("/t/x.wasm")));
    }

    #[test]
    fn a_crate_that_makes_no_module_is_told_what_is_looked_for() {
        let error = module(OTHER, Path::new("/p/Cargo.toml")).unwrap_err();
        assert!(error.contains("export_action!"), "{error}");
    }
}
