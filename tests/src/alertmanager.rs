//! A real Alertmanager, from its Go module; building it is `cargo xtask test`'s.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::http;
use crate::ports::Port;
use crate::program::{Program, Running};

/// Later ones lack their built web files.
pub const PROGRAM: Program =
    Program { name: "alertmanager", module: "github.com/prometheus/alertmanager/cmd/alertmanager@v0.31.1" };

const WAIT: Duration = Duration::from_secs(30);

pub struct Alertmanager {
    pub address: SocketAddr,
    _running: Running,
    _port: Port,
    _directory: TempDir,
}

/// One of our own, where this run is to use it; none where the lane was not asked for.
///
/// # Panics
/// When it was asked for and cannot be started.
pub fn start() -> Option<Alertmanager> {
    PROGRAM.where_wanted(Alertmanager::start)
}

impl Alertmanager {
    fn start(port: Port) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("cannot start Alertmanager: {error}");
        let directory = tempfile::tempdir().map_err(failed)?;
        let config = directory.path().join("alertmanager.yml");
        std::fs::write(&config, "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n").map_err(failed)?;
        let address = port.address();
        let arguments = [
            format!("--config.file={}", config.display()),
            format!("--storage.path={}", directory.path().join("data").display()),
            format!("--web.listen-address={address}"),
            // No peers.
            "--cluster.listen-address=".to_owned(),
        ];
        let is_ready = || http::get(address, "/-/ready").is_ok_and(|answer| answer.status == 200);
        let running = PROGRAM.start(directory.path(), |command| _ = command.args(arguments), is_ready)?;
        Ok(Self { address, _running: running, _port: port, _directory: directory })
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
