//! The WebAssembly engine: how instances get their memory, and the clock that makes them yield.
//!
//! The settings of the pooling allocator decide how long a run takes: without them each run pays `madvise` and page
//! faults. The pool is sized once; running out of it would be an error, so a semaphore in front turns it into waiting.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::LoadError;
use super::limits::{CORE_INSTANCES, MEMORIES, TABLE_ELEMENTS, TABLES};

/// How long a guest runs before it lets others on its thread have a turn.
const TICK: Duration = Duration::from_millis(10);

const WASM_PAGE: usize = 64 << 10;

/// Compiles and runs components; cheap to clone. One for the process is enough: reloads share it.
#[derive(Clone)]
pub struct Engine {
    wasm: wasmtime::Engine,
    slots: Arc<Semaphore>,
    /// Bytes, the most that an instance can have.
    memory: usize,
    on_demand_because: Option<Arc<str>>,
}

impl Engine {
    /// Instances at once, when nobody says otherwise: the default concurrency of 16, with room for checks of parameters
    /// and for the runs of a configuration that was just replaced.
    pub const SLOTS: u32 = 64;

    /// `slots` is how many instances there can be at once, more wait; `memory` the most that `plugins.limits.memory`
    /// can be with this engine.
    ///
    /// # Errors
    /// When the machine cannot run WebAssembly in either way.
    pub fn new(slots: u32, memory: usize) -> Result<Self, LoadError> {
        let slots = slots.max(1);
        let memory = memory.checked_next_multiple_of(WASM_PAGE).unwrap_or(memory);
        let (wasm, reason) = match wasmtime::Engine::new(&pooling(slots, memory)) {
            Ok(engine) => (engine, None),
            Err(error) => {
                let reason = super::text::one_line(&format!("{error:#}"), 256);
                let engine = wasmtime::Engine::new(&on_demand(memory))
                    .map_err(|error| LoadError::Engine(super::text::one_line(&format!("{error:#}"), 256)))?;
                (engine, Some(reason.into()))
            }
        };
        start_ticker(&wasm).map_err(|error| LoadError::Engine(format!("cannot start its clock: {error}")))?;
        Ok(Self { wasm, slots: Arc::new(Semaphore::new(slots as usize)), memory, on_demand_because: reason })
    }

    /// Why instances are not pooled, where they are not: each run then takes longer, and nothing else changes.
    pub fn on_demand_because(&self) -> Option<&str> {
        self.on_demand_because.as_deref()
    }

    pub(super) fn wasm(&self) -> &wasmtime::Engine {
        &self.wasm
    }

    /// One that compiles what this one runs, and runs nothing. An engine keeps what its compiler worked with for the next
    /// function, some 8 MB that nothing would use again: drop this one.
    pub(super) fn compiler(&self) -> wasmtime::Result<wasmtime::Engine> {
        let settings = match self.on_demand_because {
            None => pooling(1, self.memory),
            Some(_) => on_demand(self.memory),
        };
        wasmtime::Engine::new(&settings)
    }

    /// A place for one instance. Hold it until the store is gone.
    pub(super) async fn slot(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.slots).acquire_owned().await.expect("nobody closes the semaphore")
    }
}

fn common() -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.memory_init_cow(true);
    // Nobody reads backtraces of actions, they cost time, and they name paths of the machine that built the action.
    config.wasm_backtrace_max_frames(None);
    // Both serve backtraces and profilers only, and an interpreter has tens of thousands of functions.
    config.generate_address_map(false);
    config.native_unwind_info(false);
    config
}

fn pooling(slots: u32, memory: usize) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(CORE_INSTANCES))
        .total_memories(slots.saturating_mul(MEMORIES))
        .total_tables(slots.saturating_mul(TABLES))
        .total_stacks(slots)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(memory);
    // Measured: 32 µs a run with the defaults, 14 µs with these. An action of the SDK fits into them wholly.
    pool.linear_memory_keep_resident(256 << 10)
        .table_keep_resident(64 << 10)
        .async_stack_keep_resident(64 << 10)
        .pagemap_scan(Enabled::Auto);
    let mut config = common();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    // Bounds are checked in code: guard pages have to be moved for every memory that grows, and back for the next one, and each
    // of the two takes a system call and an interrupt on every other core. Measured: another 15 µs a run.
    config.signals_based_traps(false).memory_guard_size(0);
    config
}

/// Where address space is scarce: reserves no more than a memory may grow to, and checks bounds in code.
fn on_demand(memory: usize) -> Config {
    let mut config = common();
    config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    config.memory_reservation(memory as u64).memory_guard_size(1 << 16).memory_reservation_for_growth(0);
    config
}

/// One thread for each engine, from its first day: a deadline without a clock never comes. It ends with the engine.
fn start_ticker(engine: &wasmtime::Engine) -> std::io::Result<()> {
    let engine = engine.weak();
    let ticker = move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(TICK);
        }
    };
    std::thread::Builder::new().name("wasm-epochs".to_owned()).spawn(ticker).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_by_default() {
        for memory in [64 << 20, 1, 100_000, 1 << 32] {
            let engine = Engine::new(4, memory).expect("an engine");
            assert_eq!(engine.on_demand_because(), None, "{memory}");
        }
    }

    #[test]
    fn falls_back_to_instances_on_demand_where_the_address_space_is_too_small() {
        // 4 GiB for each memory: more than 47 bits of addresses.
        let engine = Engine::new(1 << 20, 64 << 20).expect("an engine");
        assert!(engine.on_demand_because().is_some());
    }

    #[test]
    fn runs_what_its_compiler_compiled() {
        use crate::plugins::cache::compatibility;

        for slots in [4, 1 << 20] {
            let engine = Engine::new(slots, 64 << 20).expect("an engine");
            let compiler = engine.compiler().expect("an engine");
            assert_eq!(compatibility(&compiler), compatibility(engine.wasm()), "{slots}");
        }
    }

    #[tokio::test]
    async fn makes_the_one_too_many_wait() {
        let engine = Engine::new(1, 1 << 20).expect("an engine");
        let first = engine.slot().await;
        let second = tokio::time::timeout(Duration::from_millis(50), engine.slot());
        assert!(second.await.is_err());
        drop(first);
        assert!(tokio::time::timeout(Duration::from_secs(10), engine.slot()).await.is_ok());
    }
}
