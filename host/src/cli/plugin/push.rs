//! `plugin push`: puts an action into a registry, and prints the line for the configuration.

use std::path::PathBuf;

use super::registry::{Access, reference};
use crate::cli::Failure;
use crate::plugins::described::Described;
use crate::plugins::file::{COMPONENT_LIMIT, content};
use crate::plugins::registry::push::push;
use crate::telemetry::escape;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The component's file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where it goes: oci://HOST/NAME:TAG. Without a tag it is found by its digest alone.
    #[arg(value_name = "REF")]
    reference: String,
    #[command(flatten)]
    access: Access,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let to = reference(&arguments.reference)?;
    if to.digest.is_some() {
        return Err(Failure::Usage("the digest is what comes of pushing: give a tag, or none".to_owned()));
    }
    let file = arguments.file.display();
    let component =
        content(&arguments.file, COMPONENT_LIMIT).map_err(|problem| Failure::Usage(format!("{file}: {problem}")))?;
    let described =
        Described::of(&component).map_err(|problem| Failure::Runtime(escape::text(&format!("{file}: {problem}"))))?;
    let resolved = arguments.access.resolve()?;
    let pinned = push(&resolved.registries, &to, &component, &described)
        .await
        .map_err(|trouble| Failure::Runtime(escape::text(&format!("cannot push {to}: {trouble}"))))?;
    println!("{pinned}");
    Ok(())
}
