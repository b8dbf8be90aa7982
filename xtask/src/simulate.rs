//! `cargo xtask simulate`: as many seeds of the deterministic simulation as one likes. The simulation is compiled with the
//! controller's unit tests, so that the program that is shipped has none of it.

use std::path::Path;
use std::process::Command;

use crate::Outcome;

const TEST: &str = "simulation::tests::seeds";

/// # Errors
/// The arguments are none, or cargo cannot be run.
pub fn run(root: &Path, arguments: &[&str]) -> Result<Outcome, String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--package", "falco-response-controller", "--lib", "--"]);
    cargo.args(["--exact", TEST, "--ignored", "--nocapture"]);
    for (variable, value) in variables(arguments)? {
        cargo.env(variable, value);
    }
    let status = cargo.current_dir(root).status().map_err(|error| format!("cannot run cargo: {error}"))?;
    Ok(if status.success() { Outcome::Good } else { Outcome::Bad })
}

/// The options as the test reads them.
fn variables(arguments: &[&str]) -> Result<Vec<(&'static str, String)>, String> {
    let mut variables = Vec::new();
    let mut rest = arguments.iter();
    while let Some(option) = rest.next() {
        let value = rest.next().ok_or_else(|| format!("{option} needs a value"))?;
        let variable = match *option {
            "--seeds" => "SIMULATE_SEEDS",
            "--from" => "SIMULATE_FROM",
            "--seed" => "SIMULATE_SEED",
            "--mutant" => "SIMULATE_MUTANT",
            _ => return Err(format!("unknown option {option}: there are --seeds, --from, --seed and --mutant")),
        };
        if *option != "--mutant" && value.parse::<u64>().is_err() {
            return Err(format!("{option} needs a number, not {value:?}"));
        }
        variables.push((variable, (*value).to_owned()));
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_options_and_refuses_others() {
        let read = variables(&["--seeds", "10000", "--mutant", "gate_off"]).expect("sound");
        assert_eq!(read, [("SIMULATE_SEEDS", "10000".to_owned()), ("SIMULATE_MUTANT", "gate_off".to_owned())]);
        for wrong in [&["--seeds"][..], &["--seeds", "many"], &["--sed", "1"]] {
            assert!(variables(wrong).is_err(), "{wrong:?}");
        }
    }
}
