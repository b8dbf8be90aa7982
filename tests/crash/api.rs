//! An API server that outlives the controller: the simulated cluster, behind a loopback port.
//!
//! It is the witness. Every request that changes something is looked up in the controller's journal at the moment it
//! arrives: its intent has to be there already.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use falco_response_controller::ambient::Ambient;
use falco_response_controller::cluster::simulated::Simulation;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use rusqlite::{Connection, OpenFlags};

pub struct Api {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Change>>>,
    /// Its threads end with it.
    _runtime: tokio::runtime::Runtime,
}

/// A request that was to change something, and was not dry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub method: String,
    pub path: String,
    /// From the user agent: what the controller says it was sent for.
    pub event_id: String,
    /// Whether the journal had the intent when the request came.
    pub announced: bool,
    /// The answer's status.
    pub status: u16,
}

impl Api {
    /// Serves a cluster of these manifests until it is dropped. `journal`: the controller's.
    pub fn start(manifests: &str, journal: &Path) -> Self {
        let simulation = Simulation::from_yaml(manifests, &Ambient::system()).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let witness = Witness { simulation, journal: journal.to_owned(), seen: Arc::clone(&seen) };
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let witness = witness.clone();
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let witness = witness.clone();
                        async move { Ok::<_, Infallible>(witness.answer(request).await) }
                    });
                    // A controller that was killed leaves its connections as they are.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { address, seen, _runtime: runtime }
    }

    /// For `--cluster kubeconfig:FILE`.
    pub fn kubeconfig(&self) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters: [{{name: a, cluster: {{server: \"http://{}\"}}}}]\n\
             contexts: [{{name: a, context: {{cluster: a, user: a}}}}]\nusers: [{{name: a, user: {{token: x}}}}]\n",
            self.address
        )
    }

    /// Every change that was asked for, oldest first.
    pub fn changes(&self) -> Vec<Change> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[derive(Clone)]
struct Witness {
    simulation: Simulation,
    journal: PathBuf,
    seen: Arc<Mutex<Vec<Change>>>,
}

impl Witness {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
        let change = changes_something(&head.method, &head.uri, &body).then(|| {
            let agent = head.headers.get("user-agent").and_then(|agent| agent.to_str().ok()).unwrap_or("");
            let event_id = agent.split_once("event=").map_or("", |(_, id)| id).to_owned();
            let announced = announced(&self.journal, &event_id, head.uri.path());
            Change { method: head.method.to_string(), path: head.uri.path().to_owned(), event_id, announced, status: 0 }
        });
        let answer = self.simulation.respond(Request::from_parts(head, body)).await.unwrap();
        if let Some(change) = change {
            let change = Change { status: answer.status().as_u16(), ..change };
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(change);
        }
        answer.map(|body| Full::new(Bytes::from(body)))
    }
}

fn changes_something(method: &Method, uri: &hyper::Uri, body: &[u8]) -> bool {
    let dry = uri.query().is_some_and(|query| query.contains("dryRun"))
        || String::from_utf8_lossy(body).contains("\"dryRun\"");
    let review = uri.path().starts_with("/apis/authorization.k8s.io/");
    *method != Method::GET && !dry && !review
}

/// Whether an intent of that event for that path is committed.
fn announced(journal: &Path, event_id: &str, path: &str) -> bool {
    let Ok(connection) = Connection::open_with_flags(journal, OpenFlags::SQLITE_OPEN_READ_ONLY) else { return false };
    let found = connection.query_row(
        "SELECT count(*) FROM chain WHERE event_id = ?1 AND log_type = 'falco-response-intent' \
         AND json_extract(body, '$.path') = ?2 AND json_extract(body, '$.dry_run') = 0",
        [event_id, path],
        |row| row.get::<_, i64>(0),
    );
    found.is_ok_and(|count| count > 0)
}
