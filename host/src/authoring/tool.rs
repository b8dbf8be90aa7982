//! Runs the tool of a language that is not Rust.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::project::Recipe;

/// Where the languages' own package managers put programs, in a project.
const OWN_PROGRAMS: [&str; 2] = [".venv/bin", "node_modules/.bin"];

/// Runs it in the project's folder; `made` is what it is to leave behind.
///
/// # Errors
/// It is not there, or did not end well.
pub fn run(folder: &Path, recipe: &Recipe, made: &Path) -> Result<(), String> {
    // Else what an earlier run left would be taken for this one's.
    match fs::remove_file(made) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(format!("cannot remove {}: {error}", made.display()));
        }
        _ => {}
    }
    if let Some(parent) = made.parent() {
        fs::create_dir_all(parent).map_err(|error| format!("cannot create {}: {error}", parent.display()))?;
    }
    let [program, arguments @ ..] = &recipe.run[..] else { return Err("`run` in build.json is empty".to_owned()) };
    let ended = Command::new(program).args(arguments).current_dir(folder).env("PATH", path(folder)).status();
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{program} ended with {status}; what it said is above")),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(match &recipe.missing {
            Some(missing) => format!("{program} is not there; in {}, run: {missing}", folder.display()),
            None => format!("{program} is neither in the project nor on the path"),
        }),
        Err(error) => Err(format!("cannot run {program}: {error}")),
    }
}

fn path(folder: &Path) -> OsString {
    let own = OWN_PROGRAMS.map(|programs| folder.join(programs));
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let all = own.into_iter().chain(std::env::split_paths(&inherited));
    // A folder with a separator in its name cannot be on a path at all.
    std::env::join_paths(all.collect::<Vec<PathBuf>>()).unwrap_or(inherited)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(run: &[&str]) -> Recipe {
        let run = run.iter().map(|word| (*word).to_owned()).collect();
        Recipe { run, component: "build/x.wasm".to_owned(), missing: Some("pip install it".to_owned()) }
    }

    #[test]
    fn runs_the_projects_own_program_in_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let made = folder.path().join("build/x.wasm");
        let own = folder.path().join(".venv/bin");
        fs::create_dir_all(&own).unwrap();
        fs::write(own.join("make-it"), "#!/bin/sh\necho made > \"$1\"\n").unwrap();
        let mut permissions = fs::metadata(own.join("make-it")).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
        fs::set_permissions(own.join("make-it"), permissions).unwrap();
        run(folder.path(), &recipe(&["make-it", "build/x.wasm"]), &made).unwrap();
        assert_eq!(fs::read_to_string(made).unwrap(), "made\n");
    }

    #[test]
    fn says_what_to_install_and_keeps_nothing_of_an_earlier_run() {
        let folder = tempfile::tempdir().unwrap();
        let made = folder.path().join("build/x.wasm");
        fs::create_dir_all(made.parent().unwrap()).unwrap();
        fs::write(&made, "old").unwrap();
        let error = run(folder.path(), &recipe(&["a-tool-that-nobody-has"]), &made).unwrap_err();
        assert!(error.contains("pip install it"), "{error}");
        assert!(!made.exists());
        assert!(run(folder.path(), &recipe(&["false"]), &made).unwrap_err().contains("ended with"));
    }
}
