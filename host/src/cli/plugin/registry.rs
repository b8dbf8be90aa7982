//! How a command talks to registries: by a configuration, or by flags of its own.

use std::path::PathBuf;

use crate::cli::artifacts::sources;
use crate::cli::{Failure, settings};
use crate::config::{self, Config};
use crate::plugins::registry::pull::Sources;
use crate::plugins::registry::reference::Reference;
use crate::plugins::registry::session::Registries;
use crate::plugins::registry::signature::Keys;
use crate::telemetry::escape;

#[derive(Debug, clap::Args)]
pub struct Access {
    /// Talk to registries as this configuration says.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A pull secret, as Kubernetes keeps it under `.dockerconfigjson` and docker and podman in their config.json.
    #[arg(long, value_name = "FILE")]
    pull_secret: Vec<PathBuf>,
    /// Trust these certificates alone.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Talk to this host, and no other, without TLS; else to those on this machine.
    #[arg(long, value_name = "HOST:PORT")]
    insecure_host: Vec<String>,
    /// A public key: what it has not signed is not taken.
    #[arg(long, value_name = "FILE")]
    signed_by: Vec<PathBuf>,
}

/// What a command works with.
pub struct Resolved {
    pub config: Option<Config>,
    pub sources: Sources,
    pub registries: Registries,
}

impl Access {
    /// # Errors
    /// A file cannot be used.
    pub fn resolve(&self) -> Result<Resolved, Failure> {
        let config = self.config.as_deref().map(settings::load).transpose()?;
        let mut registry = config.as_ref().map(|config| config.plugins.registry.clone()).unwrap_or_default();
        registry.pull_secrets.extend(self.pull_secret.iter().cloned());
        registry.ca_file = self.ca_file.clone().or(registry.ca_file);
        if !self.insecure_host.is_empty() {
            registry.insecure_hosts.get_or_insert_default().extend(self.insecure_host.iter().cloned());
        }
        let mut signers = config.as_ref().map(|config| config.plugins.signed_by.clone()).unwrap_or_default();
        signers.extend(self.signed_by.iter().cloned());
        let keys = Keys::read(&signers).map_err(Failure::Usage)?;
        // Who calls a command that fetches wants a network, also where the controller has none.
        let registry = config::Registry { mirror_only: false, mirror: None, ..registry };
        let sources = sources(&registry, keys).map_err(|trouble| Failure::Usage(trouble.to_string()))?;
        let registries = sources.registries.clone();
        let registries = registries.ok_or_else(|| Failure::Usage("no registry is to be asked".to_owned()))?;
        Ok(Resolved { config, sources, registries })
    }
}

/// # Errors
/// It is none.
pub fn reference(text: &str) -> Result<Reference, Failure> {
    text.parse().map_err(|error| Failure::Usage(escape::text(&format!("`{text}` {error}"))))
}
