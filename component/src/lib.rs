//! From what a compiler leaves behind to an action that the controller takes: a component that imports nothing but the
//! contract, exports one action, carries its manifest, and nothing else that only takes space.
//!
//! [`encode`] is for Rust, whose compiler makes core modules with the manifest in them; [`stamp`] for the tools of other
//! languages, which make components without one. Whether a manifest is sound is the controller's to say.

mod sections;
pub mod toolchain;

use sections::{CUSTOM, Section, custom, is_component, push_section, sections, strip};
use wit_component::{ComponentEncoder, DecodedWasm};

/// The custom section that the manifest stands in.
pub const MANIFEST: &str = "falco-response:manifest";
const CONTRACT: &str = "falco-response:plugin/";
const ACTION: &str = "falco-response:plugin/action@";
/// Where wit-bindgen leaves the component's type for the encoder.
const TYPES: &str = "component-type";

/// Makes a component of a core module, and lifts its manifest to the top level.
///
/// # Errors
/// When the module has no manifest or two, does not fit its own type, or imports more than the contract.
pub fn encode(core: &[u8]) -> Result<Vec<u8>, String> {
    let manifest = lifted(core)?;
    let core = strip(core, |name| name.starts_with(TYPES))?;
    let component = ComponentEncoder::default()
        .validate(true)
        .module(&core)
        .and_then(|encoder| encoder.encode())
        .map_err(|error| format!("cannot make a component of the module: {error:#}"))?;
    finish(&component, &manifest)
}

/// Puts the manifest into a component that another tool made, in place of any that it has.
///
/// # Errors
/// When it is no component, exports no action, or imports more than the contract; when the manifest is not JSON.
pub fn stamp(component: &[u8], manifest: &[u8]) -> Result<Vec<u8>, String> {
    if !is_component(component) {
        return Err(match component {
            [0, b'a', b's', b'm', ..] => "is a core module and no component: have its tool make a component".to_owned(),
            _ => "is no WebAssembly component".to_owned(),
        });
    }
    is_json(manifest).map_err(|error| format!("the manifest is not JSON: {error}"))?;
    finish(component, manifest)
}

fn finish(component: &[u8], manifest: &[u8]) -> Result<Vec<u8>, String> {
    let mut component = strip(component, |_| false)?;
    push_section(&mut component, CUSTOM, &custom(MANIFEST, manifest));
    check_world(&component)?;
    Ok(component)
}

/// The manifest that the SDK left in a core module.
fn lifted(core: &[u8]) -> Result<Vec<u8>, String> {
    let is_manifest = |section: &Section<'_>| section.id == CUSTOM && section.name() == Ok(MANIFEST);
    let all = sections(core)?;
    let found: Vec<_> = all.iter().filter(|section| is_manifest(section)).collect();
    match found[..] {
        [section] => {
            let manifest = section.content()?;
            is_json(manifest).map_err(|error| format!("the section {MANIFEST} is not JSON: {error}"))?;
            Ok(manifest.to_owned())
        }
        [] => Err(format!("no section {MANIFEST}: does the crate call export_action!?")),
        _ => Err(format!("several sections {MANIFEST}: a crate exports one action")),
    }
}

fn is_json(text: &[u8]) -> Result<(), serde_json::Error> {
    serde_json::from_slice::<serde_json::Value>(text).map(|_| ())
}

/// An action reaches nothing but the contract, no WASI and no other imports, and is one.
fn check_world(component: &[u8]) -> Result<(), String> {
    let decoded = wit_component::decode(component).map_err(|error| format!("cannot read the component: {error:#}"))?;
    let DecodedWasm::Component(resolve, world) = decoded else {
        return Err("holds interfaces and no code: is it a WIT package?".to_owned());
    };
    let world = &resolve.worlds[world];
    let names =
        |keys: &mut dyn Iterator<Item = _>| keys.map(|key| resolve.name_world_key(key)).collect::<Vec<String>>();
    let mut foreign = names(&mut world.imports.keys());
    foreign.retain(|name| !name.starts_with(CONTRACT));
    if !foreign.is_empty() {
        return Err(format!(
            "imports more than the contract: {}; an action has no file system, clock or network, so build it without \
             WASI: wasm32-unknown-unknown in Rust, `--stub-wasi` in componentize-py, `--disable all` in jco",
            foreign.join(", ")
        ));
    }
    if !names(&mut world.exports.keys()).iter().any(|name| name.starts_with(ACTION)) {
        return Err(format!("does not export {ACTION}0.1: implement the world action-plugin"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::sections::tests::{component, module};
    use super::*;

    #[test]
    fn takes_the_one_manifest_of_a_module() {
        let manifest_section = (CUSTOM, custom(MANIFEST, b"{}"));
        let other = (CUSTOM, custom("producers", b"rustc"));
        assert_eq!(lifted(&module(&[other.clone(), manifest_section.clone()])), Ok(b"{}".to_vec()));
        assert!(lifted(&module(&[other])).unwrap_err().contains("export_action!"));
        assert!(lifted(&module(&[manifest_section.clone(), manifest_section])).unwrap_err().contains("several"));
    }

    #[test]
    fn refuses_a_manifest_that_is_not_json() {
        assert!(lifted(&module(&[(CUSTOM, custom(MANIFEST, b"{"))])).unwrap_err().contains("not JSON"));
        assert!(stamp(&component(&[]), b"{").unwrap_err().contains("not JSON"));
    }

    #[test]
    fn stamps_nothing_that_is_no_action() {
        assert!(stamp(&component(&[]), b"{}").unwrap_err().contains("does not export"));
        assert!(stamp(&module(&[]), b"{}").unwrap_err().contains("core module"));
        assert!(stamp(b"#!/bin/sh", b"{}").unwrap_err().contains("no WebAssembly"));
        assert!(stamp(b"", b"{}").unwrap_err().contains("no WebAssembly"));
    }

    #[test]
    fn says_that_a_module_is_damaged_instead_of_panicking() {
        let whole = module(&[(1, vec![0; 200]), (CUSTOM, custom(MANIFEST, b"{}"))]);
        for length in 0..whole.len() {
            assert!(encode(&whole[..length]).is_err());
        }
    }
}
