//! `cargo xtask plugins`: every action crate of the workspace as a component, ready for `plugins.dir`.

use std::fs;
use std::path::{Path, PathBuf};

use falco_response_component::toolchain::{self, StandardLibrary};
use serde_json::Value;

/// A larger plugin says that something heavy came in, such as serde_json or formatting of floats; the largest that needs neither is
/// isolate_pod, with 85 KiB.
const LARGEST: usize = 96 * 1024;

/// Where action crates are, where their components go, and how large these may be.
struct Group {
    crates: &'static str,
    components: &'static str,
    largest: usize,
}

const GROUPS: [Group; 2] = [
    Group { crates: "plugins", components: "target/plugins", largest: LARGEST },
    Group { crates: "tests/plugins", components: "target/test-plugins", largest: usize::MAX },
];

/// Builds and writes them all, and prints each with its size.
///
/// # Errors
/// Says which crate failed at which step.
pub fn build(root: &Path) -> Result<(), String> {
    let library = toolchain::ensure_target(root)?;
    let mut groups = Vec::new();
    for group in &GROUPS {
        groups.push((group, packages(root, group)?));
    }
    compile(root, library, groups.iter().flat_map(|(_, packages)| packages))?;
    for (group, packages) in &groups {
        let directory = root.join(group.components);
        fs::create_dir_all(&directory).map_err(|error| format!("cannot create {}: {error}", directory.display()))?;
        for package in packages {
            write(root, group, package).map_err(|problem| format!("{package}: {problem}"))?;
        }
    }
    Ok(())
}

/// Names of the group's packages, in order.
fn packages(root: &Path, group: &Group) -> Result<Vec<String>, String> {
    let directory = root.join(group.crates);
    let mut manifests = Vec::new();
    match fs::read_dir(&directory) {
        Ok(entries) => {
            for entry in entries {
                let entry = entry.map_err(|error| format!("cannot list {}: {error}", directory.display()))?;
                manifests.push(entry.path().join("Cargo.toml"));
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(format!("cannot list {}: {error}", directory.display())),
    }
    manifests.retain(|manifest| manifest.is_file());
    manifests.sort();
    let members = members(root)?;
    manifests
        .iter()
        .map(|manifest| {
            let member = members.iter().find(|(path, _)| path == manifest);
            let (_, name) = member.ok_or_else(|| {
                format!("{} is not in the workspace: add it to `members` in Cargo.toml", manifest.display())
            })?;
            Ok(name.clone())
        })
        .collect()
}

/// Manifest and name of every package of the workspace.
fn members(root: &Path) -> Result<Vec<(PathBuf, String)>, String> {
    let output = toolchain::cargo(root)
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .output()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let metadata: Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata is not readable: {error}"))?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata names no packages")?;
    Ok(packages
        .iter()
        .filter_map(|package| Some((package["manifest_path"].as_str()?.into(), package["name"].as_str()?.to_owned())))
        .collect())
}

fn compile<'a>(
    root: &Path,
    library: StandardLibrary,
    packages: impl Iterator<Item = &'a String>,
) -> Result<(), String> {
    let mut cargo = toolchain::cargo(root);
    cargo.args(["build", "--profile", "plugin", "--target", toolchain::TARGET, "--target-dir", "target/wasm"]);
    library.configure(&mut cargo);
    for package in packages {
        cargo.args(["--package", package]);
    }
    // Flags of the environment would replace those in .cargo/config.toml, and with them the small stack.
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    let status = cargo.status().map_err(|error| format!("cannot run cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err("the plugins do not build".to_owned()) }
}

fn write(root: &Path, group: &Group, package: &str) -> Result<(), String> {
    let file = format!("{}.wasm", package.replace('-', "_"));
    let module = root.join("target/wasm").join(toolchain::TARGET).join("plugin").join(&file);
    let core = fs::read(&module).map_err(|error| format!("cannot read {}: {error}", module.display()))?;
    let component = falco_response_component::encode(&core)?;
    let path = root.join(group.components).join(&file);
    println!("{:<40} {:>6} bytes", format!("{}/{file}", group.components), component.len());
    if component.len() > group.largest {
        return Err(format!("{} bytes are more than the {} that a plugin may have", component.len(), group.largest));
    }
    replace(&path, &component).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// A controller that watches the folder never sees half a file.
fn replace(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let draft = path.with_extension("wasm.new");
    fs::write(&draft, content)?;
    fs::rename(&draft, path)
}
