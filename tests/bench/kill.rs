//! One alert at a time, from the POST to the pod's end on a watch, and the bare calls to the same end: in turns, so that both meet the same API
//! server in the same mood.

use std::time::{Duration, Instant};

use super::Scale;
use super::bare;
use super::figure::{Figure, Target, median, millis, words};
use super::house::Plan;
use super::sender::Connection;
use super::stage::{Stage, Victim};

const PAIRS: usize = 80;
const WARM_UP: usize = 5;
/// The follower's look at what was killed is over by then.
const PAUSE: Duration = Duration::from_millis(150);

pub fn measure(scale: Scale) -> Result<Vec<Figure>, String> {
    let mut stage = Stage::set("bench-kill")?;
    let plan = Plan::new(&stage.spec(), stage.namespace, "");
    let house = plan.start()?;
    let mut connection = Connection::open(house.address)?;
    let (mut ratios, mut differences) = (Vec::new(), Vec::new());
    let mut all = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=scale.rounds {
        let pairs = if round == 0 { WARM_UP } else { scale.of(PAIRS) };
        let victims = stage.pods(2 * pairs)?;
        let mut times = (Vec::new(), Vec::new());
        for (number, pair) in victims.chunks(2).enumerate() {
            // Each is first as often as the other.
            let (mine, theirs) = if number % 2 == 0 { (0, 1) } else { (1, 0) };
            let mut ours = |stage: &Stage| {
                let (took, answered) = by_alert(stage, house.address, &mut connection, &pair[mine])?;
                times.0.push(took);
                all.2.push(answered);
                std::thread::sleep(PAUSE);
                Ok::<_, String>(())
            };
            if number % 2 == 0 {
                ours(&stage)?;
            }
            times.1.push(by_calls(&stage, &pair[theirs])?);
            std::thread::sleep(PAUSE);
            if number % 2 == 1 {
                ours(&stage)?;
            }
        }
        if round > 0 {
            let each: Vec<f64> = times.0.iter().zip(&times.1).map(|(ours, bare)| ours / bare).collect();
            ratios.push(median(&each));
            differences.push(median(&times.0) - median(&times.1));
            all.0.extend(times.0);
            all.1.extend(times.1);
        }
    }
    let beside = format!(
        "{}; bare calls {}; difference of the medians {:.2} ms; alert answered {}",
        words(&all.0),
        words(&all.1),
        median(&differences),
        words(&all.2)
    );
    let what = "one alert at a time, POST to DELETED, over the bare calls".to_owned();
    Ok(vec![Figure { row: "kill", what, unit: "×", rounds: ratios, target: Target::AtMost(1.05), beside }])
}

/// From the POST to the end of the pod, and to the answer.
fn by_alert(
    stage: &Stage,
    address: std::net::SocketAddr,
    connection: &mut Connection,
    victim: &Victim,
) -> Result<(f64, f64), String> {
    let (deletion, request) = (stage.deletion_of(victim), stage.request(address, victim));
    let started = Instant::now();
    let answered = connection.post(&request)?;
    Ok((millis(stage.wait(deletion)?.duration_since(started)), millis(answered)))
}

fn by_calls(stage: &Stage, victim: &Victim) -> Result<f64, String> {
    let deletion = stage.deletion_of(victim);
    let (client, namespace, name) = (stage.client.clone(), stage.namespace, victim.name.clone());
    let started = Instant::now();
    let calls = stage.runtime.spawn(async move { bare::kill(client, namespace, &name).await });
    stage.runtime.block_on(calls).map_err(|error| format!("the bare calls failed: {error}"))??;
    Ok(millis(stage.wait(deletion)?.duration_since(started)))
}
