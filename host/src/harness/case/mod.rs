//! Cases: YAML files that say what an action is asked, against which cluster, and what is expected of it.
//!
//! A case is strict: whatever the action did and the file does not expect fails it, reads included. A read that nobody
//! expected is how an action learns more than its author meant it to, and costs the API server as much as any other. What
//! was expected and what happened are brought into the same form ([`expect`], [`actual`]), so that comparing them,
//! showing how they differ and writing the one for the other are one thing each.

pub mod actual;
pub mod expect;
pub mod read;
pub mod servers;
pub mod update;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::merged::{self, Line};
use super::{Cluster, Harness, HarnessError, Played, Setup, yaml};
use crate::config::ConfigError;
pub use read::Case;

/// Where cases are, below an action's directory.
const DIRECTORY: &str = "cases";

/// What a case came to.
pub struct Judged {
    /// What happened, in the form of `expect`.
    pub actual: Value,
    pub verdict: Verdict,
    pub took: Duration,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    /// Expected against actual; what only one of them has is marked.
    Failed(Vec<Line>),
    /// The file says nothing of what is expected.
    NothingExpected,
}

/// The case files of a directory, by name: in `cases` where there is such a directory, else in itself.
///
/// # Errors
/// The directory cannot be read.
pub fn files(dir: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let below = dir.join(DIRECTORY);
    let dir = if below.is_dir() { below } else { dir.to_owned() };
    let failed = |error: std::io::Error| ConfigError::Read { path: dir.clone(), message: error.to_string() };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_file() && path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

impl Case {
    /// Plays the case, and judges it.
    ///
    /// # Errors
    /// It could not be played.
    pub async fn judge(&self, harness: &Harness) -> Result<Judged, HarnessError> {
        let started = Instant::now();
        let played = self.play(harness).await?;
        let actual = actual::told(&played, self.expect.as_ref());
        let verdict = match &self.expect {
            None => Verdict::NothingExpected,
            Some(expected) if *expected == actual => Verdict::Passed,
            Some(expected) => Verdict::Failed(differences(expected, &actual)),
        };
        Ok(Judged { actual, verdict, took: started.elapsed() })
    }

    /// # Errors
    /// It could not be played.
    pub async fn play(&self, harness: &Harness) -> Result<Played, HarnessError> {
        let setup = Setup {
            config: self.config.clone(),
            alert: self.alert.clone(),
            received_at: self.received_at,
            cluster: Cluster::answered(self.simulation.clone(), self.servers.clone()),
        };
        harness.play(setup).await
    }
}

fn differences(expected: &Value, actual: &Value) -> Vec<Line> {
    let text = |value: &Value| yaml::document(&json!({"expect": value}));
    merged::unified(&text(expected), &text(actual))
}
