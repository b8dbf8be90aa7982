//! Resident memory: idle with two plugins, and after many alerts of every kind.

use integration_tests::alerts;
use serde_json::Value;

use super::figure::{Figure, Target};
use super::house::{House, Plan, RULE, TOKEN, cluster_at};
use super::sender::{post_all, request};
use super::{Scale, api};

const ALERTS: usize = 100_000;
/// What is allocated once is there by then.
const WARM: usize = 20_000;
/// At once; fewer than may wait.
const PORTION: usize = 2_000;
const CONNECTIONS: usize = 16;
/// Nothing is to grow; this much is noise of the allocator.
const NOISE: f64 = 2.0;

pub fn measure(scale: Scale) -> Result<Vec<Figure>, String> {
    let mut plan = Plan::new("", "production", "").replace("dryrun: false", "dryrun: true");
    plan.cluster = cluster_at(plan.directory.path(), api::serve()?)?;
    let house = plan.start()?;
    std::thread::sleep(std::time::Duration::from_secs(2));
    let idle = house.resident()?;
    let (all, warm_at) = (scale.of(ALERTS).max(2 * PORTION), scale.of(WARM).max(PORTION));
    let (mut posted, mut warm) = (0, idle);
    while posted < all {
        portion(&house, posted)?;
        posted += PORTION;
        if posted <= warm_at {
            warm = house.resident()?;
        }
    }
    let after = house.resident()?;
    let beside = format!("{warm:.1} MB after {warm_at} alerts, {after:.1} MB after {posted}");
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
        figure("growth of it, from 20,000 alerts to 100,000", after - warm, Target::AtMost(NOISE), beside),
    ])
}

/// Of every 20 alerts 15 are wanted by nobody, 4 refused, 1 is run (dry); waits until the last of them is done.
fn portion(house: &House, from: usize) -> Result<(), String> {
    let alert = |number: usize| -> Value {
        match number % 20 {
            0 => alerts::about(RULE, "production", "shop-7d9f4b-xkp2m"),
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
