//! What outlives the controller: the cluster, the destinations, the clock, who crashes whom, and the notes that the
//! checks work on.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};
use tempfile::TempDir;
use tokio::sync::Notify;

use super::api::{Late, Sent};
use super::dice::{Dice, Time};
use super::scenario::{Happening, Scenario};
use crate::ambient::{Ambient, Clock};
use crate::cluster::simulated::Simulation;
use crate::journal::NewAlert;

pub struct World {
    pub scenario: Scenario,
    pub time: Arc<Time>,
    /// For what happens around the controller.
    pub dice: Dice,
    /// The controller's own.
    pub ambient: Ambient,
    pub cluster: Simulation,
    /// The journal, and the brake.
    pub directory: TempDir,
    /// From then on nothing goes wrong any more.
    pub calm_at: Timestamp,
    /// Woken when the controller is to die.
    pub death: Notify,
    /// Woken when there is more to happen.
    pub more: Notify,
    state: Mutex<State>,
}

#[derive(Default)]
pub struct State {
    life: Life,
    pub trace: Trace,
    /// What is to happen when, in milliseconds of Unix time.
    agenda: BTreeMap<(i64, u64), Happening>,
    numbers: u64,
    /// Requests that the API server has and has not looked at.
    pub arriving: BTreeMap<u64, Late>,
    /// What was read last, for reads that are stale.
    pub memory: BTreeMap<String, http::Response<Vec<u8>>>,
    /// When the brake was pulled; none while it is off.
    pub brake_since: Option<Timestamp>,
    pub notes: Notes,
}

#[derive(Default)]
struct Life {
    dead: bool,
    steps: u64,
    dies_at_step: Option<u64>,
    /// Alerts that are being posted.
    posts: u64,
}

/// What the checks are told.
#[derive(Default)]
pub struct Notes {
    pub accepted: Vec<NewAlert>,
    /// Bodies that were answered with 2xx, and in which life.
    pub answered: Vec<(String, u64)>,
    /// Intents on disk, as their records have them.
    pub intents: Vec<Map<String, Value>>,
    /// Results that the disk did not take: entry and call.
    pub lost_results: Vec<(String, u64)>,
    /// Pages and other payloads on disk.
    pub pages: Vec<Value>,
    pub sent: Vec<Sent>,
    /// Records that Graylog took, and pages that the pager took.
    pub delivered: Vec<Value>,
    pub paged: Vec<Value>,
    /// Pages that the pager refused for good.
    pub turned_down: usize,
    /// Event, rule and action of every run that was started.
    pub started: Vec<(String, String, String)>,
    pub lives: u64,
    pub wrong: Vec<String>,
}

/// The schedule as it was: a hash of all of it, and its end for people.
pub struct Trace {
    pub hash: u64,
    pub last: VecDeque<String>,
    pub keep: usize,
}

impl Default for Trace {
    fn default() -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, last: VecDeque::new(), keep: 0 }
    }
}

impl Trace {
    fn note(&mut self, line: String) {
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        if self.keep > 0 {
            self.last.push_back(line);
            if self.last.len() > self.keep {
                self.last.pop_front();
            }
        }
    }
}

impl State {
    /// Takes away what is posted before that time.
    pub fn lose_posts(&mut self, before: Timestamp) -> usize {
        let count = self.agenda.len();
        let is_lost =
            |at: i64, happening: &Happening| at < before.as_millisecond() && matches!(happening, Happening::Posted(_));
        self.agenda.retain(|(at, _), happening| !is_lost(*at, happening));
        count - self.agenda.len()
    }
}

impl World {
    pub fn new(seed: u64, keep: usize) -> Arc<Self> {
        let scenario = Scenario::of(seed);
        let time = Arc::new(Time::new(scenario.start));
        let ambient = Ambient::new(Arc::<Time>::clone(&time), Arc::new(Dice::new(seed, 2)));
        let cluster = Simulation::empty(&Ambient::new(Arc::<Time>::clone(&time), Arc::new(Dice::new(seed, 3))));
        for object in &scenario.objects {
            cluster.place(object.clone()).expect("an object of the scenario is sound");
        }
        let calm_at = after(scenario.start, scenario.calm_after);
        let world = Arc::new(Self {
            time,
            dice: Dice::new(seed, 4),
            ambient,
            cluster,
            directory: directory(),
            calm_at,
            death: Notify::new(),
            more: Notify::new(),
            state: Mutex::default(),
            scenario,
        });
        world.state().trace.keep = keep;
        for (at, happening) in world.scenario.happenings.clone() {
            world.later(after(world.scenario.start, at), happening);
        }
        world
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn now(&self) -> Timestamp {
        self.time.now()
    }

    /// Whether things may still go wrong.
    pub fn is_rough(&self) -> bool {
        self.now() < self.calm_at
    }

    pub fn note(&self, line: impl FnOnce() -> String) {
        let at = self.now().duration_since(self.scenario.start);
        self.state().trace.note(format!("{:>9.3} {}", at.as_secs_f64(), line()));
    }

    /// What an invariant says right away.
    pub fn wrong(&self, what: String) {
        self.note(|| format!("WRONG {what}"));
        self.state().notes.wrong.push(what);
    }

    /// A point at which the controller may die: then nobody returns from here.
    pub async fn step(&self, what: impl FnOnce() -> String) {
        if !self.is_dead() {
            self.note(what);
            let dies = {
                let mut state = self.state();
                state.life.steps += 1;
                state.life.dies_at_step == Some(state.life.steps)
            };
            if !dies {
                return;
            }
            self.die();
        }
        std::future::pending().await
    }

    pub fn is_dead(&self) -> bool {
        self.state().life.dead
    }

    pub fn die(&self) {
        self.note(|| "the controller dies".to_owned());
        self.state().life.dead = true;
        self.death.notify_one();
    }

    /// A new life begins.
    pub fn wake(&self, dies_at_step: Option<u64>) {
        let mut state = self.state();
        state.life = Life { dies_at_step, ..Life::default() };
        state.notes.lives += 1;
    }

    pub fn later(&self, at: Timestamp, happening: Happening) {
        let mut state = self.state();
        state.numbers += 1;
        let number = state.numbers;
        state.agenda.insert((at.as_millisecond(), number), happening);
        self.more.notify_one();
    }

    pub fn soon(&self, wait: Duration, happening: Happening) {
        self.later(after(self.now(), wait), happening);
    }

    /// What is due, or else how long it takes until something is.
    pub fn next(&self) -> Result<Happening, Option<Duration>> {
        let now = self.now().as_millisecond();
        let mut state = self.state();
        match state.agenda.first_entry() {
            None => Err(None),
            Some(first) if first.key().0 <= now => Ok(first.remove()),
            Some(first) => Err(Some(Duration::from_millis(first.key().0.abs_diff(now)))),
        }
    }

    /// Whether nothing is to happen any more, and nothing is happening.
    pub fn is_over(&self) -> bool {
        let state = self.state();
        state.agenda.is_empty() && state.life.posts == 0
    }

    pub fn begins_to_post(&self) {
        self.state().life.posts += 1;
    }

    pub fn has_posted(&self) {
        self.state().life.posts -= 1;
    }

    pub fn number(&self) -> u64 {
        let mut state = self.state();
        state.numbers += 1;
        state.numbers
    }

    pub fn stop_file(&self) -> std::path::PathBuf {
        self.directory.path().join("stop")
    }
}

pub fn after(at: Timestamp, wait: Duration) -> Timestamp {
    at.saturating_add(SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX)).unwrap_or(at)
}

/// In memory where the machine offers that: nothing here is about the disk.
fn directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory")
}
