//! Accepts connections and ends them: bounded in number, in the time a request may take to arrive, and at shutdown.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use super::connection::{Busy, Timed};
use super::{Intake, alerts};

/// Falcosidekick needs one connection for each concurrent request, a kubelet one for each probe.
const MAX_CONNECTIONS: usize = 1024;
/// Without an answer by then, connections are cut: 5 s for an offer, 10 s for a body, within the grace that
/// `shutdown_delay` + 15 s leaves to everything.
const DRAIN: Duration = Duration::from_secs(10);

/// How long a connection may keep us waiting.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// From the first byte of a request's head to its last.
    pub head: Duration,
    /// For the next request. Longer than Falcosidekick's 90 s: the one who sends shall be the one who closes.
    pub idle: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { head: Duration::from_secs(10), idle: Duration::from_secs(120) }
    }
}

/// Takes alerts until `stop`, and for `shutdown_delay` after it while `/readyz` says no; then ends what was begun.
pub async fn serve_alerts(
    listener: TcpListener,
    intake: Intake,
    shutdown_delay: Duration,
    stop: impl Future<Output = ()>,
) {
    let stop = async {
        stop.await;
        intake.begin_shutdown();
        tokio::time::sleep(shutdown_delay).await;
    };
    serve(listener, alerts(intake.clone()), Patience::default(), stop).await;
}

/// Serves `router` until `stop`, lets the requests that were begun end, and returns.
pub async fn serve(listener: TcpListener, router: Router, patience: Patience, stop: impl Future<Output = ()>) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let (stopping, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let next = async {
            // While there is no slot, the kernel's queue waits, and clients with it.
            let slot = slots.clone().acquire_owned().await;
            (listener.accept().await, slot)
        };
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(_) = connections.join_next() => {}
            (accepted, slot) = next => match accepted {
                Ok((stream, _)) => {
                    // Answers are small and come one at a time: waiting for more to send with them only delays the next alert.
                    let _ = stream.set_nodelay(true);
                    let connection = converse(stream, router.clone(), patience, stopped.clone());
                    connections.spawn(async move {
                        let _slot = slot;
                        connection.await;
                    });
                }
                Err(error) => {
                    // Out of file descriptors, most likely: it passes, and spinning would not help.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    drop(listener);
    let _ = stopping.send(true);
    let drained = tokio::time::timeout(DRAIN, async { while connections.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::warn!(count = connections.len(), "cut connections that did not end");
    }
}

/// One connection, to its end.
pub(crate) async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    router: Router,
    patience: Patience,
    mut stopped: watch::Receiver<bool>,
) {
    let busy = Busy::default();
    let io = TokioIo::new(Timed::new(stream, busy.clone(), patience.head));
    let service = service_fn(move |request: Request<Incoming>| {
        busy.begin();
        let (busy, router) = (busy.clone(), router.clone());
        async move {
            let response = router.oneshot(request.map(Body::new)).await;
            busy.end();
            response
        }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(patience.idle).max_buf_size(64 * 1024);
    let mut connection = pin!(builder.serve_connection(io, service));
    let mut told = false;
    loop {
        tokio::select! {
            // A connection that breaks is the other end's affair; what it sent was answered or not taken.
            _ = connection.as_mut() => return,
            _ = stopped.wait_for(|stopped| *stopped), if !told => {
                told = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}
