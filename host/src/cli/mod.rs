//! One file a subcommand; turns arguments into calls, errors into exit codes.
//!
//! Exit codes everywhere: 0 ok; 1 the thing checked is bad, or a failure at run time; 2 usage, configuration, missing
//! token.

mod access;
mod artifacts;
mod audit;
mod check;
mod delivery;
mod lift;
mod plugin;
mod rbac;
mod replay;
mod serve;
mod settings;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Turns Falco alerts into safe, recorded Kubernetes responses.
#[derive(Debug, Parser)]
#[command(name = "falco-response-controller", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take alerts and act on them.
    Serve(serve::Arguments),
    /// Validate the configuration and the plugins it needs.
    Check(check::Arguments),
    /// Verify, read, export and annotate the records in a journal.
    Audit(audit::Arguments),
    /// Print the Roles that the configuration needs, or the admission policies that fence it in.
    Rbac(rbac::Arguments),
    /// Write actions: make, build, look at, run and test plugins.
    Plugin(plugin::Arguments),
    /// Take an isolation back, and put that on record.
    Lift(lift::Arguments),
    /// Rehearse recorded alerts: what a configuration would have done about them.
    Replay(replay::Arguments),
}

/// Why a command ended early; each has its exit code.
#[derive(Debug)]
enum Failure {
    /// 1: a failure at run time.
    Runtime(String),
    /// 2: usage, configuration, missing token.
    Usage(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Runtime(message) | Self::Usage(message)) = self;
        formatter.write_str(message)
    }
}

pub fn main() -> ExitCode {
    end_when_nothing_can_be_said();
    // clap itself answers usage errors with 2, and --help with 0.
    let arguments = Arguments::parse();
    #[cfg(all(feature = "faults", not(test)))]
    if let Err(message) = crate::faults::choose() {
        return report(&Failure::Usage(message));
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&Failure::Runtime(format!("cannot start the async runtime: {error}"))),
    };
    let ended = runtime.block_on(async {
        match arguments.command {
            Command::Serve(arguments) => serve::run(arguments).await,
            Command::Check(arguments) => check::run(arguments).await,
            Command::Audit(arguments) => audit::run(arguments),
            Command::Rbac(arguments) => rbac::run(arguments).await,
            Command::Plugin(arguments) => plugin::run(arguments).await,
            Command::Lift(arguments) => lift::run(arguments).await,
            Command::Replay(arguments) => replay::run(arguments).await,
        }
    });
    // A request that hangs must not keep the process alive.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(&failure),
    }
}

/// `audit list | head` stops reading when it has enough, and a disk may be full. Rust ignores the signal that ends other
/// programs in the first case, and panics in both on the next line that is printed.
fn end_when_nothing_can_be_said() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let said = panic.payload_as_str().unwrap_or_default();
        let Some(why) = said.strip_prefix("failed printing to stdout: ") else { return usual(panic) };
        if !why.contains("Broken pipe") {
            eprintln!("error: cannot write to the standard output: {why}");
        }
        std::process::exit(1);
    }));
}

fn report(failure: &Failure) -> ExitCode {
    eprintln!("error: {failure}");
    ExitCode::from(match failure {
        Failure::Runtime(_) => 1,
        Failure::Usage(_) => 2,
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    /// clap looks at a subcommand only when it is called.
    #[test]
    fn every_subcommand_is_sound() {
        super::Arguments::command().debug_assert();
    }
}
