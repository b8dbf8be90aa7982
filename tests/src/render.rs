//! Helm's and Kustomize's own rendering, as a small Go program of ours (`deploy/render`). It is kept where the control
//! plane is; building it is `cargo xtask deploy`'s.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::control_plane::kept;

/// What `helm install` is told in the runbook.
const RELEASE: &str = "falco-response-controller";
const NAMESPACE: &str = "falco";

/// Its module.
pub fn source() -> PathBuf {
    crate::root().join("deploy/render")
}

/// The binary, built or not.
///
/// # Errors
/// Its sources cannot be read, or there is no home to keep it in.
pub fn binary() -> Result<PathBuf, String> {
    Ok(kept("render", "", &source(), &["go.mod", "go.sum", "main.go"])?.join("render"))
}

/// What `helm template` prints for the chart with these files of values, of which later ones win; without NOTES.txt.
///
/// # Errors
/// The renderer is not built, or refuses: its own words.
pub fn template(values: &[&Path]) -> Result<String, String> {
    chart("template", values)
}

/// NOTES.txt, as `helm install` prints it.
///
/// # Errors
/// As of [`template`].
pub fn notes(values: &[&Path]) -> Result<String, String> {
    chart("notes", values)
}

fn chart(what: &str, values: &[&Path]) -> Result<String, String> {
    let chart = crate::root().join("deploy/chart");
    let mut arguments = vec![what.as_ref(), chart.as_os_str(), RELEASE.as_ref(), NAMESPACE.as_ref()];
    arguments.extend(values.iter().map(|path| path.as_os_str()));
    run(&arguments)
}

/// What `kubectl kustomize DIRECTORY` prints.
///
/// # Errors
/// The renderer is not built, or refuses: its own words.
pub fn kustomize(directory: &Path) -> Result<String, String> {
    run(&["kustomize".as_ref(), directory.as_os_str()])
}

fn run(arguments: &[&OsStr]) -> Result<String, String> {
    let binary = binary()?;
    if !binary.is_file() {
        return Err(format!("{} is not built: run cargo xtask deploy", binary.display()));
    }
    let output = Command::new(&binary).args(arguments).output();
    let output = output.map_err(|error| format!("cannot run {}: {error}", binary.display()))?;
    if output.status.success() {
        String::from_utf8(output.stdout).map_err(|_| "the renderer printed what is not UTF-8".to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}
