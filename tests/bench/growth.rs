//! What must not matter: how many rules there are, and how much the journal holds. Two controllers take turns, alert by alert; the time
//! is from the POST to the line that says what came of it, in a dry run against an API server that answers from memory.

use std::path::PathBuf;
use std::time::Instant;

use integration_tests::alerts;

use super::figure::{Figure, Target, median, millis, words};
use super::house::{House, Plan, RULE, TOKEN, cluster_at};
use super::sender::{Connection, request};
use super::{Scale, api};

const PAIRS: usize = 200;
const WARM_UP: usize = 20;
const FEW: usize = 10;
const MANY: usize = 10_000;
/// The file of a journal with a million entries, made by `cargo xtask bench`.
pub const JOURNAL: &str = "FALCO_RESPONSE_BENCH_JOURNAL";
/// The same, as far as that can be told.
const SAME: f64 = 1.05;

pub fn rules(scale: Scale) -> Result<Vec<Figure>, String> {
    let (few, many) = (plan(FEW - 1)?, plan(MANY - 1)?);
    let figure = compare(scale, &few, &many)?;
    Ok(vec![Figure { row: "rules", what: format!("time of an alert with {MANY} rules, over {FEW} rules"), ..figure }])
}

pub fn journal(scale: Scale) -> Result<Vec<Figure>, String> {
    let file = std::env::var_os(JOURNAL).map(PathBuf::from).ok_or("nobody made the large journal")?;
    let (empty, mut large) = (plan(FEW - 1)?, plan(FEW - 1)?);
    large.journal = Some(file);
    let figure = compare(scale, &empty, &large)?;
    let what = "time of an alert with a million entries in the journal, over an empty one".to_owned();
    Ok(vec![Figure { row: "journal", what, ..figure }])
}

fn plan(further: usize) -> Result<Plan, String> {
    let more: String = (0..further)
        .map(|number| format!("  - {{name: \"Rule {number}\", action: kill_pod, audit_reason: \"a benchmark\"}}\n"))
        .collect();
    let more = format!("{more}audit: {{max_bytes: 8Gi}}\n");
    let mut plan = Plan::new("", "production", &more).replace("dryrun: false", "dryrun: true");
    plan.cluster = cluster_at(plan.directory.path(), api::serve()?)?;
    Ok(plan)
}

fn compare(scale: Scale, base: &Plan, other: &Plan) -> Result<Figure, String> {
    let (base, other) = (base.start()?, other.start()?);
    let mut both = (Connection::open(base.address)?, Connection::open(other.address)?);
    let mut pods = (0..).map(|number| format!("shop-7d9f4b-{number:05}"));
    let mut pod = || pods.next().unwrap_or_default();
    for _ in 0..WARM_UP {
        walk(&base, &mut both.0, &pod())?;
        walk(&other, &mut both.1, &pod())?;
    }
    let (mut rounds, mut all) = (Vec::new(), (Vec::new(), Vec::new()));
    for _ in 0..scale.rounds {
        let mut times = (Vec::new(), Vec::new());
        for pair in 0..scale.of(PAIRS) {
            // Whoever comes second finds the machine as the first has left it.
            if pair % 2 == 0 {
                times.0.push(walk(&base, &mut both.0, &pod())?);
                times.1.push(walk(&other, &mut both.1, &pod())?);
            } else {
                times.1.push(walk(&other, &mut both.1, &pod())?);
                times.0.push(walk(&base, &mut both.0, &pod())?);
            }
        }
        rounds.push(median(&times.1) / median(&times.0));
        all.0.extend(times.0);
        all.1.extend(times.1);
    }
    let beside = format!("{} over {}", words(&all.1), words(&all.0));
    Ok(Figure { row: "", what: String::new(), unit: "×", rounds, target: Target::AtMost(SAME), beside })
}

/// One alert, from the POST to the line of its outcome, in milliseconds. About a pod of its own: the line is there before the action
/// has let go of its pod, and an alert about the same one would be folded into it.
fn walk(house: &House, connection: &mut Connection, pod: &str) -> Result<f64, String> {
    let alert = alerts::about(RULE, "production", pod);
    let request = request(house.address, TOKEN, &alert);
    let started = Instant::now();
    connection.post(&request)?;
    let at = house.line_with(&["DRY_RUN kill_pod"])?;
    Ok(millis(at.duration_since(started)))
}
