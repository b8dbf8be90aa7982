//! Servers of others that tests run as they are: each from its Go module, which `cargo xtask test` builds once on a machine.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::control_plane;
use crate::ports::Port;
use crate::undertaker::{self, Watched};

const READY_WITHIN: Duration = Duration::from_secs(60);
/// Another program may take a port between our choice and its start.
const STARTS: u32 = 5;

/// A program by the name of its binary.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    pub name: &'static str,
    /// As `go install` takes it, with its version.
    pub module: &'static str,
}

impl Program {
    /// Where its binary is, built or not.
    ///
    /// # Errors
    /// There is no home to keep it in.
    pub fn directory(&self) -> Result<PathBuf, String> {
        let version = self.module.rsplit('@').next().unwrap_or(self.module);
        Ok(control_plane::cache()?.join(format!("{}-{version}", self.name)))
    }

    /// # Errors
    /// As of [`Self::directory`].
    pub fn is_built(&self) -> Result<bool, String> {
        Ok(self.directory()?.join(self.name).is_file())
    }

    /// What `start` makes of a port of its own, where this run is to use such programs; none where the lane was not asked for.
    ///
    /// # Panics
    /// When it was asked for and cannot be started: a lane never skips by itself.
    pub fn where_wanted<T>(&self, start: impl Fn(Port) -> Result<T, String>) -> Option<T> {
        std::env::var_os(control_plane::WANTED)?;
        let mut last = String::new();
        for _ in 0..STARTS {
            match Port::take().and_then(&start) {
                Ok(started) => return Some(started),
                Err(error) => last = error,
            }
        }
        panic!("{} does not run, and cargo xtask test builds it: {last}", self.name)
    }

    /// Starts it, and waits until it `answers`. What it says goes to a file `log` in `directory`.
    ///
    /// # Errors
    /// It is not built, ends, or does not answer.
    pub fn start(
        &self,
        directory: &Path,
        set_up: impl FnOnce(&mut Command),
        answers: impl Fn() -> bool,
    ) -> Result<Running, String> {
        let name = self.name;
        let failed = |error: std::io::Error| format!("cannot start {name}: {error}");
        let log = directory.join("log");
        let (out, errors) = File::create(&log).and_then(|file| Ok((file.try_clone()?, file))).map_err(failed)?;
        let mut command = Command::new(self.directory()?.join(name));
        set_up(&mut command);
        let process = command.stdin(Stdio::null()).stdout(out).stderr(errors).spawn().map_err(failed)?;
        let watched = Some(undertaker::watch(&process)?);
        let mut running = Running { process, watched };
        let deadline = Instant::now() + READY_WITHIN;
        while Instant::now() < deadline {
            if answers() {
                return Ok(running);
            }
            if let Ok(Some(status)) = running.process.try_wait() {
                let said = fs::read_to_string(&log).unwrap_or_default();
                return Err(format!("{name} ended at once ({status}): {said}"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(format!("{name} is not ready within {} s", READY_WITHIN.as_secs()))
    }
}

/// It ends when this is dropped, or with the test's process.
#[derive(Debug)]
pub struct Running {
    process: Child,
    watched: Option<Watched>,
}

impl Running {
    /// Takes it away at once, whatever it is doing.
    pub fn kill(&mut self) {
        // One that ended already does not mind.
        let _ = self.process.kill();
        let _ = self.process.wait();
        self.watched = None;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}
