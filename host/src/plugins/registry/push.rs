//! From a component to an artifact in a registry.

use super::artifact;
use super::reference::{Digest, Pinned, Reference};
use super::session::{Purpose, Registries, Trouble};
use crate::plugins::described::Described;

/// Answers with the reference to paste into a configuration.
///
/// # Errors
/// The registry does not take it.
pub async fn push(
    registries: &Registries,
    to: &Reference,
    component: &[u8],
    described: &Described,
) -> Result<Pinned, Trouble> {
    let made = artifact::make(component, described);
    let digest = Digest::of(&made.manifest);
    let mut session = registries.session(&to.repository, Purpose::Push)?;
    for blob in [component, &made.config] {
        session.push_blob(blob).await?;
    }
    let name = to.tag.clone().unwrap_or_else(|| digest.to_string());
    session.push_manifest(&name, &made.manifest).await?;
    Ok(Pinned { repository: to.repository.clone(), digest })
}
