//! `log`: lines of the action in the controller's log.

use crate::plugins::bindings::falco_response::plugin::log::{Host, Level as WitLevel};
use crate::plugins::sandbox::Sandbox;
use crate::plugins::text::capped;
use crate::telemetry::log::Level;

/// Of one line.
const LINE_LIMIT: usize = 4 << 10;

impl Host for Sandbox {
    fn write(&mut self, level: WitLevel, message: String) -> wasmtime::Result<()> {
        let session = self.enter("log.write")?;
        let level = match level {
            WitLevel::Error => Level::Error,
            WitLevel::Warn => Level::Warn,
            WitLevel::Info => Level::Info,
            WitLevel::Debug => Level::Debug,
        };
        session.say(level, &capped(message, LINE_LIMIT));
        Ok(())
    }
}
