//! `plugin inspect`: what an action says of itself, and what that means for the operator. Nothing of it is run.

use std::path::PathBuf;

use super::registry::{Access, reference};
use super::{description, pull};
use crate::cli::Failure;
use crate::plugins::described::{self, Described};
use crate::plugins::registry::layout::Layout;
use crate::plugins::registry::reference::SCHEME;
use crate::plugins::registry::session::Trouble;
use crate::telemetry::escape;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The component's file, or oci://HOST/NAME with a tag or a digest; with --plugins, an action's name.
    #[arg(value_name = "FILE|REF|NAME")]
    what: String,
    /// Where to look for an action of that name.
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    access: Access,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    if arguments.what.starts_with(SCHEME) {
        return in_registry(&arguments).await;
    }
    let file = match &arguments.plugins {
        Some(dir) => described::find(dir, &arguments.what).map_err(|problem| Failure::Usage(escape::text(&problem)))?,
        None => PathBuf::from(&arguments.what),
    };
    if !file.exists() {
        return Err(Failure::Usage(format!(
            "{}: no such file; an action's name needs --plugins DIR to be looked up in, and a reference to a registry \
             begins with {SCHEME}",
            escape::text(&arguments.what)
        )));
    }
    let described = Described::read(&file)
        .map_err(|problem| Failure::Runtime(escape::text(&format!("{}: {problem}", file.display()))))?;
    print(&described, arguments.json);
    Ok(())
}

/// One in a registry, with the reference that cannot become another one.
async fn in_registry(arguments: &Arguments) -> Result<(), Failure> {
    let resolved = arguments.access.resolve()?;
    let reference = reference(&arguments.what)?;
    let failed = |trouble: Trouble| pull::failure(&reference.to_string(), &trouble);
    let pinned = match reference.pinned() {
        Some(pinned) => pinned,
        None => {
            let tag = reference.tag.as_deref().unwrap_or("latest");
            pull::tagged(&resolved, &reference.repository, tag).await.map_err(failed)?
        }
    };
    let directory = tempfile::tempdir().map_err(|error| Failure::Runtime(format!("cannot pull {pinned}: {error}")))?;
    let layout = Layout::open_or_create(directory.path(), true).map_err(Failure::Runtime)?;
    let found = resolved.sources.fetch(&pinned, &layout).await.map_err(failed)?;
    let described = Described::read(&found.file)
        .map_err(|problem| Failure::Runtime(escape::text(&format!("{pinned}: {problem}"))))?;
    if !arguments.json {
        println!("{pinned}");
    }
    print(&described, arguments.json);
    Ok(())
}

fn print(described: &Described, json: bool) {
    if json {
        println!("{}", description::json(described));
    } else {
        print!("{}", description::text(described));
    }
}
