//! `audit verify`: whether the journal is what was written; with Graylog's copy, also whether it is the one that was
//! shipped.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::copy::{Copy, Journal};
use super::{Problem, open};
use crate::cli::settings;
use crate::journal::{Reader, Verified};
use crate::ship::graylog;
use crate::telemetry::escape;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The journal; beats the configuration's.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["config", "graylog"])]
    journal: Option<PathBuf>,
    /// The configuration that names the journal.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Graylog's copy: its messages as JSON, one a line, with all fields. Without a journal, the copy alone is looked at.
    #[arg(long, value_name = "FILE")]
    graylog: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, out: &mut impl Write) -> Result<(), Problem> {
    let config = arguments.config.as_deref().map(settings::load).transpose().map_err(Problem::Failure)?;
    let path = arguments.journal.clone().or_else(|| config.map(|config| config.journal));
    let copy = arguments.graylog.as_deref().map(read).transpose()?;
    let mut findings = Vec::new();
    let mut own = None;
    if let Some(path) = path {
        let reader = open(&path)?;
        let verified = reader.verify()?;
        describe(&path, &verified, out)?;
        findings.extend(verified.findings.iter().map(ToString::to_string));
        if let Some(copy) = &copy {
            findings.extend(compare(copy, &reader, &verified, out)?);
        }
        own = Some(verified.chain_id);
    }
    if let (None, Some(copy), Some(file)) = (&own, &copy, &arguments.graylog)
        && copy.chains.is_empty()
    {
        let file = file.display();
        return Err(Problem::runtime(format!(
            "{file} has no record of a chain, so nothing was verified: export all fields of the messages, chain_id, seq, \
             hash and prev_hash among them"
        )));
    }
    if let Some(copy) = &copy {
        findings.extend(copy.contradictions());
        others(copy, own.as_deref(), out)?;
    }
    for finding in &findings {
        writeln!(out, "BAD: {}", escape::text(finding))?;
    }
    match findings.first() {
        None => Ok(writeln!(out, "ok")?),
        Some(first) => {
            out.flush()?;
            Err(Problem::runtime(format!("this is not what was written: {}", escape::text(first))))
        }
    }
}

fn read(path: &Path) -> Result<Copy, Problem> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Problem::runtime(format!("cannot read {}: {error}", path.display())))?;
    Copy::parse(&text).map_err(|why| Problem::runtime(format!("{}: {}", path.display(), escape::text(&why))))
}

fn describe(path: &Path, verified: &Verified, out: &mut impl Write) -> Result<(), Problem> {
    let Verified { chain_id, head, removed, records, .. } = verified;
    let (path, chain_id, hash) = (path.display(), escape::text(chain_id), escape::text(&head.hash));
    writeln!(out, "{path}: chain {chain_id}, {records} records read, head {} {hash}", head.seq)?;
    if let Some(removed) = removed {
        writeln!(out, "  records 1 to {} were removed by retention", removed.seq)?;
    }
    Ok(())
}

fn compare(copy: &Copy, reader: &Reader, verified: &Verified, out: &mut impl Write) -> Result<Vec<String>, Problem> {
    let (delivered, waiting) = reader.delivered(graylog::DESTINATION)?;
    let copied = copy.chains.get(&verified.chain_id).map_or(0, |chain| chain.len());
    writeln!(
        out,
        "  Graylog accepted {} of its records, {waiting} wait for it; the copy has {copied}. Intents and results are not shipped",
        delivered.len()
    )?;
    let mut hash = |seq| reader.record(seq).map(|row| row.map(|row| row.hash));
    let mut journal = Journal {
        chain_id: &verified.chain_id,
        head: &verified.head,
        removed: verified.removed.as_ref(),
        hash: &mut hash,
        delivered: &delivered,
    };
    Ok(copy.compare(&mut journal)?)
}

/// Other replicas' chains, and lost ones: which, the copy alone cannot say.
fn others(copy: &Copy, own: Option<&str>, out: &mut impl Write) -> Result<(), Problem> {
    for (chain_id, chain) in copy.chains.iter().filter(|(chain_id, _)| Some(chain_id.as_str()) != own) {
        let (Some((first, _)), Some((last, newest))) = (chain.first_key_value(), chain.last_key_value()) else {
            continue;
        };
        let replica = if newest.replica.is_empty() { "unknown" } else { &newest.replica };
        let line = format!(
            "chain {chain_id} in the copy (replica {replica}): {} records from {first} to {last}, the last at {}",
            chain.len(),
            newest.timestamp
        );
        writeln!(out, "{}", escape::text(&line))?;
    }
    if copy.chains.keys().any(|chain_id| Some(chain_id.as_str()) != own) {
        writeln!(
            out,
            "  a chain whose replica still runs goes on; one that has ended was lost with its journal, or put away"
        )?;
    }
    Ok(())
}
