//! Time of one run in the sandbox: fresh store, instantiate, run, drop; and what of it is the sandbox's.
//!
//! `cargo bench --bench sandbox`, after `cargo xtask plugins`. Two actions, so that the sandbox can be told from what it
//! reaches: one that calls nothing but its parameters, and kill_pod against a simulated cluster. `plugin bench` measures
//! any other one in the same way.
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
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
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
        let measured = bench::measure(&file, setup, RUNS).await.unwrap();
        assert!(matches!(measured.end, End::Acted(_)), "{:?}", measured.end);
        let at = |percent| measured.within(percent);
        println!("{action:<10} {RUNS} runs: p50 {:?}, p90 {:?}, p99 {:?}", at(50), at(90), at(99));
        if action == "kill_pod" {
            let native = native();
            println!("  native: p50 {:?}, p99 {:?}", bench::share(&native, 50), bench::share(&native, 99));
            let overhead = |percent| measured.own_within(percent).saturating_sub(bench::share(&native, 50));
            println!("  overhead: p50 {:?}, p99 {:?}", overhead(50), overhead(99));
        }
    }
}

/// Of the same source, compiled for this machine; sorted.
fn native() -> Vec<Duration> {
    let run = || {
        let mock = Mock::on(kinds::PODS.in_namespace("production", "web-5c6d8-2lkjh")).with_parameters("{}");
        let started = Instant::now();
        let outcome = mock.run::<kill_pod::KillPod>();
        let time = started.elapsed();
        assert!(outcome.is_ok(), "{outcome:?}");
        time
    };
    let mut times: Vec<_> = (0..RUNS).map(|_| run()).collect();
    times.sort_unstable();
    times
}
