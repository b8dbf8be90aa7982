//! Which component a command is about.

use std::path::{Path, PathBuf};

use crate::cli::Failure;

/// Where a build may leave it, below the action's directory; its own comes first, since `plugin build` writes there.
const PLACES: [&str; 2] = ["", "target/plugin-out"];

/// The one that was named, else the one that lies in `dir`.
pub fn find(named: Option<&Path>, dir: &Path) -> Result<PathBuf, Failure> {
    if let Some(file) = named {
        return Ok(file.to_owned());
    }
    for place in PLACES {
        let mut files = components(&dir.join(place));
        match files.len() {
            0 => {}
            1 => return Ok(files.remove(0)),
            _ => {
                let list = files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ");
                return Err(Failure::Usage(format!(
                    "which component is meant? There are {list}; say --component FILE"
                )));
            }
        }
    }
    let dir = dir.display();
    Err(Failure::Usage(format!(
        "no component in {dir}: build it first with `falco-response-controller plugin build {dir}`, \
         or name one with --component FILE"
    )))
}

fn components(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut files: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "wasm") && path.is_file())
        .collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_is_named_then_what_lies_there_and_asks_where_there_are_two() {
        let directory = tempfile::tempdir().expect("a directory");
        let dir = directory.path();
        let told = |named: Option<&str>| match find(named.map(Path::new), dir) {
            Ok(path) => path.file_name().expect("a file").to_string_lossy().into_owned(),
            Err(failure) => failure.to_string(),
        };
        assert!(told(None).contains("plugin build"), "{}", told(None));
        std::fs::create_dir_all(dir.join("target/plugin-out")).expect("made");
        std::fs::write(dir.join("target/plugin-out/out.wasm"), "").expect("written");
        assert_eq!(told(None), "out.wasm");
        std::fs::write(dir.join("a.wasm"), "").expect("written");
        assert_eq!(told(None), "a.wasm");
        std::fs::write(dir.join("b.wasm"), "").expect("written");
        assert!(told(None).contains("a.wasm") && told(None).contains("--component"), "{}", told(None));
        assert_eq!(told(Some("named.wasm")), "named.wasm");
    }
}
