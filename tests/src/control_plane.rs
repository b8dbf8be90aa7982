//! Where the built control plane is kept: outside of the clone, by what it is made from, so that the next clone on this
//! machine does not build it again. Building is `cargo xtask test`'s.

use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest as _, Sha256};

/// The kubelet's stand-in, as `go install` takes it.
pub const KWOK: &str = "sigs.k8s.io/kwok/cmd/kwok@v0.8.0";
/// The variable that asks for the lane; `cargo xtask test` sets it where it could build what the lane takes.
pub const WANTED: &str = "FALCO_RESPONSE_REAL_CLUSTER";
/// What a lane that could not be run says, in one line.
pub const NOT_RUN: &str = "real cluster lane: NOT RUN (no Go on this machine)";
/// What a lane that nobody asked for says.
pub const NOT_ASKED: &str = "real cluster lane: NOT RUN (cargo xtask test runs it, where there is Go)";

/// Its module.
pub fn source() -> PathBuf {
    crate::root().join("tests/control-plane")
}

/// The directory of the binaries `control-plane` and `kwok`, built or not.
///
/// # Errors
/// Its sources cannot be read, or there is no home to keep it in.
pub fn directory() -> Result<PathBuf, String> {
    kept("control-plane", KWOK, &source(), &["go.mod", "go.sum", "main.go"])
}

/// Where what is made from these files of `source`, and from whatever else `more` says, is kept.
///
/// # Errors
/// A file cannot be read, or there is no home to keep anything in.
pub fn kept(name: &str, more: &str, source: &Path, files: &[&str]) -> Result<PathBuf, String> {
    let mut hash = Sha256::new_with_prefix(more);
    for file in files {
        let file = source.join(file);
        hash.update(std::fs::read(&file).map_err(|error| format!("cannot read {}: {error}", file.display()))?);
    }
    let hex: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Ok(cache()?.join(format!("{name}-{hex}")))
}

/// Where built servers are kept.
///
/// # Errors
/// There is no home to keep them in.
pub fn cache() -> Result<PathBuf, String> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    Ok(cache.ok_or("neither XDG_CACHE_HOME nor HOME says where a cache may be")?.join("falco-response"))
}

/// Whether both binaries are there.
///
/// # Errors
/// As of [`directory`].
pub fn is_built() -> Result<bool, String> {
    let directory = directory()?;
    Ok(["control-plane", "kwok"].iter().all(|name| directory.join(name).is_file()))
}

/// Whether this machine can build it.
pub fn has_go() -> bool {
    Command::new("go").arg("version").output().is_ok_and(|output| output.status.success())
}
