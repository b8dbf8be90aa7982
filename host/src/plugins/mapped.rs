//! The one place that turns bytes into code without compiling them.
#![expect(unsafe_code, reason = "wasmtime cannot check that a file holds what it once compiled; the caller can")]

use std::path::Path;

use wasmtime::component::Component;

/// Maps compiled code into memory. wasmtime refuses another version's or another configuration's file by itself.
///
/// Only [`super::cache::CodeCache::load`] may call this.
pub(super) fn component(engine: &wasmtime::Engine, file: &Path) -> wasmtime::Result<Component> {
    // SAFETY: The file must be what `Engine::precompile_component` once gave, and nobody may change it while it is mapped. The
    // cache has checked that file and directory belong to this user and nobody else can write them, and that the
    // content has the checksum that was stored with it; files there are only ever replaced whole, by rename.
    unsafe { Component::deserialize_file(engine, file) }
}
