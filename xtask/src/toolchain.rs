//! The compiler's own part in building plugins: whether it has the WebAssembly target, and cargo.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

pub const TARGET: &str = "wasm32-unknown-unknown";

/// A download that takes longer is a network that does not answer.
const INSTALL_TIME: Duration = Duration::from_secs(60);

/// Makes sure that the compiler has the target, installing it where rustup can.
///
/// # Errors
/// Says what to run by hand.
pub fn ensure_target(root: &Path) -> Result<(), String> {
    let sysroot = sysroot(root)?;
    if has_target(&sysroot) {
        return Ok(());
    }
    println!("installing the target {TARGET}");
    install(root).map_err(|problem| {
        format!(
            "the compiler in {} lacks the target {TARGET}, and installing it failed: {problem}\n\
             run `rustup target add {TARGET}`; without rustup, install your system's package of Rust's standard library \
             for {TARGET} (Debian: libstd-rust-dev-wasm32, Fedora: rust-std-static-{TARGET})",
            sysroot.display()
        )
    })?;
    if has_target(&sysroot) {
        Ok(())
    } else {
        Err(format!(
            "rustup installed the target {TARGET} for another compiler than the one in {}; is `rustc` rustup's?",
            sysroot.display()
        ))
    }
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
        .map_err(|error| format!("cannot run rustc: {error}"))?;
    if !output.status.success() {
        return Err(format!("rustc --print sysroot: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

fn has_target(sysroot: &Path) -> bool {
    sysroot.join("lib/rustlib").join(TARGET).join("lib").is_dir()
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
