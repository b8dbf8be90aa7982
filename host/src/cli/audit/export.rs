//! `audit export`: records for other programs. JSON and JSON lines keep every value; CSV is for tables, and has the
//! fields that people count by.

use std::io::Write;

use clap::ValueEnum;
use serde_json::{Map, Value, json};

use super::filter::{Filter, Wanted};
use super::record::Record;
use super::{Problem, Source};
use crate::ambient::Ambient;
use crate::journal::Reader;
use crate::telemetry::escape;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    source: Source,
    #[arg(long, value_enum)]
    format: Format,
    #[command(flatten)]
    filter: Filter,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// One array.
    Json,
    /// One object a line.
    Jsonl,
    /// With a line of headings.
    Csv,
}

const COLUMNS: [&str; 35] = [
    "timestamp",
    "log_type",
    "action",
    "namespace",
    "pod",
    "rule",
    "dry_run",
    "outcome",
    "failure",
    "changed",
    "decision",
    "check",
    "followup",
    "change",
    "annotation",
    "by",
    "lifted_by",
    "detail",
    "reason",
    "falco_priority",
    "falco_output",
    "owner",
    "pod_uid",
    "identity_proof",
    "customer_facing",
    "annotate_by",
    "event_id",
    "alert_uuid",
    "entry_id",
    "action_id",
    "cluster",
    "seq",
    "hash",
    "prev_hash",
    "chain_id",
];

pub(super) fn run(arguments: &Arguments, out: &mut impl Write) -> Result<(), Problem> {
    let wanted = arguments.filter.resolve(Ambient::system().now())?;
    let reader = arguments.source.open()?;
    let (chain_id, ..) = reader.ends()?;
    match arguments.format {
        Format::Json => json(&reader, &wanted, &chain_id, out),
        Format::Jsonl => {
            wanted.for_each(&reader, |record| Ok(writeln!(out, "{}", escape::json(&object(record, &chain_id)))?))
        }
        Format::Csv => {
            writeln!(out, "{}\r", COLUMNS.join(","))?;
            wanted.for_each(&reader, |record| Ok(writeln!(out, "{}\r", row(&object(record, &chain_id)))?))
        }
    }
}

fn json(reader: &Reader, wanted: &Wanted<'_>, chain_id: &str, out: &mut impl Write) -> Result<(), Problem> {
    let mut between = "[\n";
    wanted.for_each(reader, |record| {
        write!(out, "{between}{}", escape::json(&object(record, chain_id)))?;
        between = ",\n";
        Ok(())
    })?;
    Ok(writeln!(out, "{}", if between == ",\n" { "\n]" } else { "[]" })?)
}

/// The record's own fields in their order, then its type and its place in the chain.
fn object(record: Record, chain_id: &str) -> Map<String, Value> {
    let mut object = record.body;
    let place = [
        ("log_type", json!(record.row.log_type)),
        ("chain_id", json!(chain_id)),
        ("seq", json!(record.row.seq)),
        ("hash", json!(record.row.hash)),
        ("prev_hash", json!(record.row.prev_hash)),
    ];
    object.extend(place.map(|(key, value)| (key.to_owned(), value)));
    object
}

fn row(object: &Map<String, Value>) -> String {
    let cell = |column: &&str| match object.get(*column) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => cell(text),
        Some(other) => cell(&other.to_string()),
    };
    COLUMNS.iter().map(cell).collect::<Vec<_>>().join(",")
}

/// RFC 4180. A text that a spreadsheet would take for a formula gets an apostrophe in front.
fn cell(text: &str) -> String {
    let formula = text.len() > 1 && text.starts_with(['=', '+', '-', '@']);
    let text = format!("{}{}", if formula { "'" } else { "" }, escape::text(text));
    if text.contains([',', '"']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_are_no_formulas() {
        assert_eq!(cell("plain"), "plain");
        assert_eq!(cell("a,b \"c\""), "\"a,b \"\"c\"\"\"");
        assert_eq!(cell("=cmd|' /C calc'!A0"), "'=cmd|' /C calc'!A0");
        assert_eq!(cell("-"), "-");
        assert_eq!(cell("two\nlines"), r"two\nlines");
    }

    #[test]
    fn a_row_has_a_cell_for_each_heading() {
        let object = serde_json::from_str(r#"{"timestamp":"t","dry_run":false,"failure":null,"seq":3,"rule":"a,b"}"#);
        let row = row(&object.unwrap());
        assert!(row.starts_with("t,,,,,\"a,b\",false,,"), "{row}");
        assert_eq!(row.replace("\"a,b\"", "").split(',').count(), COLUMNS.len());
    }
}
