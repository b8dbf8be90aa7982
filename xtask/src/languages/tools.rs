//! The tools of a language, from its package registry: pinned by the files of its example, and kept outside of the clone, so
//! that the next clone on this machine does not install them again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use integration_tests::control_plane::kept;
use integration_tests::languages::Language;

/// A download that takes longer is a network that does not answer.
const INSTALL_TIME: Duration = Duration::from_secs(240);
/// Written last: an installation that was aborted has none.
const DONE: &str = "installed";

/// Installs them unless they are there. Answers with the folder of their programs, for the path.
///
/// # Errors
/// Why they cannot be had, in one line.
pub fn ensure(language: Language) -> Result<PathBuf, String> {
    let (source, pins) = (language.example(), pins(language));
    let folder = kept(language.id(), "", &source, pins)?;
    let programs = match language {
        Language::Python => folder.join("bin"),
        Language::JavaScript => folder.join("node_modules/.bin"),
    };
    if folder.join(DONE).is_file() {
        return Ok(programs);
    }
    println!("installing the tools for {} into {}", language.name(), folder.display());
    let cannot = |what: &str, error: std::io::Error| format!("cannot {what} {}: {error}", folder.display());
    // Not made elsewhere and moved into place: a virtual environment knows its own path.
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| cannot("remove", error))?;
    }
    fs::create_dir_all(&folder).map_err(|error| cannot("create", error))?;
    for pin in pins {
        fs::copy(source.join(pin), folder.join(pin)).map_err(|error| cannot("fill", error))?;
    }
    for command in commands(language) {
        run(&folder, command)?;
    }
    fs::write(folder.join(DONE), "").map_err(|error| cannot("fill", error))?;
    Ok(programs)
}

fn pins(language: Language) -> &'static [&'static str] {
    match language {
        Language::Python => &["requirements.txt"],
        Language::JavaScript => &["package.json", "package-lock.json"],
    }
}

/// What a person would run, in a folder that holds the pins.
fn commands(language: Language) -> &'static [&'static [&'static str]] {
    match language {
        Language::Python => &[
            &["python3", "-m", "venv", "."],
            &["bin/pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", "requirements.txt"],
        ],
        Language::JavaScript => &[&["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"]],
    }
}

fn run(folder: &Path, command: &[&str]) -> Result<(), String> {
    let line = command.join(" ");
    let program = if command[0].contains('/') { folder.join(command[0]) } else { command[0].into() };
    let mut child = Command::new(program)
        .args(&command[1..])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot run {line}: {error}"))?;
    let end = Instant::now() + INSTALL_TIME;
    loop {
        match child.try_wait().map_err(|error| format!("cannot wait for {line}: {error}"))? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(format!("{line} ended with {status}")),
            None if Instant::now() < end => std::thread::sleep(Duration::from_millis(100)),
            None => {
                child.kill().map_err(|error| format!("cannot stop {line}: {error}"))?;
                let _ = child.wait();
                return Err(format!("{line} took more than {} s", INSTALL_TIME.as_secs()));
            }
        }
    }
}
