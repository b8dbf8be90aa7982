//! Randomness from a seed (SplitMix64), and the simulation's clock.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::ambient::{Clock, Random};

pub struct Dice(Mutex<u64>);

impl Dice {
    /// `stream` keeps what is drawn for one purpose apart from what is drawn for another.
    pub fn new(seed: u64, stream: u64) -> Self {
        let dice = Self(Mutex::new(seed ^ stream.wrapping_mul(0xa076_1d64_78bd_642f)));
        dice.next();
        dice
    }

    pub fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to `end`, without it.
    pub fn below(&self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    pub fn millis(&self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to.saturating_sub(from) + 1))
    }

    /// Out of a thousand.
    pub fn chance(&self, permille: u64) -> bool {
        self.below(1000) < permille
    }

    pub fn one_of<T: Copy>(&self, all: &[T]) -> T {
        let index = usize::try_from(self.below(all.len() as u64)).unwrap_or(0);
        all[index]
    }

    pub fn uuid(&self) -> String {
        let mut bytes = [0; 16];
        self.fill(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }
}

impl Random for Dice {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// The runtime's paused time, carried on from one life of the controller to the next.
pub struct Time(Mutex<(Timestamp, Option<Instant>)>);

impl Time {
    pub fn new(from: Timestamp) -> Self {
        Self(Mutex::new((from, None)))
    }

    /// A runtime has started, `later` than the last one ended.
    pub fn start(&self, later: Duration) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = (state.0.saturating_add(later).unwrap_or(state.0), Some(Instant::now()));
    }

    /// It ends; until the next one starts, time stands still.
    pub fn stop(&self) {
        let now = self.now();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (now, None);
    }
}

impl Clock for Time {
    fn now(&self) -> Timestamp {
        let (base, started) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = started.map_or(Duration::ZERO, |started| started.elapsed());
        base.saturating_add(elapsed).unwrap_or(base)
    }
}

impl Time {
    /// While no runtime is there.
    pub fn pass(&self, wait: Duration) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = state.0.saturating_add(wait).unwrap_or(state.0);
    }
}
