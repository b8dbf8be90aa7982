//! Who is at which action on which object: alerts about the same moment are acted on once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

/// How long a finished action is remembered, for alerts that came while it ran.
const REMEMBERED: SignedDuration = SignedDuration::from_secs(60);
/// How often what is finished for longer is forgotten: to look through it takes the longer the more there is.
const SWEEP_EVERY: SignedDuration = SignedDuration::from_secs(10);

/// Action, its parameters, object with its UID, dry or live.
pub(super) type RunningKey = (String, String, String, bool);

enum Claim {
    Running,
    Done(Timestamp),
}

/// How an alert stands to others with the same action on the same object.
pub(super) enum Claimed {
    Mine(Running),
    /// Another one is at it, and may yet fail.
    Busy,
    /// Another one did it after this one had come: the two were about the same moment.
    Done,
}

#[derive(Clone, Default)]
pub(super) struct Claims(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    by_key: HashMap<RunningKey, Claim>,
    swept_at: Option<Timestamp>,
}

impl Claims {
    /// Claims an action on an object for an alert.
    pub fn claim(&self, key: RunningKey, received_at: Timestamp, now: Timestamp) -> Claimed {
        let mut inner = self.lock();
        inner.sweep(now);
        if let Some(taken) = inner.taken(&key, received_at, now) {
            return taken;
        }
        inner.by_key.insert(key.clone(), Claim::Running);
        Claimed::Mine(Running { all: self.clone(), key: Some(key) })
    }

    /// As [`Self::claim`], without claiming: none when nobody has it.
    pub fn look(&self, key: &RunningKey, received_at: Timestamp, now: Timestamp) -> Option<Claimed> {
        self.lock().taken(key, received_at, now)
    }

    /// Every change under the lock is a single one.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn sweep(&mut self, now: Timestamp) {
        // A clock that was set back must not keep it from being done.
        if self.swept_at.is_none_or(|at| now.duration_since(at).abs() >= SWEEP_EVERY) {
            self.by_key.retain(|_, claim| !claim.is_over(now));
            self.swept_at = Some(now);
        }
    }

    fn taken(&self, key: &RunningKey, received_at: Timestamp, now: Timestamp) -> Option<Claimed> {
        match self.by_key.get(key).filter(|claim| !claim.is_over(now))? {
            Claim::Running => Some(Claimed::Busy),
            Claim::Done(at) if received_at <= *at => Some(Claimed::Done),
            Claim::Done(_) => None,
        }
    }
}

impl Claim {
    fn is_over(&self, now: Timestamp) -> bool {
        matches!(self, Self::Done(at) if now.duration_since(*at) > REMEMBERED)
    }
}

pub(super) struct Running {
    all: Claims,
    key: Option<RunningKey>,
}

impl Running {
    /// The action did what it could; alerts that came meanwhile need not run it again.
    pub fn done(mut self, at: Timestamp) {
        if let Some(key) = self.key.take() {
            self.all.lock().by_key.insert(key, Claim::Done(at));
        }
    }
}

/// Without [`Running::done`] nothing was achieved, and the next alert is free to try.
impl Drop for Running {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.all.lock().by_key.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn key(object: &str) -> RunningKey {
        ("kill_pod".to_owned(), "{}".to_owned(), object.to_owned(), false)
    }

    #[test]
    fn one_alert_has_it_until_it_is_done_or_has_failed() {
        let claims = Claims::default();
        let Claimed::Mine(first) = claims.claim(key("a"), at(0), at(0)) else { panic!("nobody else is there") };
        assert!(matches!(claims.claim(key("a"), at(0), at(0)), Claimed::Busy));
        assert!(matches!(claims.claim(key("b"), at(0), at(0)), Claimed::Mine(_)), "of another object");
        drop(first);
        let Claimed::Mine(second) = claims.claim(key("a"), at(0), at(1)) else { panic!("the first has failed") };
        second.done(at(2));
        assert!(matches!(claims.claim(key("a"), at(1), at(3)), Claimed::Done), "it came before that was done");
        assert!(matches!(claims.claim(key("a"), at(3), at(3)), Claimed::Mine(_)), "it came after that");
    }

    #[test]
    fn what_was_done_is_remembered_for_a_minute_and_then_forgotten() {
        let claims = Claims::default();
        let Claimed::Mine(running) = claims.claim(key("a"), at(0), at(0)) else { panic!("nobody else is there") };
        running.done(at(5));
        assert!(matches!(claims.look(&key("a"), at(0), at(65)), Some(Claimed::Done)));
        assert!(claims.look(&key("a"), at(0), at(66)).is_none(), "also before it is swept away");
        drop(claims.claim(key("b"), at(70), at(70)));
        assert!(claims.lock().by_key.is_empty());
    }
}
