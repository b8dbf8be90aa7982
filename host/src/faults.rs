//! Faults on purpose: places where the program breaks one of its own rules, or dies, when it is told to, so that tests
//! can show that somebody notices, and what holds without the part that is at fault. Without the feature `faults`, which
//! no release has, there are none.
//!
//! A binary with the feature takes the name from `FAULT`, says so, and listens on loopback only; a unit test chooses one
//! for its own thread with [`during`].

/// Whether the program is to break this rule.
#[cfg(not(any(test, feature = "faults")))]
pub(crate) const fn is(_name: &str) -> bool {
    false
}

/// A place where `FAULT=crash:NAME` ends the process with `SIGKILL`.
#[cfg(not(all(feature = "faults", not(test))))]
pub(crate) const fn point(_name: &str) {}

#[cfg(all(feature = "faults", not(test)))]
pub(crate) use by_name::{choose, is, point, warning};

/// The rules that can be broken.
#[cfg(any(test, feature = "faults"))]
pub(crate) const RULES: &[&str] = &[
    "act_before_intent",
    "answer_before_commit",
    "drop_uid",
    "dry_run_live",
    "forget_followers",
    "forget_result",
    // What a plugin asks is sent as it asks it: no check, no permission, no UID of ours, no dry run.
    "gate_off",
    "repeat_unknown",
];

#[cfg(all(feature = "faults", not(test)))]
mod by_name {
    use std::net::SocketAddr;
    use std::sync::LazyLock;

    use super::RULES;

    const VARIABLE: &str = "FAULT";
    const CRASH: &str = "crash:";
    /// Every durable step and every external call; each has a point before it and one after it.
    const POINTS: &[&str] = &[
        "accept",
        "intent",
        "result",
        "conclude",
        "followup",
        "settle",
        "finish",
        "configure",
        "notice",
        "page",
        "remind",
        "retain",
        "read",
        "send",
        "deliver",
        "search",
    ];

    static CHOSEN: LazyLock<Option<String>> =
        LazyLock::new(|| Some(std::env::var_os(VARIABLE)?.to_string_lossy().into_owned()));

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

    /// Looks at what the environment asks for; once, before anything else runs.
    ///
    /// # Errors
    /// There is no such fault: a misspelt one would let a test pass that shows nothing.
    pub fn choose() -> Result<(), String> {
        let Some(name) = CHOSEN.as_deref() else { return Ok(()) };
        let is_point = |point: &str| {
            let (when, what) = point.split_once(':').unwrap_or_default();
            matches!(when, "before" | "after") && POINTS.contains(&what)
        };
        if RULES.contains(&name) || name.strip_prefix(CRASH).is_some_and(is_point) {
            return Ok(());
        }
        let (rules, points) = (RULES.join(", "), POINTS.join(", "));
        Err(format!(
            "{VARIABLE}={name} is no fault; there are: {rules}, and crash:before:… and crash:after:… of {points}"
        ))
    }

    /// The line that such a binary logs at start.
    ///
    /// # Errors
    /// It would listen where others could reach it.
    pub fn warning(addresses: [SocketAddr; 2]) -> Result<String, String> {
        if let Some(address) = addresses.iter().find(|address| !address.ip().is_loopback()) {
            return Err(format!(
                "built with the feature `faults`, for tests: it does not listen on {address}, only on loopback"
            ));
        }
        let fault = CHOSEN.as_deref().unwrap_or("none");
        Ok(format!("built with the feature `faults`, for tests only; fault: {fault}"))
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

#[cfg(test)]
mod tests {
    #[test]
    fn a_fault_is_chosen_for_one_thread_and_a_while() {
        super::during(Some("drop_uid"), || {
            assert!(super::is("drop_uid") && !super::is("gate_off"));
            assert!(!std::thread::spawn(|| super::is("drop_uid")).join().expect("it does not panic"));
        });
        assert!(!super::is("drop_uid"));
    }
}
