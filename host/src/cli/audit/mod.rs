//! `audit`: what an auditor does with a journal. All but `annotate` only read, and all work beside a running controller.

mod annotate;
mod copy;
mod export;
mod filter;
mod list;
mod record;
mod report;
mod show;
mod verify;

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::{Failure, settings};
use crate::config::Config;
use crate::journal::{JournalError, Reader};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Find edits, gaps, reordering and truncation; compare the journal with Graylog's copy.
    Verify(verify::Arguments),
    /// One line a record.
    List(list::Arguments),
    /// Everything about one action or alert.
    Show(show::Arguments),
    /// Records in a form that other programs read.
    Export(export::Arguments),
    /// A week of actions and refusals, and what is not annotated.
    Report(report::Arguments),
    /// Add a note to an entry, as a record of its own.
    Annotate(annotate::Arguments),
}

/// Which journal.
#[derive(Debug, clap::Args)]
#[group(id = "source", required = true, multiple = true)]
struct Source {
    /// The journal; beats the configuration's.
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// The configuration that names the journal.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Source {
    fn config(&self) -> Result<Option<Config>, Problem> {
        self.config.as_deref().map(settings::load).transpose().map_err(Problem::Failure)
    }

    fn path(&self, config: Option<&Config>) -> Result<PathBuf, Problem> {
        let path = self.journal.clone().or_else(|| config.map(|config| config.journal.clone()));
        path.ok_or_else(|| Problem::Failure(Failure::Usage("give --journal FILE or --config FILE".to_owned())))
    }

    fn open(&self) -> Result<Reader, Problem> {
        open(&self.path(self.config()?.as_ref())?)
    }
}

fn open(path: &Path) -> Result<Reader, Problem> {
    Ok(Reader::open(path)?)
}

/// Why a subcommand ended early.
#[derive(Debug)]
enum Problem {
    Failure(Failure),
    Output(io::Error),
}

impl Problem {
    fn runtime(message: impl Into<String>) -> Self {
        Self::Failure(Failure::Runtime(message.into()))
    }

    fn usage(message: impl Into<String>) -> Self {
        Self::Failure(Failure::Usage(message.into()))
    }
}

impl From<JournalError> for Problem {
    fn from(error: JournalError) -> Self {
        Self::runtime(error.to_string())
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let ended = match arguments.command {
        Command::Verify(arguments) => verify::run(&arguments, &mut out),
        Command::List(arguments) => list::run(&arguments, &mut out),
        Command::Show(arguments) => show::run(&arguments, &mut out),
        Command::Export(arguments) => export::run(&arguments, &mut out),
        Command::Report(arguments) => report::run(&arguments, &mut out),
        Command::Annotate(arguments) => annotate::run(&arguments, &mut out),
    };
    let flushed = io::Write::flush(&mut out).map_err(Problem::Output);
    match ended.and(flushed) {
        Ok(()) => Ok(()),
        // `… | head` has seen enough.
        Err(Problem::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(Problem::Output(error)) => Err(Failure::Runtime(format!("cannot write the output: {error}"))),
        Err(Problem::Failure(failure)) => Err(failure),
    }
}
