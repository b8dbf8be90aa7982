//! Where each value below a node stands in the file, by JSON Pointer: for values whose meaning others know.

use std::collections::BTreeMap;

use super::Location;
use super::tree::{Content, Node};

/// Of one value: where its key begins, and where it does itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    key: Location,
    value: Location,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Places(BTreeMap<String, Place>);

impl Places {
    pub(super) fn of(node: &Node) -> Self {
        let mut places = Self::default();
        places.note(String::new(), node.location, node);
        places
    }

    fn note(&mut self, at: String, key: Location, node: &Node) {
        match &node.value {
            Content::Map(entries) => {
                for (key, inner) in entries {
                    let step = key.name.replace('~', "~0").replace('/', "~1");
                    self.note(format!("{at}/{step}"), key.location, inner);
                }
            }
            Content::List(items) => {
                for (index, inner) in items.iter().enumerate() {
                    self.note(format!("{at}/{index}"), inner.location, inner);
                }
            }
            _ => {}
        }
        self.0.insert(at, Place { key, value: node.location });
    }

    /// Where the value at a JSON Pointer stands, or the nearest one around it that does.
    pub fn value(&self, at: &str) -> Option<Location> {
        self.nearest(at).map(|place| place.value)
    }

    /// Where its key stands.
    pub fn key(&self, at: &str) -> Option<Location> {
        self.nearest(at).map(|place| place.key)
    }

    fn nearest(&self, at: &str) -> Option<&Place> {
        let mut at = at;
        loop {
            match (self.0.get(at), at.rfind('/')) {
                (Some(place), _) => return Some(place),
                (None, Some(end)) => at = &at[..end],
                // What is no pointer is about the whole.
                (None, None) if at.is_empty() => return None,
                (None, None) => at = "",
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_line_and_column_of_each_key_and_value() {
        let yaml = "grace: 3\ncidrs:\n  - 10.0.0.0/8\n  - {a/b: [x,\n     y]}\n";
        let places = Places::of(&Node::parse(yaml.as_bytes()).expect("YAML"));
        let at = |location: Option<Location>| location.map(|place| (place.line, place.column));
        for (pointer, key, value) in [
            ("", (1, 1), (1, 1)),
            ("/grace", (1, 1), (1, 8)),
            ("/cidrs", (2, 1), (3, 3)),
            ("/cidrs/0", (3, 5), (3, 5)),
            ("/cidrs/1/a~1b", (4, 6), (4, 11)),
            ("/cidrs/1/a~1b/1", (5, 6), (5, 6)),
            // What is not there is looked for where it would be.
            ("/cidrs/1/missing", (4, 5), (4, 5)),
            ("/grace/deeper/still", (1, 1), (1, 8)),
            ("no pointer", (1, 1), (1, 1)),
        ] {
            assert_eq!((at(places.key(pointer)), at(places.value(pointer))), (Some(key), Some(value)), "{pointer}");
        }
        assert_eq!(Places::default().value("/x"), None);
    }
}
