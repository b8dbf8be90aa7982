//! One connection, and how long its other end may take.
//!
//! hyper has one timer for both an idle connection and a request head that comes in drop by drop. Falcosidekick keeps
//! idle connections for 90 s, and an alert sent into one that we just closed is lost; a head that takes longer than a
//! few seconds is somebody who wants to hold the connection. So the head has a timer of its own, which starts with its
//! first byte.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Whether a request is being answered: what comes then is its body, which has its own limit. Odd while one is.
#[derive(Clone, Default)]
pub struct Busy(Arc<AtomicU64>);

impl Busy {
    /// A request's head is complete.
    pub fn begin(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub fn end(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A stream whose reads fail once a request's head has taken longer than it may.
pub struct Timed<S> {
    stream: S,
    busy: Busy,
    head_timeout: Duration,
    /// What `busy` was when it was last looked at.
    seen: u64,
    /// Runs from a head's first byte to its end.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> Timed<S> {
    pub fn new(stream: S, busy: Busy, head_timeout: Duration) -> Self {
        Self { stream, busy, head_timeout, seen: 0, deadline: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let now = self.busy.0.load(Ordering::Relaxed);
        if now != self.seen {
            // The head is complete since.
            self.seen = now;
            self.deadline = None;
        }
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the request's head came too slowly")));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let came = buffer.filled().len() > before;
        if came && now.is_multiple_of(2) && self.deadline.is_none() {
            self.deadline = Some(Box::pin(tokio::time::sleep_until(Instant::now() + self.head_timeout)));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
