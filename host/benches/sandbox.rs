//! Time of one run in the sandbox: fresh store, instantiate, run, drop; and what of it is the sandbox's.
//!
//! `cargo xtask bench sandbox` runs it; by itself it takes the number of runs as its argument. It says what it found as one
//! line of JSON, in microseconds. Two actions, so that the sandbox can be told from what it reaches: one that calls nothing
//! but its parameters, and kill_pod against a simulated cluster. `plugin bench` measures any other one in the same way.
//!
//! kill_pod's own source is compiled into this program as well, and runs on the SDK's mock. The overhead is a run of the
//! component, less what its delete took from the gate to the cluster and back, less such a native run. What the mock notes
//! down is in the native run, and what the host functions check and translate in the overhead.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]

use std::path::Path;
use std::time::{Duration, Instant};

use falco_response_controller::harness::{Cluster, Setup, bench, setup, stage::StageClock};
use falco_response_controller::plugins::End;
use falco_response_sdk::kinds;
use falco_response_sdk::mock::Mock;

#[allow(dead_code, unused_imports, reason = "its tests are compiled along, and run where it is a crate of its own")]
#[path = "../../plugins/kill-pod/src/lib.rs"]
mod kill_pod;

const RUNS: usize = 20_000;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    // `cargo bench` says what it is.
    let runs = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(RUNS);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = serde_json::Map::new();
    for (directory, action, parameters) in
        [("target/test-plugins", "hostile", r#"{"behaviour":"lie"}"#), ("target/plugins", "kill_pod", "{}")]
    {
        let alert = bench::alert();
        let wishes = setup::Wishes::dry(&serde_json::from_str(parameters).unwrap());
        let config = setup::config(Path::new("bench"), action, &alert, &wishes).unwrap();
        let received_at = alert.time;
        let cluster = Cluster::simulated(bench::cluster(&StageClock::at(received_at).ambient()));
        let file = root.join(directory).join(format!("{action}.wasm"));
        let setup = Setup { config, alert, received_at, cluster };
        let measured = bench::measure(&file, setup, runs).await.unwrap();
        assert!(matches!(measured.end, End::Acted(_)), "{:?}", measured.end);
        found.insert(action.to_owned(), both(|percent| measured.within(percent)));
        if action == "kill_pod" {
            let native = native(runs);
            let least = bench::share(&native, 50);
            found.insert("native".to_owned(), both(|percent| bench::share(&native, percent)));
            found.insert("overhead".to_owned(), both(|percent| measured.own_within(percent).saturating_sub(least)));
        }
    }
    println!("{}", serde_json::Value::Object(found));
}

fn both(within: impl Fn(usize) -> Duration) -> serde_json::Value {
    let micros = |percent| within(percent).as_nanos() as f64 / 1000.0;
    serde_json::json!({"p50": micros(50), "p99": micros(99)})
}

/// Of the same source, compiled for this machine; sorted.
fn native(runs: usize) -> Vec<Duration> {
    let run = || {
        let mock = Mock::on(kinds::PODS.in_namespace("production", "web-5c6d8-2lkjh")).with_parameters("{}");
        let started = Instant::now();
        let outcome = mock.run::<kill_pod::KillPod>();
        let time = started.elapsed();
        assert!(outcome.is_ok(), "{outcome:?}");
        time
    };
    let mut times: Vec<_> = (0..runs).map(|_| run()).collect();
    times.sort_unstable();
    times
}
