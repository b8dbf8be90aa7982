//! What an action costs in each language: label_pod, measured by `plugin bench`.

use std::path::{Path, PathBuf};
use std::process::Command;

use integration_tests::controller::binary;
use integration_tests::languages::ALL;
use serde_json::Value;

const PARAMETERS: &str = r#"{"labels":{"falco-response/measured":"yes"}}"#;
/// An interpreter takes a hundred times as long for one.
const RUNS: &str = "100";

/// Measures and prints it.
///
/// # Errors
/// An action cannot be measured.
pub fn print(root: &Path) -> Result<(), String> {
    let mut rows = vec![("Rust", root.join("target/plugins/label_pod.wasm"))];
    rows.extend(ALL.map(|language| (language.name(), language.components().join("label_pod.wasm"))));
    println!(
        "\nlabel_pod, {RUNS} dry runs each; the controller is a debug build, of which its own share of a run is an effect"
    );
    println!("{:<12}{:>12}{:>14}{:>12}{:>12}{:>14}", "", "bytes", "compiled in", "p50", "p99", "memory");
    for (language, component) in rows {
        let found = measured(&component)?;
        let number = |key: &str| found[key].as_f64().unwrap_or_default();
        println!(
            "{language:<12}{:>12}{:>11.2} s {:>9.2} ms{:>9.2} ms{:>10.1} MiB",
            number("size"),
            number("compiled_in") / 1e9,
            number("p50") / 1e6,
            number("p99") / 1e6,
            number("peak_memory") / f64::from(1 << 20),
        );
    }
    Ok(())
}

fn measured(component: &PathBuf) -> Result<Value, String> {
    let failed = |problem: String| format!("plugin bench {}: {problem}", component.display());
    let output = Command::new(binary()?)
        .args(["plugin", "bench", "--json", "--parameters", PARAMETERS, "--runs", RUNS])
        .arg(component)
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| failed(error.to_string()))
}
