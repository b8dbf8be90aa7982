//! `audit report`: what the auditor reads each week.

mod week;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;

use clap::ValueEnum;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::record::Record;
use super::{Problem, open};
use crate::ambient::Ambient;
use crate::cli::settings;
use crate::journal::LogType;
use crate::respond::record::seconds;
use crate::telemetry::escape;
use week::Week;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The journal; several times for several replicas, whose actions are then counted once.
    #[arg(long, value_name = "FILE", required_unless_present = "config")]
    journal: Vec<PathBuf>,
    /// The configuration that names the journal.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// An ISO week (2026-W48), a day in it, `this` or `last`.
    #[arg(long, value_name = "WEEK", default_value = "this", num_args = 0..=1, default_missing_value = "this")]
    week: String,
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// Rule, namespace, and what came of it.
type Key = [String; 4];

#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    /// Action ids: the same change by two replicas, or tried twice, counts once.
    distinct: BTreeSet<String>,
    entries: usize,
}

/// A live action that changed something, or may have, and that nobody has explained.
#[derive(Debug, PartialEq, Eq)]
struct Missing {
    entry_id: String,
    timestamp: String,
    what: String,
    result: String,
    /// When it is customer-facing: by when, and whether that is over.
    annotate_by: Option<(String, bool)>,
}

#[derive(Debug, Default)]
struct Report {
    actions: BTreeMap<Key, Count>,
    dry_runs: BTreeMap<Key, Count>,
    refusals: BTreeMap<Key, usize>,
    not_confirmed: usize,
    missing: Vec<Missing>,
    annotated: usize,
    not_annotated: usize,
}

pub(super) fn run(arguments: &Arguments, out: &mut impl Write) -> Result<(), Problem> {
    let now = Ambient::system().now();
    let week = Week::parse(&arguments.week, now).map_err(Problem::usage)?;
    let config = arguments.config.as_deref().map(settings::load).transpose().map_err(Problem::Failure)?;
    let mut paths = arguments.journal.clone();
    if let Some(config) = config.filter(|_| paths.is_empty()) {
        paths.push(config.journal);
    }
    let mut gathered = Gathered::default();
    for path in &paths {
        open(path)?.for_each(|row| {
            gathered.add(Record::read(row)?, &week);
            Ok::<_, Problem>(())
        })?;
    }
    let report = gathered.report(now);
    match arguments.format {
        Format::Text => report.text(&week, out),
        Format::Json => Ok(writeln!(out, "{}", escape::json(&report.json(&week)))?),
    }
}

/// What was read, before annotations and entries are brought together: an annotation may come weeks later.
#[derive(Default)]
struct Gathered {
    report: Report,
    seen: BTreeSet<String>,
    entries: Vec<Record>,
    annotated: BTreeSet<String>,
}

impl Gathered {
    fn add(&mut self, record: Record, week: &Week) {
        if record.log_type == LogType::Annotation {
            self.annotated.insert(record.entry_id().to_owned());
        }
        if !record.at().is_some_and(|at| week.contains(at)) {
            return;
        }
        let key = |result: &str| {
            [record.text("action"), record.text("rule"), record.text("namespace"), result].map(str::to_owned)
        };
        match record.log_type {
            LogType::Entry if self.seen.insert(record.entry_id().to_owned()) => {
                let report = &mut self.report;
                let counts = if record.is("dry_run") { &mut report.dry_runs } else { &mut report.actions };
                let count = counts.entry(key(&record.result())).or_default();
                count.entries += 1;
                count.distinct.insert(record.text("action_id").to_owned());
                self.entries.push(record);
            }
            LogType::Decision => *self.report.refusals.entry(key(&record.result())).or_default() += 1,
            LogType::Followup => self.report.not_confirmed += usize::from(record.text("followup") == "not_confirmed"),
            _ => {}
        }
    }

    fn report(mut self, now: Timestamp) -> Report {
        for entry in self.entries.iter().filter(|entry| !entry.is("dry_run")) {
            if self.annotated.contains(entry.entry_id()) {
                self.report.annotated += 1;
                continue;
            }
            self.report.not_annotated += 1;
            let text = |key: &str| entry.text(key);
            let by = text("annotate_by").parse::<Timestamp>().ok();
            if by.is_none() && !entry.is("changed") && text("outcome") != "unknown" {
                continue;
            }
            self.report.missing.push(Missing {
                entry_id: entry.entry_id().to_owned(),
                timestamp: text("timestamp").to_owned(),
                what: format!("{} {}/{}", text("action"), text("namespace"), text("pod")),
                result: entry.result(),
                annotate_by: by.map(|by| (text("annotate_by").to_owned(), by < now)),
            });
        }
        self.report
    }
}

impl Report {
    fn text(&self, week: &Week, out: &mut impl Write) -> Result<(), Problem> {
        writeln!(out, "Week {} ({} to {})", week.name(), seconds(week.start), seconds(week.end))?;
        for (title, counts) in [("Actions", &self.actions), ("Dry runs", &self.dry_runs)] {
            writeln!(out, "\n{title} (distinct actions, entries)")?;
            for (key, count) in counts {
                writeln!(out, "  {:>5} {:>5}  {}", count.distinct.len(), count.entries, described(key))?;
            }
            none(out, counts.is_empty())?;
        }
        writeln!(out, "\nDecisions not to act")?;
        for (key, count) in &self.refusals {
            writeln!(out, "  {count:>5}  {}", described(key))?;
        }
        none(out, self.refusals.is_empty())?;
        writeln!(out, "\nKills that were not confirmed: {}", self.not_confirmed)?;
        let facing = |one: &&Missing| one.annotate_by.is_some();
        let (facing, others): (Vec<_>, Vec<_>) = self.missing.iter().partition(facing);
        for (title, missing) in [("Customer-facing and not annotated", facing), ("Others not annotated", others)] {
            writeln!(out, "\n{title}")?;
            for one in &missing {
                let by = match &one.annotate_by {
                    Some((by, true)) => format!("  OVERDUE since {by}"),
                    Some((by, false)) => format!("  due by {by}"),
                    None => String::new(),
                };
                let line = format!("{}  {} {}  {}{by}", one.timestamp, one.what, one.result, one.entry_id);
                writeln!(out, "  {}", escape::text(&line))?;
            }
            none(out, missing.is_empty())?;
        }
        let (annotated, all) = (self.annotated, self.annotated + self.not_annotated);
        Ok(writeln!(out, "\n{annotated} of {all} live entries are annotated")?)
    }

    fn json(&self, week: &Week) -> Value {
        let row = |[action, rule, namespace, result]: &Key| json!({"action": action, "rule": rule, "namespace": namespace, "result": result});
        let with = |mut object: Value, more: &[(&str, usize)]| {
            for (key, number) in more {
                object[*key] = json!(number);
            }
            object
        };
        let counts = |counts: &BTreeMap<Key, Count>| -> Vec<Value> {
            let one = |(key, count): (&Key, &Count)| {
                with(row(key), &[("distinct", count.distinct.len()), ("entries", count.entries)])
            };
            counts.iter().map(one).collect()
        };
        let refusals: Vec<_> =
            self.refusals.iter().map(|(key, count)| with(row(key), &[("decisions", *count)])).collect();
        let missing = |customer_facing: bool| -> Vec<Value> {
            let some = self.missing.iter().filter(|one| one.annotate_by.is_some() == customer_facing);
            some.map(|one| {
                let mut row = json!({"entry_id": one.entry_id, "timestamp": one.timestamp, "action": one.what, "result": one.result});
                if let Some((by, overdue)) = &one.annotate_by {
                    row["annotate_by"] = json!(by);
                    row["overdue"] = json!(overdue);
                }
                row
            })
            .collect()
        };
        json!({
            "week": week.name(),
            "from": seconds(week.start),
            "to": seconds(week.end),
            "actions": counts(&self.actions),
            "dry_runs": counts(&self.dry_runs),
            "decisions": refusals,
            "not_confirmed": self.not_confirmed,
            "customer_facing_not_annotated": missing(true),
            "others_not_annotated": missing(false),
            "annotated": self.annotated,
            "not_annotated": self.not_annotated,
        })
    }
}

fn described([action, rule, namespace, result]: &Key) -> String {
    escape::text(&format!("{action} {namespace} {result}  rule={rule:?}"))
}

fn none(out: &mut impl Write, is_empty: bool) -> Result<(), Problem> {
    if is_empty {
        writeln!(out, "      none")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
