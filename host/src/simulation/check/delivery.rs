//! What left the controller: copies of the records, pages, and what became of those who were killed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Checker, text};
use crate::journal::LogType;

impl Checker<'_> {
    /// 8.
    pub(super) fn copies_are_complete_and_in_order(&mut self) {
        let seqs: Vec<u64> = self.notes.delivered.iter().filter_map(|copy| copy["_seq"].as_u64()).collect();
        let mut seen = BTreeSet::new();
        let first: Vec<u64> = seqs.iter().copied().filter(|seq| seen.insert(*seq)).collect();
        if !first.is_sorted() {
            self.says(format!("copies arrived out of order: {first:?}"));
        }
        let shipped = [LogType::Entry, LogType::Decision, LogType::Followup];
        let rows = self.journal.rows.iter().filter(|(_, log_type, _)| shipped.contains(log_type));
        let missing: Vec<_> = rows.map(|(row, _, _)| row.seq).filter(|seq| !seen.contains(seq)).collect();
        if !missing.is_empty() {
            self.says(format!("Graylog never got {missing:?}"));
        }
        let hash = |seq: u64| self.journal.rows.iter().find(|(row, _, _)| row.seq == seq).map(|(row, _, _)| &row.hash);
        let other = self
            .notes
            .delivered
            .iter()
            .filter(|copy| copy["_hash"].as_str() != copy["_seq"].as_u64().and_then(hash).map(String::as_str));
        let other: Vec<_> = other.collect();
        if let Some(copy) = other.first() {
            self.says(format!("a copy differs from its record: {copy}"));
        }
    }

    /// An unknown result wakes somebody, a dry run nobody; and a page that is on disk arrives.
    pub(super) fn pages_are_sent(&mut self) {
        let mut wrong = Vec::new();
        let about =
            |page: &Value, key: &str, id: &str| page.pointer(&format!("/details/{key}")).is_some_and(|v| v == id);
        for (row, entry) in self.journal.of(LogType::Entry) {
            let entry_id = row.entry_id.as_deref().unwrap_or("");
            let paged = self.notes.pages.iter().any(|page| about(page, "entry_id", entry_id));
            let dry = entry.get("dry_run") == Some(&Value::Bool(true));
            if text(entry, "outcome") == "unknown" && !dry && !paged {
                wrong.push(format!("{entry_id} is unknown, and nobody was paged"));
            }
            let pages = text(entry, "action") != "kill_pod";
            if pages && text(entry, "outcome") == "done" && !dry && !paged {
                wrong.push(format!("{entry_id} pages, and nobody was"));
            }
            if dry && paged {
                wrong.push(format!("{entry_id} was a dry run, and somebody was paged"));
            }
        }
        if self.notes.paged.len() + self.notes.turned_down < self.notes.pages.len() {
            wrong.push(format!("{} pages, {} arrived", self.notes.pages.len(), self.notes.paged.len()));
        }
        self.wrong.append(&mut wrong);
    }

    /// One follow-up for each kill, whoever died meanwhile.
    pub(super) fn kills_are_followed(&mut self) {
        let mut count: BTreeMap<&str, u32> = BTreeMap::new();
        for (row, _) in self.journal.of(LogType::Followup) {
            *count.entry(row.entry_id.as_deref().unwrap_or("")).or_default() += 1;
        }
        let mut wrong = Vec::new();
        for (entry_id, count) in &count {
            if *count > 1 {
                wrong.push(format!("{entry_id} has {count} follow-ups"));
            }
        }
        for (row, entry) in self.journal.of(LogType::Entry) {
            let entry_id = row.entry_id.as_deref().unwrap_or("");
            let kill = text(entry, "action") == "kill_pod" && matches!(text(entry, "outcome"), "done" | "unknown");
            let dry = entry.get("dry_run") == Some(&Value::Bool(true));
            if kill && !dry && !count.contains_key(entry_id) {
                wrong.push(format!("nobody looked after the kill {entry_id}"));
            }
        }
        self.wrong.append(&mut wrong);
    }
}
