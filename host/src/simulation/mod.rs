//! Deterministic simulation: the controller's real pipeline, from the intake's routes to the destinations, on a schedule
//! that a seed decides.
//!
//! Time, randomness, HTTP and the journal's disk belong to the simulation, and there is no thread beside it. What is
//! simulated goes wrong in every way that [`scenario`] knows, the controller dies anywhere and starts again, and when all
//! is done [`check`] asks whether the rules of the house were kept. The same seed gives the same run, to the last step.

mod actions;
mod api;
mod check;
mod dice;
mod disk;
mod far;
mod life;
mod manifests;
mod pump;
mod scenario;
mod tests;
mod truth;
mod world;

use crate::faults;
use life::Over;
use world::World;

/// What one seed came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub seed: u64,
    /// Of the whole schedule: the same for the same seed.
    pub hash: u64,
    pub wrong: Vec<String>,
    /// The end of the schedule, for people; only as much as was asked for.
    pub trace: Vec<String>,
    /// What came of it, in words to be counted: `kill_pod done`, `lives 2`.
    pub words: Vec<String>,
}

/// Runs one seed, with one of the program's rules broken if `mutant` says so.
pub fn run(seed: u64, mutant: Option<&'static str>, keep: usize) -> Run {
    faults::during(mutant, || {
        let world = World::new(seed, keep);
        let mut wrong = Vec::new();
        let mut endings = world.scenario.endings.clone().into_iter();
        let panics = tests::panics();
        loop {
            let ending = endings.next();
            match life::live(&world, ending) {
                Over::Dead | Over::Told => {
                    let away = world.dice.millis(10, 8000);
                    pump::nobody_home(&world, away);
                    world.time.pass(away);
                }
                Over::AllDone => break,
                Over::Stuck(why) => {
                    wrong.push(why);
                    break;
                }
            }
        }
        let notes = std::mem::take(&mut world.state().notes);
        wrong.extend(check::check(&world, &notes));
        if tests::panics() > panics {
            wrong.push("the controller panicked".to_owned());
        }
        let trace = std::mem::take(&mut world.state().trace);
        Run { seed, hash: trace.hash, wrong, trace: trace.last.into(), words: check::words(&world, &notes) }
    })
}
