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

/// A customer-facing action that asks for an annotation and has none.
#[derive(Debug, PartialEq, Eq)]
struct Missing {
    entry_id: String,
    timestamp: String,
    what: String,
    annotate_by: String,
    overdue: bool,
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
            let Ok(by) = entry.text("annotate_by").parse::<Timestamp>() else { continue };
            let text = |key: &str| entry.text(key);
            self.report.missing.push(Missing {
                entry_id: entry.entry_id().to_owned(),
                timestamp: text("timestamp").to_owned(),
                what: format!("{} {}/{}", text("action"), text("namespace"), text("pod")),
                annotate_by: text("annotate_by").to_owned(),
                overdue: by < now,
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
        writeln!(out, "\nCustomer-facing and not annotated")?;
        for one in &self.missing {
            let late = if one.overdue { "OVERDUE since" } else { "due by" };
            let line = format!("{}  {}  {}  {late} {}", one.timestamp, one.what, one.entry_id, one.annotate_by);
            writeln!(out, "  {}", escape::text(&line))?;
        }
        none(out, self.missing.is_empty())?;
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
        let missing = |one: &Missing| {
            json!({"entry_id": one.entry_id, "timestamp": one.timestamp, "action": one.what,
                "annotate_by": one.annotate_by, "overdue": one.overdue})
        };
        json!({
            "week": week.name(),
            "from": seconds(week.start),
            "to": seconds(week.end),
            "actions": counts(&self.actions),
            "dry_runs": counts(&self.dry_runs),
            "decisions": refusals,
            "not_confirmed": self.not_confirmed,
            "customer_facing_not_annotated": self.missing.iter().map(missing).collect::<Vec<_>>(),
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
