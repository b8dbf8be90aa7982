//! Faults on purpose: places where the program breaks one of its own rules when it is told to, so that tests can show
//! that somebody notices. Without the feature `faults` there are none.
//!
//! A binary with the feature takes the name from `FAULT`; a unit test chooses one for its own thread with [`during`].

/// Whether the program is to break this rule.
#[cfg(not(any(test, feature = "faults")))]
pub(crate) const fn is(_name: &str) -> bool {
    false
}

#[cfg(all(feature = "faults", not(test)))]
pub(crate) fn is(name: &str) -> bool {
    static CHOSEN: std::sync::LazyLock<Option<String>> = std::sync::LazyLock::new(|| std::env::var("FAULT").ok());
    CHOSEN.as_deref() == Some(name)
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
