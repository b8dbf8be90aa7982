//! Runs cargo for the parts of the workspace that the other tasks need; cargo shows its own progress.

use std::path::Path;
use std::process::Command;

/// Builds the controller's binary.
///
/// # Errors
/// It does not build.
pub fn controller(root: &Path) -> Result<(), String> {
    cargo(root, &["build", "--package", "falco-response-controller", "--bin", "falco-response-controller"])
}

/// Runs cargo with `arguments`, in `root`.
///
/// # Errors
/// It cannot be run, or says no.
pub fn cargo(root: &Path, arguments: &[&str]) -> Result<(), String> {
    let status = Command::new(env!("CARGO")).args(arguments).current_dir(root).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("cargo {} failed ({status})", arguments.join(" "))),
        Err(error) => Err(format!("cannot run cargo: {error}")),
    }
}
