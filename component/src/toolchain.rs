//! The compiler's own part in building actions: whether it has the WebAssembly target, and cargo.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub const TARGET: &str = "wasm32-unknown-unknown";

/// A download that takes longer is a network that does not answer.
const INSTALL_TIME: Duration = Duration::from_secs(60);

/// Where the target's standard library comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StandardLibrary {
    Installed,
    /// Built along with the plugins, from the sources in the sysroot.
    FromSource,
}

impl StandardLibrary {
    /// Adds what cargo needs to know.
    pub fn configure(self, cargo: &mut Command) {
        if self == Self::FromSource {
            // A stable compiler builds its own standard library only when told that it may.
            cargo.env("RUSTC_BOOTSTRAP", "1").arg("-Zbuild-std=std,panic_abort");
        }
    }
}

/// Makes sure that the target's standard library can be had: installed, installed now, or built from its sources.
///
/// # Errors
/// Says what to run by hand.
pub fn ensure_target(root: &Path) -> Result<StandardLibrary, String> {
    let sysroot = sysroot(root)?;
    if has_target(&sysroot) {
        return Ok(StandardLibrary::Installed);
    }
    eprintln!("installing the target {TARGET}");
    let problem = match install(root) {
        Ok(()) if has_target(&sysroot) => return Ok(StandardLibrary::Installed),
        Ok(()) => "rustup installed it for another compiler; is `rustc` rustup's?".to_owned(),
        Err(problem) => problem,
    };
    if sysroot.join("lib/rustlib/src/rust/library/std/Cargo.toml").is_file() {
        eprintln!("{problem}; building the standard library for {TARGET} from its sources instead");
        return Ok(StandardLibrary::FromSource);
    }
    Err(format!(
        "the compiler in {} lacks the target {TARGET}, and installing it failed: {problem}\n\
         run `rustup target add {TARGET}`; without rustup, install your system's package of Rust's standard library \
         for {TARGET} (Debian: libstd-rust-dev-wasm32, Fedora: rust-std-static-{TARGET}), or its sources (rust-src)",
        sysroot.display()
    ))
}

/// The cargo that runs this, or the one on the path.
pub fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

fn sysroot(root: &Path) -> Result<PathBuf, String> {
    let output = Command::new("rustc")
        .args(["--print", "sysroot"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cannot run rustc: {error}; install Rust with rustup (https://rustup.rs)"))?;
    if !output.status.success() {
        return Err(format!("rustc --print sysroot: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

/// Whether the libraries themselves are there: an empty directory is left behind by some removals.
fn has_target(sysroot: &Path) -> bool {
    let libraries = std::fs::read_dir(sysroot.join("lib/rustlib").join(TARGET).join("lib"));
    let is_std = |name: &str| name.starts_with("libstd-") && name.ends_with(".rlib");
    libraries.is_ok_and(|all| all.flatten().any(|entry| entry.file_name().to_str().is_some_and(is_std)))
}

fn install(root: &Path) -> Result<(), String> {
    let mut child = Command::new("rustup")
        .args(["target", "add", TARGET])
        .current_dir(root)
        .stdin(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot run rustup: {error}"))?;
    let end = Instant::now() + INSTALL_TIME;
    loop {
        match child.try_wait().map_err(|error| format!("cannot wait for rustup: {error}"))? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(format!("rustup ended with {status}")),
            None if Instant::now() < end => std::thread::sleep(Duration::from_millis(100)),
            None => {
                child.kill().map_err(|error| format!("cannot stop rustup: {error}"))?;
                let _ = child.wait();
                return Err(format!("rustup took more than {} s", INSTALL_TIME.as_secs()));
            }
        }
    }
}
