//! Rewriting what a case expects: the lines of `expect` and no others.

use serde_json::{Value, json};

use super::read::Case;
use crate::config::Location;
use crate::config::section::Problems;
use crate::config::tree::{Content, Node};
use crate::harness::yaml;

#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    #[error("`expect` does not stand at the beginning of a line, so it cannot be rewritten: write the file in blocks")]
    NotABlock,
    /// The text that would have been written does not say what happened.
    #[error("what happened cannot be written so that it reads the same again")]
    Unfaithful,
    #[error("cannot write it: {0}")]
    Write(#[from] std::io::Error),
}

impl Case {
    /// Writes what happened where the file says what is expected; everything else in it stays as it is.
    ///
    /// # Errors
    /// The file's form does not allow it, or the file cannot be written.
    pub fn update(&self, actual: &Value) -> Result<(), UpdateError> {
        let text = rewritten(&self.text, self.expect_at, actual)?;
        if expected(&text).as_ref() != Some(actual) {
            return Err(UpdateError::Unfaithful);
        }
        Ok(std::fs::write(&self.file, text)?)
    }
}

/// `at`: where the key `expect` stands, if it does.
fn rewritten(text: &str, at: Option<Location>, actual: &Value) -> Result<String, UpdateError> {
    let block = yaml::document(&json!({"expect": actual}));
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let Some(at) = at else {
        let flow = lines.iter().any(|line| line.starts_with('{'));
        let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        return if flow { Err(UpdateError::NotABlock) } else { Ok(format!("{text}{newline}{block}")) };
    };
    if at.column != 1 {
        return Err(UpdateError::NotABlock);
    }
    let from = usize::try_from(at.line - 1).unwrap_or(usize::MAX).min(lines.len());
    let next = lines[from..].iter().skip(1).position(|line| begins_a_key(line));
    let mut to = next.map_or(lines.len(), |next| from + 1 + next);
    // What stands directly above the next key, or at the end, is not about what was expected.
    while to > from + 1 && (lines[to - 1].trim().is_empty() || lines[to - 1].starts_with('#')) {
        to -= 1;
    }
    Ok([&lines[..from].concat(), &block, &lines[to..].concat()].map(String::as_str).concat())
}

/// Whether a line at the top begins another key, or ends the document.
fn begins_a_key(line: &str) -> bool {
    line.starts_with(|c: char| c.is_alphabetic() || "\"'_".contains(c))
        || line.starts_with("---")
        || line.starts_with("...")
}

fn expected(text: &str) -> Option<Value> {
    let root = Node::parse(text.as_bytes()).ok()?;
    let Content::Map(entries) = &root.value else { return None };
    let (_, node) = entries.iter().find(|(key, _)| key.name == "expect")?;
    let mut problems = Problems::default();
    let found = super::expect::read(node, &mut problems)?;
    problems.0.is_empty().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Option<Location> {
        let root = Node::parse(text.as_bytes()).expect("YAML");
        let Content::Map(entries) = root.value else { return None };
        entries.into_iter().find(|(key, _)| key.name == "expect").map(|(key, _)| key.location)
    }

    fn update(text: &str) -> String {
        rewritten(text, at(text), &json!({"outcome": "done"})).expect("it can be rewritten")
    }

    #[test]
    fn rewrites_what_is_expected_and_keeps_the_rest_to_the_byte() {
        let text = "# A miner.\nname: x   # so\n# What we expect:\nexpect:\n  # inside\n  outcome: failed\n\n  failure: api\n\n# about the cluster\ncluster: []\n";
        let after = "# A miner.\nname: x   # so\n# What we expect:\nexpect:\n  outcome: done\n\n# about the cluster\ncluster: []\n";
        assert_eq!(update(text), after);
        assert_eq!(update(after), after, "a second time changes nothing");
    }

    #[test]
    fn rewrites_an_expectation_in_one_line_or_over_several() {
        assert_eq!(update("expect: {outcome: failed}"), "expect:\n  outcome: done\n");
        assert_eq!(update("expect: {\n  outcome: failed\n}\nname: x\n"), "expect:\n  outcome: done\nname: x\n");
        assert_eq!(update("name: x\nexpect:\n"), "name: x\nexpect:\n  outcome: done\n");
    }

    #[test]
    fn adds_what_is_not_there() {
        assert_eq!(update("name: x"), "name: x\nexpect:\n  outcome: done\n");
    }

    #[test]
    fn leaves_a_file_alone_that_it_cannot_rewrite() {
        let text = "{name: x, expect: {outcome: failed}}";
        assert!(matches!(rewritten(text, at(text), &json!({})), Err(UpdateError::NotABlock)));
        assert!(matches!(rewritten("{name: x}", None, &json!({})), Err(UpdateError::NotABlock)));
    }
}
