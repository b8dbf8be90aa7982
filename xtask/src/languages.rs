//! `cargo xtask languages`: actions in Python and JavaScript, made by those languages' own tools, tested beside their twins
//! in Rust.

mod make;
mod table;
mod tools;

use std::path::Path;
use std::process::Command;

use integration_tests::languages::{ALL, Language};

use crate::{Outcome, build, plugins};

/// Without Python or Node the lane is left out, and the last line says so; in CI that is an error.
///
/// # Errors
/// Something does not build.
pub fn run(root: &Path) -> Result<Outcome, String> {
    println!("[1/4] the tools of each language");
    let mut programs = Vec::new();
    for language in ALL {
        match tools::ensure(language) {
            Ok(found) => programs.push((language, found)),
            Err(problem) => return not_run(language, &problem),
        }
    }
    println!("[2/4] building the plugins in Rust, and the controller");
    plugins::build(root)?;
    build::controller(root)?;
    println!("[3/4] building the plugins in other languages (an unchanged one is kept)");
    for (language, programs) in &programs {
        make::components(*language, programs).map_err(|problem| format!("{}: {problem}", language.name()))?;
    }
    println!("[4/4] running the tests");
    let tests = ["test", "--workspace", "--test", "languages", "--", "--nocapture", "--test-threads=2"];
    let status = Command::new(env!("CARGO")).args(tests).current_dir(root).status();
    let status = status.map_err(|error| format!("cannot run cargo: {error}"))?;
    table::print(root)?;
    Ok(if status.success() { Outcome::Good } else { Outcome::Bad })
}

fn not_run(language: Language, problem: &str) -> Result<Outcome, String> {
    let line = format!("other languages lane: NOT RUN (no tools for {}: {problem})", language.name());
    if std::env::var_os("CI").is_some() {
        return Err(format!("{line}; in CI it has to run"));
    }
    println!("\n{line}");
    Ok(Outcome::Good)
}
