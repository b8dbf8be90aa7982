//! `cargo xtask counts`: how many instructions the hot paths take, held against what is recorded in the repository.
//!
//! The paths are in `host/src/counts.rs`, among the controller's unit tests, so that nothing is built for this that the
//! tests did not build anyway: not optimized, which says nothing about time, and as much as any build about work that was
//! added. callgrind counts each path twice, with few runs and with more; the difference is the runs' own. A path that grew
//! is a warning and no failure: it may be worth it. What is recorded then is a decision, and stands in a commit.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::{Outcome, plugins};

const TEST: &str = "counts::hot_path";
const RECORDED: &str = "tests/fixtures/counts.json";
/// Beyond this share more than what is recorded, in percent, there is a warning.
const GROWTH: u64 = 10;

struct HotPath {
    name: &'static str,
    what: &'static str,
    /// Few and more.
    runs: [u64; 2],
}

const PATHS: [HotPath; 6] = [
    HotPath { name: "intake", what: "an alert that no rule wants, from its bytes to the answer's", runs: [50, 250] },
    HotPath { name: "intake_1000_rules", what: "the same beside 1,000 rules instead of 10", runs: [50, 250] },
    HotPath { name: "durable", what: "an alert that a rule wants, in the journal and answered", runs: [50, 250] },
    HotPath { name: "gate", what: "a target cleared, and one delete judged and sent to a simulation", runs: [20, 60] },
    HotPath { name: "native", what: "one run of kill_pod as a function, with its delete", runs: [20, 60] },
    HotPath { name: "sandbox", what: "one run of kill_pod as a component, with its delete", runs: [20, 60] },
];

type Counts = BTreeMap<String, u64>;

/// # Errors
/// An unknown argument, something does not build or cannot be counted, or, in CI, there is no valgrind.
pub fn run(root: &Path, arguments: &[&str]) -> Result<Outcome, String> {
    let (mut record, mut release, mut only) = (false, false, Vec::new());
    for argument in arguments {
        match *argument {
            "--record" => record = true,
            "--release" => release = true,
            name if PATHS.iter().any(|path| path.name == name) => only.push(name),
            _ => {
                let names: Vec<_> = PATHS.iter().map(|path| path.name).collect();
                return Err(format!(
                    "counts takes --record, --release and names of paths ({}), not {argument}",
                    names.join(", ")
                ));
            }
        }
    }
    if record && (release || !only.is_empty()) {
        return Err("what is recorded is every path of the tests' build".to_owned());
    }
    if !there_is_valgrind() {
        const NOT_RUN: &str =
            "NOT RUN: there is no valgrind (apt-get install valgrind), so no instructions were counted";
        if std::env::var_os("CI").is_some() {
            return Err(format!("{NOT_RUN}; in CI it has to run"));
        }
        println!("{NOT_RUN}");
        return Ok(Outcome::Good);
    }
    plugins::build(root)?;
    let test = test_binary(root, release)?;
    let recorded = recorded(root)?;
    let (mut counted, mut grown) = (Counts::new(), Vec::new());
    println!("{:<20} {:>12} {:>12} {:>8}", "instructions", "recorded", "now", "");
    for path in PATHS.iter().filter(|path| only.is_empty() || only.contains(&path.name)) {
        let now = count(root, &test, path)?;
        let before = recorded.get(path.name).copied().filter(|_| !release);
        println!("{:<20} {:>12} {now:>12} {:>8}  {}", path.name, shown(before), change(before, now), path.what);
        if before.is_some_and(|before| now > before + before * GROWTH / 100) {
            grown.push(path.name);
        }
        counted.insert(path.name.to_owned(), now);
    }
    if record {
        let path = root.join(RECORDED);
        let text = serde_json::to_string_pretty(&counted).map_err(|error| error.to_string())? + "\n";
        fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        println!("recorded in {RECORDED}");
        return Ok(Outcome::Good);
    }
    if !grown.is_empty() {
        println!(
            "WARNING: more than {GROWTH} % more instructions than recorded: {}. If they are worth it: cargo xtask counts --record",
            grown.join(", ")
        );
    }
    Ok(Outcome::Good)
}

fn there_is_valgrind() -> bool {
    let version = Command::new("valgrind").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

/// The controller's unit tests, built.
fn test_binary(root: &Path, release: bool) -> Result<PathBuf, String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--package", "falco-response-controller", "--lib", "--no-run", "--message-format", "json"]);
    if release {
        cargo.arg("--release");
    }
    let output = cargo.current_dir(root).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("cannot run cargo: {error}"))?;
    if !output.status.success() {
        return Err("the controller's unit tests do not build".to_owned());
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let mut built =
        messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).filter_map(|message| {
            let lib = message.pointer("/target/name").and_then(Value::as_str) == Some("falco_response_controller");
            let executable = message.get("executable").and_then(Value::as_str)?;
            lib.then(|| PathBuf::from(executable))
        });
    built.next_back().ok_or_else(|| "cargo does not say where the unit tests are".to_owned())
}

fn recorded(root: &Path) -> Result<Counts, String> {
    let path = root.join(RECORDED);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Counts::new()),
        Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
    };
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Of one run.
fn count(root: &Path, test: &Path, path: &HotPath) -> Result<u64, String> {
    let [few, more] = path.runs;
    if path.name == "sandbox" {
        // The component is compiled once, and kept; valgrind's processor is not the machine's.
        total(root, test, path.name, 0)?;
    }
    let (less, all) = (total(root, test, path.name, few)?, total(root, test, path.name, more)?);
    let own = all.checked_sub(less).ok_or_else(|| format!("{}: more runs took fewer instructions", path.name))?;
    Ok(own / (more - few))
}

/// Of the whole program.
fn total(root: &Path, test: &Path, path: &str, runs: u64) -> Result<u64, String> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--log-fd=2"]);
    valgrind.arg(test).args(["--exact", TEST, "--ignored", "--nocapture", "--test-threads=1"]);
    valgrind.env("COUNTS_PATH", path).env("COUNTS_RUNS", runs.to_string());
    valgrind.env("COUNTS_PLUGINS", root.join("target/plugins"));
    let output = valgrind.current_dir(root).output().map_err(|error| format!("cannot run valgrind: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{path} cannot be counted:\n{}{said}", String::from_utf8_lossy(&output.stdout)));
    }
    collected(&said).ok_or_else(|| format!("{path}: valgrind does not say how much it has collected:\n{said}"))
}

/// `==4242== Collected : 123456`
fn collected(said: &str) -> Option<u64> {
    said.lines().rev().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
}

fn shown(count: Option<u64>) -> String {
    count.map_or_else(|| "-".to_owned(), |count| count.to_string())
}

/// In percent, with its sign.
fn change(before: Option<u64>, now: u64) -> String {
    let Some(before) = before.filter(|before| *before > 0) else { return String::new() };
    format!("{:+.1} %", (now as f64 / before as f64 - 1.0) * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_callgrind_says() {
        let said = "==7== Events    : Ir\n==7== Collected : 1234567\n==7== \n==7== I   refs:      1,234,567\n";
        assert_eq!(collected(said), Some(1_234_567));
        assert_eq!(collected("==7== Events    : Ir\n"), None);
    }

    #[test]
    fn tells_growth_with_its_sign() {
        assert_eq!(change(Some(1000), 1101), "+10.1 %");
        assert_eq!(change(Some(1000), 900), "-10.0 %");
        assert_eq!(change(None, 900), "");
    }

    #[test]
    fn what_is_recorded_is_every_path() {
        let root = crate::root();
        let recorded = recorded(&root).expect("sound");
        let mut names: Vec<_> = PATHS.iter().map(|path| path.name).collect();
        names.sort_unstable();
        assert_eq!(recorded.keys().map(String::as_str).collect::<Vec<_>>(), names);
    }
}
