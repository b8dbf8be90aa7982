//! `plugin`: the road of whoever writes an action, one file a subcommand.

mod bench;
mod build;
mod component;
mod description;
mod inspect;
mod junit;
mod new;
mod paint;
mod pull;
mod push;
mod record;
mod registry;
mod replay;
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
    /// Make a project that builds and passes its tests as it is.
    New(new::Arguments),
    /// Build a project to a component, or stamp a manifest into one.
    Build(build::Arguments),
    /// Say what an action is, what it may reach, and what it needs from the operator.
    Inspect(inspect::Arguments),
    /// Run an action as the controller would, and show what it does.
    Run(run::Arguments),
    /// Run the cases of an action.
    Test(test::Arguments),
    /// Run an action dry, and save what it exchanged with the cluster as a session.
    Record(record::Arguments),
    /// Play a session back with an action: whether it still sends the same and ends the same.
    Replay(replay::Arguments),
    /// Put an action into a registry.
    Push(push::Arguments),
    /// Copy actions from registries into a directory that stands in for them.
    Pull(pull::Arguments),
    /// Measure what one run of an action costs.
    Bench(bench::Arguments),
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        Command::New(arguments) => new::run(arguments),
        Command::Build(arguments) => build::run(arguments),
        Command::Inspect(arguments) => inspect::run(arguments).await,
        Command::Run(arguments) => run::run(arguments).await,
        Command::Test(arguments) => test::run(arguments).await,
        Command::Record(arguments) => record::run(arguments).await,
        Command::Replay(arguments) => replay::run(arguments).await,
        Command::Push(arguments) => push::run(arguments).await,
        Command::Pull(arguments) => pull::run(arguments).await,
        Command::Bench(arguments) => bench::run(arguments).await,
    }
}
