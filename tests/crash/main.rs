//! SIGKILL at every durable step and every external call, and at random under load: after the next start nothing is
//! lost, nothing was done twice, and the record is whole. Judged from outside: by what the API server saw, what the
//! journal says, and what Graylog and the pager were given.
//!
//! The binary is the one with the feature `faults`; it kills itself at the point that it is told.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

#[path = "../suite/house.rs"]
#[allow(dead_code, reason = "the suite uses all of it")]
mod house;

mod api;
mod judge;
mod load;
mod others;
mod points;
mod stage;
