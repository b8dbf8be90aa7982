//! What the host keeps for one store: its limits, and, in a run, the session that the host functions work on.
//!
//! [`Sandbox::enter`] is the only way to the session. So no host function can do anything without being counted, and
//! none can do anything at all in `validate`, where there is no session.

use std::sync::Arc;

use super::limits::{Budget, Limiter};
use super::outside::Outside;
use super::{Attachment, Limits};
use crate::alert::Alert;
use crate::telemetry::log::Level;

pub(super) struct Sandbox {
    pub limiter: Limiter,
    session: Option<Session>,
}

/// One run, as its host functions see it.
pub(super) struct Session {
    pub asked: Asked,
    pub outside: Arc<dyn Outside>,
    pub budget: Budget,
    pub notes: Vec<(String, String)>,
    pub attachments: Vec<Attachment>,
}

/// What the action was asked.
pub(super) struct Asked {
    pub event_id: String,
    pub attempt: u32,
    pub parameters: String,
    pub reason: String,
    pub alert: Arc<Alert>,
}

/// The trap for a `validate` that calls the host.
#[derive(Debug, thiserror::Error)]
#[error("`{function}` is not available in validate")]
struct NotInValidate {
    function: &'static str,
}

impl Sandbox {
    /// For `validate`.
    pub fn without_session(limits: Limits) -> Self {
        Self { limiter: Limiter::new(limits.memory), session: None }
    }

    /// For `run`.
    pub fn new(limits: Limits, asked: Asked, outside: Arc<dyn Outside>) -> Self {
        let budget = Budget::new(limits);
        let session = Session { asked, outside, budget, notes: Vec::new(), attachments: Vec::new() };
        Self { limiter: Limiter::new(limits.memory), session: Some(session) }
    }

    /// What every host function does first. `function` is for people: `cluster.get`.
    pub fn enter(&mut self, function: &'static str) -> wasmtime::Result<&mut Session> {
        let session = self.session.as_mut().ok_or(NotInValidate { function })?;
        session.budget.call()?;
        Ok(session)
    }

    pub fn into_session(self) -> Option<Session> {
        self.session
    }
}

impl Session {
    /// A line in the controller's log, as far as there is room for it.
    pub fn say(&mut self, level: Level, message: &str) {
        if self.budget.text(message.len()) {
            self.outside.log(level, message);
        }
    }
}
