//! Who is told what an action does while it does it: the harness for authors. Production has nobody.
//!
//! A witness hears and changes nothing. What a call came to is in the [`Run`](crate::safety::run::Run); a witness hears
//! what is not kept there, since no record needs it: what was asked in full, and what was answered.

use serde_json::Value;

use crate::cluster::exec::Command;
use crate::cluster::names::{ApiResource, ObjectRef};
use crate::safety::gate::Change;
use crate::safety::{CallError, WebRequest};
use crate::telemetry::log::Level;

/// A call as the action made it, with names that were parsed.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    Get(ObjectRef),
    List(ApiResource),
    Logs(ObjectRef),
    Change(Change),
    Web(WebRequest),
    Exec(Command),
}

pub trait Witness: Send + Sync {
    /// The call that will be number `call` of the run, from 0, is about to pass the gate.
    fn asks(&self, call: usize, asked: Asked);
    /// A change was answered: with the object, null where there is none. A call that was cut off is never answered.
    fn answered(&self, call: usize, answer: &Result<Value, CallError>);
    /// A line of the action's in the controller's log.
    fn said(&self, level: Level, message: &str);
}
