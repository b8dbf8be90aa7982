//! What one alert left in the controller's log.

use std::time::{Duration, Instant};

use integration_tests::controller::Controller;
use serde_json::Value;

use super::scenes::Expected;

const RECORD_WITHIN: Duration = Duration::from_secs(15);
/// How long the demo listens for a record that should not come.
const SILENCE: Duration = Duration::from_millis(300);

#[derive(Debug, Default)]
pub struct Seen {
    /// The entry, or the decision.
    pub record: Option<Value>,
    /// The simulated cluster's own words.
    pub changes: Vec<String>,
    pub dry_run: Option<String>,
}

/// What the log says about the alert with this `uuid` after line `from`.
///
/// # Errors
/// No record came in time, though one is expected.
pub fn wait_for(controller: &Controller, from: usize, uuid: &str, expected: Expected) -> Result<Seen, String> {
    let started = Instant::now();
    loop {
        let seen = look(controller, from, uuid);
        let complete = seen.record.is_some()
            && match expected {
                Expected::Done { changes, .. } => seen.changes.len() >= changes,
                Expected::Dry => seen.dry_run.is_some(),
                _ => true,
            };
        if complete || (expected.is_silent() && started.elapsed() > SILENCE) {
            return Ok(seen);
        }
        if started.elapsed() > RECORD_WITHIN {
            return match seen.record {
                Some(_) => Ok(seen),
                None => Err(format!(
                    "no record of the alert within {} s; see {}",
                    RECORD_WITHIN.as_secs(),
                    controller.log_file().display()
                )),
            };
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn look(controller: &Controller, from: usize, uuid: &str) -> Seen {
    let mut seen = Seen::default();
    for line in controller.lines().into_iter().skip(from) {
        let text = |key: &str| line.get(key).and_then(Value::as_str).unwrap_or("");
        let message = text("message");
        if text("alert_uuid") == uuid && (line.get("outcome").is_some() || line.get("decision").is_some()) {
            seen.record = Some(line.clone());
        } else if let Some(change) = message.strip_prefix("simulated cluster: ") {
            seen.changes.push(change.to_owned());
        } else if message.starts_with("DRY_RUN ") {
            seen.dry_run = Some(message.to_owned());
        }
    }
    seen
}
