//! `audit list`: one line a record.

use std::io::Write;

use super::filter::Filter;
use super::{Problem, Source};
use crate::ambient::Ambient;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    filter: Filter,
}

pub(super) fn run(arguments: &Arguments, out: &mut impl Write) -> Result<(), Problem> {
    let wanted = arguments.filter.resolve(Ambient::system().now())?;
    let reader = arguments.source.open()?;
    wanted.for_each(&reader, |record| Ok(writeln!(out, "{}", record.line())?))
}
