//! `cargo xtask crash`: the suite's random crashes, many more of them.

use std::path::Path;
use std::process::Command;

use crate::{Outcome, build, plugins};

const ROUNDS: &str = "100";

/// # Errors
/// An unknown argument, or something does not build.
pub fn run(root: &Path, arguments: &[&str]) -> Result<Outcome, String> {
    let (mut rounds, mut seed) = (ROUNDS, "1");
    for pair in arguments.chunks(2) {
        match pair {
            ["--rounds", number] if is_number(number) => rounds = number,
            ["--seed", number] if is_number(number) => seed = number,
            _ => return Err(format!("crash takes --rounds N and --seed N, not {}", arguments.join(" "))),
        }
    }
    plugins::build(root)?;
    build::faults(root)?;
    build::controller(root)?;
    let test = ["test", "--package", "falco-response-controller", "--test", "crash", "--", "--nocapture", "load::"];
    let status = Command::new(env!("CARGO"))
        .args(test)
        .current_dir(root)
        .envs([("CRASH_ROUNDS", rounds), ("CRASH_SEED", seed)])
        .status()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    Ok(if status.success() { Outcome::Good } else { Outcome::Bad })
}

fn is_number(text: &str) -> bool {
    text.parse::<u64>().is_ok()
}
