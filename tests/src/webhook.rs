//! A validating admission webhook: HTTPS on loopback, which keeps every AdmissionReview and answers as it is told.
//!
//! Its certificate is the API server's own, which that made for 127.0.0.1: whoever trusts one trusts the other.

use std::io::{BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::request;

const IN_FORCE_WITHIN: Duration = Duration::from_secs(30);
const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
/// Named so by [`Webhook::guard`] while it waits, and left out of the reviews.
const PROBE: &str = "webhook-probe";

/// What it says to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Allow,
    /// With this message. No code: the API server then answers 400.
    Deny(&'static str),
    /// No answer that the API server can use: it fails to call the webhook.
    Broken,
}

pub struct Webhook {
    address: SocketAddr,
    authority: String,
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    verdict: Verdict,
    requests: Vec<Value>,
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Webhook {
    /// Listens on a free loopback port until the process ends, and allows everything.
    ///
    /// # Errors
    /// The API server's certificate cannot be read, or no port be bound.
    pub fn start(cluster: &Cluster) -> Result<Self, String> {
        let certificates = cluster.directory().join("certificates");
        let (chain, key) = (certificates.join("apiserver.crt"), certificates.join("apiserver.key"));
        let config = Arc::new(tls(&chain, &key)?);
        let bytes = std::fs::read(&chain).map_err(|error| format!("cannot read {}: {error}", chain.display()))?;
        let failed = |error: std::io::Error| format!("cannot start a webhook: {error}");
        let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let shared = Arc::new(Mutex::new(Shared { verdict: Verdict::Allow, requests: Vec::new() }));
        let inner = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, inner) = (Arc::clone(&config), Arc::clone(&inner));
                std::thread::spawn(move || converse(stream, config, &inner));
            }
        });
        Ok(Self { address, authority: BASE64_STANDARD.encode(bytes), shared })
    }

    /// Has the API server ask it about every change in the namespace, and waits until it does. A webhook that cannot
    /// be asked is a no. Ends with the cluster.
    ///
    /// # Errors
    /// The API server's no; or it does not ask in time.
    pub fn guard(&self, cluster: &Cluster, namespace: &str) -> Result<(), String> {
        // Without the scope it would be asked about every object that has no namespace, too.
        let everything = json!({
            "apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"], "scope": "Namespaced",
        });
        let webhook = json!({
            "name": "webhook.example.com",
            "clientConfig": {"url": format!("https://{}/review", self.address), "caBundle": self.authority},
            "rules": [everything],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "failurePolicy": "Fail", "sideEffects": "None", "timeoutSeconds": 10,
            "admissionReviewVersions": ["v1"],
        });
        cluster.create(CONFIGURATIONS, &json!({"metadata": {"name": namespace}, "webhooks": [webhook]}))?;
        let probe = json!({"metadata": {"name": PROBE}});
        let deadline = Instant::now() + IN_FORCE_WITHIN;
        while !lock(&self.shared).requests.iter().any(is_probe) {
            if Instant::now() > deadline {
                return Err(format!("nobody asked the webhook within {} s", IN_FORCE_WITHIN.as_secs()));
            }
            cluster.create(&format!("/api/v1/namespaces/{namespace}/configmaps?dryRun=All"), &probe)?;
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// What it says from now on.
    pub fn say(&self, verdict: Verdict) {
        lock(&self.shared).verdict = verdict;
    }

    /// The `request` of every AdmissionReview so far, oldest first.
    pub fn requests(&self) -> Vec<Value> {
        lock(&self.shared).requests.iter().filter(|request| !is_probe(request)).cloned().collect()
    }
}

/// How many deletes that are pinned to a UID are among them: a kubelet's is not.
pub fn pinned_deletes(requests: &[Value]) -> usize {
    let pinned =
        |request: &&Value| request["operation"] == "DELETE" && request["options"]["preconditions"]["uid"].is_string();
    requests.iter().filter(pinned).count()
}

fn is_probe(request: &Value) -> bool {
    request["name"] == PROBE
}

fn tls(chain: &Path, key: &Path) -> Result<ServerConfig, String> {
    let unread = |path: &Path, error: &dyn std::fmt::Display| format!("cannot read {}: {error}", path.display());
    let certificates: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(chain).and_then(Iterator::collect).map_err(|error| unread(chain, &error));
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unread(key, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| format!("cannot serve TLS: {error}"))?;
    builder
        .with_no_client_auth()
        .with_single_cert(certificates?, key)
        .map_err(|error| format!("the API server's certificate cannot be served: {error}"))
}

/// Reads reviews off one connection for as long as it lives.
fn converse(stream: TcpStream, config: Arc<ServerConfig>, shared: &Mutex<Shared>) {
    let Ok(connection) = ServerConnection::new(config) else { return };
    let mut reader = BufReader::new(StreamOwned::new(connection, stream));
    while let Some(request) = request::read(&mut reader) {
        let review: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let request = review["request"].clone();
        let mut response = json!({"uid": request["uid"], "allowed": true});
        let verdict = {
            let mut shared = lock(shared);
            // The probe has to get through whatever is said: it is how one knows that the webhook is asked at all.
            let verdict = if is_probe(&request) { Verdict::Allow } else { shared.verdict.clone() };
            shared.requests.push(request);
            verdict
        };
        if let Verdict::Deny(message) = verdict {
            response["allowed"] = json!(false);
            response["status"] = json!({"message": message});
        }
        let status = if verdict == Verdict::Broken { 503 } else { 200 };
        let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
        let body = body.to_string();
        let head =
            format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        let stream = reader.get_mut();
        if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).is_err() {
            return;
        }
    }
}
