//! Alerts that no rule wants, with the controller on one core and the load on another. What the load itself can do is measured
//! against a bare axum server on the controller's core.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use integration_tests::alerts;
use integration_tests::undertaker::{self, Watched};
use serde_json::{Value, json};

use super::Scale;
use super::figure::{Figure, Target, at, median};
use super::house::{Plan, TOKEN, cluster_at};
use super::sender::{Connection, request};

const CONNECTIONS: usize = 32;
const CORES: [usize; 2] = [0, 1];

pub fn measure(scale: Scale) -> Result<Vec<Figure>, String> {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").map_err(|error| format!("cannot bind a port: {error}"))?;
    let address = silent.local_addr().map_err(|error| format!("the port has no address: {error}"))?;
    let mut plan = Plan::new("", "production", "");
    plan.cluster = cluster_at(plan.directory.path(), address)?;
    plan.core = Some(CORES[0]);
    let house = plan.start()?;
    let plain = Plain::start(Some(CORES[0]))?;
    let seconds = if scale.rounds > 1 { 4 } else { 1 };
    let (mut rates, mut slowest, mut limits) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..scale.rounds {
        let (rate, p99) = load(house.address, seconds)?;
        rates.push(rate);
        slowest.push(p99);
        limits.push(load(plain.address, seconds)?.0);
    }
    let beside = format!(
        "{CONNECTIONS} connections; the same load takes {:.0} a second from a bare axum server on that core",
        median(&limits)
    );
    let figure = |what: &str, unit, rounds, target, beside| {
        let what = format!("alerts that no rule wants, one core: {what}");
        Figure { row: "intake", what, unit, rounds, target, beside }
    };
    Ok(vec![
        figure("rate", "/s", rates, Target::AtLeast(20_000.0), beside),
        figure("p99", "ms", slowest, Target::AtMost(5.0), String::new()),
    ])
}

/// Rate and p99 in milliseconds, as a process on the other core sees them.
fn load(address: SocketAddr, seconds: u32) -> Result<(f64, f64), String> {
    let itself = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let output = Command::new("taskset")
        .args(["-c", &CORES[1].to_string()])
        .arg(itself)
        .args(["send", &address.to_string(), TOKEN, &seconds.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot start the load: {error}"))?;
    let found: Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("the load said nothing: {error}"))?;
    let number = |key: &str| found[key].as_f64().ok_or_else(|| format!("the load says no {key}: {found}"));
    Ok((number("rate")?, number("p99")?))
}

/// The load: alerts of a rule that nobody has, as fast as they are answered.
pub fn send(address: &str, token: &str, seconds: &str) -> ExitCode {
    let address: SocketAddr = address.parse().expect("an address");
    let alert = alerts::about("Terminal shell in container", "production", "web-5c6d8-2lkjh");
    let request = request(address, token, &alert);
    let over = AtomicBool::new(false);
    let started = Instant::now();
    let each: Result<Vec<Vec<f64>>, String> = std::thread::scope(|scope| {
        let (over, request) = (&over, &request);
        let senders: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                scope.spawn(move || {
                    let mut connection = Connection::open(address)?;
                    let mut times = Vec::new();
                    while !over.load(Ordering::Relaxed) {
                        times.push(super::figure::millis(connection.post(request)?));
                    }
                    Ok(times)
                })
            })
            .collect();
        std::thread::sleep(Duration::from_secs(seconds.parse().expect("seconds")));
        over.store(true, Ordering::Relaxed);
        senders.into_iter().map(|sender| sender.join().expect("no sender panics")).collect()
    });
    match each {
        Ok(each) => {
            let (each, took) = (each.concat(), started.elapsed());
            println!("{}", json!({"rate": each.len() as f64 / took.as_secs_f64(), "p99": at(&each, 990)}));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(1)
        }
    }
}

/// The bare server, as a process.
pub struct Plain {
    process: Child,
    pub address: SocketAddr,
    /// From the start of the process to the line that says where it listens.
    pub ready_after: Duration,
    _watched: Watched,
}

impl Plain {
    pub fn start(core: Option<usize>) -> Result<Self, String> {
        let itself = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
        let mut command = match core {
            None => Command::new(itself),
            Some(core) => {
                let mut command = Command::new("taskset");
                command.args(["-c", &core.to_string()]).arg(itself);
                command
            }
        };
        let failed = |error: std::io::Error| format!("cannot start the bare server: {error}");
        let started = Instant::now();
        let mut process =
            command.arg("serve-plain").stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(failed)?;
        let watched = undertaker::watch(&process)?;
        let mut line = String::new();
        if let Some(output) = process.stdout.take() {
            BufReader::new(output).read_line(&mut line).map_err(failed)?;
        }
        let ready_after = started.elapsed();
        let address = line.trim().parse().map_err(|_| format!("the bare server says {line:?}"))?;
        Ok(Self { process, address, ready_after, _watched: watched })
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        // It is ours; one that ended already does not mind.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
