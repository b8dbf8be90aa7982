//! A real Kubernetes control plane on loopback: etcd, API server, controller manager and scheduler, and kwok in the
//! kubelet's place. Nothing runs in its pods.
//!
//! It ends with the process that started it, however that ends ([`crate::undertaker`]). A test binary's statics are never
//! dropped, so this is also how an ordinary run ends.

use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::ports::Port;
use crate::undertaker::{self, Watched};
use crate::{control_plane, http};

const READY_WITHIN: Duration = Duration::from_secs(120);
const SETTLES_WITHIN: Duration = Duration::from_secs(30);
/// A stranger may take a port between our choice and a part's start.
const STARTS: u32 = 3;

pub struct Cluster {
    directory: PathBuf,
    binaries: PathBuf,
    parts: Vec<Part>,
    ports: Ports,
    /// The administrator's. No other cluster knows it, so one that answers to it is this.
    token: String,
    /// The API server over plain HTTP, as the administrator.
    pub proxy: SocketAddr,
}

struct Part {
    name: String,
    process: Child,
    _watched: Watched,
}

struct Ports {
    etcd: Port,
    peer: Port,
    api: Port,
    manager: Port,
    scheduler: Port,
    kubelet: Port,
    proxy: Port,
}

impl Ports {
    fn take() -> Result<Self, String> {
        Ok(Self {
            etcd: Port::take()?,
            peer: Port::take()?,
            api: Port::take()?,
            manager: Port::take()?,
            scheduler: Port::take()?,
            kubelet: Port::take()?,
            proxy: Port::take()?,
        })
    }
}

impl Cluster {
    /// Starts one with a node that is ready.
    ///
    /// # Errors
    /// It is not built, does not start, or is not ready in time.
    pub fn start() -> Result<Self, String> {
        let binaries = control_plane::directory()?;
        if !control_plane::is_built()? {
            return Err(format!("{} lacks the control plane: run cargo xtask test", binaries.display()));
        }
        let mut last = String::new();
        for _ in 0..STARTS {
            match Self::try_start(&binaries) {
                Ok(cluster) => return Ok(cluster),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn try_start(binaries: &Path) -> Result<Self, String> {
        let directory = tempfile::Builder::new().prefix("control-plane-").tempdir();
        let directory = directory.map_err(|error| format!("cannot create a directory: {error}"))?.keep();
        undertaker::remove_at_the_end(&directory)?;
        let token = format!("admin-of-{}", directory.file_name().unwrap_or_default().display());
        let ports = Ports::take()?;
        let proxy = ports.proxy.address();
        let mut cluster = Self { directory, binaries: binaries.to_owned(), parts: Vec::new(), ports, token, proxy };
        cluster.write("tokens.csv", &format!("{},admin,admin-uid,\"system:masters\"\n", cluster.token))?;
        cluster.run("key", &[&cluster.path("sa.key")])?;
        cluster.finish("key")?;
        let (client, peer) = (cluster.ports.etcd.number.to_string(), cluster.ports.peer.number.to_string());
        cluster.run("etcd", &[&cluster.path("etcd.d"), &client, &peer])?;
        cluster.start_api_server()?;
        let (own, api) = (cluster.ports.proxy.number.to_string(), cluster.ports.api.number.to_string());
        cluster.run("proxy", &[&own, &api, &cluster.token.clone()])?;
        cluster.wait(
            "the API server",
            READY_WITHIN,
            |cluster| matches!(http::get(cluster.proxy, "/readyz"), Ok(answer) if answer.status == 200),
        )?;
        let authority = cluster.path("certificates/apiserver.crt");
        let config = kubeconfig(&cluster.server(), &authority, &cluster.token);
        cluster.write("kubeconfig", &config)?;
        cluster.start_the_rest()?;
        cluster.create("/api/v1/nodes", &node())?;
        cluster.create("/api/v1/nodes", &silent_node())?;
        cluster.wait("the node", READY_WITHIN, |cluster| {
            cluster.get("/api/v1/nodes/node-1").is_ok_and(|node| {
                node["status"]["conditions"].to_string().contains("KubeletReady") && node["spec"]["taints"].is_null()
            })
        })?;
        cluster.wait("the default namespace", READY_WITHIN, |cluster| {
            cluster.get("/api/v1/namespaces/default/serviceaccounts/default").is_ok()
        })?;
        Ok(cluster)
    }

    fn start_api_server(&mut self) -> Result<(), String> {
        let key = self.path("sa.key");
        let (port, etcd) = (self.ports.api.number, self.ports.etcd.number);
        let arguments = [
            format!("--etcd-servers=http://127.0.0.1:{etcd}"),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={port}"),
            format!("--cert-dir={}", self.path("certificates")),
            format!("--token-auth-file={}", self.path("tokens.csv")),
            "--authorization-mode=RBAC".to_owned(),
            format!("--service-account-key-file={key}"),
            format!("--service-account-signing-key-file={key}"),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
            "--allow-privileged=true".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            "--endpoint-reconciler-type=none".to_owned(),
        ];
        self.run("kube-apiserver", &arguments.each_ref().map(String::as_str))
    }

    fn start_the_rest(&mut self) -> Result<(), String> {
        let [manager, scheduler, kubelet] =
            [&self.ports.manager, &self.ports.scheduler, &self.ports.kubelet].map(|port| port.number);
        let kubeconfig = format!("--kubeconfig={}", self.path("kubeconfig"));
        let common = [&kubeconfig, "--leader-elect=false", "--bind-address=127.0.0.1"];
        let (port, key) = (format!("--secure-port={manager}"), self.path("sa.key"));
        let certificates = format!("--cert-dir={}", self.path("manager.d"));
        let key = format!("--service-account-private-key-file={key}");
        // No kubelet sends heartbeats: without them every pod would be marked as not ready, after the time that is given here.
        let patience = ["--node-monitor-grace-period=24h", "--node-startup-grace-period=24h"];
        let more = ["--use-service-account-credentials=false", &key, &port, &certificates, patience[0], patience[1]];
        self.run("kube-controller-manager", &[&common[..], &more].concat())?;
        let (port, certificates) =
            (format!("--secure-port={scheduler}"), format!("--cert-dir={}", self.path("scheduler.d")));
        self.run("kube-scheduler", &[&common[..], &[&port, &certificates]].concat())?;
        let stages = control_plane::source().join("kubelet.yaml");
        let (address, stages) =
            (format!("--server-address=127.0.0.1:{kubelet}"), format!("--config={}", stages.display()));
        self.run("kwok", &[&kubeconfig, "--manage-nodes-with-label-selector=kubelet=kwok", &address, &stages])
    }

    /// Starts one part; its output goes to a file of its name.
    fn run(&mut self, part: &str, arguments: &[&str]) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("cannot start {part}: {error}");
        let mut command = if part == "kwok" {
            Command::new(self.binaries.join("kwok"))
        } else {
            let mut command = Command::new(self.binaries.join("control-plane"));
            command.arg(part);
            command
        };
        let log = File::create(self.directory.join(format!("{part}.log"))).map_err(failed)?;
        let errors = log.try_clone().map_err(failed)?;
        let command = command.args(arguments).current_dir(&self.directory).env("HOME", &self.directory);
        let mut process = command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn().map_err(failed)?;
        match undertaker::watch(&process) {
            Ok(watched) => self.parts.push(Part { name: part.to_owned(), process, _watched: watched }),
            Err(error) => {
                // It is ours, and nobody would end it.
                let _ = process.kill().and_then(|()| process.wait());
                return Err(error);
            }
        }
        Ok(())
    }

    /// Waits for the part that was started last, which ends by itself.
    fn finish(&mut self, part: &str) -> Result<(), String> {
        match self.parts.pop().map(|mut part| part.process.wait()) {
            Some(Ok(status)) if status.success() => Ok(()),
            _ => Err(format!("{part} failed\n{}", self.last_words())),
        }
    }

    /// Stops all who act on their own, for good: nobody schedules a pod, replaces or ends one.
    ///
    /// # Errors
    /// `kill` cannot be run.
    pub fn freeze(&self) -> Result<(), String> {
        let acting = self
            .parts
            .iter()
            .filter(|part| ["kube-controller-manager", "kube-scheduler", "kwok"].contains(&&*part.name));
        let ids = acting.map(|part| part.process.id().to_string());
        let stopped = Command::new("kill").arg("-STOP").args(ids).status();
        match stopped {
            Ok(status) if status.success() => Ok(()),
            other => Err(format!("cannot stop the controllers: {other:?}")),
        }
    }

    /// For `--cluster kubeconfig:FILE`.
    pub fn kubeconfig(&self) -> PathBuf {
        self.directory.join("kubeconfig")
    }

    /// Where the API server itself is, as a URL.
    pub fn server(&self) -> String {
        format!("https://{}", self.ports.api.address())
    }

    /// The port of kwok's server, which runs commands as a kubelet would.
    pub fn kubelet(&self) -> u16 {
        self.ports.kubelet.number
    }

    /// Where its logs are, for a person.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) -> Result<(), String> {
        let file = self.directory.join(name);
        std::fs::write(&file, text).map_err(|error| format!("cannot write {}: {error}", file.display()))
    }

    fn wait(&mut self, what: &str, within: Duration, ready: impl Fn(&Self) -> bool) -> Result<(), String> {
        let deadline = Instant::now() + within;
        while !ready(self) {
            if self.parts.iter_mut().any(|part| !matches!(part.process.try_wait(), Ok(None))) {
                return Err(format!("a part ended before {what} was ready\n{}", self.last_words()));
            }
            if Instant::now() > deadline {
                return Err(format!("{what} was not ready within {} s\n{}", within.as_secs(), self.last_words()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// The last line of every log.
    fn last_words(&self) -> String {
        let files = std::fs::read_dir(&self.directory).into_iter().flatten().flatten().map(|entry| entry.path());
        let logs = files.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
        logs.map(|path| {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            format!("{}: {}\n", path.display(), text.lines().last().unwrap_or("empty"))
        })
        .collect()
    }
}

/// The one of this process; none, said visibly, where nobody asked for it or there is no Go to build it with.
///
/// # Panics
/// It does not start; in CI, also when there is no Go.
pub fn shared() -> Option<&'static Cluster> {
    static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
    let start = || {
        if std::env::var_os(control_plane::WANTED).is_none() {
            let _ = writeln!(std::io::stderr(), "{}", control_plane::NOT_ASKED);
            return None;
        }
        if !control_plane::has_go() && !control_plane::is_built().unwrap_or(false) {
            assert!(std::env::var_os("CI").is_none(), "{}", control_plane::NOT_RUN);
            // Not `eprintln!`, which the test runner keeps to itself.
            let _ = writeln!(std::io::stderr(), "{}", control_plane::NOT_RUN);
            return None;
        }
        Some(Cluster::start().unwrap_or_else(|error| panic!("{error}")))
    };
    CLUSTER.get_or_init(start).as_ref()
}

/// The administrator's own calls.
impl Cluster {
    /// # Errors
    /// No answer, or one that is not 2xx.
    pub fn get(&self, path: &str) -> Result<Value, String> {
        self.call("GET", path, "application/json", &Value::Null)
    }

    /// # Errors
    /// No answer, or one that is not 2xx.
    pub fn create(&self, collection: &str, object: &Value) -> Result<Value, String> {
        self.call("POST", collection, "application/json", object)
    }

    /// A merge patch.
    ///
    /// # Errors
    /// No answer, or one that is not 2xx.
    pub fn merge(&self, path: &str, document: &Value) -> Result<Value, String> {
        self.call("PATCH", path, "application/merge-patch+json", document)
    }

    /// # Errors
    /// No answer, or one that is not 2xx.
    pub fn delete(&self, path: &str, options: &Value) -> Result<Value, String> {
        self.call("DELETE", path, "application/json", options)
    }

    fn call(&self, method: &str, path: &str, content_type: &str, body: &Value) -> Result<Value, String> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.raw(method, path, content_type, "application/json", &body)?;
        match answer.status {
            200..300 => serde_json::from_str(&answer.body).map_err(|error| format!("{method} {path}: {error}")),
            status => Err(format!("{method} {path}: {status} {}", answer.body)),
        }
    }

    /// The answer as it came, whatever its status.
    ///
    /// # Errors
    /// No answer.
    pub fn raw(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        accept: &str,
        body: &str,
    ) -> Result<http::Answer, String> {
        let headers = format!("Content-Type: {content_type}\r\nAccept: {accept}\r\n");
        http::send(self.proxy, method, path, &headers, body.as_bytes())
    }

    /// Looks again and again until `wanted` likes what is at `path`.
    ///
    /// # Errors
    /// It never did; says what was there.
    pub fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value, String> {
        let deadline = Instant::now() + SETTLES_WITHIN;
        loop {
            let found = self.get(path);
            match found {
                Ok(object) if wanted(&object) => return Ok(object),
                other if Instant::now() > deadline => {
                    return Err(format!("{path} did not become what was waited for; it is {other:?}"));
                }
                _ => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// A namespace in which pods can be created.
    ///
    /// # Errors
    /// The API server's no.
    pub fn namespace(&self, name: &str) -> Result<(), String> {
        self.create("/api/v1/namespaces", &json!({"metadata": {"name": name}}))?;
        self.until(&format!("/api/v1/namespaces/{name}/serviceaccounts/default"), |_| true).map(|_| ())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for Part { process, .. } in &mut self.parts {
            // Each is ours; one that ended already does not mind.
            let _ = process.kill();
            let _ = process.wait();
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// The API server's own certificate is verified. JSON is YAML.
fn kubeconfig(server: &str, authority: &str, token: &str) -> String {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": server, "certificate-authority": authority}}],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    })
    .to_string()
}

fn node() -> Value {
    json!({"metadata": {"name": "node-1", "labels": {"kubernetes.io/os": "linux", "kubelet": "kwok"}}})
}

/// Its kubelet never says a word: a pod that is put there stays as the API server left it.
fn silent_node() -> Value {
    json!({
        "metadata": {"name": "silent"},
        "spec": {"taints": [{"key": "example.com/silent", "effect": "NoSchedule"}]},
    })
}
