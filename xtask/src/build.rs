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

/// Builds the binary that can be told to break its own rules, beside the other one.
///
/// # Errors
/// It does not build, or cannot be put in its place.
pub fn faulty_controller(root: &Path) -> Result<(), String> {
    let name = "falco-response-controller";
    cargo(root, &["build", "--package", name, "--bin", name, "--features", "falco-response-controller/faults"])?;
    let built = root.join("target/debug").join(name);
    let kept = built.with_file_name(format!("{name}-faults"));
    // A copy, not a link: cargo writes the next binary to the same place.
    let copied = std::fs::remove_file(&kept).or_else(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    });
    copied
        .and_then(|()| std::fs::copy(&built, &kept))
        .map(|_| ())
        .map_err(|error| format!("cannot copy {} to {}: {error}", built.display(), kept.display()))
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
