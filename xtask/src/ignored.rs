//! Tests of the controller that take as long as one likes: ignored among the others, and commands of xtask.

use std::path::Path;
use std::process::Command;

use crate::Outcome;

/// An option of such a command, and the variable that its test reads it from.
pub struct Setting {
    pub option: &'static str,
    pub variable: &'static str,
    pub number: bool,
}

/// Runs one of them.
///
/// # Errors
/// The arguments are none of the settings, or cargo cannot be run.
pub fn run(root: &Path, test: &str, settings: &[Setting], arguments: &[&str]) -> Result<Outcome, String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--package", "falco-response-controller", "--lib", "--"]);
    cargo.args(["--exact", test, "--ignored", "--nocapture"]);
    cargo.envs(variables(settings, arguments)?);
    let status = cargo.current_dir(root).status().map_err(|error| format!("cannot run cargo: {error}"))?;
    Ok(if status.success() { Outcome::Good } else { Outcome::Bad })
}

/// The arguments as the test reads them.
///
/// # Errors
/// They are none of the settings.
pub fn variables(settings: &[Setting], arguments: &[&str]) -> Result<Vec<(&'static str, String)>, String> {
    let mut variables = Vec::new();
    let mut rest = arguments.iter();
    while let Some(option) = rest.next() {
        let value = rest.next().ok_or_else(|| format!("{option} needs a value"))?;
        let Some(setting) = settings.iter().find(|setting| setting.option == *option) else {
            return Err(format!("unknown option {option}: there are {}", listed(settings)));
        };
        if setting.number && value.parse::<u64>().is_err() {
            return Err(format!("{option} needs a number, not {value:?}"));
        }
        variables.push((setting.variable, (*value).to_owned()));
    }
    Ok(variables)
}

/// `--seconds and --seed`
fn listed(settings: &[Setting]) -> String {
    let options: Vec<_> = settings.iter().map(|setting| setting.option).collect();
    match options.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => "none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_options_that_there_are() {
        let setting = |option| Setting { option, variable: "X", number: true };
        let settings = [setting("--a"), setting("--b"), setting("--c")];
        assert_eq!(
            variables(&settings, &["--d", "1"]),
            Err("unknown option --d: there are --a, --b and --c".to_owned())
        );
    }
}
