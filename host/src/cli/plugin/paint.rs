//! Colour, where somebody sees it.

use std::io::IsTerminal as _;

use crate::harness::merged::Line;
use crate::telemetry::escape;

const RED: &str = "\u{1b}[31m";
const GREEN: &str = "\u{1b}[32m";
const YELLOW: &str = "\u{1b}[33m";
const BOLD: &str = "\u{1b}[1m";
const DIM: &str = "\u{1b}[2m";
const PLAIN: &str = "\u{1b}[0m";

/// Paints what is ours or was escaped before; what is painted cannot be told from what paints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint(bool);

impl Paint {
    /// Only on a terminal, and not where `NO_COLOR` says otherwise (<https://no-color.org>: set and not empty).
    pub fn of_stdout() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self(!unwanted && std::io::stdout().is_terminal())
    }

    #[cfg(test)]
    pub fn always() -> Self {
        Self(true)
    }

    fn with(self, colour: &str, text: &str) -> String {
        if self.0 { format!("{colour}{text}{PLAIN}") } else { text.to_owned() }
    }

    pub fn red(self, text: &str) -> String {
        self.with(RED, text)
    }

    pub fn green(self, text: &str) -> String {
        self.with(GREEN, text)
    }

    pub fn yellow(self, text: &str) -> String {
        self.with(YELLOW, text)
    }

    pub fn bold(self, text: &str) -> String {
        self.with(BOLD, text)
    }

    pub fn dim(self, text: &str) -> String {
        self.with(DIM, text)
    }

    /// A line of a diff.
    pub fn line(self, line: &Line) -> String {
        let text = escape::text(&line.marked());
        match line {
            Line::Same(_) => text,
            Line::Gone(_) => self.red(&text),
            Line::New(_) => self.green(&text),
            Line::Cut => self.dim(&text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_painted_is_escaped_first() {
        let line = Line::New("a: \u{1b}[2J".to_owned());
        assert_eq!(Paint::always().line(&line), "\u{1b}[32m+ a: \\u{1b}[2J\u{1b}[0m");
        assert_eq!(Paint(false).line(&line), "+ a: \\u{1b}[2J");
    }
}
