//! `cargo xtask simulate`: as many seeds of the deterministic simulation as one likes. The simulation is compiled with the
//! controller's unit tests, so that the program that is shipped has none of it.

use std::path::Path;

use crate::Outcome;
use crate::ignored::{self, Setting};

const TEST: &str = "simulation::tests::seeds";
const SETTINGS: [Setting; 4] = [
    Setting { option: "--seeds", variable: "SIMULATE_SEEDS", number: true },
    Setting { option: "--from", variable: "SIMULATE_FROM", number: true },
    Setting { option: "--seed", variable: "SIMULATE_SEED", number: true },
    Setting { option: "--mutant", variable: "SIMULATE_MUTANT", number: false },
];

/// # Errors
/// The arguments are none, or cargo cannot be run.
pub fn run(root: &Path, arguments: &[&str]) -> Result<Outcome, String> {
    ignored::run(root, TEST, &SETTINGS, arguments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ignored::variables;

    #[test]
    fn reads_its_options_and_refuses_others() {
        let read = variables(&SETTINGS, &["--seeds", "10000", "--mutant", "gate_off"]).expect("sound");
        assert_eq!(read, [("SIMULATE_SEEDS", "10000".to_owned()), ("SIMULATE_MUTANT", "gate_off".to_owned())]);
        for wrong in [&["--seeds"][..], &["--seeds", "many"], &["--sed", "1"]] {
            assert!(variables(&SETTINGS, wrong).is_err(), "{wrong:?}");
        }
    }
}
