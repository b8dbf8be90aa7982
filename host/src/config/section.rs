//! One map of the file, read key by key, with every problem kept instead of the first one returned.

use std::fmt::Display;
use std::time::Duration;

use super::tree::{Content, Node};
use super::{Location, Problem, durations, suggest};

/// What is wrong with the file, so far.
#[derive(Debug, Default)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    pub fn add(&mut self, location: Location, message: impl Into<String>) {
        self.0.push(Problem { location, message: message.into() });
    }
}

/// A map whose keys are known. `path` leads to it: `plugins.limits`, or empty at the top.
pub struct Section<'a> {
    pub location: Location,
    path: String,
    entries: &'a [(super::tree::Key, Node)],
}

impl<'a> Section<'a> {
    /// Reports keys that are unknown or come twice; none when `node` is no map.
    pub fn open(node: &'a Node, path: &str, known: &[&str], problems: &mut Problems) -> Option<Self> {
        let Content::Map(entries) = &node.value else {
            if !node.is_null() {
                let place = if path.is_empty() { "the configuration".into() } else { format!("`{path}`") };
                problems.add(node.location, format!("{place} is a map of keys and values, not {}", node.describe()));
            }
            return None;
        };
        let section = Self { location: node.location, path: path.to_owned(), entries };
        for (key, _) in entries {
            if !known.contains(&key.name.as_str()) {
                let name = section.name(&super::tree::excerpt(&key.name));
                problems.add(key.location, format!("unknown key {name}{}", suggest::phrase(&key.name, known)));
            }
        }
        report_repeated_keys(node, problems);
        Some(section)
    }

    /// The value under `key`; one that is empty (`key:`) counts as absent.
    pub fn get(&self, key: &str) -> Option<&'a Node> {
        self.entries.iter().find(|(entry, _)| entry.name == key).map(|(_, node)| node).filter(|node| !node.is_null())
    }

    /// `` `plugins.dir` ``
    pub fn name(&self, key: &str) -> String {
        format!("`{}`", self.path_of(key))
    }

    pub fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The section under `key`.
    pub fn section(&self, key: &str, known: &[&str], problems: &mut Problems) -> Option<Section<'a>> {
        Section::open(self.get(key)?, &self.path_of(key), known, problems)
    }

    pub fn bool(&self, key: &str, problems: &mut Problems) -> Option<bool> {
        let node = self.get(key)?;
        match node.value {
            Content::Bool(value) => Some(value),
            _ => self.expected(key, "true or false", node, problems),
        }
    }

    pub fn text(&self, key: &str, problems: &mut Problems) -> Option<&'a str> {
        self.text_of(key, self.get(key)?, problems)
    }

    fn text_of(&self, key: &str, node: &'a Node, problems: &mut Problems) -> Option<&'a str> {
        match &node.value {
            Content::Text(text) if text.trim().is_empty() => {
                problems.add(node.location, format!("{} is empty", self.name(key)));
                None
            }
            Content::Text(text) => Some(text),
            Content::Bool(_) | Content::Number(_) => self.expected(key, "text in quotes", node, problems),
            _ => self.expected(key, "text", node, problems),
        }
    }

    /// Text that `parse` makes a value of, or says what is wrong with it.
    pub fn parsed<T, E: Display>(
        &self,
        key: &str,
        problems: &mut Problems,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(key, problems)?;
        parse(text)
            .map_err(|error| {
                problems.add(
                    self.get(key).map_or(self.location, |node| node.location),
                    format!("{}: {error}", self.name(key)),
                )
            })
            .ok()
    }

    /// A list of texts with the place of each.
    pub fn texts(&self, key: &str, problems: &mut Problems) -> Option<Vec<(Location, &'a str)>> {
        let items = self.list(key, problems)?;
        Some(items.iter().filter_map(|item| Some((item.location, self.text_of(key, item, problems)?))).collect())
    }

    /// As [`Self::texts`], where an empty text means something: the core group.
    pub fn texts_even_empty(&self, key: &str, problems: &mut Problems) -> Option<Vec<(Location, &'a str)>> {
        let items = self.list(key, problems)?;
        let read = |item: &'a Node, problems: &mut Problems| match &item.value {
            Content::Text(text) if text.is_empty() => Some((item.location, "")),
            _ => Some((item.location, self.text_of(key, item, problems)?)),
        };
        Some(items.iter().filter_map(|item| read(item, problems)).collect())
    }

    pub fn list(&self, key: &str, problems: &mut Problems) -> Option<&'a [Node]> {
        let node = self.get(key)?;
        match &node.value {
            Content::List(items) => Some(items),
            Content::Text(text) => {
                let example = format!("a list (`{key}: [{}]`)", super::tree::excerpt(text));
                self.expected(key, &example, node, problems)
            }
            _ => self.expected(key, "a list", node, problems),
        }
    }

    /// A map whose keys are names of the operator's choice.
    pub fn entries(&self, key: &str, problems: &mut Problems) -> Option<&'a [(super::tree::Key, Node)]> {
        let node = self.get(key)?;
        match &node.value {
            Content::Map(entries) => Some(entries),
            _ => self.expected(key, "a map", node, problems),
        }
    }

    /// `5m`, or a bare 0.
    pub fn duration(&self, key: &str, problems: &mut Problems) -> Option<Duration> {
        let node = self.get(key)?;
        match &node.value {
            Content::Number(number) if number.as_u64() == Some(0) => Some(Duration::ZERO),
            Content::Number(number) => {
                problems.add(node.location, format!("{} has no unit, did you mean `{number}s`?", self.name(key)));
                None
            }
            _ => self.parsed(key, problems, durations::parse_duration),
        }
    }

    /// A duration above zero.
    pub fn span(&self, key: &str, problems: &mut Problems) -> Option<Duration> {
        let span = self.duration(key, problems)?;
        if span.is_zero() {
            let node = self.get(key)?;
            problems.add(node.location, format!("{} must be longer than 0", self.name(key)));
            return None;
        }
        Some(span)
    }

    /// Bytes above zero: `64Mi`, or a number.
    pub fn size(&self, key: &str, problems: &mut Problems) -> Option<u64> {
        let node = self.get(key)?;
        match &node.value {
            Content::Number(_) => self.number(key, 1..=u64::MAX, problems),
            _ => match self.parsed(key, problems, durations::parse_size)? {
                0 => self.expected(key, "more than 0 bytes", node, problems),
                size => Some(size),
            },
        }
    }

    pub fn number(&self, key: &str, range: std::ops::RangeInclusive<u64>, problems: &mut Problems) -> Option<u64> {
        let node = self.get(key)?;
        match &node.value {
            Content::Number(number) if number.as_u64().is_some_and(|n| range.contains(&n)) => number.as_u64(),
            _ if *range.end() == u64::MAX => {
                self.expected(key, &format!("a whole number from {} on", range.start()), node, problems)
            }
            _ => {
                let words = format!("a whole number from {} to {}", range.start(), range.end());
                self.expected(key, &words, node, problems)
            }
        }
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)], problems: &mut Problems) -> Option<T> {
        self.parsed(key, problems, |text| {
            let known: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
            let found = choices.iter().find(|(word, _)| *word == text);
            found.map(|(_, value)| *value).ok_or_else(|| {
                format!("`{}` is not a choice{}", super::tree::excerpt(text), suggest::phrase(text, &known))
            })
        })
    }

    pub fn missing(&self, key: &str, example: &str, problems: &mut Problems) {
        problems.add(self.location, format!("{} is missing, add {example}", self.name(key)));
    }

    fn expected<T>(&self, key: &str, what: &str, node: &Node, problems: &mut Problems) -> Option<T> {
        problems.add(node.location, format!("{} expects {what}, not {}", self.name(key), node.describe()));
        None
    }
}

/// Keys that come twice in one map, at this level.
fn report_repeated_keys(node: &Node, problems: &mut Problems) {
    let Content::Map(entries) = &node.value else { return };
    let mut seen = std::collections::HashMap::new();
    for (key, _) in entries {
        match seen.get(&key.name) {
            Some(&line) => problems.add(
                key.location,
                format!("`{}` is already set in line {line}, keep one of them", super::tree::excerpt(&key.name)),
            ),
            None => drop(seen.insert(&key.name, key.location.line)),
        }
    }
}

/// Keys that come twice anywhere below: for values whose keys are not ours to know.
pub fn report_repeated_keys_below(node: &Node, problems: &mut Problems) {
    report_repeated_keys(node, problems);
    match &node.value {
        Content::Map(entries) => entries.iter().for_each(|(_, node)| report_repeated_keys_below(node, problems)),
        Content::List(items) => items.iter().for_each(|node| report_repeated_keys_below(node, problems)),
        _ => {}
    }
}
