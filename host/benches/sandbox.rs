//! Time of one run in the sandbox: fresh store, instantiate, run, drop; and what it takes to get that far.
//!
//! `cargo bench --bench sandbox`, after `cargo xtask plugins`. An action that calls nothing but its parameters, so that the
//! sandbox can be told from what it reaches; then kill_pod and label_pod, dry, against the simulated cluster with a recorder that
//! writes nothing. After `cargo xtask languages` also label_pod's twins in other languages.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use falco_response_controller::alert::Alert;
use falco_response_controller::ambient::Ambient;
use falco_response_controller::cluster::connect::connect_simulated;
use falco_response_controller::cluster::simulated::Simulation;
use falco_response_controller::config::Config;
use falco_response_controller::plugins::{Plugins, Request, Source};
use falco_response_controller::respond::rules::Rules;
use falco_response_controller::safety::clearance::Question;
use falco_response_controller::safety::gate::Gate;
use falco_response_controller::safety::identity::Subject;
use falco_response_controller::safety::permissions::Permissions;
use falco_response_controller::safety::policy::RuleScope;
use falco_response_controller::safety::run::{Bounds, CallRecord, Identity, Intent, Recorded, Recorder, Run};
use falco_response_controller::telemetry::log::{Format, Log};

const RUNS: usize = 20_000;
/// Of an interpreter, which takes a hundred times as long.
const FEW: usize = 500;

/// What is measured.
struct Measured {
    language: &'static str,
    file: PathBuf,
    action: &'static str,
    parameters: &'static str,
    runs: usize,
}

/// Says that it has recorded what it was told.
struct Nowhere;

impl Recorder for Nowhere {
    fn intent<'a>(&'a self, _: &'a Identity, _: &'a Intent) -> Recorded<'a> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn result<'a>(&'a self, _: &'a Identity, _: &'a Intent, _: &'a CallRecord) -> Recorded<'a> {
        Box::pin(std::future::ready(Ok(())))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let case = |language, file: &str, action, parameters, runs| Measured {
        language,
        file: root.join(file),
        action,
        parameters,
        runs,
    };
    let labels = r#"{"labels":{"falco-response/quarantine":"yes"}}"#;
    let all = [
        case("rust", "target/test-plugins/hostile.wasm", "hostile", r#"{"behaviour":"lie"}"#, RUNS),
        case("rust", "target/plugins/kill_pod.wasm", "kill_pod", "{}", RUNS),
        case("rust", "target/plugins/label_pod.wasm", "label_pod", labels, RUNS),
        case("javascript", "target/languages/javascript/label_pod.wasm", "label_pod", labels, FEW),
        case("python", "target/languages/python/label_pod.wasm", "label_pod", labels, FEW),
    ];
    println!("language   action         bytes     compile  process      p50      p90      p99   memory");
    // The process's peak only grows: what compiles in less goes first.
    for measured in all.iter().filter(|measured| measured.file.is_file()) {
        measure(root, measured).await;
    }
}

/// Compiles and runs it, and prints a line.
async fn measure(root: &Path, measured: &Measured) {
    let Measured { language, file, action, parameters, runs } = measured;
    let ambient = Ambient::system();
    let directory = tempfile::tempdir().unwrap();
    std::fs::copy(file, directory.path().join("action.wasm")).unwrap();
    let started = Instant::now();
    let plugins = Plugins::load(&Source::new(directory.path())).unwrap();
    let compiled = started.elapsed();
    let process = peak_of_process();
    let plugin = Arc::clone(plugins.get(action).unwrap());
    let simulation = Simulation::load(&root.join("deploy/demo/cluster"), &ambient).unwrap();
    let (reader, writer) = connect_simulated(simulation);
    let gate = Gate::new(reader, writer, ambient.clone(), None);
    let config = Config::load(&root.join("tests/fixtures/config/runbook-b.yaml")).unwrap();
    let (rules, _) = Rules::join(&config, &plugins, "simulated".to_owned()).await;
    let alert = Arc::new(alert(&ambient));
    let subject = Subject::of(&alert);
    let scope = RuleScope::default();
    let question = Question { subject: &subject, received_at: ambient.now(), policy: &rules.policy, rule: &scope };
    let cleared = question.pod(gate.reader()).await.unwrap();
    let (log, _) = Log::memory(&ambient, Format::Json);
    let (mut times, mut memory) = (Vec::with_capacity(*runs), 0);
    let warm_up = runs / 10;
    for number in 0..warm_up + runs {
        let identity = Identity {
            event_id: "event".to_owned(),
            entry_id: "entry".to_owned(),
            action: (*action).to_owned(),
            plugin_sha256: plugin.sha256.clone(),
        };
        let bounds = Bounds {
            allowance: None,
            policy: Arc::clone(&rules.policy),
            rule: scope.clone(),
            permissions: Permissions { declared: plugin.manifest.permissions.clone(), granted: Vec::new() },
            cleared: Some(cleared.clone()),
            dry_run: true,
            deadline: tokio::time::Instant::now() + Duration::from_secs(10),
        };
        let run = Arc::new(Run::new(identity, bounds, Arc::new(Nowhere)));
        let request = Request {
            event_id: "event".to_owned(),
            attempt: 1,
            parameters: (*parameters).to_owned(),
            reason: "a benchmark".to_owned(),
            alert: Arc::clone(&alert),
            log: log.clone(),
            witness: None,
        };
        let started = Instant::now();
        let report = plugin.run(request, run, gate.clone(), None).await;
        let time = started.elapsed();
        assert!(matches!(report.end, falco_response_controller::plugins::End::Acted(_)), "{:?}", report.end);
        memory = report.peak_memory;
        if number >= warm_up {
            times.push(time);
        }
    }
    times.sort();
    let at = |share: f64| format!("{:.1?}", times[((times.len() - 1) as f64 * share) as usize]);
    let size = std::fs::metadata(file).unwrap().len();
    println!(
        "{language:<10} {action:<9} {size:>10} {:>9} ms {process:>5} MB {:>8} {:>8} {:>8} {:>5} KiB",
        compiled.as_millis(),
        at(0.5),
        at(0.9),
        at(0.99),
        memory >> 10
    );
}

/// In MB, as Linux tells it.
fn peak_of_process() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default() / 1000
}

fn alert(ambient: &Ambient) -> Alert {
    let body = format!(
        r#"{{"output":"o","priority":"Critical","rule":"r","time":"{}","output_fields":{{"k8s.ns.name":"production","k8s.pod.name":"checkout-7d9f4b-xkp2m"}}}}"#,
        ambient.now()
    );
    Alert::parse(body.as_bytes()).unwrap()
}
