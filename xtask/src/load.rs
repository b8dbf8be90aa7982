//! `cargo xtask load`: how many alerts a second are on disk and answered, over many connections and over one.
//!
//! The API server takes connections and says nothing, so that what is measured ends with the answer 204 and nothing else
//! uses the journal. Some 10,000 alerts may wait, so that each round has a controller and a journal of its own. How many
//! times a second the same disk takes a small write stands beside it: one connection can have no more than that.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use integration_tests::alerts::{self, MINER};
use integration_tests::controller::{Controller, Setup};

use crate::{Outcome, build, plugins};

const TOKEN: &str = "load-token-for-loopback-only";
const ROUNDS: usize = 3;
/// Connections, and alerts over all of them.
const MEASURED: [(usize, usize); 2] = [(64, 9_000), (1, 2_000)];
const SYNCS: u32 = 500;

/// # Errors
/// An unknown argument, something does not build, or an alert is not taken.
pub fn run(root: &Path, arguments: &[&str]) -> Result<Outcome, String> {
    let release = match arguments {
        [] => false,
        ["--release"] => true,
        _ => return Err(format!("load takes --release or nothing, not {}", arguments.join(" "))),
    };
    plugins::build(root)?;
    let binary = if release {
        build::cargo(root, &["build", "--release", "--bin", "falco-response-controller"])?;
        root.join("target/release/falco-response-controller")
    } else {
        build::controller(root)?;
        root.join("target/debug/falco-response-controller")
    };
    let silent = TcpListener::bind("127.0.0.1:0").map_err(|error| format!("cannot bind a port: {error}"))?;
    println!("{} build; {ROUNDS} rounds of each", if release { "release" } else { "debug" });
    let directory = fresh(&root.join("target/load"))?;
    let syncs = syncs(&directory).map_err(|error| format!("cannot write in {}: {error}", directory.display()))?;
    println!("the disk: {syncs:.0} writes of 4 KiB with fdatasync a second");
    for (connections, count) in MEASURED {
        for _ in 0..ROUNDS {
            let directory = fresh(&directory.join("round"))?;
            let controller = start(root, &directory, &binary, &silent)?;
            let mut taken = post(controller.address, connections, count)?;
            println!("{connections} connections: {}", taken.words());
            controller.kill()?;
        }
    }
    Ok(Outcome::Good)
}

fn fresh(path: &Path) -> Result<PathBuf, String> {
    // What is not there need not be removed.
    let _ = fs::remove_dir_all(path);
    fs::create_dir_all(path).map_err(|error| format!("cannot create {}: {error}", path.display()))?;
    Ok(path.to_owned())
}

fn syncs(directory: &Path) -> std::io::Result<f64> {
    let path = directory.join("sync");
    let mut file = File::create(&path)?;
    let started = Instant::now();
    for _ in 0..SYNCS {
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
    }
    fs::remove_file(path)?;
    Ok(f64::from(SYNCS) / started.elapsed().as_secs_f64())
}

fn start(root: &Path, directory: &Path, binary: &Path, silent: &TcpListener) -> Result<Controller, String> {
    let write = |name: &str, text: &str| {
        let path = directory.join(name);
        fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Ok::<_, String>(path)
    };
    let api = silent.local_addr().map_err(|error| format!("the port has no address: {error}"))?;
    let kubeconfig = write(
        "kubeconfig",
        &format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters: [{{name: a, cluster: {{server: \"http://{api}\"}}}}]\n\
             contexts: [{{name: a, context: {{cluster: a, user: a}}}}]\nusers: [{{name: a, user: {{token: x}}}}]\n"
        ),
    )?;
    let runbook = root.join("tests/fixtures/config/runbook-b.yaml");
    let text = fs::read_to_string(&runbook).map_err(|error| format!("cannot read {}: {error}", runbook.display()))?;
    let setup = Setup {
        directory: directory.to_owned(),
        config: write("config.yaml", &text)?,
        plugins: root.join("target/plugins"),
        token_file: write("token", TOKEN)?,
        cluster: format!("kubeconfig:{}", kubeconfig.display()),
        environment: Vec::new(),
    };
    let mut command = Command::new(binary);
    command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-format", "json"]);
    command.arg("--config").arg(&setup.config).arg("--plugins").arg(&setup.plugins);
    command.arg("--journal").arg(directory.join("journal.db")).arg("--token-file").arg(&setup.token_file);
    command.args(["--cluster", &setup.cluster]);
    Controller::launch(command, directory.join("controller.log"))
}

/// How long all of it took, and each answer.
struct Taken {
    all: Duration,
    each: Vec<Duration>,
}

impl Taken {
    fn words(&mut self) -> String {
        self.each.sort_unstable();
        let count = self.each.len();
        let millis = |permille: usize| self.each[(count * permille / 1000).min(count - 1)].as_secs_f64() * 1000.0;
        let rate = count as f64 / self.all.as_secs_f64();
        format!(
            "{count} alerts in {:.2} s, {rate:.0} a second; answered within {:.2} ms (median), {:.2} ms (99 of 100)",
            self.all.as_secs_f64(),
            millis(500),
            millis(990)
        )
    }
}

/// Posts as many different alerts as Falcosidekick would: one after the other on each connection.
fn post(address: SocketAddr, connections: usize, count: usize) -> Result<Taken, String> {
    let requests: Vec<Vec<u8>> = (0..count).map(|number| request(address, number)).collect();
    let (ready, shares) = (Barrier::new(connections + 1), requests.chunks(count.div_ceil(connections)));
    std::thread::scope(|scope| {
        let ready = &ready;
        let senders: Vec<_> = shares.map(|share| scope.spawn(move || converse(address, share, ready))).collect();
        ready.wait();
        let started = Instant::now();
        let mut each = Vec::with_capacity(count);
        for sender in senders {
            each.extend(sender.join().map_err(|_| "a sender failed".to_owned())??);
        }
        Ok(Taken { all: started.elapsed(), each })
    })
}

fn request(address: SocketAddr, number: usize) -> Vec<u8> {
    let body = alerts::about(MINER, "production", &format!("pod-{number}")).to_string();
    format!(
        "POST /alert HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nX-Falco-Token: {TOKEN}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn converse(address: SocketAddr, requests: &[Vec<u8>], ready: &Barrier) -> Result<Vec<Duration>, String> {
    let failed = |error: std::io::Error| format!("an alert was not answered: {error}");
    let connected = TcpStream::connect(address).and_then(|stream| {
        stream.set_nodelay(true)?;
        Ok((stream.try_clone()?, BufReader::new(stream)))
    });
    // Whoever cannot connect must not keep the others waiting.
    ready.wait();
    let (mut writer, mut reader) = connected.map_err(failed)?;
    let mut each = Vec::with_capacity(requests.len());
    for request in requests {
        let started = Instant::now();
        writer.write_all(request).map_err(failed)?;
        let mut head = String::new();
        // 204 has no body.
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).map_err(failed)? == 0 {
                return Err("the connection was closed".to_owned());
            }
        }
        if !head.starts_with("HTTP/1.1 204") {
            return Err(format!("an alert was not taken: {}", head.lines().next().unwrap_or("")));
        }
        each.push(started.elapsed());
    }
    Ok(each)
}
