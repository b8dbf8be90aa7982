//! Actions in Python and JavaScript: the same answers as from their twins in Rust, and refused where these are.
//!
//! `cargo xtask languages` builds what this needs and runs it; `cargo test` alone leaves it out.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

#[path = "../suite/house.rs"]
#[allow(dead_code, reason = "the suite uses all of it")]
mod house;

mod hostile;
mod load;
mod twins;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;

use integration_tests::controller::{Setup, binary};
use integration_tests::languages::{Language, code_cache};

use crate::house::Plan;

/// Those whose code is in the cache.
static COMPILED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// A component that the lane has built, compiled into the cache: two controllers that do this at a time, for an interpreter
/// of 18 MB and in a debug build, are not ready within what a test waits.
fn component(language: Language, file: &str) -> PathBuf {
    let path = language.components().join(file);
    assert!(path.is_file(), "{} is not built: run cargo xtask languages", path.display());
    // What a test that failed had compiled is compiled all the same.
    let mut compiled = COMPILED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if compiled.insert(path.clone()) {
        // One that is refused says so in the test that expects it.
        check(&plan().plugin(path.clone()).setup()).output().unwrap();
    }
    path
}

/// The runbook's configuration; what is compiled is kept for the next test.
fn plan() -> Plan {
    Plan::new().and(&format!("plugins: {{cache_dir: \"{}\"}}\n", code_cache().display()))
}

/// The command that says what a start would say.
fn check(setup: &Setup) -> Command {
    let mut command = Command::new(binary().unwrap());
    command.arg("check").arg("--config").arg(&setup.config).arg("--plugins").arg(&setup.plugins);
    command
}
