//! What lies in a project's folder, and so how it is built.

use std::path::Path;

use serde::Deserialize;

/// Of `build.json` and `manifest.json`.
const SIZE_LIMIT: u64 = 64 << 10;

pub enum Kind {
    /// There is a `Cargo.toml`.
    Rust,
    /// There are `build.json` and `manifest.json`.
    Other { recipe: Recipe, manifest: Vec<u8> },
}

/// `build.json`: how a language's own tool makes the component.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// One command, no shell line.
    pub run: Vec<String>,
    /// What it leaves behind, in the project.
    pub component: String,
    /// What to run when the program is not there.
    pub missing: Option<String>,
}

impl Kind {
    /// # Errors
    /// It is no project, or one of its files cannot be used.
    pub fn of(folder: &Path) -> Result<Self, String> {
        if folder.join("Cargo.toml").is_file() {
            return Ok(Self::Rust);
        }
        let file = folder.join("build.json");
        if !file.is_file() {
            return Err(format!(
                "{} is no project: there is neither Cargo.toml nor build.json; `plugin new NAME` makes one",
                folder.display()
            ));
        }
        let recipe = Recipe::parse(&read(&file)?).map_err(|problem| format!("{}: {problem}", file.display()))?;
        Ok(Self::Other { recipe, manifest: read(&folder.join("manifest.json"))? })
    }
}

impl Recipe {
    fn parse(text: &[u8]) -> Result<Self, String> {
        let recipe: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if recipe.run.first().is_none_or(String::is_empty) {
            return Err("`run` is empty: name the program and its arguments".to_owned());
        }
        let component = Path::new(&recipe.component);
        let within = component.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if recipe.component.is_empty() || !within {
            return Err("`component` must be a path within the project".to_owned());
        }
        Ok(recipe)
    }
}

/// # Errors
/// It cannot be read, or is larger than anything of its kind.
pub fn read(file: &Path) -> Result<Vec<u8>, String> {
    crate::plugins::file::content(file, SIZE_LIMIT).map_err(|problem| format!("{}: {problem}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_a_recipe_and_says_what_is_wrong_with_another() {
        let recipe = Recipe::parse(br#"{"run": ["tool", "-o", "build/x.wasm"], "component": "build/x.wasm"}"#).unwrap();
        assert_eq!(recipe.run[0], "tool");
        for (text, expected) in [
            (r#"{"run": [], "component": "x.wasm"}"#, "`run` is empty"),
            (r#"{"run": ["x"], "component": ""}"#, "within the project"),
            (r#"{"run": ["x"], "component": "../x.wasm"}"#, "within the project"),
            (r#"{"run": ["x"], "component": "/x.wasm"}"#, "within the project"),
            (r#"{"run": ["x"], "component": "x.wasm", "shell": true}"#, "unknown field `shell`"),
            ("{", "EOF"),
        ] {
            let error = Recipe::parse(text.as_bytes()).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_folder_without_a_project_says_how_to_make_one() {
        let folder = tempfile::tempdir().unwrap();
        let Err(error) = Kind::of(folder.path()) else { panic!("there is nothing in it") };
        assert!(error.contains("plugin new"), "{error}");
        std::fs::write(folder.path().join("build.json"), r#"{"run": ["x"], "component": "x.wasm"}"#).unwrap();
        let Err(error) = Kind::of(folder.path()) else { panic!("the manifest is missing") };
        assert!(error.contains("manifest.json"), "{error}");
    }
}
