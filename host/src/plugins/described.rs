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
    /// In order.
    pub exports: Vec<String>,
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
        outline.check_contract().map_err(|error| error.to_string())?;
        let manifest = manifest::of_outline(&outline).map_err(|error| match manifest::name_in(&outline) {
            Some(name) => format!("calls itself {name}, but {error}"),
            None => error.to_string(),
        })?;
        let in_order = |names: &[&str]| {
            let names: BTreeSet<&str> = names.iter().copied().collect();
            names.into_iter().map(str::to_owned).collect()
        };
        Ok(Self {
            manifest,
            sha256: digest(component),
            size: component.len(),
            imports: in_order(&outline.imports),
            exports: in_order(&outline.exports),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MANIFEST: &str = r#"{"contract":"0.1","name":"tries","summary":"Tries.","target":"none"}"#;

    fn component(manifest: &str) -> Vec<u8> {
        let manifest = manifest.replace('"', "\\\"");
        let text = format!(
            r#"(component (@custom "falco-response:manifest" "{manifest}")
                (import "falco-response:plugin/log@0.1.0" (instance))
                (core module (func)))"#
        );
        wat::parse_str(text).unwrap()
    }

    #[test]
    fn tells_what_a_component_says() {
        let described = Described::of(&component(MANIFEST)).unwrap();
        assert_eq!(described.manifest.name, "tries");
        assert_eq!(described.imports, ["falco-response:plugin/log@0.1.0"]);
    }

    #[test]
    fn names_the_action_whose_manifest_is_unsound() {
        let error = Described::of(&component(&MANIFEST.replace("\"none\"", "\"moons\""))).unwrap_err();
        assert!(error.contains("calls itself tries") && error.contains("moons"), "{error}");
    }

    #[test]
    fn finds_an_action_by_its_name_and_not_by_its_files() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.wasm"), component(MANIFEST)).unwrap();
        std::fs::write(dir.path().join("tries.wasm"), "nothing").unwrap();
        assert_eq!(find(dir.path(), "tries").unwrap(), dir.path().join("a.wasm"));
        assert!(find(dir.path(), "other").unwrap_err().contains("there is tries"));
        std::fs::write(dir.path().join("b.wasm"), component(MANIFEST)).unwrap();
        assert!(find(dir.path(), "tries").unwrap_err().contains("uses neither"));
    }

    proptest! {
        /// Whoever made the file, it is described or refused.
        #[test]
        fn no_file_breaks_it(at in 0_usize..400, with in prop::collection::vec(any::<u8>(), 0..12), cut in 0_usize..400) {
            let mut file = component(MANIFEST);
            let at = at.min(file.len());
            let end = (at + with.len()).min(file.len());
            file.splice(at..end, with);
            let kept = file.len().saturating_sub(cut.saturating_sub(200));
            file.truncate(kept);
            let _ = Described::of(&file);
        }
    }
}
