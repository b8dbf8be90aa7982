//! `plugin`: what the author of an action works with. One file a subcommand.

mod component;
mod junit;
mod paint;
mod run;
mod test;

use super::Failure;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Run an action as the controller would, and show what it does.
    Run(run::Arguments),
    /// Run the cases of an action.
    Test(test::Arguments),
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        Command::Run(arguments) => run::run(arguments).await,
        Command::Test(arguments) => test::run(arguments).await,
    }
}
