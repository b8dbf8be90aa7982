//! Refused requests in the log: loud, since nobody sends them again, but no more than one line a second and kind, since
//! whoever reaches the port can send as many as they like.

use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use crate::ambient::Ambient;
use crate::telemetry::log::{Level, Log};

const INTERVAL: SignedDuration = SignedDuration::from_secs(1);

/// What is counted and logged apart; the words are the metric's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Unauthorized,
    TooLarge,
    Malformed,
    Overloaded,
    /// By the inlet, which counts under words of its own.
    TurnedAway,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::Overloaded => "overloaded",
            Self::TurnedAway => "turned_away",
        }
    }
}

pub struct Refusals {
    ambient: Ambient,
    log: Log,
    /// One for each [`Kind`].
    states: [Mutex<State>; 5],
}

#[derive(Default)]
struct State {
    logged_at: Option<Timestamp>,
    /// Since then, without a line.
    silent: u64,
}

impl Refusals {
    pub fn new(ambient: &Ambient, log: &Log) -> Self {
        Self { ambient: ambient.clone(), log: log.clone(), states: Default::default() }
    }

    /// `count` in the line has those that got none before it.
    pub fn report(&self, kind: Kind, reason: &str) {
        let now = self.ambient.now();
        let count = {
            let mut state = self.states[kind as usize].lock().unwrap_or_else(PoisonError::into_inner);
            // A clock that was set back must not silence us until it has caught up.
            let quiet =
                state.logged_at.is_some_and(|at| (SignedDuration::ZERO..INTERVAL).contains(&now.duration_since(at)));
            if quiet {
                state.silent += 1;
                return;
            }
            state.logged_at = Some(now);
            std::mem::take(&mut state.silent) + 1
        };
        let mut fields = Map::new();
        fields.insert("result".into(), kind.as_str().into());
        fields.insert("count".into(), Value::from(count));
        self.log.line(Level::Warn, &format!("refused an alert: {reason}"), &fields);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ambient::fixed;
    use crate::telemetry::log::Format;

    #[test]
    fn a_flood_is_one_line_a_second_with_its_count() {
        let (ambient, clock) = fixed::at("2026-11-24T02:00:00Z");
        let (log, lines) = Log::memory(&ambient, Format::Json);
        let refusals = Refusals::new(&ambient, &log);
        for _ in 0..100 {
            refusals.report(Kind::Unauthorized, "no token");
        }
        refusals.report(Kind::Malformed, "no alert");
        *clock.0.lock().unwrap() = "2026-11-24T02:00:01Z".parse().unwrap();
        refusals.report(Kind::Unauthorized, "no token");
        *clock.0.lock().unwrap() = "2026-11-24T01:00:00Z".parse().unwrap();
        refusals.report(Kind::Unauthorized, "no token");
        let lines = String::from_utf8(lines.lock().unwrap().clone()).unwrap();
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let seen: Vec<_> =
            lines.iter().map(|line| (line["result"].as_str().unwrap(), line["count"].as_u64().unwrap())).collect();
        assert_eq!(seen, [("unauthorized", 1), ("malformed", 1), ("unauthorized", 100), ("unauthorized", 1)]);
        assert_eq!((&lines[0]["level"], &lines[0]["message"]), (&"WARN".into(), &"refused an alert: no token".into()));
    }
}
