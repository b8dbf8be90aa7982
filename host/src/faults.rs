//! Faults on purpose: places where the program breaks one of its own rules when it is told to, so that tests can show
//! that somebody notices. Without the feature `faults` there are none.
//!
//! A binary with the feature takes the name from `FAULT`; a unit test chooses one for its own thread with [`during`].

/// Whether the program is to break this rule.
#[cfg(not(any(test, feature = "faults")))]
pub(crate) const fn is(_name: &str) -> bool {
    false
}

/// A place where `FAULT=crash:NAME` ends the process as `SIGKILL` does: at once, with nothing tidied up.
#[cfg(not(all(feature = "faults", not(test))))]
pub(crate) const fn point(_name: &str) {}

#[cfg(all(feature = "faults", not(test)))]
pub(crate) use by_name::{chosen, is, point};

#[cfg(all(feature = "faults", not(test)))]
mod by_name {
    use std::sync::LazyLock;

    /// What `FAULT` may name.
    const RULES: &[&str] = &["forget_intent"];
    const CRASH: &str = "crash:";
    /// Before and after every durable step and every external call.
    const POINTS: &[&str] =
        &["accept", "intent", "result", "conclude", "followup", "settle", "read", "send", "deliver"];

    static CHOSEN: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("FAULT").ok());

    pub fn is(name: &str) -> bool {
        CHOSEN.as_deref() == Some(name)
    }

    pub fn point(name: &str) {
        if CHOSEN.as_deref().and_then(|chosen| chosen.strip_prefix(CRASH)) == Some(name) {
            // A signal cannot be sent without unsafe code or another dependency; what comes after the point is never
            // reached either way.
            let _ = std::process::Command::new("kill").args(["-KILL", &std::process::id().to_string()]).status();
            loop {
                std::thread::park();
            }
        }
    }

    /// What was chosen.
    ///
    /// # Errors
    /// There is no such fault: a misspelt one would let a test pass that shows nothing.
    pub fn chosen() -> Result<Option<&'static str>, String> {
        let Some(name) = CHOSEN.as_deref() else { return Ok(None) };
        let is_point = |point: &str| {
            let (when, what) = point.split_once(':').unwrap_or_default();
            matches!(when, "before" | "after") && POINTS.contains(&what)
        };
        if RULES.contains(&name) || name.strip_prefix(CRASH).is_some_and(is_point) {
            Ok(Some(name))
        } else {
            Err(format!(
                "FAULT={name} is no fault: there are {}, and crash:before:… and crash:after:… of {}",
                RULES.join(", "),
                POINTS.join(", ")
            ))
        }
    }
}

#[cfg(test)]
pub(crate) use chosen::{during, is};

#[cfg(test)]
mod chosen {
    use std::cell::Cell;

    thread_local! {
        static CHOSEN: Cell<Option<&'static str>> = const { Cell::new(None) };
    }

    pub fn is(name: &str) -> bool {
        CHOSEN.get() == Some(name)
    }

    /// Runs `work` with that fault, on this thread alone.
    pub fn during<T>(fault: Option<&'static str>, work: impl FnOnce() -> T) -> T {
        /// Also when `work` panics.
        struct Reset(Option<&'static str>);

        impl Drop for Reset {
            fn drop(&mut self) {
                CHOSEN.set(self.0);
            }
        }

        let _reset = Reset(CHOSEN.replace(fault));
        work()
    }
}
