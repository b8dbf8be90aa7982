//! Graylog's copy of the chain, as it was exported, and what it proves about a journal.
//!
//! A message carries `chain_id`, `seq`, `hash` and `prev_hash` of its record. The record's own bytes are not in it, so
//! its hash cannot be computed again; but it can be compared. Intents and results are in the chain and are not shipped,
//! so gaps in `seq` are normal in the copy, and neighbours link only where `seq` follows on `seq`. With the journal, each
//! copied record is looked up; without it, a copy can only contradict itself.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::journal::LogType;
use crate::journal::chain::Head;

/// All chains of which the copy has records, by `chain_id`.
#[derive(Debug, Default)]
pub(super) struct Copy {
    pub chains: BTreeMap<String, BTreeMap<u64, Copied>>,
    /// Two messages that claim one place with different hashes.
    forked: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Copied {
    pub hash: String,
    pub prev_hash: String,
    pub log_type: String,
    pub entry_id: String,
    pub replica: String,
    pub timestamp: String,
}

/// What the copy is compared with.
pub(super) struct Journal<'a, E> {
    pub chain_id: &'a str,
    pub head: &'a Head,
    pub removed: Option<&'a Head>,
    /// The hash of a record.
    pub hash: &'a mut dyn FnMut(u64) -> Result<Option<String>, E>,
    /// What Graylog has accepted.
    pub delivered: &'a [(u64, LogType)],
}

impl Copy {
    /// Reads an export: an object a line, or one array of them. Fields with or without the leading underscore, at the top
    /// or under `message`. Messages of others, without `chain_id`, are passed over.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut copy = Self::default();
        if text.trim_start().starts_with('[') {
            let all: Vec<Map<String, Value>> =
                serde_json::from_str(text).map_err(|error| format!("is no array of JSON objects: {error}"))?;
            for (number, message) in all.iter().enumerate() {
                copy.add(message).map_err(|why| format!("message {}: {why}", number + 1))?;
            }
            return Ok(copy);
        }
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let message: Map<String, Value> =
                serde_json::from_str(line).map_err(|error| format!("line {}: no JSON object: {error}", number + 1))?;
            copy.add(&message).map_err(|why| format!("line {}: {why}", number + 1))?;
        }
        Ok(copy)
    }

    fn add(&mut self, message: &Map<String, Value>) -> Result<(), String> {
        let inner = message.get("message").and_then(Value::as_object);
        let find = |name: &str| {
            [inner, Some(message)]
                .into_iter()
                .flatten()
                .find_map(|fields| fields.get(name).or_else(|| fields.get(&format!("_{name}"))))
        };
        let text = |name: &str| find(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let chain_id = text("chain_id");
        if chain_id.is_empty() {
            return Ok(());
        }
        let seq = find("seq").and_then(number).ok_or("`seq` is no whole number")?;
        let copied = Copied {
            hash: text("hash"),
            prev_hash: text("prev_hash"),
            log_type: text("log_type"),
            entry_id: text("entry_id"),
            replica: text("replica"),
            timestamp: find("timestamp")
                .map(|at| at.as_str().map_or_else(|| at.to_string(), str::to_owned))
                .unwrap_or_default(),
        };
        if copied.hash.is_empty() || copied.prev_hash.is_empty() {
            return Err("`hash` or `prev_hash` is missing: export all fields".to_owned());
        }
        let chain = self.chains.entry(chain_id.clone()).or_default();
        match chain.get(&seq) {
            // Delivery may repeat a message.
            Some(known) if known.hash == copied.hash && known.prev_hash == copied.prev_hash => {}
            Some(_) => self.forked.push(format!("chain {chain_id}: two different records claim to be record {seq}")),
            None => drop(chain.insert(seq, copied)),
        }
        Ok(())
    }

    /// Where the copy contradicts itself.
    pub fn contradictions(&self) -> Vec<String> {
        let mut found = self.forked.clone();
        let mut writers: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (chain_id, chain) in &self.chains {
            for ((seq, one), (next, other)) in chain.iter().zip(chain.iter().skip(1)) {
                if seq + 1 == *next && other.prev_hash != one.hash {
                    found.push(format!(
                        "chain {chain_id}: record {next}{} does not continue record {seq}",
                        named(other)
                    ));
                }
            }
            for replica in chain.values().map(|one| one.replica.as_str()).filter(|replica| !replica.is_empty()) {
                writers.entry(replica).or_default().insert(chain_id);
            }
        }
        for (replica, chains) in writers.into_iter().filter(|(_, chains)| chains.len() > 1) {
            let chains = chains.into_iter().collect::<Vec<_>>().join(", ");
            found.push(format!(
                "replica {replica} wrote more than one chain ({chains}): its journal was lost or replaced"
            ));
        }
        found
    }

    /// Where the journal is not what was shipped.
    pub fn compare<E>(&self, journal: &mut Journal<'_, E>) -> Result<Vec<String>, E> {
        let Some(chain) = self.chains.get(journal.chain_id) else {
            let count = journal.delivered.len();
            let nothing =
                format!("the copy has nothing of this journal's chain, though {count} records were delivered");
            return Ok(if count == 0 { Vec::new() } else { vec![nothing] });
        };
        let mut found = Vec::new();
        let start = journal.removed.map_or(0, |removed| removed.seq);
        if let Some((newest, one)) = chain.last_key_value().filter(|(seq, _)| **seq > journal.head.seq) {
            found.push(format!(
                "the journal was cut, or replaced by an older copy: it ends at record {}, and record {newest}{} was shipped",
                journal.head.seq,
                named(one)
            ));
        }
        for (seq, one) in chain.range(start..=journal.head.seq) {
            let hash = match journal.removed {
                Some(removed) if removed.seq == *seq => Some(removed.hash.clone()),
                _ => (journal.hash)(*seq)?,
            };
            match hash {
                Some(hash) if hash == one.hash => {}
                Some(_) => found.push(format!("record {seq}{} is not the one that was shipped", named(one))),
                None => found.push(format!("record {seq}{} was shipped and is missing in the journal", named(one))),
            }
        }
        found.extend(self.lost(chain, journal.delivered));
        Ok(found)
    }

    /// What Graylog accepted and the copy lacks, between the first and the last record that it has, among the types that
    /// it has: an export is of some time, and perhaps of some stream.
    fn lost(&self, chain: &BTreeMap<u64, Copied>, delivered: &[(u64, LogType)]) -> Option<String> {
        let (first, last) = (*chain.first_key_value()?.0, *chain.last_key_value()?.0);
        let types: BTreeSet<_> = chain.values().map(|one| one.log_type.as_str()).collect();
        let lost: Vec<_> = delivered
            .iter()
            .filter(|(seq, log_type)| {
                (first..=last).contains(seq) && types.contains(log_type.as_str()) && !chain.contains_key(seq)
            })
            .map(|(seq, _)| seq.to_string())
            .collect();
        let listed = lost.iter().take(10).cloned().collect::<Vec<_>>().join(", ");
        let more = if lost.len() > 10 { ", …" } else { "" };
        (!lost.is_empty())
            .then(|| format!("Graylog accepted {} records that the copy does not have: {listed}{more}", lost.len()))
    }
}

fn named(one: &Copied) -> String {
    if one.entry_id.is_empty() { String::new() } else { format!(" (entry {})", one.entry_id) }
}

/// Graylog keeps a number; what exports it may write a text or a float.
fn number(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => text.parse().ok(),
        other => other
            .as_u64()
            .or_else(|| other.as_f64().filter(|float| float.fract() == 0.0 && *float >= 0.0).map(|float| float as u64)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(chain_id: &str, seq: u64, replica: &str) -> Value {
        json!({"_chain_id": chain_id, "_seq": seq, "_hash": format!("h{seq}"), "_prev_hash": format!("h{}", seq - 1),
            "_log_type": "falco-automated-response", "_entry_id": format!("e{seq}"), "_replica": replica})
    }

    fn copy(messages: &[Value]) -> Copy {
        Copy::parse(&messages.iter().map(|one| format!("{one}\n")).collect::<String>()).unwrap()
    }

    /// A journal of `head` records.
    fn compare(copy: &Copy, head: u64, removed: u64, delivered: &[u64]) -> Vec<String> {
        let end = Head { seq: head, hash: format!("h{head}") };
        let anchor = Head { seq: removed, hash: format!("h{removed}") };
        let delivered: Vec<_> = delivered.iter().map(|seq| (*seq, LogType::Entry)).collect();
        let mut journal = Journal {
            chain_id: "a",
            head: &end,
            removed: (removed > 0).then_some(&anchor),
            hash: &mut |seq| Ok::<_, ()>((seq > removed && seq <= head).then(|| format!("h{seq}"))),
            delivered: &delivered,
        };
        copy.compare(&mut journal).unwrap()
    }

    #[test]
    fn a_copy_with_gaps_and_repetitions_agrees_with_its_journal() {
        let copy = copy(&[message("a", 3, "x"), message("a", 6, "x"), message("a", 7, "x"), message("a", 6, "x")]);
        assert_eq!(copy.contradictions(), [""; 0]);
        assert_eq!(compare(&copy, 9, 0, &[3, 6, 7, 9]), [""; 0]);
        assert_eq!(compare(&copy, 9, 3, &[6, 7]), [""; 0], "the anchor is compared as well");
        assert_eq!(compare(&copy, 9, 5, &[6, 7]), [""; 0], "what retention removed cannot be");
    }

    #[test]
    fn a_journal_that_was_cut_changed_or_lost_is_told_from_its_copy() {
        let whole = copy(&[message("a", 3, ""), message("a", 6, ""), message("a", 7, "")]);
        assert!(compare(&whole, 5, 0, &[])[0].contains("it ends at record 5, and record 7 (entry e7) was shipped"));
        let mut other = message("a", 6, "");
        other["_hash"] = json!("other");
        let changed = copy(&[message("a", 3, ""), other]);
        assert_eq!(compare(&changed, 9, 0, &[]), ["record 6 (entry e6) is not the one that was shipped"]);
        assert!(compare(&whole, 9, 0, &[3, 5, 6, 7])[0].ends_with("does not have: 5"));
        assert!(compare(&copy(&[message("b", 1, "")]), 9, 0, &[3])[0].contains("nothing of this journal's chain"));
    }

    #[test]
    fn a_copy_alone_shows_links_that_do_not_fit_forks_and_replicas_that_began_again() {
        let mut unlinked = message("a", 7, "x");
        unlinked["_prev_hash"] = json!("other");
        let found = copy(&[message("a", 6, "x"), unlinked]).contradictions();
        assert_eq!(found, ["chain a: record 7 (entry e7) does not continue record 6"]);
        let mut fork = message("a", 6, "x");
        fork["_hash"] = json!("other");
        let found = copy(&[message("a", 6, "x"), fork, message("b", 1, "x"), message("c", 1, "y")]).contradictions();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("two different records claim to be record 6"));
        assert!(found[1].contains("replica x wrote more than one chain (a, b)"));
    }

    #[test]
    fn reads_what_graylog_stores_and_what_was_sent() {
        let stored = json!({"chain_id": "a", "seq": 3.0, "hash": "h", "prev_hash": "p"});
        for text in [
            stored.to_string(),
            json!({"message": stored}).to_string(),
            json!([stored]).to_string(),
            json!({"_chain_id": "a", "_seq": "3", "_hash": "h", "_prev_hash": "p"}).to_string(),
        ] {
            let copy = Copy::parse(&text).unwrap();
            assert_eq!(copy.chains["a"][&3].hash, "h", "{text}");
        }
        assert!(Copy::parse("{\"message\":\"of another program\"}\n").unwrap().chains.is_empty());
        assert!(Copy::parse("\nnonsense").unwrap_err().starts_with("line 2: no JSON object"));
        assert!(Copy::parse(r#"{"chain_id":"a","seq":1}"#).unwrap_err().contains("export all fields"));
    }
}
