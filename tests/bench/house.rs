//! A controller to measure: its configuration, its files, and where its log goes.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use integration_tests::controller;
use integration_tests::undertaker::{self, Watched};
use serde_json::Value;

pub const TOKEN: &str = "bench-token-for-loopback-only";
/// The rule that kills.
pub const RULE: &str = "Bench kill";
const READY_WITHIN: Duration = Duration::from_secs(60);
/// The plugins that it has; the others of the repository would only be more to load.
const PLUGINS: [&str; 2] = ["kill_pod", "isolate_namespace"];

/// How to start one. Its directory is there for as long as this is.
pub struct Plan {
    pub directory: tempfile::TempDir,
    pub config: String,
    pub cluster: String,
    /// A core to keep it to.
    pub core: Option<usize>,
    pub journal: Option<PathBuf>,
}

impl Plan {
    /// One live rule that kills, budgets that never trip, and `more` of the configuration.
    pub fn new(cluster: &str, namespace: &str, more: &str) -> Self {
        let per = "{actions: 10000, per: 5m}";
        let config = format!(
            "dryrun: false\nallowed_namespaces: [{namespace}]\nlimits: {{owner: {per}, namespace: {per}, cluster: {per}}}\n\
             rules:\n  - {{name: \"{RULE}\", action: kill_pod, audit_reason: \"a benchmark\"}}\n{more}\n"
        );
        Self { directory: fresh(), config, cluster: cluster.to_owned(), core: None, journal: None }
    }

    pub fn replace(mut self, from: &str, to: &str) -> Self {
        assert!(self.config.contains(from), "{from:?} is not in the configuration");
        self.config = self.config.replacen(from, to, 1);
        self
    }

    pub fn start(&self) -> Result<House, String> {
        House::start(self)
    }
}

/// On the disk of the build, as a journal would be on a disk; what `/tmp` is, nobody knows.
fn fresh() -> tempfile::TempDir {
    let beside = integration_tests::root().join("target/bench");
    fs::create_dir_all(&beside).expect("target can be written");
    tempfile::Builder::new().prefix("round-").tempdir_in(beside).expect("target can be written")
}

/// A running controller. Its log comes as lines, each with the moment at which it was here.
pub struct House {
    process: Child,
    pub address: SocketAddr,
    pub lines: Receiver<(Instant, String)>,
    /// From the start of the process to the line that says `ready`.
    pub ready_after: Duration,
    _watched: Watched,
}

impl House {
    fn start(plan: &Plan) -> Result<Self, String> {
        let directory = plan.directory.path();
        let write = |name: &str, text: &str| {
            let path = directory.join(name);
            fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
            Ok::<_, String>(path)
        };
        let plugins = plugins(directory)?;
        let binary = controller::binary()?;
        let mut command = match plan.core {
            None => Command::new(binary),
            Some(core) => {
                let mut command = Command::new("taskset");
                command.args(["-c", &core.to_string()]).arg(binary);
                command
            }
        };
        command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-format", "json"]);
        command.arg("--config").arg(write("config.yaml", &plan.config)?).arg("--plugins").arg(plugins);
        command.arg("--token-file").arg(write("token", TOKEN)?).args(["--cluster", &plan.cluster]);
        command.arg("--journal").arg(plan.journal.clone().unwrap_or_else(|| directory.join("journal.db")));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let started = Instant::now();
        let mut process = command.spawn().map_err(|error| format!("cannot start the controller: {error}"))?;
        let watched = undertaker::watch(&process)?;
        let lines = lines(&mut process);
        match ready(&lines) {
            Ok((at, address)) => {
                Ok(Self { process, address, lines, ready_after: at.duration_since(started), _watched: watched })
            }
            Err(error) => {
                // It is ours, and of no use.
                let _ = process.kill().and_then(|()| process.wait());
                Err(error)
            }
        }
    }

    /// Resident memory, in megabytes.
    pub fn resident(&self) -> Result<f64, String> {
        let path = format!("/proc/{}/status", self.process.id());
        let text = fs::read_to_string(&path).map_err(|error| format!("cannot read {path}: {error}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        let kibibytes = line.trim().trim_end_matches(" kB").trim().parse::<f64>();
        kibibytes.map(|number| number * 1.024 / 1000.0).map_err(|error| format!("{path} has no VmRSS: {error}"))
    }

    /// When the next line came that has all of these in it.
    pub fn line_with(&self, hints: &[&str]) -> Result<Instant, String> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            let (at, line) = line.map_err(|_| format!("the log never had a line with {hints:?}"))?;
            if hints.iter().all(|hint| line.contains(hint)) {
                return Ok(at);
            }
        }
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // Nothing outlives its row; a process that ended already does not mind.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Those of [`PLUGINS`], in a directory of their own.
fn plugins(directory: &Path) -> Result<PathBuf, String> {
    let (built, own) = (integration_tests::root().join("target/plugins"), directory.join("plugins"));
    fs::create_dir_all(&own).map_err(|error| format!("cannot create {}: {error}", own.display()))?;
    for name in PLUGINS {
        let file = built.join(format!("{name}.wasm"));
        fs::copy(&file, own.join(format!("{name}.wasm")))
            .map_err(|error| format!("cannot copy {}: {error}", file.display()))?;
    }
    Ok(own)
}

fn lines(process: &mut Child) -> Receiver<(Instant, String)> {
    let (sender, receiver) = mpsc::channel();
    if let Some(output) = process.stdout.take() {
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // Nobody listens once the row is over; the pipe is read all the same, so that nothing blocks.
                let _ = sender.send((Instant::now(), line));
            }
        });
    }
    receiver
}

fn ready(lines: &Receiver<(Instant, String)>) -> Result<(Instant, SocketAddr), String> {
    let deadline = Instant::now() + READY_WITHIN;
    let mut said = String::new();
    while let Ok((at, line)) = lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        let parsed: Value = serde_json::from_str(&line).unwrap_or(Value::Null);
        if parsed["message"] == "ready" {
            let listen = parsed["listen"].as_str().and_then(|text| text.parse().ok());
            return listen.map(|address| (at, address)).ok_or_else(|| format!("no address in {line}"));
        }
        said.push_str(&line);
        said.push('\n');
    }
    Err(format!("the controller did not become ready:\n{said}"))
}

/// A kubeconfig for what is at this address, over plain HTTP: a listener that never says a word, where what is measured ends
/// before it, or [`super::api`].
pub fn cluster_at(directory: &Path, address: SocketAddr) -> Result<String, String> {
    let path = directory.join("kubeconfig");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters: [{{name: a, cluster: {{server: \"http://{address}\"}}}}]\n\
         contexts: [{{name: a, context: {{cluster: a, user: a}}}}]\nusers: [{{name: a, user: {{token: x}}}}]\n"
    );
    fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(format!("kubeconfig:{}", path.display()))
}
