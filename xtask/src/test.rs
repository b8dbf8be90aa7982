//! `cargo xtask test`: the whole suite. Integration tests run the built binary with built plugins, so those come first.

use std::path::Path;

use integration_tests::control_plane::NOT_RUN;

use crate::{Outcome, build, control_plane, plugins};

/// # Errors
/// Something does not build.
pub fn run(root: &Path, filter: &[&str]) -> Result<Outcome, String> {
    println!("[1/4] building the plugins");
    plugins::build(root)?;
    println!("[2/4] building the controller");
    build::controller(root)?;
    println!("[3/4] building the real control plane");
    let real = control_plane::ensure()?;
    println!("[4/4] running the tests");
    let mut arguments = vec!["test", "--workspace"];
    if !filter.is_empty() {
        arguments.push("--");
        arguments.extend(filter);
    }
    let result = build::cargo(root, &arguments);
    if !real {
        println!("{NOT_RUN}");
    }
    match result {
        Ok(()) => Ok(Outcome::Good),
        Err(error) => {
            eprintln!("{error}");
            Ok(Outcome::Bad)
        }
    }
}
