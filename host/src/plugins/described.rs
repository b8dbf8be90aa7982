//! What a component says of itself, for people to look at: nothing of it is compiled or run.

use std::collections::BTreeSet;
use std::path::Path;

use super::file::{COMPONENT_LIMIT, content, digest};
use super::manifest::{self, Manifest};
use super::outline::Outline;

#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    pub manifest: Manifest,
    /// Lower-case hex.
    pub sha256: String,
    /// Bytes.
    pub size: usize,
    /// In order: `falco-response:plugin/cluster@0.1.0`.
    pub imports: Vec<String>,
}

impl Described {
    /// # Errors
    /// What keeps the controller from taking the file.
    pub fn read(file: &Path) -> Result<Self, String> {
        Self::of(&content(file, COMPONENT_LIMIT)?)
    }

    /// # Errors
    /// As [`Self::read`].
    pub fn of(component: &[u8]) -> Result<Self, String> {
        let outline = Outline::read(component).map_err(|error| error.to_string())?;
        // What it imports shows how it was built, and that is what has to change first.
        outline.check_imports().map_err(|error| error.to_string())?;
        let manifest = manifest::of_outline(&outline).map_err(|error| match manifest::name_in(&outline) {
            Some(name) => format!("calls itself {name}, but {error}"),
            None => error.to_string(),
        })?;
        let imports: BTreeSet<&str> = outline.imports.iter().copied().collect();
        Ok(Self {
            manifest,
            sha256: digest(component),
            size: component.len(),
            imports: imports.into_iter().map(str::to_owned).collect(),
        })
    }
}

/// The file in `dir` whose manifest has this name, as the loader would find it.
///
/// # Errors
/// The directory cannot be read; there is no such file, or there are two.
pub fn find(dir: &Path, name: &str) -> Result<std::path::PathBuf, String> {
    let files = super::loader::files(dir).map_err(|error| error.to_string())?;
    let mut names = BTreeSet::new();
    let mut found = Vec::new();
    for file in files {
        let Ok(described) = Described::read(&file) else { continue };
        if described.manifest.name == name {
            found.push(file);
        }
        names.insert(described.manifest.name);
    }
    match &found[..] {
        [file] => Ok(file.clone()),
        [] => {
            let names: Vec<_> = names.into_iter().collect();
            let there = if names.is_empty() { "no action".to_owned() } else { names.join(", ") };
            Err(format!("no action in {} calls itself `{name}`; there is {there}", dir.display()))
        }
        [first, second, ..] => Err(format!(
            "{} and {} both call themselves `{name}`: the controller uses neither; give the file",
            first.display(),
            second.display()
        )),
    }
}
