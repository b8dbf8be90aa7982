//! `plugin build`: makes a component of a project, or stamps a manifest into one that another tool made.

use std::path::PathBuf;

use super::description;
use crate::authoring::build::{self, Built};
use crate::cli::Failure;
use crate::telemetry::escape;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The project.
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Where the component goes; else NAME.wasm in the project, NAME being the action's.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Cargo's profile, of a project in Rust.
    #[arg(long, value_name = "NAME", default_value = "release")]
    profile: String,
    /// A component that another tool made: only --manifest is put into it, and nothing is built.
    #[arg(long, value_name = "COMPONENT", requires = "manifest", requires = "output", conflicts_with_all = ["dir", "profile"])]
    stamp: Option<PathBuf>,
    /// The manifest to stamp, as JSON.
    #[arg(long, value_name = "FILE", requires = "stamp")]
    manifest: Option<PathBuf>,
}

pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let built = match (&arguments.stamp, &arguments.manifest) {
        (Some(component), Some(manifest)) => build::stamped(component, manifest),
        _ => build::project(&arguments.dir, &arguments.profile),
    };
    // What compilers and their output say is from outside.
    let Built { component, described } = built.map_err(|problem| Failure::Runtime(lines(&problem)))?;
    let output = arguments.output.unwrap_or_else(|| arguments.dir.join(format!("{}.wasm", described.manifest.name)));
    build::write(&output, &component).map_err(Failure::Runtime)?;
    println!("{}: {} bytes, sha256:{}", output.display(), described.size, described.sha256);
    print!("{}", description::reach(&described));
    Ok(())
}

/// Each line by itself escaped.
fn lines(text: &str) -> String {
    text.lines().map(escape::text).collect::<Vec<_>>().join("\n")
}
