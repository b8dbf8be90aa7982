//! A real registry, from its Go module, and what stands beside one; building it is `cargo xtask test`'s.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::ports::Port;
use crate::undertaker::{self, Watched};
use crate::{control_plane, http};

/// As `go install` takes it.
pub const MODULE: &str = "github.com/distribution/distribution/v3/cmd/registry@v3.1.2";

const READY_WITHIN: Duration = Duration::from_secs(60);
/// Another program may take a port between our choice and its start.
const STARTS: u32 = 5;

/// Who may do what with it.
#[derive(Debug, Clone)]
pub enum Doors {
    /// Everybody, everything.
    Open,
    /// Whoever knows the password, in htpasswd's bcrypt form: `name:$2y$…`.
    Password(String),
    /// Whoever brings a token from `realm`, signed with a key of this set (a JWKS file).
    Token { realm: String, keys: PathBuf },
    /// Everybody, over TLS.
    Tls { certificate: PathBuf, key: PathBuf },
}

pub struct Registry {
    process: Child,
    pub address: SocketAddr,
    doors: Doors,
    port: Port,
    watched: Option<Watched>,
    directory: TempDir,
}

/// The directory of the binary `registry`, built or not.
///
/// # Errors
/// There is no home to keep it in.
pub fn directory() -> Result<PathBuf, String> {
    let version = MODULE.rsplit('@').next().unwrap_or(MODULE);
    Ok(control_plane::cache()?.join(format!("registry-{version}")))
}

/// # Errors
/// As of [`directory`].
pub fn is_built() -> Result<bool, String> {
    Ok(directory()?.join("registry").is_file())
}

/// One of our own, where this run is to use it; none where the lane was not asked for.
///
/// # Panics
/// When it was asked for and cannot be started: a lane never skips by itself.
pub fn start(doors: &Doors) -> Option<Registry> {
    std::env::var_os(control_plane::WANTED)?;
    Some(Registry::start(doors).expect("the registry runs; cargo xtask test builds it"))
}

impl Registry {
    /// # Errors
    /// It is not built, or does not get ready.
    pub fn start(doors: &Doors) -> Result<Self, String> {
        let mut last = String::new();
        for _ in 0..STARTS {
            let directory = tempfile::tempdir().map_err(|error| format!("cannot start a registry: {error}"))?;
            let port = Port::take()?;
            match launch(directory.path(), port.address(), doors) {
                Ok((process, watched)) => {
                    let (address, watched) = (port.address(), Some(watched));
                    return Ok(Self { process, address, doors: doors.clone(), port, watched, directory });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Where it keeps what is pushed to it.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Takes it away at once, whatever it is doing.
    pub fn kill(&mut self) {
        // One that ended already does not mind.
        let _ = self.process.kill();
        let _ = self.process.wait();
        self.watched = None;
    }

    /// Starts it again where it was, with what it had.
    ///
    /// # Errors
    /// It does not get ready.
    pub fn restart(&mut self) -> Result<(), String> {
        self.kill();
        let (process, watched) = launch(self.directory.path(), self.port.address(), &self.doors)?;
        self.process = process;
        self.watched = Some(watched);
        Ok(())
    }
}

fn launch(directory: &Path, address: SocketAddr, doors: &Doors) -> Result<(Child, Watched), String> {
    let failed = |error: std::io::Error| format!("cannot start a registry: {error}");
    let (mut auth, mut tls) = (String::new(), String::new());
    match doors {
        Doors::Open => {}
        Doors::Tls { certificate, key } => {
            tls = format!(", tls: {{certificate: {}, key: {}}}", certificate.display(), key.display());
        }
        Doors::Password(line) => {
            let file = directory.join("htpasswd");
            std::fs::write(&file, line).map_err(failed)?;
            auth = format!("auth: {{htpasswd: {{realm: tests, path: {}}}}}\n", file.display());
        }
        Doors::Token { realm, keys } => {
            auth = format!(
                "auth: {{token: {{realm: \"{realm}\", service: tests, issuer: tests, jwks: {}, signingalgorithms: [ES256]}}}}\n",
                keys.display()
            );
        }
    }
    let data = directory.join("data");
    let config = format!(
        "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
         http: {{addr: \"{address}\"{tls}}}\n{auth}",
        data.display()
    );
    let file = directory.join("config.yml");
    std::fs::write(&file, config).map_err(failed)?;
    let log = std::fs::File::create(directory.join("log")).map_err(failed)?;
    let mut process = Command::new(self::directory()?.join("registry"))
        .arg("serve")
        .arg(&file)
        // What it would tell to others of itself.
        .env("OTEL_TRACES_EXPORTER", "none")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .map_err(failed)?;
    let watched = undertaker::watch(&process)?;
    let deadline = Instant::now() + READY_WITHIN;
    while Instant::now() < deadline {
        // 400: it would rather be spoken to over TLS.
        if http::get(address, "/v2/").is_ok_and(|answer| [200, 400, 401].contains(&answer.status)) {
            return Ok((process, watched));
        }
        if let Ok(Some(status)) = process.try_wait() {
            let log = std::fs::read_to_string(directory.join("log")).unwrap_or_default();
            return Err(format!("the registry ended at once ({status}): {log}"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    // It is ours, and it is of no use.
    let _ = process.kill();
    let _ = process.wait();
    Err(format!("the registry is not ready within {} s", READY_WITHIN.as_secs()))
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.kill();
    }
}
