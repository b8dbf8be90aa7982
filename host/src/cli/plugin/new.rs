//! `plugin new`: a project for a new action.

use std::path::{Path, PathBuf};

use crate::authoring::name::ActionName;
use crate::authoring::template::{Language, Project, Sdk};
use crate::cli::Failure;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What the action is to be called: quarantine_pod or quarantine-pod. The folder has this name.
    #[arg(value_name = "NAME")]
    name: String,
    /// What it is written in.
    #[arg(long, value_enum, default_value_t = Language::Rust)]
    lang: Language,
    /// The SDK in a clone (guest-sdk, with wit beside it), instead of a copy in the project's vendor/.
    #[arg(long, value_name = "PATH")]
    sdk: Option<PathBuf>,
}

pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let name = ActionName::parse(&arguments.name).map_err(Failure::Usage)?;
    let sdk = arguments.sdk.map_or(Sdk::Vendored, Sdk::At);
    let project = Project::new(&name, arguments.lang, &sdk).map_err(Failure::Usage)?;
    let folder = Path::new(&arguments.name);
    project.write(folder).map_err(Failure::Usage)?;
    println!("{}: the action {}, with", folder.display(), name.snake());
    for file in project.own_files() {
        println!("  {file}");
    }
    if sdk == Sdk::Vendored {
        println!("  vendor/ (the contract{})", if arguments.lang == Language::Rust { " and the SDK" } else { "" });
    }
    println!("\nNext:\n");
    println!("  cd {}", folder.display());
    for step in steps(arguments.lang) {
        println!("  {step}");
    }
    Ok(())
}

fn steps(language: Language) -> Vec<String> {
    let own: &[&str] = match language {
        Language::Rust => &["cargo test"],
        Language::Python => &["python3 -m venv .venv && .venv/bin/pip install -r requirements.txt"],
        Language::Javascript => &["npm ci"],
    };
    let program = "falco-response-controller plugin";
    let common = [format!("{program} build"), format!("{program} test .")];
    own.iter().map(|step| (*step).to_owned()).chain(common).collect()
}
