//! Figures as people read them: on a terminal, and as Markdown to be pasted.

use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// One figure, in the form in which `tests/bench` prints its own.
pub fn figure(row: &str, what: &str, unit: &str, rounds: &[f64], target: Value, beside: &str) -> Value {
    let low = rounds.iter().copied().fold(f64::INFINITY, f64::min);
    let high = rounds.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    json!({
        "row": row, "what": what, "unit": unit, "value": median(rounds), "low": low, "high": high,
        "rounds": rounds.len(), "target": target, "beside": beside,
    })
}

/// Of nothing it is no number.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// None where there is nothing to reach.
pub fn reached(figure: &Value) -> Option<bool> {
    let value = figure["value"].as_f64()?;
    match (figure["target"]["at_most"].as_f64(), figure["target"]["at_least"].as_f64()) {
        (Some(bound), _) => Some(value <= bound),
        (_, Some(bound)) => Some(value >= bound),
        (None, None) => None,
    }
}

struct Line {
    what: String,
    value: String,
    spread: String,
    target: String,
    reached: &'static str,
    beside: String,
}

fn line(figure: &Value) -> Line {
    let text = |key: &str| figure[key].as_str().unwrap_or_default().to_owned();
    let number = |value: &Value| value.as_f64().map_or_else(|| "?".to_owned(), plain);
    let unit = text("unit");
    let target = match (&figure["target"]["at_most"], &figure["target"]["at_least"]) {
        (Value::Number(bound), _) => format!("≤ {bound} {unit}"),
        (_, Value::Number(bound)) => format!("≥ {} {unit}", plain(bound.as_f64().unwrap_or(f64::NAN))),
        _ => "–".to_owned(),
    };
    let rounds = figure["rounds"].as_u64().unwrap_or_default();
    let spread = if rounds > 1 {
        format!("{} to {}", number(&figure["low"]), number(&figure["high"]))
    } else {
        "–".to_owned()
    };
    let reached = match reached(figure) {
        Some(true) => "yes",
        Some(false) => "NO",
        None => "–",
    };
    let value = format!("{} {unit}", number(&figure["value"]));
    Line { what: text("what"), value, spread, target, reached, beside: text("beside") }
}

/// Three digits that count.
fn plain(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// For a terminal.
pub fn text(figures: &[Value]) -> String {
    let lines: Vec<Line> = figures.iter().map(line).collect();
    let width = lines.iter().map(|line| line.what.chars().count()).max().unwrap_or_default();
    let head = format!("\n{:<width$}  {:>12}  {:>18}  {:>14}  reached\n", "figure", "found", "over rounds", "target");
    let rows = lines.iter().map(|Line { what, value, spread, target, reached, beside }| {
        let beside = if beside.is_empty() { String::new() } else { format!("{:width$}  ({beside})\n", "") };
        format!("{what:<width$}  {value:>12}  {spread:>18}  {target:>14}  {reached}\n{beside}")
    });
    head + &rows.collect::<String>()
}

/// To be pasted into a page.
pub fn markdown(figures: &[Value], machine: &str) -> String {
    let rows = figures.iter().map(line).map(|Line { what, value, spread, target, reached, beside }| {
        format!("| {what} | {value} | {spread} | {target} | {reached} | {beside} |\n")
    });
    let rows: String = rows.collect();
    format!(
        "{machine}\n\n| figure | found | over rounds | target | reached | beside |\n|---|---|---|---|---|---|\n{rows}"
    )
}

/// Cores, memory, kernel and day: what a figure is worth nothing without.
pub fn machine() -> String {
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kibibytes = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes = kibibytes.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    let gibibytes = kibibytes.unwrap_or_default() / (1 << 20);
    format!("{}, {cores} cores, {gibibytes} GiB, Linux {}", said("date", &["-u", "+%F"]), said("uname", &["-r"]))
}

/// Enough of it to tell one from another.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_held_against_its_target() {
        let of = |target: Value| reached(&figure("kill", "x", "×", &[1.0, 1.1, 1.2], target, ""));
        assert_eq!(of(json!({"at_most": 1.05})), Some(false));
        assert_eq!(of(json!({"at_most": 1.1})), Some(true));
        assert_eq!(of(json!({"at_least": 1.2})), Some(false));
        assert_eq!(of(json!({"none": null})), None);
    }

    #[test]
    fn a_table_has_a_line_for_each_figure() {
        let figures = [figure("size", "component kill_pod", "KiB", &[35.3], json!({"at_most": 48}), "36160 bytes")];
        let page = markdown(&figures, "a machine");
        assert!(page.ends_with("| component kill_pod | 35.3 KiB | – | ≤ 48 KiB | yes | 36160 bytes |\n"), "{page}");
        assert!(text(&figures).contains("component kill_pod"));
    }
}
