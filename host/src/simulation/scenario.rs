//! What a seed stands for: a cluster, a configuration, alerts, people and controllers who change things, what goes
//! wrong, and when the controller dies.

mod config;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::api::Late;
use super::dice::Dice;
use super::manifests;
use config::{changed, config};
pub use config::{is_dry, steps};

pub struct Scenario {
    pub start: Timestamp,
    /// The configuration, and whether it is dry; with another one from the second life on, in some.
    configs: Vec<(String, bool)>,
    pub protects_stateful_sets: bool,
    pub objects: Vec<Value>,
    pub happenings: Vec<(Duration, Happening)>,
    pub weather: Weather,
    /// From then on nothing goes wrong any more.
    pub calm_after: Duration,
    /// One for each life of the controller but the last, which ends when all is done.
    pub endings: Vec<Ending>,
}

/// Chances out of a thousand.
pub struct Weather {
    pub api_faults: u64,
    pub slow_api: u64,
    pub stale: u64,
    pub slow_disk: u64,
    pub full_disk: u64,
    pub far_faults: u64,
    /// That a deleted pod comes back.
    pub comes_back: u64,
    /// That somebody meddles with an object just when the controller is at it.
    pub meddling: u64,
    /// When the API server is away, since the start.
    pub outages: Vec<(Duration, Duration)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    AtStep(u64),
    After(Duration),
    /// SIGTERM.
    Told(Duration),
}

#[derive(Debug, Clone)]
pub enum Happening {
    /// Falco sees something.
    Seen(Arc<Sight>),
    /// Falcosidekick posts it.
    Posted(Arc<str>),
    /// A change that its sender has given up on reaches the API server.
    Arrives(Box<Late>),
    /// A pod that is gone is made anew.
    ComesBack(Arc<Value>),
    /// Another pod takes the name at once.
    Swapped(String),
    Deleted(&'static str),
    /// Somebody gives a namespace a policy of the emergency's name, or changes the one that is there.
    PolicyEdited(String),
    Held(&'static str),
    Brake(bool),
}

/// What an alert is about, and what is odd about it.
#[derive(Debug, Clone)]
pub struct Sight {
    pub number: u64,
    pub rule: &'static str,
    pub namespace: &'static str,
    pub pod: &'static str,
    pub with_uid: bool,
    pub with_container: bool,
    pub oddity: Oddity,
    /// From the event to the post.
    pub delay: Duration,
    /// Posted again after that.
    pub again: Option<Duration>,
    pub uuid: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oddity {
    None,
    Stale,
    Future,
    /// A node's clock that is wrong, within what is taken.
    Skewed,
    AnotherUid,
    AnotherContainer,
    Host,
    NotUrgent,
    NoUuid,
}

impl Scenario {
    pub fn of(seed: u64) -> Self {
        let dice = Dice::new(seed, 1);
        let start = "2026-11-24T12:00:00Z".parse().expect("RFC 3339");
        let start = super::world::after(start, dice.millis(0, 5000));
        let span = Duration::from_secs(5 + dice.below(40));
        let (dryrun, protects_stateful_sets) = (dice.chance(120), dice.chance(600));
        let mut configs = vec![(config(&dice, dryrun, protects_stateful_sets), dryrun)];
        if dice.chance(150) {
            configs.push(changed(&dice, &configs[0]));
        }
        Self {
            start,
            configs,
            protects_stateful_sets,
            objects: manifests::cluster(&dice, start),
            happenings: happenings(&dice, span),
            weather: weather(&dice, span),
            calm_after: span + dice.millis(0, 20_000),
            endings: endings(&dice, span),
        }
    }
}

impl Scenario {
    /// The configuration of a life (from 1), and whether it is dry.
    pub fn config(&self, life: u64) -> (&str, bool) {
        let index = usize::try_from(life.saturating_sub(1)).unwrap_or(0).min(self.configs.len() - 1);
        (&self.configs[index].0, self.configs[index].1)
    }

    /// Whether alerts may have been accepted under other rules than those that they were worked on by.
    pub fn is_reconfigured(&self, lives: u64) -> bool {
        lives > 1 && self.configs.len() > 1
    }
}

const RULES: &[&str] = &[
    "kill",
    "kill",
    "kill",
    "kill",
    "isolate",
    "isolate",
    "chaos",
    "chaos",
    "dry",
    "dry chaos",
    "narrow",
    "quick",
    "both",
    "both",
    "nobody's",
];

fn happenings(dice: &Dice, span: Duration) -> Vec<(Duration, Happening)> {
    let at = || dice.millis(100, u64::try_from(span.as_millis()).unwrap_or(0));
    let mut all = Vec::new();
    for number in 0..1 + dice.below(9) {
        let (namespace, pod) = dice.one_of(manifests::PODS);
        let oddities = [
            Oddity::Stale,
            Oddity::Future,
            Oddity::Skewed,
            Oddity::AnotherUid,
            Oddity::AnotherContainer,
            Oddity::Host,
            Oddity::NotUrgent,
            Oddity::NoUuid,
        ];
        let sight = Sight {
            number,
            rule: dice.one_of(RULES),
            namespace,
            pod,
            with_uid: dice.chance(300),
            with_container: dice.chance(400),
            oddity: if dice.chance(250) { dice.one_of(&oddities) } else { Oddity::None },
            delay: dice.millis(1, dice.one_of(&[50, 500, 4000])),
            again: dice.chance(150).then(|| dice.millis(0, 15_000)),
            uuid: dice.uuid(),
        };
        // Two sights of one thing, as two Falco rules have them.
        let first = at();
        if dice.chance(250) {
            let second = Sight { uuid: dice.uuid(), number: 100 + number, ..sight.clone() };
            all.push((first + dice.millis(0, 300), Happening::Seen(Arc::new(second))));
        }
        all.push((first, Happening::Seen(Arc::new(sight))));
    }
    for _ in 0..dice.below(6) {
        let happening = match dice.below(8) {
            0 => Happening::PolicyEdited("production".to_owned()),
            1 => Happening::PolicyEdited("staging".to_owned()),
            2 => Happening::Held("/api/v1/namespaces/production/pods/checkout-1"),
            3 => {
                all.push((at(), Happening::Brake(false)));
                Happening::Brake(true)
            }
            _ => Happening::Deleted(dice.one_of(manifests::DELETABLE)),
        };
        all.push((at(), happening));
    }
    // A brake that stays on would only make everything dry.
    all.push((span, Happening::Brake(false)));
    all
}

fn weather(dice: &Dice, span: Duration) -> Weather {
    let some = |levels: &[u64]| dice.one_of(levels);
    let mut outages = Vec::new();
    if dice.chance(150) {
        let from = dice.millis(0, u64::try_from(span.as_millis()).unwrap_or(0));
        outages.push((from, from + dice.millis(200, 40_000)));
    }
    Weather {
        api_faults: some(&[0, 20, 80, 250]),
        slow_api: some(&[0, 10, 100]),
        stale: some(&[0, 0, 50, 150]),
        slow_disk: some(&[0, 50]),
        full_disk: some(&[0, 0, 10, 80]),
        far_faults: some(&[0, 50, 300]),
        comes_back: some(&[0, 500, 900]),
        meddling: some(&[0, 0, 100, 400]),
        outages,
    }
}

fn endings(dice: &Dice, span: Duration) -> Vec<Ending> {
    let lives = dice.one_of(&[0, 1, 1, 2, 3]);
    let ending = |_| match dice.below(8) {
        0 => Ending::After(dice.millis(0, u64::try_from(span.as_millis()).unwrap_or(0))),
        1 => Ending::Told(dice.millis(500, u64::try_from(span.as_millis()).unwrap_or(0))),
        // Most of what matters is close together.
        _ => Ending::AtStep(1 + dice.below(1 << (3 + dice.below(6)))),
    };
    (0..lives).map(ending).collect()
}
