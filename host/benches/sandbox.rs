//! Time of one run in the sandbox: fresh store, instantiate, run, drop.
//!
//! `cargo bench --bench sandbox`, after `cargo xtask plugins`. Two actions, so that the sandbox can be told from what it
//! reaches: one that calls nothing but its parameters, and kill_pod against a simulated cluster. `plugin bench` measures
//! any other one in the same way.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]

use std::path::Path;

use falco_response_controller::harness::{Cluster, Setup, bench, setup, stage::StageClock};
use falco_response_controller::plugins::End;

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
    }
}
