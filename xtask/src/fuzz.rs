//! `cargo xtask fuzz`: everything that reads what others wrote, on odd input, for as long as one likes. Compiled with the
//! controller's unit tests, as a slice of it is one of them.

use std::path::Path;
use std::process::Command;

use crate::Outcome;

const TEST: &str = "fuzz::as_long_as_one_likes";

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
            "--seconds" => "FUZZ_SECONDS",
            "--seed" => "FUZZ_SEED",
            _ => return Err(format!("unknown option {option}: there are --seconds and --seed")),
        };
        if value.parse::<u64>().is_err() {
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
        let read = variables(&["--seconds", "60", "--seed", "7"]).expect("sound");
        assert_eq!(read, [("FUZZ_SECONDS", "60".to_owned()), ("FUZZ_SEED", "7".to_owned())]);
        for wrong in [&["--seconds"][..], &["--seconds", "long"], &["--cases", "1"]] {
            assert!(variables(wrong).is_err(), "{wrong:?}");
        }
    }
}
