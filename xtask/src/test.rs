//! `cargo xtask test`: the whole suite. Integration tests run the built binary with built plugins, so those come first.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use integration_tests::control_plane::{NOT_ASKED, NOT_RUN, WANTED};
use integration_tests::languages;

use crate::{Outcome, build, control_plane, deploy, go_module, plugins};

/// Which clusters the tests meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// A real control plane beside the simulation, a real Alertmanager and a real registry; they are built first, which takes Go.
    Real,
    /// Only the simulation.
    Simulated,
}

/// Without Go the real lane is left out, and the last lines say so; in CI that is an error.
///
/// # Errors
/// Something does not build.
pub fn run(root: &Path, lane: Lane, filter: &[&str]) -> Result<Outcome, String> {
    println!("[1/3] building the plugins");
    plugins::build(root)?;
    println!("[2/3] building the controller");
    build::faults(root)?;
    build::controller(root)?;
    let real = match lane {
        Lane::Simulated => Err(NOT_ASKED),
        Lane::Real if control_plane::ensure()? && go_module::alertmanager()? && go_module::registry()? => Ok(()),
        Lane::Real if std::env::var_os("CI").is_some() => return Err(format!("{NOT_RUN}; in CI it has to run")),
        Lane::Real => Err(NOT_RUN),
    };
    // What the real API server is given is made of the chart, and is to be what the clone holds.
    let same = real.is_err() || deploy::check(root)?;
    println!("[3/3] running the tests");
    // One failure hides no other.
    let mut arguments = vec!["test", "--workspace", "--no-fail-fast"];
    if !filter.is_empty() {
        arguments.push("--");
        arguments.extend(filter);
    }
    let counted = run_counted(root, real.is_ok(), &arguments)?;
    if let Err(not_run) = real {
        println!("\n{not_run}");
    }
    println!("\n{}", languages::NOT_ASKED);
    if !same {
        println!("\ndeploy/ is not what its chart says: run cargo xtask deploy");
    }
    println!("\n{} passed, {} failed, {} skipped", counted.passed, counted.failed, counted.ignored);
    Ok(if counted.good && same { Outcome::Good } else { Outcome::Bad })
}

/// What the test binaries say of themselves, added up.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counted {
    good: bool,
    passed: u32,
    failed: u32,
    ignored: u32,
}

/// Runs cargo, shows what it prints as it comes, and adds up its results.
fn run_counted(root: &Path, real: bool, arguments: &[&str]) -> Result<Counted, String> {
    let failed = |error: std::io::Error| format!("cannot run cargo: {error}");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(arguments).current_dir(root).stdout(Stdio::piped());
    if real {
        cargo.env(WANTED, "1");
    }
    let mut cargo = cargo.spawn().map_err(failed)?;
    let mut counted = Counted::default();
    if let Some(output) = cargo.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line.map_err(failed)?;
            counted.add(&line);
            println!("{line}");
        }
    }
    counted.good = cargo.wait().map_err(failed)?.success();
    Ok(counted)
}

impl Counted {
    /// `test result: ok. 3 passed; 0 failed; 1 ignored; …`
    fn add(&mut self, line: &str) {
        let Some(results) = line.strip_prefix("test result: ") else { return };
        for part in results.split(['.', ';']) {
            match part.trim().split_once(' ') {
                Some((number, "passed")) => self.passed += number.parse().unwrap_or(0),
                Some((number, "failed")) => self.failed += number.parse().unwrap_or(0),
                Some((number, "ignored")) => self.ignored += number.parse().unwrap_or(0),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up_what_the_test_binaries_say() {
        let mut counted = Counted::default();
        for line in [
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test something ... ok",
            "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.50s",
        ] {
            counted.add(line);
        }
        assert_eq!(counted, Counted { good: false, passed: 15, failed: 2, ignored: 1 });
    }
}
