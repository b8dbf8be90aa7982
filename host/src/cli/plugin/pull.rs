//! `plugin pull`: copies actions with their signatures from registries into a directory, for where there is no network.

use std::path::PathBuf;

use super::registry::{Access, Resolved, reference};
use crate::cli::Failure;
use crate::plugins::registry::layout::Layout;
use crate::plugins::registry::reference::{Digest, Pinned};
use crate::plugins::registry::session::{Purpose, Trouble};
use crate::telemetry::escape;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What to copy; of a tag, what it means now. Without one, all that `plugins.oci` of --config names.
    #[arg(value_name = "REF", required_unless_present = "config")]
    references: Vec<String>,
    /// The OCI image layout to fill; made where it is not there.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    #[command(flatten)]
    access: Access,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let resolved = arguments.access.resolve()?;
    let mut wanted = Vec::new();
    for text in &arguments.references {
        let reference = reference(text)?;
        let pinned = match reference.pinned() {
            Some(pinned) => Ok(pinned),
            None => tagged(&resolved, &reference.repository, reference.tag.as_deref().unwrap_or("latest")).await,
        };
        wanted.push(pinned.map_err(|trouble| failure(&reference.to_string(), &trouble))?);
    }
    if arguments.references.is_empty() {
        wanted.extend(resolved.config.iter().flat_map(|config| config.plugins.oci.iter().cloned()));
    }
    let layout = Layout::open_or_create(&arguments.to, false).map_err(Failure::Runtime)?;
    for pinned in wanted {
        resolved.sources.mirror(&pinned, &layout).await.map_err(|trouble| failure(&pinned.to_string(), &trouble))?;
        println!("{pinned}");
    }
    Ok(())
}

/// What a tag means now.
pub async fn tagged(
    resolved: &Resolved,
    repository: &crate::plugins::registry::reference::Repository,
    tag: &str,
) -> Result<Pinned, Trouble> {
    let mut session = resolved.registries.session(repository, Purpose::Pull)?;
    let manifest = session.manifest(tag).await?;
    Ok(Pinned { repository: repository.clone(), digest: Digest::of(&manifest) })
}

pub fn failure(what: &str, trouble: &Trouble) -> Failure {
    Failure::Runtime(escape::text(&format!("cannot pull {what}: {trouble}")))
}
