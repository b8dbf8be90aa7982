//! Resident memory: idle with two plugins, and after many alerts of every kind.

use integration_tests::{alerts, root};
use serde_json::Value;

use super::Scale;
use super::figure::{Figure, Target};
use super::house::{House, Plan, RULE, TOKEN};
use super::sender::{post_all, request};

const ALERTS: usize = 100_000;
/// What is allocated once is there by then.
const WARM: usize = 20_000;
/// At once; fewer than may wait.
const PORTION: usize = 2_000;
const CONNECTIONS: usize = 16;
/// Nothing is to grow; this much is noise of the allocator.
const NOISE: f64 = 2.0;

pub fn measure(scale: Scale) -> Result<Vec<Figure>, String> {
    let cluster = format!("simulated:{}", root().join("deploy/demo/cluster").display());
    let plan = Plan::new(&cluster, "production", "").replace("dryrun: false", "dryrun: true");
    let house = plan.start()?;
    std::thread::sleep(std::time::Duration::from_secs(2));
    let idle = house.resident()?;
    let mut posted = 0;
    let mut warm = 0.0;
    while posted < scale.of(ALERTS) {
        portion(&house, posted)?;
        posted += PORTION;
        if posted == WARM.min(scale.of(ALERTS)) || warm == 0.0 {
            warm = house.resident()?;
        }
    }
    let after = house.resident()?;
    let beside =
        format!("after {posted} alerts {after:.1} MB; after the first {} it was {warm:.1} MB", WARM.min(posted));
    let figure = |what: &str, value, target, beside| Figure {
        row: "memory",
        what: what.to_owned(),
        unit: "MB",
        rounds: vec![value],
        target,
        beside,
    };
    Ok(vec![
        figure("resident memory, idle, two plugins", idle, Target::AtMost(40.0), String::new()),
        figure("growth of it from then to 100,000 alerts", after - warm, Target::AtMost(NOISE), beside),
    ])
}

/// Of every 20 alerts 15 are wanted by nobody, 4 refused, 1 is run (dry); waits until the last of them is done.
fn portion(house: &House, from: usize) -> Result<(), String> {
    let alert = |number: usize| -> Value {
        match number % 20 {
            0 => alerts::about(RULE, "production", "checkout-7d9f4b-xkp2m"),
            1..=4 => alerts::about(RULE, "staging", &format!("pod-{number}")),
            _ => alerts::about("Terminal shell in container", "production", &format!("pod-{number}")),
        }
    };
    let requests: Vec<_> = (from..from + PORTION).map(|number| request(house.address, TOKEN, &alert(number))).collect();
    post_all(house.address, &requests, CONNECTIONS)?;
    let last = alerts::about(RULE, "staging", &format!("last-{from}"));
    post_all(house.address, &[request(house.address, TOKEN, &last)], 1)?;
    house.line_with(&[&format!("last-{from}")]).map(|_| ())
}
