//! A new project: the files of its language's template with the names put in, and `vendor/`.
//!
//! `host/templates/README.md` says what a template may contain.

use std::fs;
use std::path::{Path, PathBuf};

use super::embedded;
use super::name::ActionName;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Language {
    Rust,
    Python,
    Javascript,
}

/// Where the SDK and the WIT files come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sdk {
    /// From the program, into the project's `vendor/`.
    Vendored,
    /// A folder with the SDK for Rust, beside which there is `wit`.
    At(PathBuf),
}

/// What will stand on disk, by paths in the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    files: Vec<(String, String)>,
}

impl Project {
    /// # Errors
    /// The SDK's path is none, or cannot be written into a file.
    pub fn new(name: &ActionName, language: Language, sdk: &Sdk) -> Result<Self, String> {
        let places = Places::of(sdk)?;
        let fill = |text: &str| {
            text.replace("{{name}}", &name.snake())
                .replace("{{crate}}", &name.kebab())
                .replace("{{type}}", &name.type_name())
                .replace("{{sdk}}", &places.sdk)
                .replace("{{wit}}", &places.wit)
        };
        let mut files: Vec<_> = template(language).iter().map(|(path, text)| (fill(path), fill(text))).collect();
        if *sdk == Sdk::Vendored {
            let mut vendor = |folder: &str, table: &[(&str, &str)]| {
                files.extend(table.iter().map(|(path, text)| (format!("vendor/{folder}/{path}"), (*text).to_owned())));
            };
            vendor("wit", embedded::WIT);
            if language == Language::Rust {
                vendor("falco-response-sdk", embedded::SDK);
            }
        }
        Ok(Self { files })
    }

    /// # Errors
    /// The folder holds something already, or cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), String> {
        let failed = |path: &Path, error: std::io::Error| format!("cannot write {}: {error}", path.display());
        match fs::read_dir(folder) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Err(format!("{} is there already and not empty: choose another name", folder.display()));
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("cannot look into {}: {error}", folder.display())),
        }
        for (path, text) in &self.files {
            let file = folder.join(path);
            let parent = file.parent().unwrap_or(folder);
            fs::create_dir_all(parent).map_err(|error| failed(parent, error))?;
            fs::write(&file, text).map_err(|error| failed(&file, error))?;
        }
        Ok(())
    }

    /// The author's own files, without `vendor/`.
    pub fn own_files(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|(path, _)| path.as_str()).filter(|path| !path.starts_with("vendor/"))
    }
}

fn template(language: Language) -> &'static [(&'static str, &'static str)] {
    match language {
        Language::Rust => embedded::RUST,
        Language::Python => embedded::PYTHON,
        Language::Javascript => embedded::JAVASCRIPT,
    }
}

/// What stands for the SDK and the WIT files in the project's texts.
struct Places {
    sdk: String,
    wit: String,
}

impl Places {
    fn of(sdk: &Sdk) -> Result<Self, String> {
        let Sdk::At(path) = sdk else {
            return Ok(Self { sdk: "vendor/falco-response-sdk".to_owned(), wit: "vendor/wit".to_owned() });
        };
        let absolute = path.canonicalize().map_err(|error| format!("--sdk {}: {error}", path.display()))?;
        if !absolute.join("src/lib.rs").is_file() || !absolute.join("Cargo.toml").is_file() {
            return Err(format!("--sdk {}: there is no crate; give the folder guest-sdk of a clone", path.display()));
        }
        let wit = absolute.parent().map(|parent| parent.join("wit")).filter(|wit| wit.join("action.wit").is_file());
        let wit = wit.ok_or_else(|| format!("--sdk {}: there is no wit/action.wit beside it", path.display()))?;
        // It ends up between quotes in TOML, JSON and YAML.
        let text = |path: &Path| match path.to_str() {
            Some(text) if !text.contains(['"', '\\', '\'']) && !text.chars().any(char::is_control) => {
                Ok(text.to_owned())
            }
            _ => Err(format!(
                "--sdk {}: a path with quotes or control characters cannot be written down",
                path.display()
            )),
        };
        Ok(Self { sdk: text(&absolute)?, wit: text(&wit)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(name: &str, language: Language) -> Project {
        Project::new(&ActionName::parse(name).unwrap(), language, &Sdk::Vendored).unwrap()
    }

    const LANGUAGES: [Language; 3] = [Language::Rust, Language::Python, Language::Javascript];

    #[test]
    fn no_placeholder_is_left() {
        for language in LANGUAGES {
            let project = project("quarantine-pod", language);
            assert!(project.own_files().count() > 2, "{language:?} has no template");
            for (path, text) in project.files.iter().filter(|(path, _)| !path.starts_with("vendor/")) {
                assert!(!path.contains("{{") && !text.contains("{{"), "{language:?}: {path}:\n{text}");
            }
        }
    }

    #[test]
    fn carries_the_contract_for_every_language_and_the_sdk_for_rust() {
        for language in LANGUAGES {
            let project = project("quarantine-pod", language);
            let has = |wanted: &str| project.files.iter().any(|(path, _)| path == wanted);
            assert!(has("vendor/wit/action.wit"), "{language:?}");
            assert_eq!(has("vendor/falco-response-sdk/src/lib.rs"), language == Language::Rust);
        }
    }

    #[test]
    fn the_vendored_sdk_stands_alone() {
        let (_, manifest) = embedded::SDK.iter().find(|(path, _)| *path == "Cargo.toml").unwrap();
        for line in manifest.lines().filter(|line| !line.starts_with('#')) {
            assert!(!line.contains("workspace"), "{line}");
        }
        for key in ["version = \"", "edition = \"", "license = \"", "wit-bindgen = "] {
            assert!(manifest.lines().any(|line| line.starts_with(key)), "{key} is missing:\n{manifest}");
        }
        assert!(!manifest.contains("proptest"));
    }

    /// So that a project is built from what the tests of this workspace were built from.
    #[test]
    fn a_project_in_rust_starts_with_the_versions_of_this_workspace() {
        let workspace = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock")).unwrap();
        let (_, lock) = embedded::RUST.iter().find(|(path, _)| *path == "Cargo.lock").unwrap();
        // Name, version, source and checksum of each; what it depends on is a matter of features.
        let head = |package: &str| package.split("dependencies").next().unwrap_or_default().trim().to_owned();
        let known: Vec<String> = workspace.split("[[package]]").map(head).collect();
        let own: Vec<String> = lock.split("[[package]]").skip(1).map(head).collect();
        assert!(own.len() > 20, "{own:?}");
        for package in own.iter().filter(|package| package.contains("source")) {
            assert!(known.contains(package), "host/templates/rust/Cargo.lock is not up to date:\n{package}");
        }
    }

    #[test]
    fn refuses_a_folder_in_which_there_is_something() {
        let folder = tempfile::tempdir().unwrap();
        let project = project("quarantine-pod", Language::Rust);
        project.write(folder.path()).unwrap();
        assert!(folder.path().join("vendor/falco-response-sdk/Cargo.toml").is_file());
        assert!(project.write(folder.path()).unwrap_err().contains("not empty"));
    }

    #[test]
    fn an_sdk_elsewhere_has_to_be_one() {
        let name = ActionName::parse("x").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &Path| Project::new(&name, Language::Rust, &Sdk::At(path.to_owned()));
        assert!(at(folder.path()).unwrap_err().contains("no crate"));
        assert!(at(&folder.path().join("none")).unwrap_err().contains("none"));
        let clone = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-sdk");
        let project = at(&clone).unwrap();
        assert!(!project.files.iter().any(|(path, _)| path.starts_with("vendor/")));
        assert!(project.files.iter().any(|(path, text)| path == "Cargo.toml" && text.contains("guest-sdk\"")));
    }
}
