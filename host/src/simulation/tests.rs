//! Seeds in numbers, seeds that found something, and the mutants.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once};
use std::time::Instant;

use super::{Run, run};
use crate::faults;

thread_local! {
    static PANICS: Cell<u32> = const { Cell::new(0) };
}

/// How many panics there were on this thread: tasks swallow them.
pub fn panics() -> u32 {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.set(PANICS.get() + 1);
            usual(panic);
        }));
    });
    PANICS.get()
}

fn describe(run: &Run) -> String {
    let (seed, wrong) = (run.seed, run.wrong.join("\n  "));
    format!("seed {seed} breaks the rules:\n  {wrong}\nall of it: cargo xtask simulate --seed {seed}")
}

#[test]
fn the_rules_hold_for_the_first_200_seeds() {
    let bad: Vec<_> = (0..200).map(|seed| run(seed, None, 0)).filter(|run| !run.wrong.is_empty()).collect();
    assert!(bad.is_empty(), "{}", bad.iter().map(describe).collect::<Vec<_>>().join("\n"));
}

/// What they found: an apply that changed an object made in the meantime and was recorded as no change; an eviction that
/// was sent although the brake had been pulled while the pod was looked at; a namespace that was isolated, and nobody
/// paged, since the action had left the configuration before its entry was written.
#[test]
fn the_rules_hold_for_seeds_that_once_broke_them() {
    for seed in [37, 48, 686, 3608] {
        let run = run(seed, None, 0);
        assert!(run.wrong.is_empty(), "{}", describe(&run));
    }
}

#[test]
fn the_same_seed_gives_the_same_schedule_to_the_last_step() {
    for seed in 0..20 {
        let (one, two) = (run(seed, None, 0), run(seed, None, 0));
        assert_eq!((one.hash, one.wrong), (two.hash, two.wrong), "seed {seed}");
    }
}

/// Every rule that can be broken on purpose, within how many seeds that is found, and the words that name it.
const FOUND: [(&str, u64, &str); 8] = [
    ("act_before_intent", 20, "before its intent was on disk"),
    ("answer_before_commit", 200, "was answered and is lost"),
    ("drop_uid", 200, "not the object that was checked"),
    ("dry_run_live", 50, "a dry run changed something"),
    ("forget_followers", 200, "nobody looked after"),
    ("forget_result", 20, "has no result"),
    ("gate_off", 50, "out of reach"),
    ("repeat_unknown", 200, "there is no entry"),
];

#[test]
fn every_rule_that_is_broken_on_purpose_is_found_out() {
    assert_eq!(FOUND.map(|(mutant, _, _)| mutant), faults::RULES, "all of them");
    std::thread::scope(|scope| {
        for (mutant, within, words) in FOUND {
            let finds = move |seed: &u64| run(*seed, Some(mutant), 0).wrong.iter().any(|wrong| wrong.contains(words));
            scope.spawn(move || {
                assert!((0..within).any(|seed| finds(&seed)), "{within} seeds do not find {mutant}");
            });
        }
    });
}

/// For `cargo xtask simulate`.
#[test]
#[ignore = "as many seeds as one likes: cargo xtask simulate"]
fn seeds() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let mutant = std::env::var("SIMULATE_MUTANT").ok().map(|name| &*name.leak());
    if let Some(seed) = number("SIMULATE_SEED") {
        let run = run(seed, mutant, usize::MAX);
        run.trace.iter().for_each(|line| println!("{line}"));
        println!("hash {:016x}", run.hash);
        assert!(run.wrong.is_empty(), "{}", describe(&run));
        return;
    }
    let (from, count) = (number("SIMULATE_FROM").unwrap_or(0), number("SIMULATE_SEEDS").unwrap_or(1000));
    let started = Instant::now();
    let (next, bad) = (AtomicU64::new(from), Mutex::new(Vec::new()));
    let words = Mutex::new(BTreeMap::<String, usize>::new());
    let enough = || bad.lock().unwrap().len() >= 10;
    let work = || {
        while !enough() {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= from + count {
                return;
            }
            let run = run(seed, mutant, 0);
            let mut words = words.lock().unwrap();
            run.words.iter().for_each(|word| *words.entry(word.clone()).or_default() += 1);
            if !run.wrong.is_empty() {
                println!("{}", describe(&run));
                bad.lock().unwrap().push(seed);
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    for (word, count) in words.into_inner().unwrap() {
        println!("{count:>8} {word}");
    }
    let (seconds, bad) = (started.elapsed().as_secs_f64(), bad.into_inner().unwrap());
    let done = (next.into_inner() - from).min(count);
    println!("{done} seeds, {} bad, {seconds:.1} s, {:.0} a second", bad.len(), done as f64 / seconds);
    assert!(bad.is_empty(), "{bad:?}");
}
