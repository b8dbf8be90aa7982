//! Runs cargo for the parts of the workspace that the other tasks need; cargo shows its own progress.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use integration_tests::controller::FAULTS;
use serde_json::Value;

/// Of the whole workspace and with a test, as the tests are: what it depends on then has the same features in both, and is
/// compiled once.
const BUILD: [&str; 6] = ["build", "--workspace", "--bin", "falco-response-controller", "--test", "suite"];

/// Builds the controller's binary.
///
/// # Errors
/// It does not build.
pub fn controller(root: &Path) -> Result<(), String> {
    cargo(root, &BUILD)
}

/// Builds the controller that has faults on purpose, for tests, and puts it beside the other; to be called before
/// [`controller`], since cargo calls both by one name.
///
/// # Errors
/// It does not build, or cannot be copied.
pub fn faults(root: &Path) -> Result<(), String> {
    cargo(root, &[&BUILD[..], &["--features", "falco-response-controller/faults"]].concat())?;
    let built = root.join("target/debug/falco-response-controller");
    let (kept, draft) = (built.with_file_name(FAULTS), built.with_file_name(format!("{FAULTS}.new")));
    // Not over a binary that may be running.
    std::fs::copy(&built, &draft)
        .and_then(|_| std::fs::rename(&draft, &kept))
        .map_err(|error| format!("cannot copy {} to {}: {error}", built.display(), kept.display()))
}

/// Builds one more program as the tests are built, so that little is compiled for it, and answers where it is.
///
/// # Errors
/// As of [`program`].
pub fn beside_the_tests(root: &Path, bench: &str) -> Result<PathBuf, String> {
    program(root, &[&BUILD[..], &["--bench", bench]].concat(), bench)
}

/// Builds targets, and answers with the program of this name among them.
///
/// # Errors
/// It does not build, or there is none of that name.
pub fn program(root: &Path, arguments: &[&str], name: &str) -> Result<PathBuf, String> {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo {} failed ({})", arguments.join(" "), output.status));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let mut messages = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let program = messages.find_map(|message| {
        let is_it = message["reason"] == "compiler-artifact" && message["target"]["name"] == name;
        message["executable"].as_str().filter(|_| is_it).map(PathBuf::from)
    });
    program.ok_or_else(|| format!("cargo {} made no program {name}", arguments.join(" ")))
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
