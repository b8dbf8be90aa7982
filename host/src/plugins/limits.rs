//! What one run may use up: memory and tables of the guest, calls to the host, bytes of text.
//!
//! Time is not counted here; the run as a whole stands under a timeout ([`super::run`]).

use wasmtime::ResourceLimiter;

use super::Limits;

/// Elements of all tables of one run together; CPython is the guest with the largest table.
pub(super) const TABLE_ELEMENTS: usize = 20_000;
/// A component from Rust has a handful of core instances, one from Python an instance for each library.
pub(super) const CORE_INSTANCES: u32 = 128;
pub(super) const MEMORIES: u32 = 4;
pub(super) const TABLES: u32 = 16;

/// Stands between the guest and the allocator.
#[derive(Debug)]
pub(super) struct Limiter {
    limit: usize,
    /// Of all linear memories.
    memory: usize,
    elements: usize,
    /// What the growth under way would add, should it fail after all.
    pending: usize,
    pub peak: usize,
    /// Whether memory was asked for and not given.
    pub refused: bool,
}

impl Limiter {
    pub fn new(memory: usize) -> Self {
        Self { limit: memory, memory: 0, elements: 0, pending: 0, peak: 0, refused: false }
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool, wasmtime::Error> {
        let more = desired.saturating_sub(current);
        let total = self.memory.saturating_add(more);
        let allowed = total <= self.limit;
        if allowed {
            self.memory = total;
            self.pending = more;
            self.peak = self.peak.max(total);
        } else {
            self.pending = 0;
            self.refused = true;
        }
        Ok(allowed)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> Result<(), wasmtime::Error> {
        self.memory = self.memory.saturating_sub(std::mem::take(&mut self.pending));
        self.refused = true;
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool, wasmtime::Error> {
        let total = self.elements.saturating_add(desired.saturating_sub(current));
        let allowed = total <= TABLE_ELEMENTS;
        if allowed {
            self.elements = total;
        }
        Ok(allowed)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES as usize
    }

    fn tables(&self) -> usize {
        TABLES as usize
    }

    fn memories(&self) -> usize {
        MEMORIES as usize
    }
}

/// The trap that ends a run which calls the host too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the action called the host more than {limit} times (`plugins.limits.calls`)")]
pub(super) struct CallLimitReached {
    limit: u32,
}

/// Calls and words, counted down.
#[derive(Debug)]
pub(super) struct Budget {
    limits: Limits,
    calls: u32,
    text: usize,
    /// Lines and notes that were not taken.
    pub dropped: u32,
}

impl Budget {
    pub fn new(limits: Limits) -> Self {
        Self { limits, calls: 0, text: 0, dropped: 0 }
    }

    /// One more call to the host.
    pub fn call(&mut self) -> Result<(), CallLimitReached> {
        if self.calls >= self.limits.calls {
            return Err(CallLimitReached { limit: self.limits.calls });
        }
        self.calls += 1;
        Ok(())
    }

    /// Whether there is room for `bytes` more of text; where there is not, they count as dropped.
    pub fn text(&mut self, bytes: usize) -> bool {
        let total = self.text.saturating_add(bytes);
        let fits = total <= self.limits.log;
        if fits {
            self.text = total;
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_all_memories_together() {
        let mut limiter = Limiter::new(3 << 16);
        assert!(limiter.memory_growing(0, 2 << 16, None).unwrap());
        assert!(limiter.memory_growing(0, 1 << 16, None).unwrap());
        assert!(!limiter.refused);
        assert!(!limiter.memory_growing(1 << 16, 2 << 16, None).unwrap());
        assert!(limiter.refused);
        assert_eq!(limiter.peak, 3 << 16);
    }

    #[test]
    fn takes_back_a_growth_that_failed_after_all() {
        let mut limiter = Limiter::new(2 << 16);
        assert!(limiter.memory_growing(0, 2 << 16, Some(1 << 16)).unwrap());
        limiter.memory_grow_failed(wasmtime::Error::msg("beyond its maximum")).unwrap();
        assert!(limiter.refused);
        assert!(limiter.memory_growing(0, 2 << 16, None).unwrap());
    }

    #[test]
    fn bounds_tables() {
        let mut limiter = Limiter::new(0);
        assert!(limiter.table_growing(0, TABLE_ELEMENTS, None).unwrap());
        assert!(!limiter.table_growing(0, 1, None).unwrap());
    }

    #[test]
    fn drops_text_beyond_the_limit_and_counts_it() {
        let mut budget = Budget::new(Limits { log: 10, ..Limits::default() });
        assert!(budget.text(6) && !budget.text(5) && budget.text(4) && !budget.text(1));
        assert_eq!(budget.dropped, 2);
    }

    #[test]
    fn ends_calls_exactly_at_the_limit() {
        let mut budget = Budget::new(Limits { calls: 2, ..Limits::default() });
        assert_eq!((budget.call(), budget.call()), (Ok(()), Ok(())));
        assert_eq!(budget.call(), Err(CallLimitReached { limit: 2 }));
    }
}
