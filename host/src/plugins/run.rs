//! One call of an action: a slot, a fresh store, a timeout around it all, and what became of it.
//!
//! The store is made for the call and thrown away after it, so nothing of one alert is there for the next.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use wasmtime::Store;

use super::bindings::exports::falco_response::plugin::action::{Failure, Outcome};
use super::limits::{CallLimitReached, Limiter};
use super::sandbox::Sandbox;
use super::text::{capped, one_line};
use super::{Compiled, End, ParameterProblem, Plugin, Report};
use crate::telemetry::log::Level;

/// Of a sentence that the action says about its run.
const SENTENCE_LIMIT: usize = 2 << 10;
/// Of what is said about a trap.
const TRAP_LIMIT: usize = 512;
/// Of what `validate` finds.
const PROBLEMS: usize = 32;
/// Bytes that one call moves out of the guest at most; wasmtime would allow 128 MiB.
const LIFT_LIMIT: usize = 4 << 20;

type Answer<T> = Result<wasmtime::Result<T>, tokio::time::error::Elapsed>;

pub(super) async fn run(plugin: &Plugin, compiled: &Compiled, sandbox: Sandbox, narrower: Option<Duration>) -> Report {
    let slot = compiled.engine.slot().await;
    let started = Instant::now();
    let limit = plugin.timeout(narrower);
    let mut store = store(compiled, sandbox);
    let answer: Answer<Result<Outcome, Failure>> = timeout(limit, async {
        let action = compiled.pre.instantiate_async(&mut store).await?;
        action.falco_response_plugin_action().call_run(&mut store).await
    })
    .await;
    let sandbox = store.into_data();
    drop(slot);
    let duration = started.elapsed();

    let end = end(answer, &sandbox.limiter);
    let peak_memory = sandbox.limiter.peak;
    let (notes, attachments) = match sandbox.into_session() {
        Some(session) => {
            if session.budget.dropped > 0 {
                let message = format!(
                    "{} lines or notes of the action were dropped: it wrote more than `plugins.limits.log` allows",
                    session.budget.dropped
                );
                session.outside.log(Level::Warn, &message);
            }
            (session.notes, session.attachments)
        }
        None => (Vec::new(), Vec::new()),
    };
    Report { end, notes, attachments, duration, peak_memory }
}

pub(super) async fn validate(
    plugin: &Plugin,
    compiled: &Compiled,
    parameters: &str,
) -> Result<(), Vec<ParameterProblem>> {
    let slot = compiled.engine.slot().await;
    let parameters = parameters.to_owned();
    let mut store = store(compiled, Sandbox::without_session(plugin.limits));
    let answer = timeout(plugin.limits.timeout, async {
        let action = compiled.pre.instantiate_async(&mut store).await?;
        action.falco_response_plugin_action().call_validate(&mut store, &parameters).await
    })
    .await;
    let sandbox = store.into_data();
    drop(slot);

    match answer {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(Ok(Err(problems))) => Err(listed(
            problems
                .into_iter()
                .map(|problem| ParameterProblem {
                    at: one_line(&problem.at, 256),
                    message: one_line(&problem.message, TRAP_LIMIT),
                })
                .collect(),
        )),
        Ok(Err(error)) => Err(unanswered(&describe(&error, &sandbox.limiter))),
        Err(_elapsed) => Err(unanswered(&format!("it took longer than {:?}", plugin.limits.timeout))),
    }
}

/// At least one and not too many: `Err` of nothing would still be a refusal, and nobody would know why.
fn listed(mut problems: Vec<ParameterProblem>) -> Vec<ParameterProblem> {
    if problems.is_empty() {
        return unanswered("it refused them and did not say why");
    }
    problems.truncate(PROBLEMS);
    problems
}

fn unanswered(why: &str) -> Vec<ParameterProblem> {
    vec![ParameterProblem { at: String::new(), message: format!("the action could not check them: {why}") }]
}

fn store(compiled: &Compiled, sandbox: Sandbox) -> Store<Sandbox> {
    let mut store = Store::new(compiled.engine.wasm(), sandbox);
    store.limiter(|sandbox| &mut sandbox.limiter);
    store.set_hostcall_fuel(LIFT_LIMIT);
    // Yields to the other tasks of the thread at every tick; that is what lets the timeout outside come true.
    store.epoch_deadline_async_yield_and_update(1);
    store.set_epoch_deadline(1);
    store
}

fn end(answer: Answer<Result<Outcome, Failure>>, limiter: &Limiter) -> End {
    match answer {
        Err(_elapsed) => End::Timeout,
        Ok(Ok(Ok(Outcome::Acted(sentence)))) => End::Acted(capped(sentence, SENTENCE_LIMIT)),
        Ok(Ok(Ok(Outcome::Skipped(sentence)))) => End::Skipped(capped(sentence, SENTENCE_LIMIT)),
        Ok(Err(error)) if error.is::<CallLimitReached>() => End::CallLimit,
        // An action that was refused memory and then gave up in whatever way gave up for want of memory.
        Ok(Ok(Err(_)) | Err(_)) if limiter.refused => End::Memory,
        Ok(Ok(Err(failure))) => End::Failed { message: capped(failure.message, SENTENCE_LIMIT), retry: failure.retry },
        Ok(Err(error)) => End::Trap(describe(&error, limiter)),
    }
}

/// One line about a trap: the innermost cause, which has no paths and no addresses in it.
fn describe(error: &wasmtime::Error, limiter: &Limiter) -> String {
    let cause = one_line(&error.root_cause().to_string(), TRAP_LIMIT);
    if limiter.refused { one_line(&format!("out of memory ({cause})"), TRAP_LIMIT) } else { cause }
}
