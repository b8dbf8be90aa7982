//! What can be read of a component without compiling it: its manifest sections and its imports.
//!
//! An import that is not the contract's is refused here, before Cranelift sees a byte.

use wasmparser::{CanonicalFunction, CanonicalOption, Encoding, Parser, Payload};

use super::manifest::{SECTION, VERSION};
use super::text::one_line;

const PACKAGE: &str = "falco-response:plugin/";

/// The top level of a component; what its inner modules contain is no business of the outline.
#[derive(Debug)]
pub(super) struct Outline<'a> {
    /// The contents of every section named [`SECTION`].
    pub manifests: Vec<&'a [u8]>,
    /// `falco-response:plugin/cluster@0.1.0`
    pub imports: Vec<&'a str>,
    /// `falco-response:plugin/action@0.1.0`
    pub exports: Vec<&'a str>,
}

/// Why a file is no component that could be an action; reads well after the file's name and a colon.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutlineError {
    #[error("is not a WebAssembly component: {0}")]
    Malformed(String),
    #[error("is a core WebAssembly module, not a component: turn it into one, as `plugin build` does")]
    CoreModule,
    #[error(
        "imports `{import}`, and an action gets nothing but `{PACKAGE}…@0.1`: build it without WASI, that is \
         for wasm32-unknown-unknown in Rust, with `--stub-wasi` in componentize-py and componentize-qjs, \
         `--backend-qjs-stub-wasi` in jco, and all features disabled in componentize-js"
    )]
    ForeignImport { import: String },
    #[error(
        "{does} `{interface}`, and this controller offers contract {VERSION}: build it against contract 0.1, or run a \
         controller that offers the one it was built against"
    )]
    OtherVersion { does: &'static str, interface: String },
    #[error(
        "is built for the asynchronous ABI, which actions do not need and this controller does not offer: build it \
         with `--sync` in componentize-qjs, or `--backend-qjs-disable-async` in jco"
    )]
    Asynchronous,
}

impl<'a> Outline<'a> {
    pub fn read(file: &'a [u8]) -> Result<Self, OutlineError> {
        let malformed = |error: wasmparser::BinaryReaderError| OutlineError::Malformed(one_line(error.message(), 200));
        let mut outline = Self { manifests: Vec::new(), imports: Vec::new(), exports: Vec::new() };
        // `parse_all` walks into inner modules and components; `End` is how it says that one is over.
        let mut depth = 0_usize;
        let mut ended = false;
        for payload in Parser::new(0).parse_all(file) {
            match payload.map_err(malformed)? {
                Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                    return Err(OutlineError::CoreModule);
                }
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => {
                    ended = depth == 0;
                    depth = depth.saturating_sub(1);
                }
                Payload::CustomSection(section) if depth == 0 && section.name() == SECTION => {
                    outline.manifests.push(section.data());
                }
                Payload::ComponentImportSection(imports) if depth == 0 => {
                    for import in imports {
                        outline.imports.push(import.map_err(malformed)?.name.name);
                    }
                }
                Payload::ComponentExportSection(exports) if depth == 0 => {
                    for export in exports {
                        outline.exports.push(export.map_err(malformed)?.name.name);
                    }
                }
                Payload::ComponentCanonicalSection(functions) if depth == 0 => {
                    for function in functions {
                        if is_asynchronous(&function.map_err(malformed)?) {
                            return Err(OutlineError::Asynchronous);
                        }
                    }
                }
                _ => {}
            }
        }
        if ended { Ok(outline) } else { Err(OutlineError::Malformed("the file ends too early".to_owned())) }
    }

    /// Whether every import is one of the contract's interfaces, and every interface of it that is imported or exported
    /// is of a version that this controller knows, whatever its patch version.
    pub fn check_contract(&self) -> Result<(), OutlineError> {
        for import in &self.imports {
            let Some(version) = contract_version(import) else {
                return Err(OutlineError::ForeignImport { import: one_line(import, 128) });
            };
            if patch(version).is_none() {
                return Err(OutlineError::OtherVersion { does: "imports", interface: one_line(import, 128) });
            }
        }
        for export in &self.exports {
            if contract_version(export).is_some_and(|version| patch(version).is_none()) {
                return Err(OutlineError::OtherVersion { does: "exports", interface: one_line(export, 128) });
            }
        }
        Ok(())
    }

    /// The version that it was built against, where that is newer than this controller's: it may need what is missing
    /// here, and need not.
    pub fn newer_contract(&self) -> Option<&'a str> {
        let ours = patch(VERSION).unwrap_or_default();
        let versions = self.imports.iter().chain(&self.exports).filter_map(|name| contract_version(name));
        versions.filter(|version| patch(version) > Some(ours)).max_by_key(|version| patch(version))
    }
}

/// `0.1.0` of `falco-response:plugin/log@0.1.0`; none for what is not the contract's.
fn contract_version(name: &str) -> Option<&str> {
    name.strip_prefix(PACKAGE).and_then(|rest| rest.split_once('@')).map(|(_, version)| version)
}

/// 7 of `0.1.7`; none for a version that is not 0.1, a prerelease included: those match only themselves.
fn patch(version: &str) -> Option<u64> {
    let patch = version.strip_prefix("0.1.")?;
    if patch.bytes().all(|c| c.is_ascii_digit()) { patch.parse().ok() } else { None }
}

/// What is wrong with a file, for the tests of all readers together.
#[cfg(test)]
pub(crate) fn problem(file: &[u8]) -> Option<String> {
    let outline = match Outline::read(file) {
        Ok(outline) => outline,
        Err(error) => return Some(error.to_string()),
    };
    let _ = (super::manifest::of_outline(&outline), super::manifest::name_in(&outline), outline.newer_contract());
    outline.check_contract().err().map(|error| error.to_string())
}

#[cfg(test)]
pub(crate) fn is_component(file: &[u8]) -> bool {
    Outline::read(file).is_ok()
}

fn is_asynchronous(function: &CanonicalFunction) -> bool {
    match function {
        CanonicalFunction::Lift { options, .. } | CanonicalFunction::Lower { options, .. } => {
            options.contains(&CanonicalOption::Async)
        }
        CanonicalFunction::ResourceNew { .. }
        | CanonicalFunction::ResourceDrop { .. }
        | CanonicalFunction::ResourceRep { .. } => false,
        // Tasks, streams, futures, threads.
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(text: &str) -> Vec<u8> {
        wat::parse_str(text).expect("WAT")
    }

    #[test]
    fn sees_only_the_top_level() {
        let file = component(
            r#"(component
                (@custom "falco-response:manifest" "outer")
                (core module (@custom "falco-response:manifest" "inner"))
                (component (@custom "falco-response:manifest" "nested") (import "wasi:io/poll@0.2.0" (instance)))
                (import "falco-response:plugin/log@0.1.7" (instance))
            )"#,
        );
        let outline = Outline::read(&file).expect("a component");
        assert_eq!(outline.manifests, [b"outer".as_slice()]);
        assert_eq!(outline.imports, ["falco-response:plugin/log@0.1.7"]);
        assert_eq!(outline.check_contract(), Ok(()));
    }

    #[test]
    fn refuses_imports_beyond_the_contract() {
        for (import, expected) in [
            ("wasi:cli/environment@0.2.0", "--stub-wasi"),
            ("falco-response:plugin2/log@0.1.0", "nothing but"),
            ("falco-response:plugin/log", "nothing but"),
            ("falco-response:plugin/log@0.2.0", "contract 0.1"),
            ("falco-response:plugin/log@0.1.0-rc.1", "contract 0.1"),
            ("environment", "nothing but"),
        ] {
            let file = component(&format!(r#"(component (import "{import}" (instance)))"#));
            let error = Outline::read(&file).expect("a component").check_contract().expect_err(import).to_string();
            assert!(error.contains(import) && error.contains(expected), "{error}");
        }
    }

    #[test]
    fn refuses_the_asynchronous_abi_and_names_the_option_that_avoids_it() {
        let lifted = |options: &str| {
            format!(
                r#"(component
                    (core module $m (func (export "f") (result i32) i32.const 0) (func (export "c") (param i32 i32 i32) (result i32) i32.const 0))
                    (core instance $i (instantiate $m))
                    (func (export "f") (canon lift (core func $i "f") {options}))
                )"#
            )
        };
        let asynchronous = r#"async (callback (core func $i "c"))"#;
        for text in ["(component (core func (canon task.cancel)))", &lifted(asynchronous)] {
            let error = Outline::read(&component(text)).expect_err(text).to_string();
            assert!(error.contains("--sync"), "{error}");
        }
        assert!(Outline::read(&component(&lifted(""))).is_ok());
    }

    #[test]
    fn refuses_what_is_no_component() {
        assert_eq!(Outline::read(&component("(module)")).expect_err("a module"), OutlineError::CoreModule);
        let whole = component(r#"(component (core module (func)) (@custom "x" "yyyyyyyyyyyy"))"#);
        assert!(Outline::read(&whole).is_ok());
        for bytes in [b"".as_slice(), b"\0asm", b"#!/bin/sh\n", &whole[..whole.len() - 3]] {
            assert!(matches!(Outline::read(bytes), Err(OutlineError::Malformed(_))), "{bytes:?}");
        }
    }
}
