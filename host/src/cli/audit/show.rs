//! `audit show`: an action or an alert, with everything that is recorded about it.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::record::Record;
use super::{Problem, Source};
use crate::hex::hex;
use crate::journal::{Attachment, LogType, Reader};
use crate::telemetry::escape;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The id of an entry, or of the event (the alert) that it is about.
    #[arg(value_name = "ENTRY")]
    id: String,
    #[command(flatten)]
    source: Source,
    /// Write this attachment out instead.
    #[arg(long, value_name = "NAME")]
    attachment: Option<String>,
    /// Where to [default: standard output, unless that is a terminal].
    #[arg(long, value_name = "FILE", requires = "attachment")]
    output: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, out: &mut impl Write) -> Result<(), Problem> {
    let reader = arguments.source.open()?;
    let records = about(&reader, &arguments.id)?;
    if let Some(name) = &arguments.attachment {
        let attachment = find(&reader, &records, name)?;
        return write_out(&attachment, arguments.output.as_deref(), out);
    }
    for record in &records {
        writeln!(out, "record {}  {}", record.row.seq, record.log_type.as_str())?;
        for (key, value) in &record.body {
            writeln!(out, "  {}: {}", escape::text(key), escape::json_in_text(value))?;
        }
        writeln!(out, "  (hash {}, after {})", record.row.hash, record.row.prev_hash)?;
        if record.log_type == LogType::Entry {
            for attachment in reader.attachments(record.entry_id())? {
                let (name, media_type) = (escape::json_in_text(&attachment.name), escape::text(&attachment.media_type));
                writeln!(out, "  attachment {name}  {media_type}  {} bytes", attachment.content.len())?;
            }
        }
    }
    Ok(())
}

/// The records by that id; there is at least one.
pub(super) fn about(reader: &Reader, id: &str) -> Result<Vec<Record>, Problem> {
    let records = reader.about(id)?.into_iter().map(Record::read).collect::<Result<Vec<_>, _>>()?;
    if records.is_empty() {
        let (id, path) = (escape::text(id), reader.path().display());
        return Err(Problem::runtime(format!(
            "no record in {path} has the entry id or event id {id}: see `audit list`"
        )));
    }
    Ok(records)
}

fn find(reader: &Reader, records: &[Record], name: &str) -> Result<Attachment, Problem> {
    let mut names = Vec::new();
    for record in records.iter().filter(|record| record.log_type == LogType::Entry) {
        for attachment in reader.attachments(record.entry_id())? {
            if attachment.name == name {
                let said = record.body.get("attachments").map(ToString::to_string).unwrap_or_default();
                if !said.contains(&hex(&Sha256::digest(&attachment.content))) {
                    return Err(Problem::runtime("the attachment is not what its entry says: it was changed"));
                }
                return Ok(attachment);
            }
            names.push(escape::json_in_text(&attachment.name));
        }
    }
    let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    Err(Problem::runtime(format!("there is no such attachment; there are: {there}")))
}

fn write_out(attachment: &Attachment, output: Option<&std::path::Path>, out: &mut impl Write) -> Result<(), Problem> {
    match output {
        Some(path) => std::fs::write(path, &attachment.content)
            .map_err(|error| Problem::runtime(format!("cannot write {}: {error}", path.display()))),
        // A pod's log may hold what a terminal obeys.
        None if std::io::stdout().is_terminal() => {
            Err(Problem::usage("an attachment is not written to a terminal: give --output FILE"))
        }
        None => Ok(out.write_all(&attachment.content)?),
    }
}
