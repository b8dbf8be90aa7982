//! From the start of the process to `ready`, with compiled plugins in the cache; a bare axum server beside it.

use std::net::TcpListener;

use integration_tests::http;

use super::Scale;
use super::figure::{Figure, Target, median, millis};
use super::house::{Plan, cluster_at};
use super::intake::Plain;

const STARTS: usize = 10;

pub fn measure(scale: Scale) -> Result<Vec<Figure>, String> {
    let silent = TcpListener::bind("127.0.0.1:0").map_err(|error| format!("cannot bind a port: {error}"))?;
    let api = silent.local_addr().map_err(|error| format!("the port has no address: {error}"))?;
    let mut plan = Plan::new("", "production", "");
    plan.cluster = cluster_at(plan.directory.path(), api)?;
    // The first compiles.
    drop(plan.start()?);
    let (mut rounds, mut plain) = (Vec::new(), Vec::new());
    for _ in 0..scale.rounds {
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..scale.of(STARTS) {
            let house = plan.start()?;
            ours.push(millis(house.ready_after));
            let answer = http::get(house.address, "/readyz")?;
            if answer.status != 200 {
                return Err(format!("it said that it was ready, and /readyz says {}: {}", answer.status, answer.body));
            }
            drop(house);
            bare.push(millis(Plain::start(None)?.ready_after));
        }
        rounds.push(median(&ours));
        plain.push(median(&bare));
    }
    let beside = format!("a bare axum server: {:.1} ms", median(&plain));
    let what = "start to ready, plugins in the cache".to_owned();
    Ok(vec![Figure { row: "start", what, unit: "ms", rounds, target: Target::AtMost(100.0), beside }])
}
