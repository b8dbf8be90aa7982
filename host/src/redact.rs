//! Takes secrets out of text that an alert or a plugin brought, before anything keeps, hashes or ships it.
//!
//! A command line is evidence, and evidence is kept for a year and read by many: the password in it is not theirs. What
//! was taken out is counted, and a keyed hash of the original lets whoever still has the original prove that it is the
//! one. All patterns run in time linear in the text, whatever the text is.

mod builtin;
mod key;

use std::ops::Range;
use std::sync::Arc;

use regex::{Regex, RegexBuilder};

use crate::config;
pub use key::{Key, KeyError};

/// What stands in a secret's place.
pub const MARK: &str = "[redacted]";

/// How much of a text is searched, in bytes; what comes after it is not kept at all.
pub const SEARCHED: usize = 64 << 10;

/// A replacement can make a new match of what stands around it. Each round that finds one removes text for good, so few
/// are needed, and a text that was made to need more gets no more.
const ROUNDS: usize = 4;

/// Of one compiled pattern.
const LARGEST_PATTERN: usize = 1 << 20;

/// What is taken out, and the key for the proof. Cheap to clone.
#[derive(Clone)]
pub struct Redaction {
    builtin: bool,
    own: Arc<[Regex]>,
    key: Option<Key>,
}

/// A text without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redacted {
    pub text: String,
    /// How many places were replaced.
    pub count: usize,
    /// HMAC-SHA-256 of the whole original, lower-case hex; none where nothing was replaced or there is no key.
    pub hmac: Option<String>,
}

impl Redaction {
    /// What the configuration says. A pattern that does not compile is left out: the configuration's loader has refused
    /// it already.
    pub fn new(config: &config::Redaction) -> Self {
        let own = config.patterns.iter().filter_map(|pattern| compile(pattern).ok()).collect();
        Self { builtin: config.builtin, own, key: None }
    }

    /// With the key for [`Redacted::hmac`].
    #[must_use]
    pub fn keyed(self, key: Key) -> Self {
        Self { key: Some(key), ..self }
    }

    pub fn apply(&self, original: &str) -> Redacted {
        let mut text = original[..original.floor_char_boundary(SEARCHED)].to_owned();
        let mut count = 0;
        for _ in 0..ROUNDS {
            let spans = self.secrets(&text);
            if spans.is_empty() {
                break;
            }
            count += spans.len();
            text = replace(&text, &spans);
        }
        let hmac = self.key.as_ref().filter(|_| count > 0).map(|key| key.sign(original.as_bytes()));
        Redacted { text, count, hmac }
    }

    /// The text alone.
    pub fn text(&self, original: &str) -> String {
        self.apply(original).text
    }

    /// Where the secrets are, in order and without overlaps.
    fn secrets(&self, text: &str) -> Vec<Range<usize>> {
        let builtin: &[Regex] = if self.builtin { &builtin::PATTERNS } else { &[] };
        let marks: Vec<_> = text.match_indices(MARK).map(|(start, mark)| start..start + mark.len()).collect();
        let in_a_mark = |span: &Range<usize>| {
            let after = marks.partition_point(|mark| mark.start <= span.start);
            after.checked_sub(1).is_some_and(|index| span.end <= marks[index].end)
        };
        let mut spans = Vec::new();
        for pattern in builtin.iter().chain(self.own.iter()) {
            for found in pattern.captures_iter(text) {
                let secret = found.name("secret").or_else(|| found.get(0));
                spans.extend(secret.map(|secret| secret.range()).filter(|span| !span.is_empty() && !in_a_mark(span)));
            }
        }
        merge(spans)
    }
}

fn merge(mut spans: Vec<Range<usize>>) -> Vec<Range<usize>> {
    spans.sort_by_key(|span| span.start);
    let mut merged: Vec<Range<usize>> = Vec::with_capacity(spans.len());
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.start < last.end => last.end = last.end.max(span.end),
            _ => merged.push(span),
        }
    }
    merged
}

fn replace(text: &str, spans: &[Range<usize>]) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut kept = 0;
    for span in spans {
        replaced.push_str(&text[kept..span.start]);
        replaced.push_str(MARK);
        kept = span.end;
    }
    replaced.push_str(&text[kept..]);
    replaced
}

/// A pattern of the configuration: what its group `secret` matches is taken out, or the whole match where it has none.
///
/// # Errors
/// One line that says what is wrong with it.
pub fn compile(pattern: &str) -> Result<Regex, String> {
    let compiled = RegexBuilder::new(pattern).size_limit(LARGEST_PATTERN).build().map_err(|error| match error {
        // Its own text draws the pattern over several lines; the last one says what is wrong.
        regex::Error::Syntax(text) => {
            text.lines().last().unwrap_or("no regular expression").trim_start_matches("error: ").to_owned()
        }
        other => other.to_string(),
    })?;
    if compiled.is_match("") {
        return Err("it matches the empty text, and so everywhere".to_owned());
    }
    Ok(compiled)
}

#[cfg(test)]
mod tests;
