//! `cargo xtask bench`: every figure that the README names, measured and held against its target, in one table.
//!
//! The measuring is in `tests/bench`, a program of its own in the same build as the controller; that of the sandbox, which
//! nobody sees from outside, in `host/benches`; the sizes of files are read here. A figure that misses its target is shown as such and ends with
//! exit code 1; no test asserts a time.

mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use integration_tests::control_plane::NOT_RUN;
use serde_json::{Value, json};

use crate::{Outcome, build, control_plane, plugins};

/// In the order of the table. What is told in microseconds comes first: a real API server leaves the machine its disk to write.
const ROWS: [&str; 10] =
    ["sandbox", "kill", "burst", "intake", "durable", "start", "memory", "rules", "journal", "size"];
/// Those that need a real API server.
const REAL: [&str; 2] = ["kill", "burst"];
const SANDBOX_RUNS: u32 = 20_000;
/// Each takes four seconds, and the machine has moods that last as long.
const ROUNDS: usize = 5;
const ENTRIES: usize = 1_000_000;
const QUICK_ENTRIES: usize = 10_000;

struct Plan<'a> {
    rows: Vec<&'a str>,
    quick: bool,
    debug: bool,
    json: PathBuf,
}

/// # Errors
/// An unknown argument, something does not build, or a row cannot be measured.
pub fn run(root: &Path, arguments: &[&str]) -> Result<Outcome, String> {
    let plan = plan(root, arguments)?;
    plugins::build(root)?;
    let controller = controller(root, plan.debug)?;
    let mut rows = plan.rows.clone();
    if rows.iter().any(|row| REAL.contains(row)) && !control_plane::ensure()? {
        println!("{NOT_RUN}: {}", REAL.join(", "));
        rows.retain(|row| !REAL.contains(row));
    }
    // All of it before anything is measured: what builds takes the machine.
    let instrument = program(root, plan.debug)?;
    let inside = if rows.contains(&"sandbox") { Some(sandbox_program(root, plan.debug)?) } else { None };
    let mut figures = Vec::new();
    let mut failed = Vec::new();
    for row in rows {
        let measured = match (row, &inside) {
            ("size", _) => size(root).map(|figure| vec![figure]),
            ("sandbox", Some(inside)) => sandbox(inside, plan.quick),
            (row, _) => measure(root, &instrument, &controller, row, plan.quick),
        };
        match measured {
            Ok(found) => figures.extend(found),
            Err(error) => {
                eprintln!("xtask: {row}: {error}");
                failed.push(row);
            }
        }
    }
    let machine = table::machine();
    print!("{}", table::text(&figures));
    println!("\n{}\n", table::markdown(&figures, &machine));
    let profile = if plan.debug { "dev" } else { "release" };
    let document = json!({"machine": machine, "profile": profile, "quick": plan.quick, "figures": figures});
    fs::create_dir_all(plan.json.parent().unwrap_or(root))
        .and_then(|()| fs::write(&plan.json, format!("{document:#}\n")))
        .map_err(|error| format!("cannot write {}: {error}", plan.json.display()))?;
    println!("as JSON: {}", plan.json.display());
    if !failed.is_empty() {
        return Err(format!("not measured: {}", failed.join(", ")));
    }
    // A debug build, or a handful of alerts, misses what it likes.
    let counts = !plan.quick && !plan.debug;
    Ok(if counts && figures.iter().any(|figure| table::reached(figure) == Some(false)) {
        Outcome::Bad
    } else {
        Outcome::Good
    })
}

fn plan<'a>(root: &Path, arguments: &[&'a str]) -> Result<Plan<'a>, String> {
    let mut plan = Plan { rows: Vec::new(), quick: false, debug: false, json: root.join("target/bench/figures.json") };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match *argument {
            "--quick" => plan.quick = true,
            "--debug" => plan.debug = true,
            "--json" => plan.json = arguments.next().ok_or("--json needs a file")?.into(),
            row if ROWS.contains(&row) => plan.rows.push(row),
            other => {
                return Err(format!(
                    "bench takes rows ({}), --quick, --debug and --json FILE, not {other}",
                    ROWS.join(", ")
                ));
            }
        }
    }
    if plan.rows.is_empty() {
        plan.rows = ROWS.to_vec();
    }
    Ok(plan)
}

/// The controller by itself, as it is shipped: what the tests' dependencies switch on is not in it.
fn controller(root: &Path, debug: bool) -> Result<PathBuf, String> {
    if debug {
        build::controller(root)?;
        return Ok(root.join("target/debug/falco-response-controller"));
    }
    build::program(root, &["build", "--release", "--bin", "falco-response-controller"], "falco-response-controller")
}

/// What measures; it holds nothing of the controller's own code.
fn program(root: &Path, debug: bool) -> Result<PathBuf, String> {
    if debug {
        return build::beside_the_tests(root, "figures");
    }
    build::program(root, &["build", "--release", "--package", "integration-tests", "--bench", "figures"], "figures")
}

fn measure(root: &Path, program: &Path, controller: &Path, row: &str, quick: bool) -> Result<Vec<Value>, String> {
    let mut command = Command::new(program);
    command.arg(row).args(quick.then_some("--quick")).current_dir(root);
    command.env("FALCO_RESPONSE_CONTROLLER", controller);
    if row == "journal" {
        command.env("FALCO_RESPONSE_BENCH_JOURNAL", large_journal(root, if quick { QUICK_ENTRIES } else { ENTRIES })?);
    }
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("cannot run {}: {error}", program.display()))?;
    if !output.status.success() {
        return Err(format!("it was not measured ({})", output.status));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    said.lines().map(|line| serde_json::from_str(line).map_err(|error| format!("{line}: {error}"))).collect()
}

/// Made once for each form of the journal and of what is in it, and used again.
fn large_journal(root: &Path, entries: usize) -> Result<PathBuf, String> {
    let mut form = Vec::new();
    for file in ["host/src/journal/schema.rs", "host/benches/journal.rs"] {
        let file = root.join(file);
        form.extend(fs::read(&file).map_err(|error| format!("cannot read {}: {error}", file.display()))?);
    }
    let directory = root.join("target/bench").join(format!("journal-{entries}-{}", table::digest(&form)));
    let file = directory.join("journal.db");
    if file.exists() {
        return Ok(file);
    }
    eprintln!("writing a journal of {entries} entries, once");
    // Not optimized; but SQLite and SHA-256 are, in that build too.
    let program = build::beside_the_tests(root, "journal")?;
    let draft = directory.with_extension("new");
    // What a broken attempt has left.
    let _ = fs::remove_dir_all(&draft);
    fs::create_dir_all(&draft).map_err(|error| format!("cannot create {}: {error}", draft.display()))?;
    let status = Command::new(program).arg(draft.join("journal.db")).arg(entries.to_string()).status();
    match status {
        Ok(status) if status.success() => {}
        other => return Err(format!("the journal was not written: {other:?}")),
    }
    fs::rename(&draft, &directory).map_err(|error| format!("cannot keep {}: {error}", directory.display()))?;
    Ok(file)
}

fn sandbox_program(root: &Path, debug: bool) -> Result<PathBuf, String> {
    if debug {
        return build::beside_the_tests(root, "sandbox");
    }
    build::program(root, &["build", "--release", "--bench", "sandbox"], "sandbox")
}

/// What a run in the sandbox takes over the same code called natively.
fn sandbox(program: &Path, quick: bool) -> Result<Vec<Value>, String> {
    let (rounds, runs) = if quick { (1, SANDBOX_RUNS / 100) } else { (ROUNDS, SANDBOX_RUNS) };
    let mut found = [const { Vec::new() }; 4];
    for _ in 0..rounds {
        let output = Command::new(program).arg(runs.to_string()).stderr(Stdio::inherit()).output();
        let output = output.map_err(|error| format!("cannot run {}: {error}", program.display()))?;
        let said: Value =
            serde_json::from_slice(&output.stdout).map_err(|error| format!("the benchmark says no JSON: {error}"))?;
        let wanted = [("overhead", "p50"), ("overhead", "p99"), ("kill_pod", "p50"), ("native", "p50")];
        for (all, (of, share)) in found.iter_mut().zip(wanted) {
            all.push(said[of][share].as_f64().ok_or_else(|| format!("no {of} {share} in {said}"))?);
        }
    }
    let [p50, p99, whole, native] = &found;
    let beside = format!(
        "{runs} runs; native {:.1} µs; a whole run, with its delete through the gate to a simulated cluster, {:.1} µs",
        table::median(native),
        table::median(whole)
    );
    let of = |what: &str| format!("one run of kill_pod in the sandbox, over the same code natively, {what}");
    Ok(vec![
        table::figure("sandbox", &of("p50"), "µs", p50, json!({"at_most": 15}), &beside),
        table::figure("sandbox", &of("p99"), "µs", p99, json!({"at_most": 50}), ""),
    ])
}

fn size(root: &Path) -> Result<Value, String> {
    let file = root.join("target/plugins/kill_pod.wasm");
    let size = fs::metadata(&file).map_err(|error| format!("cannot read {}: {error}", file.display()))?.len();
    let kibibytes = size as f64 / 1024.0;
    Ok(table::figure(
        "size",
        "component kill_pod",
        "KiB",
        &[kibibytes],
        json!({"at_most": 48}),
        &format!("{size} bytes"),
    ))
}
