//! `plugin bench`: what one run of an action costs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::run::{Files, wishes};
use crate::cli::{Failure, settings};
use crate::cluster::ClusterSpec;
use crate::cluster::simulated::Simulation;
use crate::config::ConfigError;
use crate::harness::bench::{self, Measured};
use crate::harness::setup::{self, Wishes};
use crate::harness::stage::StageClock;
use crate::harness::{Cluster, Setup, case};
use crate::plugins::{End, manifest};
use crate::telemetry::escape;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The component.
    #[arg(value_name = "FILE")]
    component: PathBuf,
    /// The alert, as for `plugin run`; one about a pod of the built-in cluster unless it is given.
    #[arg(long, value_name = "FILE", requires = "cluster")]
    alert: Option<PathBuf>,
    /// simulated:DIR; a small built-in one unless it is given.
    #[arg(long, value_name = "SPEC", requires = "alert")]
    cluster: Option<String>,
    /// The action's parameters as JSON, or @FILE with YAML.
    #[arg(long, value_name = "JSON")]
    parameters: Option<String>,
    /// A file with further permissions, as a list like the one under `plugins.grants.NAME`.
    #[arg(long, value_name = "FILE")]
    grants: Option<PathBuf>,
    /// A controller's configuration, for everything else: namespaces, protected owners, limits, the alert's rule.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How often it is run.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    runs: u32,
    /// As JSON, times in nanoseconds.
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let usage = |message: String| Failure::Usage(message);
    let manifest = std::fs::read(&arguments.component)
        .map_err(|error| error.to_string())
        .and_then(|bytes| manifest::read(&bytes).map_err(|error| error.to_string()))
        .map_err(|error| usage(format!("{}: {error}", arguments.component.display())))?;
    let alert = match &arguments.alert {
        Some(file) => case::read::read_alert(file, &Timestamp::now().to_string())
            .map_err(|message| usage(format!("--alert: {message}")))?,
        None => bench::alert(),
    };
    let simulation = simulation(arguments.cluster.as_deref(), alert.time)?;
    let Arguments { config, grants, parameters, .. } = &arguments;
    let files = Files { config: config.as_deref(), grants: grants.as_deref(), parameters: parameters.as_deref() };
    let wishes = Wishes { dry_run: true, ..wishes(&files, &manifest.name, &alert.rule)? };
    let path = grants.as_deref().unwrap_or(Path::new("the command line"));
    let config = setup::config(path, &manifest.name, &alert, &wishes)
        .map_err(|problems| usage(ConfigError::Invalid { path: path.to_owned(), problems }.to_string()))?;
    let received_at = alert.time;
    let setup = Setup { config, alert, received_at, cluster: Cluster::simulated(simulation) };
    let measured = bench::measure(&arguments.component, setup, arguments.runs as usize)
        .await
        .map_err(|error| usage(error.to_string()))?;
    if arguments.json {
        println!("{:#}", document(&manifest.name, &measured));
    } else {
        print!("{}", text(&manifest.name, &measured));
    }
    match measured.end {
        End::Acted(_) | End::Skipped(_) => Ok(()),
        _ => Err(Failure::Runtime(
            "the action did not come to its end, so the numbers are those of a failure".to_owned(),
        )),
    }
}

fn simulation(spec: Option<&str>, now: Timestamp) -> Result<Simulation, Failure> {
    let ambient = StageClock::at(now).ambient();
    let Some(spec) = spec else { return Ok(bench::cluster(&ambient)) };
    match settings::cluster(Some(spec))? {
        ClusterSpec::Simulated(dir) => {
            Simulation::load(&dir, &ambient).map_err(|error| Failure::Usage(format!("--cluster: {error}")))
        }
        _ => Err(Failure::Usage("--cluster: an action is measured against simulated:DIR and nothing else".to_owned())),
    }
}

fn document(name: &str, measured: &Measured) -> Value {
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    json!({
        "action": name,
        "size": measured.size,
        "compiled_in": nanos(measured.compiled_in),
        "runs": measured.times.len(),
        "p50": nanos(measured.within(50)),
        "p90": nanos(measured.within(90)),
        "p99": nanos(measured.within(99)),
        "own_p50": nanos(measured.own_within(50)),
        "own_p99": nanos(measured.own_within(99)),
        "peak_memory": measured.peak_memory,
        "calls": measured.calls,
        "end": ended(&measured.end),
    })
}

fn text(name: &str, measured: &Measured) -> String {
    let Measured { size, compiled_in, times, peak_memory, end, calls, .. } = measured;
    let lines = [
        ("action", name.to_owned()),
        ("size", format!("{size} bytes")),
        ("compiled", format!("in {compiled_in:.1?}")),
        (
            "run",
            format!(
                "p50 {:.1?}, p90 {:.1?}, p99 {:.1?} ({} runs, dry, {calls} calls each)",
                measured.within(50),
                measured.within(90),
                measured.within(99),
                times.len()
            ),
        ),
        (
            "its own",
            format!(
                "p50 {:.1?}, p99 {:.1?} (without what its changes took beyond the sandbox)",
                measured.own_within(50),
                measured.own_within(99)
            ),
        ),
        ("memory", format!("{} KiB at most", peak_memory.div_ceil(1024))),
        ("ended", escape::text(&ended(end))),
    ];
    lines.iter().map(|(about, said)| format!("{about:<10}{said}\n")).collect()
}

/// The host's word, then the action's.
fn ended(end: &End) -> String {
    match end {
        End::Acted(said) => format!("acted: {said}"),
        End::Skipped(said) => format!("skipped: {said}"),
        End::Failed { message, .. } => format!("failed: {message}"),
        End::Trap(why) => format!("trap: {why}"),
        End::Timeout => "timeout".to_owned(),
        End::Memory => "memory".to_owned(),
        End::CallLimit => "call_limit".to_owned(),
    }
}
