//! A real Alertmanager, from its Go module; building it is `cargo xtask test`'s.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::ports::Port;
use crate::undertaker::{self, Watched};
use crate::{control_plane, http};

/// As `go install` takes it; later ones lack their built web files.
pub const MODULE: &str = "github.com/prometheus/alertmanager/cmd/alertmanager@v0.31.1";

const READY_WITHIN: Duration = Duration::from_secs(60);
const WAIT: Duration = Duration::from_secs(30);
/// Another program may take a port between our choice and its start.
const STARTS: u32 = 5;

pub struct Alertmanager {
    process: Child,
    pub address: SocketAddr,
    _port: Port,
    _watched: Watched,
    _directory: TempDir,
}

/// The directory of the binary `alertmanager`, built or not.
///
/// # Errors
/// There is no home to keep it in.
pub fn directory() -> Result<PathBuf, String> {
    let version = MODULE.rsplit('@').next().unwrap_or(MODULE);
    Ok(control_plane::cache()?.join(format!("alertmanager-{version}")))
}

/// # Errors
/// As of [`directory`].
pub fn is_built() -> Result<bool, String> {
    Ok(directory()?.join("alertmanager").is_file())
}

/// One of our own, where this run is to use it; none where the lane was not asked for.
///
/// # Panics
/// When it was asked for and cannot be started: a lane never skips by itself.
pub fn start() -> Option<Alertmanager> {
    std::env::var_os(control_plane::WANTED)?;
    Some(Alertmanager::start().expect("Alertmanager runs; cargo xtask test builds it"))
}

impl Alertmanager {
    /// # Errors
    /// It is not built, or does not get ready.
    pub fn start() -> Result<Self, String> {
        let mut last = String::new();
        for _ in 0..STARTS {
            match Self::try_start() {
                Ok(started) => return Ok(started),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn try_start() -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("cannot start Alertmanager: {error}");
        let directory = tempfile::tempdir().map_err(failed)?;
        let config = directory.path().join("alertmanager.yml");
        std::fs::write(&config, "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n").map_err(failed)?;
        let port = Port::take()?;
        let address = port.address();
        let process = Command::new(self::directory()?.join("alertmanager"))
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            // No peers.
            .arg("--cluster.listen-address=")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let watched = undertaker::watch(&process)?;
        let mut started = Self { process, address, _port: port, _watched: watched, _directory: directory };
        let deadline = Instant::now() + READY_WITHIN;
        while Instant::now() < deadline {
            if http::get(address, "/-/ready").is_ok_and(|answer| answer.status == 200) {
                return Ok(started);
            }
            if let Ok(Some(status)) = started.process.try_wait() {
                return Err(format!("Alertmanager ended at once ({status})"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(format!("Alertmanager is not ready within {} s", READY_WITHIN.as_secs()))
    }

    /// The alerts that fire.
    ///
    /// # Errors
    /// It does not answer.
    pub fn alerts(&self) -> Result<Vec<Value>, String> {
        let answer = http::get(self.address, "/api/v2/alerts?active=true")?;
        serde_json::from_str(&answer.body).map_err(|error| format!("{}: {error}", answer.body))
    }

    /// Waits until what fires is as `wanted`.
    ///
    /// # Errors
    /// It does not come; with what fires instead.
    pub fn until(&self, wanted: impl Fn(&[Value]) -> bool) -> Result<Vec<Value>, String> {
        let deadline = Instant::now() + WAIT;
        loop {
            let alerts = self.alerts()?;
            if wanted(&alerts) {
                return Ok(alerts);
            }
            if Instant::now() > deadline {
                return Err(format!("these fire: {alerts:?}"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        // Nothing outlives its test; a process that ended already does not mind.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
