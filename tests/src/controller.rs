//! The controller as a process of its own, seen through its sockets and its log.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::undertaker::{self, Watched};

// A debug build compiles plugins when it starts, and a machine may be slow.
const READY_WITHIN: Duration = Duration::from_secs(180);
const STOPS_WITHIN: Duration = Duration::from_secs(40);

/// The built binary: `FALCO_RESPONSE_CONTROLLER`, or what `cargo build` made.
///
/// # Errors
/// It is not there; `cargo xtask test` builds it.
pub fn binary() -> Result<PathBuf, String> {
    let path = match std::env::var_os("FALCO_RESPONSE_CONTROLLER") {
        Some(path) => path.into(),
        None => crate::root().join("target/debug/falco-response-controller"),
    };
    if path.exists() { Ok(path) } else { Err(format!("{} is not built: run cargo xtask test", path.display())) }
}

/// The name of the binary that has faults on purpose.
pub const FAULTS: &str = "falco-response-controller-faults";

/// The controller that has faults on purpose; the variable `FAULT` says which.
///
/// # Errors
/// It is not there; `cargo xtask test` builds it.
pub fn faulty_binary() -> Result<PathBuf, String> {
    let path = crate::root().join("target/debug").join(FAULTS);
    if path.exists() { Ok(path) } else { Err(format!("{} is not built: run cargo xtask test", path.display())) }
}

/// How to start it. Everything that it writes lies in `directory`.
#[derive(Debug, Clone)]
pub struct Setup {
    pub directory: PathBuf,
    pub config: PathBuf,
    pub plugins: PathBuf,
    pub token_file: PathBuf,
    /// `--cluster`
    pub cluster: String,
    /// With `FAULT` in it, the binary that has faults is started.
    pub environment: Vec<(String, String)>,
}

pub struct Controller {
    process: Child,
    log: PathBuf,
    pub address: SocketAddr,
    pub admin_address: SocketAddr,
    _watched: Watched,
}

impl Controller {
    /// # Errors
    /// It does not start, or is not ready in time.
    pub fn start(setup: &Setup) -> Result<Self, String> {
        let faulty = setup.environment.iter().any(|(name, _)| name == "FAULT");
        let mut command = Command::new(if faulty { faulty_binary()? } else { binary()? });
        command
            .arg("serve")
            .arg("--config")
            .arg(&setup.config)
            .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-format", "json"])
            .arg("--plugins")
            .arg(&setup.plugins)
            .arg("--journal")
            .arg(setup.directory.join("journal.db"))
            .arg("--token-file")
            .arg(&setup.token_file)
            .arg("--cluster")
            .arg(&setup.cluster)
            .envs(setup.environment.iter().cloned());
        Self::launch(command, setup.directory.join("controller.log"))
    }

    /// Starts one by a command of the caller's, which logs JSON.
    ///
    /// # Errors
    /// It does not start, or is not ready in time.
    pub fn launch(mut command: Command, log: PathBuf) -> Result<Self, String> {
        // A second start in the same directory is a restart: its log is its own.
        let file = std::fs::File::create(&log).map_err(|error| format!("cannot create {}: {error}", log.display()))?;
        let errors = file.try_clone().map_err(|error| format!("cannot use {}: {error}", log.display()))?;
        let mut process = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            .spawn()
            .map_err(|error| format!("cannot start the controller: {error}"))?;
        let watched = undertaker::watch(&process);
        match watched.and_then(|watched| ready(&mut process, &log).map(|addresses| (watched, addresses))) {
            Ok((watched, (address, admin_address))) => {
                Ok(Self { process, log, address, admin_address, _watched: watched })
            }
            Err(error) => {
                // It is ours, and it is of no use.
                let _ = process.kill();
                let _ = process.wait();
                Err(error)
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Where the log is, for a person.
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// The log so far, as it was printed.
    pub fn text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The log so far: the lines that are JSON objects.
    pub fn lines(&self) -> Vec<Value> {
        self.text().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The first line after the first `from` that `wanted` likes; none within `within`.
    pub fn wait_for(&self, from: usize, within: Duration, wanted: impl Fn(&Value) -> bool) -> Option<Value> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(line) = self.lines().into_iter().skip(from).find(&wanted) {
                return Some(line);
            }
            if Instant::now() > deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends a signal, by name as `kill` takes it: `TERM`, `KILL`.
    ///
    /// # Errors
    /// `kill` cannot be run.
    pub fn signal(&self, name: &str) -> Result<(), String> {
        let arguments = [format!("-{name}"), self.process.id().to_string()];
        Command::new("kill")
            .args(arguments)
            .status()
            .map(|_| ())
            .map_err(|error| format!("cannot signal the controller: {error}"))
    }

    /// Ends it as Kubernetes does, and answers with its exit code.
    ///
    /// # Errors
    /// It does not end in time.
    pub fn terminate(mut self) -> Result<Option<i32>, String> {
        self.signal("TERM")?;
        let deadline = Instant::now() + STOPS_WITHIN;
        loop {
            match self.process.try_wait() {
                Ok(Some(status)) => return Ok(status.code()),
                Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
                Ok(None) => {
                    return Err(format!("the controller did not end within {} s of SIGTERM", STOPS_WITHIN.as_secs()));
                }
                Err(error) => return Err(format!("cannot wait for the controller: {error}")),
            }
        }
    }

    /// Ends it with SIGKILL and waits until it is gone.
    ///
    /// # Errors
    /// It cannot be killed.
    pub fn kill(mut self) -> Result<(), String> {
        self.process
            .kill()
            .and_then(|()| self.process.wait())
            .map(|_| ())
            .map_err(|error| format!("cannot kill the controller: {error}"))
    }

    /// Prints the log as it grows, until the controller ends.
    ///
    /// # Errors
    /// The controller cannot be waited for.
    pub fn follow(&mut self) -> Result<(), String> {
        let mut shown = 0;
        loop {
            let text = self.text();
            let whole = text.rfind('\n').map_or(0, |end| end + 1);
            if whole > shown {
                print!("{}", &text[shown..whole]);
                shown = whole;
            }
            if self.process.try_wait().map_err(|error| format!("cannot wait for the controller: {error}"))?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        // Nothing outlives its test; a process that ended already does not mind.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn ready(process: &mut Child, log: &Path) -> Result<(SocketAddr, SocketAddr), String> {
    let deadline = Instant::now() + READY_WITHIN;
    while Instant::now() < deadline {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let line = lines.find(|line| line.get("message").and_then(Value::as_str) == Some("ready"));
        let address = |key: &str| line.as_ref().and_then(|line| line.get(key)?.as_str()?.parse().ok());
        if let (Some(address), Some(admin)) = (address("listen"), address("admin_listen")) {
            return Ok((address, admin));
        }
        if let Ok(Some(status)) = process.try_wait() {
            return Err(format!("the controller ended at once ({status}):\n{text}"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(format!("the controller was not ready within {} s; see {}", READY_WITHIN.as_secs(), log.display()))
}
