//! Actions: WebAssembly components found in `plugins.dir`, each run in a sandbox of its own.
//!
//! What an action may reach is decided elsewhere ([`crate::safety::gate::Gate`]); this module loads components, bounds
//! their time, memory, calls and words, and translates between the WIT contract and the gate. It knows no rules.

mod bindings;
mod cache;
pub mod described;
pub mod engine;
mod exports;
pub mod file;
mod host;
mod life;
mod limits;
mod loader;
pub mod manifest;
mod mapped;
#[cfg(test)]
pub mod native;
mod origin;
pub mod outline;
mod outside;
pub mod registry;
mod run;
mod sandbox;
pub mod schema;
#[cfg(test)]
mod tests;
pub(crate) mod text;
mod trim;
pub mod witness;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::alert::Alert;
use crate::safety::gate::Gate;
use crate::safety::run::Run;
use crate::telemetry::log::Log;
use bindings::ActionPluginPre;
use engine::Engine;
use manifest::Manifest;
pub use origin::{Brought, Origin};
use outside::Gated;
use registry::signature::Keys;
use sandbox::{Asked, Sandbox};
use witness::Witness;

/// Bounds of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub timeout: Duration,
    /// Bytes of linear memory.
    pub memory: usize,
    /// Calls to the host.
    pub calls: u32,
    /// Bytes of log text, notes included.
    pub log: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(10), memory: 64 << 20, calls: 1000, log: 64 << 10 }
    }
}

impl From<crate::config::PluginLimits> for Limits {
    fn from(limits: crate::config::PluginLimits) -> Self {
        Self {
            timeout: limits.timeout,
            memory: usize::try_from(limits.memory).unwrap_or(usize::MAX),
            calls: limits.calls,
            log: usize::try_from(limits.log).unwrap_or(usize::MAX),
        }
    }
}

/// What the loader is told.
#[derive(Debug, Clone)]
pub struct Source {
    /// Every `*.wasm` in it.
    pub dir: PathBuf,
    /// Further ones, from elsewhere.
    pub files: Vec<Brought>,
    /// Private to this process; holds compiled code.
    pub cache_dir: Option<PathBuf>,
    /// Whose signature each file of the directory needs; what was brought from elsewhere was asked for it before.
    pub keys: Keys,
    /// Name → lower-case hex SHA-256 (without `sha256:`) of the only file accepted for it.
    pub pins: BTreeMap<String, String>,
    pub limits: Limits,
}

/// A file that is no usable plugin. `name` when its manifest could still be read, or it stands where one was in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    pub origin: Origin,
    pub name: Option<String>,
    /// Of the file, where it could be read; lower-case hex.
    pub sha256: Option<String>,
    pub reason: String,
    /// The version of `name` that is in force all the same.
    pub in_force: Option<String>,
}

/// What one scan of the directory found.
#[derive(Clone, Default)]
pub struct Plugins {
    by_name: BTreeMap<String, Arc<Plugin>>,
    pub unusable: Vec<Unusable>,
    /// One is being fetched, and may be any that is not there.
    pub awaited: bool,
    /// What costs time and nothing else: no place for compiled code, no pool.
    pub warnings: Vec<String>,
}

/// An action, compiled and ready to run.
pub struct Plugin {
    pub manifest: Manifest,
    pub origin: Origin,
    /// Of the file; lower-case hex.
    pub sha256: String,
    limits: Limits,
    /// Whose signature was asked for.
    keys: Keys,
    code: Code,
}

/// What a run runs.
#[derive(Clone)]
enum Code {
    Component(Arc<Compiled>),
    /// A function of this program, for a simulation: an engine's clock is a thread, which no schedule owns.
    #[cfg(test)]
    Native(Arc<dyn native::Action>),
}

struct Compiled {
    pre: ActionPluginPre<Sandbox>,
    engine: Engine,
}

/// What is wrong with a rule's parameters. `at` is a JSON Pointer, "" for the whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterProblem {
    pub at: String,
    pub message: String,
}

/// What the action is asked, beside the target, which the [`Run`] holds.
#[derive(Clone)]
pub struct Request {
    pub event_id: String,
    pub attempt: u32,
    /// JSON.
    pub parameters: String,
    /// The rule's `audit_reason`.
    pub reason: String,
    pub alert: Arc<Alert>,
    /// Where the action's lines go.
    pub log: Log,
    /// Who is told what it does; nobody in production.
    pub witness: Option<Arc<dyn Witness>>,
}

/// How a run ended, and what it said. What it did is in the [`Run`].
#[derive(Debug, Clone)]
pub struct Report {
    pub end: End,
    /// The action's own further fields for the entry; capped, not yet escaped.
    pub notes: Vec<(String, String)>,
    pub attachments: Vec<Attachment>,
    pub duration: Duration,
    /// Bytes of linear memory at its largest.
    pub peak_memory: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    pub name: String,
    pub media_type: String,
    pub content: Vec<u8>,
    /// Lower-case hex.
    pub sha256: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Acted(String),
    Skipped(String),
    /// The action gave up. `retry` is its word that running again is safe.
    Failed {
        message: String,
        retry: bool,
    },
    /// Trap, stack overflow, a broken component.
    Trap(String),
    Timeout,
    Memory,
    CallLimit,
}

impl Plugins {
    /// Scans `source.dir` for `*.wasm`, and takes `source.files` beside them. A file that cannot be used is reported in `unusable` and leaves the others
    /// alone; two files of one name are both refused. Compiling takes from 50 ms to seconds a file, during which
    /// this blocks.
    ///
    /// # Errors
    /// Only when the directory cannot be read or the engine cannot be built.
    pub fn load(source: &Source) -> Result<Self, LoadError> {
        Self::load_with(&Engine::new(Engine::SLOTS, source.limits.memory)?, source)
    }

    /// As [`Self::load`], on an engine that is there already: a reload needs no second pool.
    ///
    /// # Errors
    /// Only when the directory cannot be read.
    pub fn load_with(engine: &Engine, source: &Source) -> Result<Self, LoadError> {
        loader::load(engine, source, &Self::default())
    }

    /// One file, whatever it is called. It is the only one in the result, usable or not.
    ///
    /// # Errors
    /// When the engine cannot be used.
    pub fn load_file(engine: &Engine, file: &Path, limits: Limits) -> Result<Self, LoadError> {
        let dir = file.parent().unwrap_or(Path::new("."));
        let files = vec![loader::Listed::in_dir(file.to_owned())];
        loader::load_files(engine, &Source { limits, ..Source::new(dir) }, files, &Self::default())
    }

    /// The same actions, already compiled, within other limits. No memory is larger than the engine allows.
    #[must_use]
    pub fn within(&self, limits: Limits) -> Self {
        let by_name =
            self.by_name.iter().map(|(name, plugin)| (name.clone(), Arc::new(plugin.within(limits)))).collect();
        Self { by_name, ..Self::default() }
    }

    pub fn get(&self, name: &str) -> Option<&Arc<Plugin>> {
        self.by_name.get(name)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Plugin>> {
        self.by_name.values()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot read the plugin directory {}: {source}", dir.display())]
    Directory { dir: PathBuf, source: std::io::Error },
    #[error("cannot set up the WebAssembly engine: {0}")]
    Engine(String),
}

impl Plugin {
    /// Whether `parameters` (JSON) suit the action: by its schema, and if that has nothing against them, by its own
    /// word. It runs in a sandbox in which every host function traps.
    pub async fn validate(&self, parameters: &str) -> Result<(), Vec<ParameterProblem>> {
        if let Some(schema) = &self.manifest.parameters {
            let parameters = serde_json::from_str(parameters).unwrap_or_default();
            let found = schema::problems(schema, &parameters);
            if !found.is_empty() {
                return Err(found);
            }
        }
        match &self.code {
            Code::Component(compiled) => run::validate(self, compiled, parameters).await,
            #[cfg(test)]
            Code::Native(_) => Ok(()),
        }
    }

    /// How long a run may take; `narrower` can only shorten it.
    pub fn timeout(&self, narrower: Option<Duration>) -> Duration {
        narrower.map_or(self.limits.timeout, |narrower| narrower.min(self.limits.timeout))
    }

    /// Runs the action once, in a fresh store. Never fails: whatever goes wrong is an [`End`]. `timeout` narrows the
    /// plugin limit's.
    pub async fn run(&self, request: Request, run: Arc<Run>, gate: Gate, timeout: Option<Duration>) -> Report {
        let Request { event_id, attempt, parameters, reason, alert, log, witness } = request;
        let outside = Gated::new(gate, run, log, witness, &self.manifest.name, &event_id);
        let asked = Asked { event_id, attempt, parameters, reason, alert };
        match &self.code {
            Code::Component(compiled) => {
                run::run(self, compiled, Sandbox::new(self.limits, asked, Arc::new(outside)), timeout).await
            }
            #[cfg(test)]
            Code::Native(action) => native::run(self, action.as_ref(), asked, outside, timeout).await,
        }
    }
}

impl Source {
    pub fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            files: Vec::new(),
            keys: Keys::default(),
            cache_dir: None,
            pins: BTreeMap::new(),
            limits: Limits::default(),
        }
    }
}
