//! Finds the actions in a directory and makes them ready to run.
//!
//! Every file is judged alone, so that a bad one costs its own rules only. The exception are two files that claim one
//! name: which of them is meant cannot be known, so neither is used.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wasmtime::component::{Component, HasSelf, Linker};

use super::bindings::{ActionPlugin, ActionPluginPre};
use super::cache::CodeCache;
use super::engine::Engine;
use super::exports;
use super::file::{COMPONENT_LIMIT, content, digest};
use super::manifest::{self, Manifest, VERSION};
use super::outline::Outline;
use super::sandbox::Sandbox;
use super::text::one_line;
use super::{Brought, Code, Compiled, LoadError, Origin, Plugin, Plugins, Source, Unusable};

/// A file with a sound manifest, not yet compiled. Its content is read again when it has to be compiled, and not kept
/// until then: a directory of actions in Python would fill the memory.
struct Candidate {
    origin: Origin,
    file: PathBuf,
    sha256: String,
    manifest: Manifest,
    /// Of the contract that it was built against, where it is newer than ours.
    newer_contract: Option<String>,
    /// What was found wrong with it beside the manifest.
    problem: Option<String>,
}

/// What is `known` need not be compiled again.
pub(super) fn load(engine: &Engine, source: &Source, known: &Plugins) -> Result<Plugins, LoadError> {
    let files = files(&source.dir)?.into_iter().map(Listed::in_dir);
    let brought = source.files.iter().map(|brought| {
        let Brought { origin, file, sha256, .. } = brought.clone();
        Listed { origin: Origin::Elsewhere(origin), file, sha256 }
    });
    load_files(engine, source, files.chain(brought).collect(), known)
}

/// Where a component comes from, and its file, or why there is none.
pub(super) struct Listed {
    origin: Origin,
    file: Result<PathBuf, String>,
    sha256: Option<String>,
}

impl Listed {
    pub fn in_dir(file: PathBuf) -> Self {
        Self { origin: Origin::File(file.clone()), file: Ok(file), sha256: None }
    }
}

/// These files and no others of the directory.
pub(super) fn load_files(
    engine: &Engine,
    source: &Source,
    files: Vec<Listed>,
    known: &Plugins,
) -> Result<Plugins, LoadError> {
    let awaited = source.files.iter().any(|brought| brought.awaited);
    let mut plugins = Plugins { awaited, ..Plugins::default() };
    if let Some(reason) = engine.on_demand_because() {
        plugins.warnings.push(format!("actions run without a pool of instances, and so more slowly: {reason}"));
    }
    let cache = source.cache_dir.as_deref().and_then(|dir| match CodeCache::open(dir, engine.wasm()) {
        Ok(cache) => Some(cache),
        Err(error) => {
            plugins.warnings.push(error.to_string());
            None
        }
    });
    let linker = linker(engine)?;

    let mut candidates = Vec::new();
    for listed in files {
        match read(source, &listed) {
            Ok(candidate) => candidates.push(candidate),
            Err(Refused { name, sha256, reason }) => {
                let origin = listed.origin;
                plugins.unusable.push(Unusable { origin, name, sha256, reason, in_force: None });
            }
        }
    }
    for (index, reason) in doubles(&candidates) {
        candidates[index].problem = Some(reason);
    }
    for candidate in candidates {
        let Candidate { origin, file, sha256, manifest, newer_contract, problem } = candidate;
        let ready = match problem {
            Some(problem) => Err(problem),
            None => check_pin(source, &manifest.name, &sha256).and_then(|()| {
                if let Some(known) = known.iter().find(|known| known.sha256 == sha256) {
                    return Ok(known.code.clone());
                }
                let component = compile(engine, cache.as_ref(), &file, &sha256, &mut plugins.warnings)?;
                let pre = link(&linker, &component, newer_contract.as_deref())?;
                Ok(Code::Component(Arc::new(Compiled { pre, engine: engine.clone() })))
            }),
        };
        match ready {
            Ok(code) => {
                let name = manifest.name.clone();
                let (limits, keys) = (source.limits, source.keys.clone());
                let plugin = Plugin { manifest, origin, sha256, limits, keys, code };
                plugins.by_name.insert(name, Arc::new(plugin));
            }
            Err(reason) => {
                let (name, sha256) = (Some(manifest.name), Some(sha256));
                plugins.unusable.push(Unusable { origin, name, sha256, reason, in_force: None });
            }
        }
    }
    if let Some(cache) = cache {
        // What is known may stay in force, and be loaded again by the next start.
        let in_use = plugins.iter().chain(known.iter()).map(|plugin| plugin.sha256.as_str());
        cache.prune(&in_use.collect::<Vec<_>>());
    }
    plugins.unusable.sort_by(|a, b| a.origin.cmp(&b.origin));
    Ok(plugins)
}

/// The `*.wasm` of a directory in order of their names. Hidden ones are passed over: a mounted ConfigMap keeps its
/// files in `..data` and links to them.
pub(super) fn files(dir: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let failed = |source| LoadError::Directory { dir: dir.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let hidden = name.as_encoded_bytes().starts_with(b".");
        if !hidden && Path::new(&name).extension().is_some_and(|extension| extension == "wasm") {
            files.push(dir.join(name));
        }
    }
    files.sort();
    Ok(files)
}

/// A file that is no candidate: its action's name and digest, as far as they can be told, and what is wrong.
struct Refused {
    name: Option<String>,
    sha256: Option<String>,
    reason: String,
}

impl Refused {
    fn unread(reason: String) -> Self {
        Self { name: None, sha256: None, reason }
    }
}

/// A file as far as it can be judged without its neighbours and without compiling.
fn read(source: &Source, listed: &Listed) -> Result<Candidate, Refused> {
    let Listed { origin, file, sha256: expected } = listed;
    let file = file.as_ref().map_err(|problem| Refused::unread(problem.clone()))?;
    let content = content(file, COMPONENT_LIMIT).map_err(Refused::unread)?;
    let sha256 = digest(&content);
    let refused = |name: Option<String>, reason: String| Refused { name, sha256: Some(sha256.clone()), reason };
    if expected.as_ref().is_some_and(|expected| *expected != sha256) {
        return Err(refused(None, format!("is not what was fetched any more: {} was changed", file.display())));
    }
    let outline = Outline::read(&content).map_err(|error| refused(None, error.to_string()))?;
    let imports = outline.check_contract();
    let (manifest, problem) = match (manifest::of_outline(&outline), imports) {
        (Ok(manifest), imports) => (manifest, imports.err().map(|error| error.to_string())),
        // What it imports shows how it was built, and that is what has to change first.
        (Err(_), Err(error)) => return Err(refused(manifest::name_in(&outline), error.to_string())),
        (Err(error), Ok(())) => return Err(refused(manifest::name_in(&outline), error.to_string())),
    };
    // Of an unsigned file not even the name is to be trusted, but operators want to know which rule it costs.
    if let Origin::File(file) = origin {
        source.keys.check_file(file, &content).map_err(|problem| refused(Some(manifest.name.clone()), problem))?;
    }
    let newer_contract = outline.newer_contract().map(|version| one_line(version, 32));
    let (origin, file) = (origin.clone(), file.to_owned());
    Ok(Candidate { origin, file, sha256, manifest, newer_contract, problem })
}

/// Which candidates share their name with another, each with the sentence that says so.
fn doubles(candidates: &[Candidate]) -> Vec<(usize, String)> {
    let mut by_name = BTreeMap::<&str, Vec<usize>>::new();
    for (index, candidate) in candidates.iter().enumerate() {
        by_name.entry(&candidate.manifest.name).or_default().push(index);
    }
    let mut doubles = Vec::new();
    for (name, indexes) in by_name.into_iter().filter(|(_, indexes)| indexes.len() > 1) {
        for &index in &indexes {
            let others = indexes.iter().filter(|&&other| other != index);
            let others = others.map(|&other| candidates[other].origin.to_string()).collect::<Vec<_>>();
            let others = others.join(", ");
            doubles.push((index, format!("{others} calls itself {name}, too, so neither is taken: remove one")));
        }
    }
    doubles
}

fn check_pin(source: &Source, name: &str, sha256: &str) -> Result<(), String> {
    match source.pins.get(name) {
        Some(pin) if pin != sha256 => Err(format!(
            "has SHA-256 {sha256}, and `plugins.pins` asks for {pin}: install that file, or change the pin"
        )),
        _ => Ok(()),
    }
}

fn compile(
    engine: &Engine,
    cache: Option<&CodeCache>,
    file: &Path,
    sha256: &str,
    warnings: &mut Vec<String>,
) -> Result<Component, String> {
    if let Some(component) = cache.and_then(|cache| cache.load(sha256)) {
        return Ok(component);
    }
    let content = content(file, COMPONENT_LIMIT)?;
    if digest(&content) != sha256 {
        return Err("changed while it was read: load the actions again once it is written".to_owned());
    }
    let component = compile_anew(engine, cache, &content, sha256, warnings);
    drop(content);
    super::trim::freed_memory();
    component.map_err(|error| format!("cannot be compiled: {}", one_line(&format!("{error:#}"), 512)))
}

/// Into the cache and from there, where that is possible.
fn compile_anew(
    engine: &Engine,
    cache: Option<&CodeCache>,
    content: &[u8],
    sha256: &str,
    warnings: &mut Vec<String>,
) -> wasmtime::Result<Component> {
    if let Some(cache) = cache {
        let stored = cache.store(sha256, &engine.compiler()?.precompile_component(content)?);
        if let Err(error) = stored {
            warnings.push(error.to_string());
        } else if let Some(kept) = cache.load(sha256) {
            // Mapped from the file it takes memory only as far as it is used, and none that could not be had again.
            return Ok(kept);
        }
    }
    Component::from_binary(engine.wasm(), content)
}

fn linker(engine: &Engine) -> Result<Linker<Sandbox>, LoadError> {
    let mut linker = Linker::new(engine.wasm());
    ActionPlugin::add_to_linker::<_, HasSelf<Sandbox>>(&mut linker, |sandbox| sandbox)
        .map_err(|error| LoadError::Engine(one_line(&format!("{error:#}"), 512)))?;
    Ok(linker)
}

/// Ties the imports to the host functions and finds the exports. One that was built against a newer contract is welcome as
/// long as it uses nothing new.
fn link(
    linker: &Linker<Sandbox>,
    component: &Component,
    newer_contract: Option<&str>,
) -> Result<ActionPluginPre<Sandbox>, String> {
    let linked = linker.instantiate_pre(component).and_then(ActionPluginPre::new);
    let linked = linked.map_err(|error| one_line(&format!("{error:#}"), 512));
    linked.and_then(|pre| exports::check(linker.engine(), component).map(|()| pre)).map_err(|detail| {
        match newer_contract {
            Some(newer) => format!(
                "needs contract {newer}, and this controller offers {VERSION}: run a controller that offers {newer}, or \
                 build it against {VERSION}: {detail}"
            ),
            None => format!(
                "does not fit contract {VERSION}, which this controller offers: build it anew against that one: {detail}"
            ),
        }
    })
}
