//! `request`: what the action is asked. Answers from what the controller knows already; nothing here waits.

use super::convert;
use crate::alert::Priority;
use crate::plugins::bindings::falco_response::plugin::request::{FalcoPriority, Host, Owner};
use crate::plugins::bindings::falco_response::plugin::types::ObjectRef;
use crate::plugins::sandbox::{Sandbox, Session};
use crate::safety::clearance::Cleared;

/// The trap for an action that asks for a target and whose manifest names none.
#[derive(Debug, thiserror::Error)]
#[error("`{function}` has no answer: the manifest's target is none")]
struct NoTarget {
    function: &'static str,
}

fn target<'a>(session: &'a Session, function: &'static str) -> Result<&'a Cleared, NoTarget> {
    session.outside.target().ok_or(NoTarget { function })
}

impl Host for Sandbox {
    fn id(&mut self) -> wasmtime::Result<String> {
        Ok(self.enter("request.id")?.asked.event_id.clone())
    }

    fn attempt(&mut self) -> wasmtime::Result<u32> {
        Ok(self.enter("request.attempt")?.asked.attempt)
    }

    fn parameters(&mut self) -> wasmtime::Result<String> {
        Ok(self.enter("request.parameters")?.asked.parameters.clone())
    }

    fn reason(&mut self) -> wasmtime::Result<String> {
        Ok(self.enter("request.reason")?.asked.reason.clone())
    }

    fn alert(&mut self) -> wasmtime::Result<String> {
        Ok(self.enter("request.alert")?.asked.alert.raw().to_string())
    }

    fn field(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        Ok(self.enter("request.field")?.asked.alert.field(&name))
    }

    fn rule(&mut self) -> wasmtime::Result<String> {
        Ok(self.enter("request.rule")?.asked.alert.rule.clone())
    }

    fn priority(&mut self) -> wasmtime::Result<FalcoPriority> {
        Ok(match self.enter("request.priority")?.asked.alert.priority {
            Priority::Emergency => FalcoPriority::Emergency,
            Priority::Alert => FalcoPriority::Alert,
            Priority::Critical => FalcoPriority::Critical,
            Priority::Error => FalcoPriority::Error,
            Priority::Warning => FalcoPriority::Warning,
            Priority::Notice => FalcoPriority::Notice,
            Priority::Informational => FalcoPriority::Informational,
            Priority::Debug => FalcoPriority::Debug,
        })
    }

    fn time(&mut self) -> wasmtime::Result<String> {
        Ok(self.enter("request.time")?.asked.alert.time_text.clone())
    }

    fn output(&mut self) -> wasmtime::Result<String> {
        Ok(self.enter("request.output")?.asked.alert.output.clone())
    }

    fn target(&mut self) -> wasmtime::Result<ObjectRef> {
        let session = self.enter("request.target")?;
        Ok(convert::to_guest(&target(session, "request.target")?.object))
    }

    fn target_manifest(&mut self) -> wasmtime::Result<String> {
        let session = self.enter("request.target-manifest")?;
        let manifest = target(session, "request.target-manifest")?.manifest.clone();
        Ok(crate::safety::for_plugin(manifest).to_string())
    }

    fn owners(&mut self) -> wasmtime::Result<Vec<Owner>> {
        let session = self.enter("request.owners")?;
        // Where there is no target there are no owners either; that is an answer, not a mistake.
        let owners = session.outside.target().map(|cleared| cleared.chain.controllers.as_slice()).unwrap_or_default();
        Ok(owners
            .iter()
            .map(|owner| Owner { kind: owner.kind.clone(), object: convert::to_guest(&owner.object) })
            .collect())
    }
}
