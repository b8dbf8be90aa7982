//! Time of one run in the sandbox: fresh store, instantiate, run, drop.
//!
//! `cargo bench --bench sandbox`, after `cargo xtask plugins`. Two runs, so that the sandbox can be told from what it
//! reaches: an action that calls nothing but its parameters, and kill_pod, dry, against the simulated cluster with a
//! recorder that writes nothing.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]

use std::path::Path;
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
const WARM_UP: usize = 2_000;

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
    for (directory, action, parameters) in
        [("target/test-plugins", "hostile", r#"{"behaviour":"lie"}"#), ("target/plugins", "kill_pod", "{}")]
    {
        let mut times = measure(root, directory, action, parameters).await;
        times.sort();
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        println!("{action:<10} {RUNS} runs: p50 {:?}, p90 {:?}, p99 {:?}", at(0.5), at(0.9), at(0.99));
    }
}

async fn measure(root: &Path, directory: &str, action: &str, parameters: &str) -> Vec<Duration> {
    let ambient = Ambient::system();
    let plugins = Plugins::load(&Source::new(&root.join(directory))).unwrap();
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
    let mut times = Vec::with_capacity(RUNS);
    for number in 0..WARM_UP + RUNS {
        let identity = Identity {
            event_id: "event".to_owned(),
            entry_id: "entry".to_owned(),
            action: action.to_owned(),
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
            parameters: parameters.to_owned(),
            reason: "a benchmark".to_owned(),
            alert: Arc::clone(&alert),
            log: log.clone(),
            witness: None,
        };
        let started = Instant::now();
        let report = plugin.run(request, run, gate.clone(), None).await;
        let time = started.elapsed();
        assert!(matches!(report.end, falco_response_controller::plugins::End::Acted(_)), "{:?}", report.end);
        if number >= WARM_UP {
            times.push(time);
        }
    }
    times
}

fn alert(ambient: &Ambient) -> Alert {
    let body = format!(
        r#"{{"output":"o","priority":"Critical","rule":"r","time":"{}","output_fields":{{"k8s.ns.name":"production","k8s.pod.name":"checkout-7d9f4b-xkp2m"}}}}"#,
        ambient.now()
    );
    Alert::parse(body.as_bytes()).unwrap()
}
