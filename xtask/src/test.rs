//! `cargo xtask test`: the whole suite. Integration tests run the built binary with built plugins, so those come first.

use std::path::Path;

use crate::{Outcome, build, plugins};

/// # Errors
/// Something does not build.
pub fn run(root: &Path, filter: &[&str]) -> Result<Outcome, String> {
    println!("[1/3] building the plugins");
    plugins::build(root)?;
    println!("[2/3] building the controller");
    build::controller(root)?;
    println!("[3/3] running the tests");
    let mut arguments = vec!["test", "--workspace"];
    if !filter.is_empty() {
        arguments.push("--");
        arguments.extend(filter);
    }
    match build::cargo(root, &arguments) {
        Ok(()) => Ok(Outcome::Good),
        Err(error) => {
            eprintln!("{error}");
            Ok(Outcome::Bad)
        }
    }
}
