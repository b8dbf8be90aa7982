//! Builds the real control plane that the tests run against, once on this machine for each version of it.

use std::path::Path;
use std::process::Command;

use integration_tests::cluster::Cluster;
use integration_tests::control_plane::{KWOK, NOT_RUN, directory, has_go, is_built, source};

use crate::{Outcome, kept};

/// The version that the API server says it is; it must be that of go.mod's `k8s.io/kubernetes`.
const VERSION: &str = "-X k8s.io/component-base/version.gitVersion=";
const KUBERNETES: &str = "k8s.io/kubernetes ";

/// Builds it unless it is there. Answers whether it is there now: without Go it cannot be built.
///
/// # Errors
/// It does not build.
pub fn ensure() -> Result<bool, String> {
    if is_built()? {
        return Ok(true);
    }
    if !has_go() {
        return Ok(false);
    }
    let (kept, source) = (directory()?, source());
    let version = version(&source.join("go.mod"))?;
    let says = format!("building Kubernetes into {}: some 10 minutes, once", kept.display());
    kept::build(&kept, &says, is_built, |fresh| {
        let (flags, output) = (format!("-s -w {VERSION}{version}"), fresh.join("control-plane"));
        go(&source, fresh, &["build", "-ldflags", &flags, "-o", &output.display().to_string(), "."])?;
        go(&source, fresh, &["install", "-ldflags", "-s -w", KWOK])
    })?;
    Ok(true)
}

/// Keeps one running for a person; it ends with this process.
///
/// # Errors
/// It cannot be built or started.
pub fn keep() -> Result<Outcome, String> {
    if !ensure()? {
        return Err(NOT_RUN.to_owned());
    }
    let cluster = Cluster::start()?;
    println!("kubeconfig  {}", cluster.kubeconfig().display());
    println!("plain HTTP  http://{}/  (as the administrator)", cluster.proxy);
    println!("logs        {}", cluster.directory().display());
    println!("It runs until Ctrl-C.");
    loop {
        std::thread::park();
    }
}

fn version(module: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(module).map_err(|error| format!("cannot read {}: {error}", module.display()))?;
    let found = text.lines().find_map(|line| line.trim().trim_start_matches("require ").strip_prefix(KUBERNETES));
    found.map(str::to_owned).ok_or_else(|| format!("{} does not require k8s.io/kubernetes", module.display()))
}

/// Runs Go in `source`; what it installs goes to `binaries`.
///
/// # Errors
/// It cannot be run, or says no.
pub fn go(source: &Path, binaries: &Path, arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new("go");
    command.args(arguments).current_dir(source).env("CGO_ENABLED", "0").env("GOBIN", binaries);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("go {} failed ({status})", arguments.join(" "))),
        Err(error) => Err(format!("cannot run go: {error}")),
    }
}
