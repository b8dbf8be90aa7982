//! `audit annotate`: what a person has to say about an entry, as a record of its own that goes where the entry went.

use std::collections::BTreeSet;
use std::io::Write;

use serde_json::{Map, Value, json};

use super::record::Record;
use super::{Problem, Source, open, show};
use crate::ambient::Ambient;
use crate::cli::settings;
use crate::journal::{self, LogType, Store};
use crate::respond::record::seconds;

const LONGEST: usize = 4096;
const LONGEST_NAME: usize = 256;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The id of the entry; or of its event, if that has a single one.
    #[arg(value_name = "ENTRY")]
    id: String,
    /// Why the action was right, or what followed from it.
    text: String,
    #[command(flatten)]
    source: Source,
    /// Who says so [default: $USER]. Not proven by anything.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

pub(super) fn run(arguments: &Arguments, out: &mut impl Write) -> Result<(), Problem> {
    let (text, by) = (arguments.text.trim(), name(arguments)?);
    if text.is_empty() || text.len() > LONGEST {
        return Err(Problem::usage(format!("an annotation has 1 to {LONGEST} bytes, not {}", text.len())));
    }
    let config = arguments.source.config()?;
    let path = arguments.source.path(config.as_ref())?;
    let reader = open(&path)?;
    let entry = entry(show::about(&reader, &arguments.id)?, &arguments.id)?;
    let mut destinations: BTreeSet<_> = reader.destinations(entry.row.seq)?.into_iter().collect();
    destinations.extend(config.iter().flat_map(settings::records));
    drop(reader);

    let ambient = Ambient::system();
    let mut store = Store::open(&path, &ambient)?;
    let record = journal::Record {
        log_type: LogType::Annotation,
        event_id: entry.row.event_id.clone(),
        entry_id: entry.row.entry_id.clone(),
        body: body(&entry, text, &by, seconds(ambient.now())),
    };
    let mut writes = vec![journal::Write::Record(record)];
    writes.extend(destinations.into_iter().map(|destination| journal::Write::Ship { destination }));
    for answer in store.commit(&[writes]) {
        answer?;
    }
    writeln!(out, "annotated {}: {}", entry.entry_id(), entry.line())?;
    Ok(())
}

fn name(arguments: &Arguments) -> Result<String, Problem> {
    let by = arguments.by.clone().or_else(|| std::env::var("USER").ok()).unwrap_or_default();
    match by.trim() {
        "" => Err(Problem::usage("nobody is named: give --by NAME")),
        by if by.len() > LONGEST_NAME => Err(Problem::usage(format!("a name has {LONGEST_NAME} bytes at most"))),
        by => Ok(by.to_owned()),
    }
}

fn entry(records: Vec<Record>, id: &str) -> Result<Record, Problem> {
    let mut entries: Vec<_> = records.into_iter().filter(|record| record.log_type == LogType::Entry).collect();
    if let Some(exact) = entries.iter().position(|entry| entry.entry_id() == id) {
        return Ok(entries.swap_remove(exact));
    }
    match (entries.pop(), entries.as_slice()) {
        (Some(only), []) => Ok(only),
        (None, _) => Err(Problem::runtime("no action was started for it, so there is no entry to annotate")),
        (Some(last), others) => {
            let ids = others.iter().chain([&last]).map(Record::entry_id).collect::<Vec<_>>().join(", ");
            Err(Problem::usage(format!("the event has several entries, name one of them: {ids}")))
        }
    }
}

fn body(entry: &Record, text: &str, by: &str, at: String) -> Map<String, Value> {
    let copy = |key: &str| entry.body.get(key).cloned().unwrap_or(Value::Null);
    let fields = [
        ("timestamp", json!(at)),
        ("action", copy("action")),
        ("namespace", copy("namespace")),
        ("pod", copy("pod")),
        ("rule", copy("rule")),
        ("event_id", json!(entry.row.event_id)),
        ("entry_id", json!(entry.row.entry_id)),
        ("action_id", copy("action_id")),
        ("annotation", json!(text)),
        ("by", json!(by)),
        ("cluster", copy("cluster")),
    ];
    fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
