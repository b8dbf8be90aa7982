//! A ServiceAccount of the real control plane: what is applied for it, its token, and requests that carry it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::ports::Port;
use crate::undertaker::{self, Watched};
use crate::{control_plane, http};

const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

pub struct Account {
    proxy: Proxy,
    /// The API server over plain HTTP, as this account.
    pub address: SocketAddr,
    /// What it shows the API server.
    pub token: String,
    /// For `--cluster kubeconfig:FILE`.
    pub kubeconfig: PathBuf,
    _directory: tempfile::TempDir,
}

/// Creates every document of a YAML stream as the administrator, as `kubectl create -f` does.
///
/// # Errors
/// The API server's no.
pub fn create_all(cluster: &Cluster, yaml: &str) -> Result<(), String> {
    for document in yaml.split("---\n") {
        let kind = document.lines().find_map(|line| line.strip_prefix("kind: ")).unwrap_or_default();
        let namespace = document.lines().find_map(|line| line.strip_prefix("  namespace: ")).unwrap_or_default();
        let (rbac, admission) = ("/apis/rbac.authorization.k8s.io/v1", "/apis/admissionregistration.k8s.io/v1");
        let (api, plural) = match kind {
            "ServiceAccount" => ("/api/v1", "serviceaccounts"),
            "Role" => (rbac, "roles"),
            "RoleBinding" => (rbac, "rolebindings"),
            "ClusterRole" => (rbac, "clusterroles"),
            "ClusterRoleBinding" => (rbac, "clusterrolebindings"),
            "ValidatingAdmissionPolicy" => (admission, "validatingadmissionpolicies"),
            "ValidatingAdmissionPolicyBinding" => (admission, "validatingadmissionpolicybindings"),
            other => return Err(format!("the test does not know the kind {other:?} of\n{document}")),
        };
        let place = match namespace.trim_matches('"') {
            "" => String::new(),
            namespace => format!("/namespaces/{namespace}"),
        };
        let headers = "Content-Type: application/yaml\r\nAccept: application/json\r\n";
        let path = format!("{api}{place}/{plural}?fieldValidation=Strict");
        let answer = http::send(cluster.proxy, "POST", &path, headers, document.as_bytes())?;
        if answer.status != 201 {
            return Err(format!("POST {path}: {} {}\n{document}", answer.status, answer.body));
        }
    }
    Ok(())
}

impl Account {
    /// Asks for a token of an account that is there, and for a way to use it.
    ///
    /// # Errors
    /// The API server's no, or the proxy does not start.
    pub fn of(cluster: &Cluster, namespace: &str, name: &str) -> Result<Self, String> {
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
        let asked = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}});
        let token = cluster.create(&path, &asked)?["status"]["token"].as_str().unwrap_or_default().to_owned();
        let failed = |what: &str, error: std::io::Error| format!("cannot {what}: {error}");
        let directory = tempfile::tempdir().map_err(|error| failed("create a directory", error))?;
        let text =
            std::fs::read_to_string(cluster.kubeconfig()).map_err(|error| failed("read the kubeconfig", error))?;
        let mut config: Value = serde_json::from_str(&text).map_err(|error| format!("the kubeconfig: {error}"))?;
        config["users"][0]["user"] = json!({"token": token});
        let kubeconfig = directory.path().join("kubeconfig");
        std::fs::write(&kubeconfig, config.to_string()).map_err(|error| failed("write a kubeconfig", error))?;
        let proxy = Proxy::start(cluster.server().rsplit(':').next().unwrap_or_default(), &token)?;
        let address = proxy.port.address();
        let mut account = Self { proxy, address, token, kubeconfig, _directory: directory };
        let deadline = Instant::now() + ANSWERS_WITHIN;
        while !account.raw("GET", "/version", "application/json", &Value::Null).is_ok_and(|answer| answer.status == 200)
        {
            if let Ok(Some(status)) = account.proxy.process.try_wait() {
                return Err(format!("the proxy of {namespace}/{name} ended at once ({status})"));
            }
            if Instant::now() > deadline {
                return Err(format!("the proxy of {namespace}/{name} does not answer"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(account)
    }

    /// The answer to a request of this account, whatever its status.
    ///
    /// # Errors
    /// No answer.
    pub fn raw(&self, method: &str, path: &str, content_type: &str, body: &Value) -> Result<http::Answer, String> {
        let bytes = if body.is_null() { String::new() } else { body.to_string() };
        let headers = format!("Content-Type: {content_type}\r\nAccept: application/json\r\n");
        http::send(self.address, method, path, &headers, bytes.as_bytes())
    }

    /// For `--cluster`.
    pub fn spec(&self) -> String {
        format!("kubeconfig:{}", self.kubeconfig.display())
    }
}

/// Adds the token, for those who have no TLS.
struct Proxy {
    process: Child,
    port: Port,
    _watched: Watched,
}

impl Proxy {
    fn start(api_server: &str, token: &str) -> Result<Self, String> {
        let port = Port::take()?;
        let process = Command::new(control_plane::directory()?.join("control-plane"))
            .args(["proxy", &port.number.to_string(), api_server, token])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot start a proxy: {error}"))?;
        let watched = undertaker::watch(&process)?;
        Ok(Self { process, port, _watched: watched })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It is ours; one that ended already does not mind.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
