//! What the rest of the program may not reach for by itself: the clock and randomness.
//!
//! They are passed in, so that a simulation can own them. Waiting goes through `tokio::time`, which a simulation can
//! pause; outgoing HTTP is passed in as a service ([`crate::ship::http`], [`crate::cluster::connect()`]).

use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;
}

pub trait Random: Send + Sync {
    fn fill(&self, bytes: &mut [u8]);
}

#[derive(Clone)]
pub struct Ambient {
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl Ambient {
    pub fn new(clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        Self { clock, random }
    }

    /// The machine's own clock and randomness.
    pub fn system() -> Self {
        Self::new(Arc::new(SystemClock), Arc::new(SystemRandom))
    }

    /// Another clock, and the machine's own randomness.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self::new(clock, Arc::new(SystemRandom))
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn fill(&self, bytes: &mut [u8]) {
        self.random.fill(bytes);
    }

    /// A UUIDv7: sorts by time, to the millisecond.
    pub fn uuid(&self) -> Uuid {
        let mut random = [0; 10];
        self.random.fill(&mut random);
        let millis = u64::try_from(self.now().as_millisecond()).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }
}

struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the operating system's random source does not fail once the program runs");
    }
}

/// A clock that stands still until it is moved, and randomness that counts; for unit tests.
#[cfg(test)]
pub mod fixed {
    use std::sync::{Arc, Mutex};

    use super::{Ambient, Clock, Random};
    use jiff::Timestamp;

    pub struct FixedClock(pub Mutex<Timestamp>);

    impl Clock for FixedClock {
        fn now(&self) -> Timestamp {
            *self.0.lock().expect("not poisoned")
        }
    }

    struct Counting(Mutex<u64>);

    impl Random for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            let mut next = self.0.lock().expect("not poisoned");
            for byte in bytes.iter_mut() {
                *next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                *byte = next.to_be_bytes()[0];
            }
        }
    }

    /// `now` is RFC 3339.
    pub fn at(now: &str) -> (Ambient, Arc<FixedClock>) {
        let clock = Arc::new(FixedClock(Mutex::new(now.parse().expect("RFC 3339"))));
        (Ambient::new(clock.clone(), Arc::new(Counting(Mutex::new(1)))), clock)
    }
}
