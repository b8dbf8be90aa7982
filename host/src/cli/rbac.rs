//! `rbac`: prints what the cluster has to allow the controller, and what it is to refuse it.

use std::path::PathBuf;

use super::artifacts::{self, Once};
use super::{Failure, settings};
use crate::access::{Account, admission, needs, roles};
use crate::cluster::names::{Namespace, ObjectName};
use crate::plugins::Plugins;
use crate::respond::rules::Rules;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Where the plugins are; beats `plugins.dir`.
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
    /// The namespace of the controller.
    #[arg(long, value_name = "NAME", default_value = "falco", value_parser = Namespace::parse)]
    namespace: Namespace,
    /// Its ServiceAccount, and the name of its Roles.
    #[arg(long, value_name = "NAME", default_value = "falco-response-controller", value_parser = ObjectName::parse)]
    name: ObjectName,
    /// Print the admission policies instead: what RBAC cannot say.
    #[arg(long)]
    admission: bool,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let config = settings::load(&arguments.config)?;
    let source = settings::plugins(arguments.plugins, &config, &config.journal);
    let Once { source, _kept, .. } = artifacts::once(source, &config).await?;
    let plugins = Plugins::load(&source).map_err(|error| Failure::Usage(error.to_string()))?;
    let (_, mut problems) = Rules::join(&config, &plugins, config.cluster_name.clone()).await;
    let (needs, unknown) = needs::needs(&config, &plugins);
    if problems.is_empty() {
        problems = unknown;
    }
    if !problems.is_empty() {
        // A Role that is silently too small would fail when it is needed.
        let error = crate::config::ConfigError::Invalid { path: arguments.config, problems };
        return Err(Failure::Usage(error.to_string()));
    }
    let account = Account { namespace: arguments.namespace, name: arguments.name };
    if arguments.admission {
        print!("{}", admission::print(&account, &config, &plugins));
    } else {
        print!("{}", roles::print(&account, &needs));
    }
    Ok(())
}
