//! A real registry, from its Go module, and what stands beside one; building it is `cargo xtask test`'s.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::http;
use crate::ports::Port;
use crate::program::{Program, Running};

pub const PROGRAM: Program =
    Program { name: "registry", module: "github.com/distribution/distribution/v3/cmd/registry@v3.1.2" };

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
    pub address: SocketAddr,
    running: Running,
    doors: Doors,
    port: Port,
    directory: TempDir,
}

/// One of our own, where this run is to use it; none where the lane was not asked for.
///
/// # Panics
/// When it was asked for and cannot be started.
pub fn start(doors: &Doors) -> Option<Registry> {
    PROGRAM.where_wanted(|port| Registry::start(port, doors))
}

impl Registry {
    fn start(port: Port, doors: &Doors) -> Result<Self, String> {
        let directory = tempfile::tempdir().map_err(|error| format!("cannot start a registry: {error}"))?;
        let address = port.address();
        let running = launch(directory.path(), address, doors)?;
        Ok(Self { address, running, doors: doors.clone(), port, directory })
    }

    /// Where it keeps what is pushed to it.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Takes it away at once, whatever it is doing.
    pub fn kill(&mut self) {
        self.running.kill();
    }

    /// Starts it again where it was, with what it had.
    ///
    /// # Errors
    /// It does not get ready.
    pub fn restart(&mut self) -> Result<(), String> {
        self.kill();
        self.running = launch(self.directory.path(), self.port.address(), &self.doors)?;
        Ok(())
    }
}

fn launch(directory: &Path, address: SocketAddr, doors: &Doors) -> Result<Running, String> {
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
    let set_up = |command: &mut std::process::Command| {
        // The last: what it would tell to others of itself.
        command.arg("serve").arg(&file).env("OTEL_TRACES_EXPORTER", "none");
    };
    // 400: it would rather be spoken to over TLS.
    let answers = || http::get(address, "/v2/").is_ok_and(|answer| [200, 400, 401].contains(&answer.status));
    PROGRAM.start(directory, set_up, answers)
}
