//! `plugin inspect`: what an action says of itself, and what that means for the operator. Nothing of it is run.

use std::path::PathBuf;

use super::description;
use crate::cli::Failure;
use crate::plugins::described::{self, Described};
use crate::telemetry::escape;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The component's file; with --plugins, an action's name.
    #[arg(value_name = "FILE|NAME")]
    what: String,
    /// Where to look for an action of that name.
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let file = match &arguments.plugins {
        Some(dir) => described::find(dir, &arguments.what).map_err(|problem| Failure::Usage(escape::text(&problem)))?,
        None => PathBuf::from(&arguments.what),
    };
    if !file.exists() {
        return Err(Failure::Usage(format!(
            "{}: no such file; an action's name needs --plugins DIR to be looked up in, and references to a registry \
             are not taken",
            escape::text(&arguments.what)
        )));
    }
    let described = Described::read(&file)
        .map_err(|problem| Failure::Runtime(escape::text(&format!("{}: {problem}", file.display()))))?;
    if arguments.json {
        println!("{}", description::json(&described));
    } else {
        print!("{}", description::text(&described));
    }
    Ok(())
}
