//! Many alerts at once: kills a second, from the first POST to the last pod's end on a watch, and the bare calls at the same concurrency; without and
//! with an audit stream to Graylog, whose stand-in shares the machine. The limits are raised, since a burst is what they are for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use integration_tests::graylog::Graylog;

use super::Scale;
use super::bare;
use super::figure::{Figure, Target, at, median};
use super::house::{House, Plan};
use super::sender::post_all;
use super::stage::{Stage, Victim};

const ALERTS: usize = 300;
const CONCURRENCY: [usize; 2] = [8, 16];
const WARM_UP: usize = 32;
/// For each round of the other rows: a burst lasts no longer than a hiccup of the machine.
const ROUNDS: usize = 6;
/// For what is left behind: by pods that were created, by looks at those that are gone, by the audit stream.
const PAUSE: Duration = Duration::from_millis(2_500);

struct Rates {
    bare: Vec<f64>,
    ours: Vec<f64>,
    shipped: Vec<f64>,
}

pub fn measure(scale: Scale) -> Result<Vec<Figure>, String> {
    let mut stage = Stage::set("bench-burst")?;
    let graylog = Graylog::start()?;
    let mut figures = Vec::new();
    for concurrency in CONCURRENCY {
        let plan = |more: &str| {
            Plan::new(&stage.spec(), stage.namespace, more)
                .replace("limits: {", &format!("limits: {{concurrency: {concurrency}, "))
        };
        let audit = format!("audit: {{graylog: {{url: \"http://{}/gelf\"}}}}", graylog.address);
        let plans = (plan(""), plan(&audit));
        let (alone, shipping) = (plans.0.start()?, plans.1.start()?);
        let mut rates = Rates { bare: Vec::new(), ours: Vec::new(), shipped: Vec::new() };
        for round in 0..=scale.rounds * ROUNDS {
            let count = if round == 0 { WARM_UP } else { scale.of(ALERTS) };
            let victims = stage.pods(3 * count)?;
            std::thread::sleep(PAUSE);
            // Each comes first, second and last as often: the one before it leaves something behind.
            for turn in 0..3 {
                let which = (round + turn) % 3;
                let victims = &victims[which * count..][..count];
                let (rates, rate) = match which {
                    0 => (&mut rates.bare, by_calls(&stage, victims, concurrency)?),
                    1 => (&mut rates.ours, by_alerts(&stage, &alone, victims, concurrency)?),
                    _ => (&mut rates.shipped, by_alerts(&stage, &shipping, victims, concurrency)?),
                };
                std::thread::sleep(PAUSE);
                if round > 0 {
                    rates.push(rate);
                }
            }
        }
        figures.extend(table(concurrency, scale.of(ALERTS), &rates));
    }
    Ok(figures)
}

fn table(concurrency: usize, count: usize, rates: &Rates) -> [Figure; 2] {
    let ratios = |these: &[f64], those: &[f64]| these.iter().zip(those).map(|(this, that)| this / that).collect();
    let Rates { bare, ours, shipped } = rates;
    // What the same burst differs by from round to round is no difference; the middle half of them, since one round in a slow
    // phase of the machine would hide anything.
    let spread = (at(ours, 750) - at(ours, 250)) / median(ours);
    let figure =
        |what: String, rounds, target, beside| Figure { row: "burst", what, unit: "×", rounds, target, beside };
    [
        figure(
            format!("{count} alerts at concurrency {concurrency}, kills a second over the bare calls"),
            ratios(ours, bare),
            Target::AtLeast(1.0),
            format!("{:.0} a second; bare calls {:.0}", median(ours), median(bare)),
        ),
        figure(
            format!("the same with audit to Graylog, over without (concurrency {concurrency})"),
            ratios(shipped, ours),
            Target::AtLeast(1.0 - spread.max(0.02)),
            format!("{:.0} a second; half of the rounds without differ by {:.0} %", median(shipped), spread * 100.0),
        ),
    ]
}

fn by_calls(stage: &Stage, victims: &[Victim], concurrency: usize) -> Result<f64, String> {
    let deletions: Vec<_> = victims.iter().map(|victim| stage.deletion_of(victim)).collect();
    let names: Arc<[String]> = victims.iter().map(|victim| victim.name.clone()).collect();
    let next = Arc::new(AtomicUsize::new(0));
    let started = Instant::now();
    let workers: Vec<_> = (0..concurrency)
        .map(|_| {
            let (client, namespace) = (stage.client.clone(), stage.namespace);
            let (names, next) = (Arc::clone(&names), Arc::clone(&next));
            stage.runtime.spawn(async move {
                while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                    bare::kill(client.clone(), namespace, name).await?;
                }
                Ok::<_, String>(())
            })
        })
        .collect();
    for worker in workers {
        stage.runtime.block_on(worker).map_err(|error| format!("the bare calls failed: {error}"))??;
    }
    rate(stage, deletions, started)
}

fn by_alerts(stage: &Stage, house: &House, victims: &[Victim], concurrency: usize) -> Result<f64, String> {
    let deletions: Vec<_> = victims.iter().map(|victim| stage.deletion_of(victim)).collect();
    let requests: Vec<_> = victims.iter().map(|victim| stage.request(house.address, victim)).collect();
    let started = Instant::now();
    post_all(house.address, &requests, concurrency)?;
    rate(stage, deletions, started)
}

/// Until the last of them.
fn rate(
    stage: &Stage,
    deletions: Vec<tokio::sync::oneshot::Receiver<Instant>>,
    started: Instant,
) -> Result<f64, String> {
    let count = deletions.len();
    let mut last = started;
    for deletion in deletions {
        last = last.max(stage.wait(deletion)?);
    }
    Ok(count as f64 / last.duration_since(started).as_secs_f64())
}
