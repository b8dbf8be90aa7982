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

use std::path::PathBuf;

use integration_tests::languages::{Language, code_cache};

use crate::house::Plan;

/// A component that the lane has built.
fn component(language: Language, file: &str) -> PathBuf {
    let path = language.components().join(file);
    assert!(path.is_file(), "{} is not built: run cargo xtask languages", path.display());
    path
}

/// The runbook's configuration; what is compiled is kept for the next test.
fn plan() -> Plan {
    Plan::new().and(&format!("plugins: {{cache_dir: \"{}\"}}\n", code_cache().display()))
}
