//! From the projects of a language to components. One is made again when anything changed that it is made from: its files,
//! the contract, or the controller, whose `plugin build` makes it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use integration_tests::controller::binary;
use integration_tests::languages::Language;
use integration_tests::root;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

const STUB: &str = "--stub-wasi";
/// What `plugin new` is asked for.
const NEW: &str = "quarantine-pod";
/// What building leaves in a project.
const LEFT: [&str; 3] = ["build", "__pycache__", "node_modules"];

/// Makes all that the tests of a language take, and prints each with its size and time.
///
/// # Errors
/// Says which project failed at what.
pub fn components(language: Language, programs: &Path) -> Result<(), String> {
    let maker = Maker { controller: binary()?, path: path(programs)?, output: language.components() };
    fs::create_dir_all(&maker.output).map_err(|error| format!("cannot create {}: {error}", maker.output.display()))?;
    let example = language.example();
    maker.make(&example, "label_pod.wasm", |output| maker.build(&example, output))?;
    let hostile = language.hostile();
    maker.make(&hostile, &format!("hostile_{}.wasm", language.id()), |output| maker.build(&hostile, output))?;
    maker.make(&example, "unstubbed.wasm", |output| maker.unstubbed(&example, output))?;
    let new = maker.new_project(language)?;
    maker.make(&new, "new.wasm", |output| maker.build(&new, output))
}

struct Maker {
    controller: PathBuf,
    path: OsString,
    output: PathBuf,
}

impl Maker {
    fn make(&self, project: &Path, name: &str, make: impl FnOnce(&Path) -> Result<(), String>) -> Result<(), String> {
        let (output, made_from) = (self.output.join(name), self.output.join(name).with_extension("made-from"));
        let digest = self.digest(project)?;
        let kept = output.is_file() && fs::read_to_string(&made_from).is_ok_and(|found| found == digest);
        let started = Instant::now();
        if !kept {
            make(&output).map_err(|problem| format!("{}: {problem}", project.display()))?;
            fs::write(&made_from, digest).map_err(|error| format!("cannot write {}: {error}", made_from.display()))?;
        }
        let size = fs::metadata(&output).map_err(|error| format!("{}: {error}", output.display()))?.len();
        let took = if kept { "kept".to_owned() } else { format!("{:.1} s", started.elapsed().as_secs_f64()) };
        let shown = output.strip_prefix(root()).unwrap_or(&output);
        println!("{:<52} {size:>9} bytes  {took:>7}", shown.display());
        Ok(())
    }

    fn build(&self, project: &Path, output: &Path) -> Result<(), String> {
        let mut command = Command::new(&self.controller);
        command.args(["plugin", "build"]).arg(project).arg("--output").arg(output);
        self.run(&mut command)
    }

    /// What comes of a project whose author did not read the guide.
    fn unstubbed(&self, project: &Path, output: &Path) -> Result<(), String> {
        let text = fs::read_to_string(project.join("build.json")).map_err(|error| format!("build.json: {error}"))?;
        let recipe: Value = serde_json::from_str(&text).map_err(|error| format!("build.json: {error}"))?;
        let words = recipe["run"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let words: Vec<&str> = words.filter(|word| *word != STUB).collect();
        let made = recipe["component"].as_str().ok_or("build.json names no component")?;
        let (program, arguments) = words.split_first().ok_or("build.json runs nothing")?;
        self.run(Command::new(program).args(arguments).current_dir(project))?;
        fs::rename(project.join(made), output).map_err(|error| format!("cannot move {made}: {error}"))
    }

    /// As `plugin new` makes it today.
    fn new_project(&self, language: Language) -> Result<PathBuf, String> {
        let folder = self.output.join("new");
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(format!("cannot remove {}: {error}", folder.display()));
            }
            _ => {}
        }
        fs::create_dir_all(&folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
        let mut command = Command::new(&self.controller);
        self.run(command.args(["plugin", "new", NEW, "--lang", language.id()]).current_dir(&folder))?;
        Ok(folder.join(NEW))
    }

    /// What the tool says is shown only where it failed.
    fn run(&self, command: &mut Command) -> Result<(), String> {
        let line = format!("{command:?}");
        let output = command.env("PATH", &self.path).output().map_err(|error| format!("cannot run {line}: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        Err(format!("{line} ended with {}\n{}", output.status, said.trim_end()))
    }

    fn digest(&self, project: &Path) -> Result<String, String> {
        let mut files = vec![self.controller.clone()];
        collect(&root().join("wit"), &mut files)?;
        collect(project, &mut files)?;
        let mut hash = Sha256::new();
        for file in files {
            hash.update(file.as_os_str().as_encoded_bytes());
            hash.update(fs::read(&file).map_err(|error| format!("cannot read {}: {error}", file.display()))?);
        }
        Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// The files below a folder, in order, without what building leaves there.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot list {}: {error}", folder.display());
    let entries = fs::read_dir(folder).map_err(failed)?;
    let mut paths =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    paths.sort();
    for path in paths {
        let left = path.file_name().is_some_and(|name| LEFT.iter().any(|left| name == *left));
        if path.is_dir() && !left {
            collect(&path, files)?;
        } else if path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

/// The tools in front of everything else.
fn path(programs: &Path) -> Result<OsString, String> {
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(programs.to_owned()).chain(std::env::split_paths(&inherited));
    std::env::join_paths(all).map_err(|error| format!("{} cannot be on the path: {error}", programs.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_building_leaves_is_not_what_it_is_made_from() {
        let folder = tempfile::tempdir().unwrap();
        for (directory, file) in
            [("", "action.py"), ("build", "action.wasm"), ("cases", "a.yaml"), ("__pycache__", "x")]
        {
            let directory = folder.path().join(directory);
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join(file), "").unwrap();
        }
        let mut files = Vec::new();
        collect(folder.path(), &mut files).unwrap();
        let names: Vec<_> = files.iter().map(|file| file.strip_prefix(folder.path()).unwrap().to_owned()).collect();
        assert_eq!(names, [PathBuf::from("action.py"), PathBuf::from("cases/a.yaml")]);
    }
}
