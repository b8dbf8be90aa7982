//! Which records: by time, namespace, rule, action, outcome and type.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use serde_json::Value;

use super::Problem;
use super::record::{Record, short};
use crate::config::parse_duration;
use crate::journal::{LogType, Reader};

#[derive(Debug, clap::Args)]
pub(super) struct Filter {
    /// From then on: 2026-11-24, 2026-11-24T12:00:00Z, or 7d for the last seven days.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Up to then; a date includes its day.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    #[arg(long)]
    namespace: Option<String>,
    /// The rule's name, in full.
    #[arg(long)]
    rule: Option<String>,
    #[arg(long)]
    action: Option<String>,
    /// An entry's outcome (done, failed, …), a decision (refused, …) or a follow-up (gone, …).
    #[arg(long)]
    outcome: Option<String>,
    /// entry, decision, followup, annotation, retention, intent, result; may be repeated [default: all but intents and results].
    #[arg(long, value_name = "TYPE")]
    log_type: Vec<String>,
    /// The newest so many.
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,
}

/// [`Filter`], understood.
pub(super) struct Wanted<'a> {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    fields: [(&'static str, Option<&'a str>); 3],
    outcome: Option<&'a str>,
    log_types: Vec<LogType>,
    limit: Option<usize>,
}

impl Filter {
    pub fn resolve(&self, now: Timestamp) -> Result<Wanted<'_>, Problem> {
        let time = |name: &str, text: &Option<String>, end| {
            let parse = |text: &String| {
                time(text, now, end).ok_or_else(|| {
                    Problem::usage(format!(
                        "--{name} {text:?} is no time: write 2026-11-24, 2026-11-24T12:00:00Z or 7d"
                    ))
                })
            };
            text.as_ref().map(parse).transpose()
        };
        let mut log_types = Vec::new();
        for text in &self.log_type {
            let found = LogType::ALL.into_iter().find(|one| one.as_str() == text || short(*one) == text);
            let known = || LogType::ALL.map(short).join(", ");
            log_types.push(found.ok_or_else(|| Problem::usage(format!("--log-type {text:?} is none of {}", known())))?);
        }
        if log_types.is_empty() {
            log_types.extend(LogType::ALL.into_iter().filter(|one| !matches!(one, LogType::Intent | LogType::Result)));
        }
        let fields = [("namespace", &self.namespace), ("rule", &self.rule), ("action", &self.action)];
        Ok(Wanted {
            since: time("since", &self.since, false)?,
            until: time("until", &self.until, true)?,
            fields: fields.map(|(key, value)| (key, value.as_deref())),
            outcome: self.outcome.as_deref(),
            log_types,
            limit: self.limit,
        })
    }
}

impl Wanted<'_> {
    fn matches(&self, record: &Record) -> bool {
        let text = |key: &str| record.body.get(key).and_then(Value::as_str);
        let in_time = match record.at() {
            Some(at) => self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at < until),
            None => self.since.is_none() && self.until.is_none(),
        };
        let result = || ["outcome", "decision", "followup"].into_iter().find_map(text);
        in_time
            && self.log_types.contains(&record.log_type)
            && self.fields.iter().all(|(key, wanted)| wanted.is_none() || text(key) == *wanted)
            && (self.outcome.is_none() || result() == self.outcome)
    }

    /// Hands those that match to `each`, oldest first.
    pub fn for_each(
        &self,
        reader: &Reader,
        mut each: impl FnMut(Record) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let Some(limit) = self.limit else {
            return reader.for_each(|row| {
                let record = Record::read(row)?;
                if self.matches(&record) { each(record) } else { Ok(()) }
            });
        };
        let mut newest = std::collections::VecDeque::new();
        reader.for_each(|row| {
            let record = Record::read(row)?;
            if self.matches(&record) {
                newest.push_back(record);
                if newest.len() > limit {
                    newest.pop_front();
                }
            }
            Ok::<_, Problem>(())
        })?;
        newest.into_iter().try_for_each(each)
    }
}

/// A point in time, a whole day, or a span before `now`. `end`: a day counts as its end.
fn time(text: &str, now: Timestamp, end: bool) -> Option<Timestamp> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    if let Ok(date) = text.parse::<Date>() {
        let date = if end { date.checked_add(1.day()).ok()? } else { date };
        return Some(date.to_zoned(TimeZone::UTC).ok()?.timestamp());
    }
    let span = SignedDuration::try_from(parse_duration(text).ok()?).ok()?;
    now.checked_sub(span).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn understands_times_days_and_spans() {
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        for (text, end, expected) in [
            ("2026-11-24T01:02:03Z", false, Some("2026-11-24T01:02:03Z")),
            ("2026-11-24T01:02:03+01:00", false, Some("2026-11-24T00:02:03Z")),
            ("2026-11-24", false, Some("2026-11-24T00:00:00Z")),
            ("2026-11-24", true, Some("2026-11-25T00:00:00Z")),
            ("7d", false, Some("2026-11-17T12:00:00Z")),
            ("yesterday", false, None),
            ("2026-13-01", false, None),
        ] {
            assert_eq!(time(text, now, end).map(|at| at.to_string()).as_deref(), expected, "{text}");
        }
    }
}
