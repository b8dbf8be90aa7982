//! Text from outside, made harmless before it reaches a log line.
//!
//! An attacker chooses command lines, and with them what an alert says. Written as it is, such a text could end a line
//! and begin another, hide behind terminal escapes or reordered characters, or carry the marker by which operators tell
//! a dry run from a live action. So every such character is escaped, and the marker is broken in all text but the
//! host's own: in JSON without a change of meaning, in plain text visibly.

use std::fmt::Write as _;
use std::io;

use serde::Serialize;
use serde_json::ser::Formatter;

/// What `grep DRY_RUN` finds: only the host writes it, and only about dry runs.
pub const MARKER: &str = "DRY_RUN";

const BROKEN_IN_JSON: &str = "DRY\\u005fRUN";
const BROKEN_IN_TEXT: &str = "DRY·RUN";

/// JSON that keeps its meaning and cannot be mistaken for anything else; on one line.
pub fn json(value: &impl Serialize) -> String {
    write_json(value, BROKEN_IN_JSON)
}

/// The same for a value within a text line, where the broken marker shall be seen as such.
pub fn json_in_text(value: &impl Serialize) -> String {
    write_json(value, BROKEN_IN_TEXT)
}

/// A scalar of YAML in double quotes that keeps its meaning; on one line.
pub fn yaml(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_treacherous(c) && u32::from(c) > 0xffff => {
                write!(out, "\\U{:08x}", u32::from(c)).expect("a String takes what it is given")
            }
            c if is_treacherous(c) => write!(out, "\\u{:04x}", u32::from(c)).expect("a String takes what it is given"),
            c => out.push(c),
        }
    }
    out.push('"');
    out.replace(MARKER, BROKEN_IN_JSON)
}

/// Plain text on one line.
pub fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_treacherous(c) => {
                write!(out, "\\u{{{:x}}}", u32::from(c)).expect("a String takes what it is given")
            }
            c => out.push(c),
        }
    }
    // After the escapes: what they put in cannot complete a marker.
    out.replace(MARKER, BROKEN_IN_TEXT)
}

/// Controls (C0, DEL, C1), separators that end a line for some readers, and characters that are not seen or that
/// reorder what is seen.
fn is_treacherous(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn write_json(value: &impl Serialize, broken: &'static str) -> String {
    let mut out = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, Escaping { broken });
    match value.serialize(&mut serializer) {
        Ok(()) => String::from_utf8(out).expect("serde_json writes UTF-8"),
        // A map whose keys are no strings; the log's own values cannot be one.
        Err(error) => format!("\"cannot be written: {}\"", text(&error.to_string()).replace(['"', '\\'], "'")),
    }
}

/// serde_json's compact form. It hands over the runs between the characters that JSON itself escapes, so a marker is
/// always within one run.
struct Escaping {
    broken: &'static str,
}

impl Formatter for Escaping {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        for (index, part) in fragment.split(MARKER).enumerate() {
            if index > 0 {
                writer.write_all(self.broken.as_bytes())?;
            }
            let mut written = 0;
            for (at, c) in part.char_indices().filter(|&(_, c)| is_treacherous(c)) {
                writer.write_all(&part.as_bytes()[written..at])?;
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
                written = at + c.len_utf8();
            }
            writer.write_all(&part.as_bytes()[written..])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json as value};

    use super::*;

    #[test]
    fn json_keeps_its_meaning_and_loses_the_marker() {
        let original = value!({"DRY_RUN": ["DRY_DRY_RUNRUN", {"x": "a\"DRY_RUN\\\n"}], "n": 18446744073709551615u64});
        let text = json(&original);
        assert!(!text.contains(MARKER) && text.contains("DRY\\u005fRUN"), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), original);
    }

    #[test]
    fn characters_that_deceive_are_escaped() {
        assert_eq!(json(&"\u{202e}\u{e0041}\u{7f}"), r#""\u202e\udb40\udc41\u007f""#);
        assert_eq!(text("a\n\u{1b}[31m\u{2028}b\u{202e}"), r"a\n\u{1b}[31m\u{2028}b\u{202e}");
        assert_eq!(text("Ümläut ✓ 日本"), "Ümläut ✓ 日本");
    }

    #[test]
    fn the_marker_is_seen_to_be_broken_in_text() {
        assert_eq!(text("DRY_RUN DRY_DRY_RUNRUN"), "DRY·RUN DRY_DRY·RUNRUN");
        assert_eq!(json_in_text(&"DRY_RUN"), "\"DRY·RUN\"");
    }
}
