//! `cargo xtask`: what building and trying this repository takes beyond cargo itself.

mod bench;
mod build;
mod control_plane;
mod counts;
mod crash;
mod demo;
mod deploy;
mod fuzz;
mod go_module;
mod ignored;
mod image;
mod kept;
mod languages;
mod plugins;
mod simulate;
mod test;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use test::Lane;

const USAGE: &str = "usage: cargo xtask COMMAND

  demo       posts real Falco alerts to the controller on loopback, against a simulated cluster, and shows what comes of
             each; with --serve it keeps running and prints the curl line to try
  test       runs the whole suite; arguments after it go to the test binaries. Where there is Go, it builds a real
             Kubernetes control plane first (once on this machine, some 10 minutes) and tests against that, too;
             --simulated leaves that out
  crash      [--rounds N] [--seed N]: kills the controller at random times under load, N times (100), and looks at what the
             next start makes of it; the suite does five
  cluster    keeps a real control plane running until Ctrl-C, and says how to reach it
  simulate   runs the controller on seeded schedules and checks its rules: --seeds N (1000) [--from N], or --seed N with the
             whole schedule; --mutant NAME breaks a rule on purpose (gate_off, drop_uid, act_before_intent, …)
  fuzz       [--seconds N] [--seed N]: gives odd input to everything that reads what others wrote (alerts, manifests,
             components, configuration, the SDK's JSON), N seconds (60) in all; what breaks is cut down, and found again with
             its seed
  languages  actions in Python and JavaScript: installs those languages' tools, once, into the user's cache; builds the examples and
             their hostile twins, and runs the tests that hold them against the same in Rust
  bench      [ROW…] [--quick] [--debug] [--json FILE]: measures what the README says about speed, memory and size, and holds it
             against its targets; all rows, or these. It builds the release build, and takes some 10 minutes after that; --quick
             shows that each row still runs, --debug takes the debug build, and neither says anything about time
  counts     counts the instructions of the hot paths under valgrind, and warns where one takes more than 10 % more than what
             tests/fixtures/counts.json says; --record writes that, --release counts the release build and compares nothing
  deploy     renders deploy/base and deploy/overlays from the Helm chart deploy/chart (needs Go); with --check it writes
             nothing and says which files differ
  image      image [--release] DIR lays out what the container image holds as a directory: the debug build, or the
             release build
  plugins    builds every action below plugins/ and tests/plugins/ into target/plugins and target/test-plugins
";

/// How a command ended that could be carried out at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Good,
    /// What was checked is bad; the command has said what.
    Bad,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = root();
    let result = match arguments[..] {
        ["demo"] => demo::run(&root, false),
        ["demo", "--serve"] => demo::run(&root, true),
        ["test", "--simulated", ref filter @ ..] => test::run(&root, Lane::Simulated, filter),
        ["test", ref filter @ ..] => test::run(&root, Lane::Real, filter),
        ["crash", ref arguments @ ..] => crash::run(&root, arguments),
        ["cluster"] => control_plane::keep(),
        ["simulate", ref arguments @ ..] => simulate::run(&root, arguments),
        ["fuzz", ref arguments @ ..] => fuzz::run(&root, arguments),
        ["languages"] => languages::run(&root),
        ["counts", ref arguments @ ..] => counts::run(&root, arguments),
        ["bench", ref arguments @ ..] => bench::run(&root, arguments),
        ["deploy"] => deploy::write(&root),
        ["deploy", "--check"] => deploy::check(&root).map(|same| if same { Outcome::Good } else { Outcome::Bad }),
        ["image", "--release", directory] => image::lay_out(&root, true, Path::new(directory)),
        ["image", directory] if !directory.starts_with('-') => image::lay_out(&root, false, Path::new(directory)),
        ["plugins"] => plugins::build(&root).map(|()| Outcome::Good),
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(Outcome::Good) => ExitCode::SUCCESS,
        Ok(Outcome::Bad) => ExitCode::from(1),
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::from(1)
        }
    }
}

/// The workspace's folder.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}
