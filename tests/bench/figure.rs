//! What was found: a figure of the table, and the arithmetic behind it.

use std::time::Duration;

use serde_json::{Value, json};

/// One line of the table.
#[derive(Debug, Clone)]
pub struct Figure {
    /// The row that it belongs to.
    pub row: &'static str,
    /// What it is, for a person.
    pub what: String,
    pub unit: &'static str,
    /// Of each round; the figure is their median.
    pub rounds: Vec<f64>,
    pub target: Target,
    /// What it is to be seen beside.
    pub beside: String,
}

/// What must be reached.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    AtMost(f64),
    AtLeast(f64),
    /// It stands there to be known.
    None,
}

impl Figure {
    pub fn print(&self) {
        let (value, low, high) = self.spread();
        let (key, bound) = match self.target {
            Target::AtMost(bound) => ("at_most", json!(bound)),
            Target::AtLeast(bound) => ("at_least", json!(bound)),
            Target::None => ("none", Value::Null),
        };
        let line = json!({
            "row": self.row, "what": self.what, "unit": self.unit, "value": value, "low": low, "high": high,
            "rounds": self.rounds.len(), "target": {key: bound}, "beside": self.beside,
        });
        println!("{line}");
    }

    fn spread(&self) -> (f64, f64, f64) {
        let mut sorted = self.rounds.clone();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (sorted.first().copied(), sorted.last().copied());
        (median(&sorted), low.unwrap_or(f64::NAN), high.unwrap_or(f64::NAN))
    }
}

/// The middle of what is there; not a number of nothing.
pub fn median(values: &[f64]) -> f64 {
    at(values, 500)
}

/// Of these values, the one that so many of a thousand do not exceed.
pub fn at(values: &[f64], permille: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted.get((sorted.len() * permille / 1000).min(last)).copied().unwrap_or(f64::NAN)
}

pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// `p50 4.21 ms, p99 7.90 ms`
pub fn words(millis: &[f64]) -> String {
    format!("p50 {:.2} ms, p99 {:.2} ms", at(millis, 500), at(millis, 990))
}
