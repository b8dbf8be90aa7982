//! What an observer collects of one alert.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::Notify;

use crate::journal::Record;
use crate::plugins::witness::{Asked, Witness};
use crate::plugins::{End, Report};
use crate::respond::observe::Observer;
use crate::respond::outcome::Derived;
use crate::safety::CallError;
use crate::safety::clearance::Cleared;
use crate::safety::effective::Effective;
use crate::safety::run::{CallRecord, Run};
use crate::ship::Page;
use crate::telemetry::log::Level;

/// What became of one alert.
pub enum Staged {
    /// The text is the metric's label.
    Unwanted(&'static str),
    /// An alert with its UUID came before.
    Duplicate,
    Seen(Collected),
}

/// In the order in which it happened.
#[derive(Default)]
pub struct Collected {
    /// One for each action.
    pub records: Vec<Record>,
    pub pages: Vec<Page>,
    pub runs: Vec<Observed>,
    pub lines: Vec<(Level, String)>,
    asked: Vec<Exchange>,
    finished: Arc<Notify>,
}

/// One run of an action.
pub struct Observed {
    pub cleared: Option<Cleared>,
    pub calls: Vec<(CallRecord, Exchange)>,
    pub effective: Vec<Effective>,
    pub report: Report,
    pub derived: Derived,
}

/// What was asked in a call and answered to it, as far as the witness heard of it.
#[derive(Debug, Clone, Default)]
pub struct Exchange {
    pub asked: Option<Asked>,
    /// Of a change.
    pub answer: Option<Value>,
}

#[derive(Default)]
pub struct Seen(Mutex<Collected>);

impl Seen {
    /// Forgets what was, and hands out who will tell that the alert is done with.
    pub fn begin(&self) -> Arc<Notify> {
        // A notice of its own for each alert: one that nobody waited for must not end the next.
        let mut collected = self.collected();
        *collected = Collected::default();
        Arc::clone(&collected.finished)
    }

    pub fn end(&self) -> Staged {
        let collected = std::mem::take(&mut *self.collected());
        if collected.records.is_empty() { Staged::Duplicate } else { Staged::Seen(collected) }
    }

    /// What was collected stays whole if a thread panics: every change is one assignment or push.
    fn collected(&self) -> MutexGuard<'_, Collected> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn exchange(&self, call: usize, change: impl FnOnce(&mut Exchange)) {
        let mut collected = self.collected();
        let asked = &mut collected.asked;
        if asked.len() <= call {
            asked.resize_with(call + 1, Exchange::default);
        }
        change(&mut asked[call]);
    }
}

impl Witness for Seen {
    fn asks(&self, call: usize, asked: Asked) {
        self.exchange(call, |exchange| exchange.asked = Some(asked));
    }

    fn answered(&self, call: usize, answer: &Result<Value, CallError>) {
        if let Ok(answer) = answer {
            self.exchange(call, |exchange| exchange.answer = Some(answer.clone()));
        }
    }

    fn said(&self, level: Level, message: &str) {
        self.collected().lines.push((level, message.to_owned()));
    }
}

impl Observer for Seen {
    fn ran(&self, run: &Run, report: &Report, derived: &Derived) {
        let mut collected = self.collected();
        let mut asked = std::mem::take(&mut collected.asked).into_iter();
        let calls = run.calls().into_iter().map(|call| (call, asked.next().unwrap_or_default())).collect();
        collected.runs.push(Observed {
            cleared: run.target().cloned(),
            calls,
            effective: run.bounds.permissions.effective(),
            report: report.clone(),
            derived: derived.clone(),
        });
    }

    fn recorded(&self, record: &Record, pages: &[Page]) {
        let mut collected = self.collected();
        collected.records.push(record.clone());
        collected.pages.extend_from_slice(pages);
    }

    fn finished(&self) {
        self.collected().finished.notify_one();
    }
}

/// The action's own sentence, where it came to say one.
pub fn sentence(end: &End) -> Option<&str> {
    match end {
        End::Acted(said) | End::Skipped(said) | End::Failed { message: said, .. } => Some(said),
        End::Trap(_) | End::Timeout | End::Memory | End::CallLimit => None,
    }
}
