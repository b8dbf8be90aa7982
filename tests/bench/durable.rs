//! Alerts that a rule wants: on disk and answered. The API server says nothing, so that nothing else uses the journal; and as some
//! 10,000 alerts may wait, each round has a controller and a journal of its own.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpListener;
use std::time::Instant;

use integration_tests::alerts;

use super::Scale;
use super::figure::{Figure, Target, at, median};
use super::house::{Plan, RULE, TOKEN, cluster_at};
use super::sender::{post_all, request};

/// Connections, alerts over all of them, and what must be reached. One is Falcosidekick's default.
const MEASURED: [(usize, usize, Target); 2] = [(64, 9_000, Target::AtLeast(10_000.0)), (1, 2_000, Target::None)];
const SYNCS: u32 = 500;

pub fn measure(scale: Scale) -> Result<Vec<Figure>, String> {
    let silent = TcpListener::bind("127.0.0.1:0").map_err(|error| format!("cannot bind a port: {error}"))?;
    let api = silent.local_addr().map_err(|error| format!("the port has no address: {error}"))?;
    let mut figures = Vec::new();
    for (connections, count, target) in MEASURED {
        let (mut rates, mut p50, mut p99, mut syncs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..scale.rounds {
            let mut plan = Plan::new("", "production", "");
            plan.cluster = cluster_at(plan.directory.path(), api)?;
            syncs.push(syncs_a_second(&plan)?);
            let house = plan.start()?;
            let requests: Vec<_> = (0..scale.of(count))
                .map(|number| {
                    request(house.address, TOKEN, &alerts::about(RULE, "production", &format!("pod-{number}")))
                })
                .collect();
            let taken = post_all(house.address, &requests, connections)?;
            rates.push(taken.a_second());
            p50.push(at(&taken.each, 500));
            p99.push(at(&taken.each, 990));
        }
        let beside = format!(
            "answered within {:.2} ms (p50), {:.2} ms (p99); the disk takes {:.0} small writes with fdatasync a second",
            median(&p50),
            median(&p99),
            median(&syncs)
        );
        let what =
            format!("alerts on disk and answered, {connections} connection{}", if connections == 1 { "" } else { "s" });
        figures.push(Figure { row: "durable", what, unit: "/s", rounds: rates, target, beside });
    }
    Ok(figures)
}

fn syncs_a_second(plan: &Plan) -> Result<f64, String> {
    let path = plan.directory.path().join("sync");
    let run = || {
        let mut file = File::create(&path)?;
        let started = Instant::now();
        for _ in 0..SYNCS {
            file.write_all(&[7; 4096])?;
            file.sync_data()?;
        }
        fs::remove_file(&path)?;
        Ok(f64::from(SYNCS) / started.elapsed().as_secs_f64())
    };
    run().map_err(|error: std::io::Error| format!("cannot write {}: {error}", path.display()))
}
