//! `replay`: what a configuration would have done about recorded alerts, rehearsed against a cluster as it is now.
//!
//! The alerts pass the pipeline of production, one after the other, each at its own time. Everything is a dry run,
//! whatever the configuration says.

mod rehearsal;
mod report;

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::artifacts::{self, Once};
use super::{Failure, settings};
use crate::alert::Alert;
use crate::harness::stage::StageClock;
use crate::plugins::Plugins;
use crate::respond::rules::Rules;
use crate::telemetry::escape;
use rehearsal::Rehearsal;
use report::Report;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Recorded alerts: Falco's or Falcosidekick's JSON, one alert a line.
    #[arg(value_name = "FILE")]
    alerts: PathBuf,
    /// The configuration to try; it is dry whatever it says.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Where the plugins are; beats `plugins.dir`.
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
    /// simulated:DIR, kubeconfig[:FILE] or in-cluster.
    #[arg(long, value_name = "SPEC")]
    cluster: Option<String>,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let config = rehearsal::dry(settings::load(&arguments.config)?);
    let spec = settings::cluster(arguments.cluster.as_deref())?;
    let lines = Lines::open(&arguments.alerts)?;
    // Where the simulation makes up how old its pods are, it goes by this clock.
    let first = first_time(&arguments.alerts)?.unwrap_or_else(Timestamp::now);
    let clock = StageClock::at(first);
    let ambient = clock.ambient();
    let source = settings::plugins(arguments.plugins, &config, &config.journal);
    let Once { source, _kept, .. } = artifacts::once(source, &config).await?;
    let plugins = Plugins::load(&source).map_err(|error| Failure::Usage(error.to_string()))?;
    let halves = crate::cluster::connect(&spec, &ambient).await.map_err(|error| Failure::Usage(error.to_string()))?;
    halves.0.reachable().await.map_err(|error| {
        Failure::Runtime(format!("the cluster {spec} does not answer, so nothing can be told: {error}"))
    })?;
    let (rules, problems) = Rules::join(&config, &plugins, config.cluster_name.clone()).await;
    for problem in problems {
        let path = arguments.config.display();
        println!("{path}:{}:{}: warning: {}", problem.location.line, problem.location.column, problem.message);
    }
    let mut report = Report::new(&config, &plugins);
    let rehearsal = Rehearsal::new(rules, halves, clock)?;
    for line in lines {
        let (number, bytes) = line?;
        let said = match Alert::parse(&bytes) {
            Err(error) => vec![report.malformed(&error)],
            Ok(alert) => {
                let played = rehearsal.play(alert.clone()).await?;
                report.played(&alert, &played)
            }
        };
        for said in said {
            println!("line {number}: {}", escape::text(&said));
        }
    }
    rehearsal.end().await;
    println!();
    for line in report.summary() {
        println!("{}", escape::text(&line));
    }
    match report.malformed_lines() {
        0 => Ok(()),
        1 => Err(Failure::Runtime(format!("{}: one line is no alert", arguments.alerts.display()))),
        count => Err(Failure::Runtime(format!("{}: {count} lines are no alerts", arguments.alerts.display()))),
    }
}

/// The lines of a file that are not blank, with their numbers from 1.
struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    number: usize,
}

impl Lines {
    fn open(path: &Path) -> Result<Self, Failure> {
        let file = File::open(path).map_err(|error| unread(path, &error))?;
        Ok(Self { path: path.to_owned(), reader: BufReader::new(file), number: 0 })
    }
}

fn unread(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Usage(format!("cannot read {}: {error}", path.display()))
}

impl Iterator for Lines {
    type Item = Result<(usize, Vec<u8>), Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let mut line = Vec::new();
            self.number += 1;
            match self.reader.read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Ok(_) if line.trim_ascii().is_empty() => {}
                Ok(_) => return Some(Ok((self.number, line.trim_ascii().to_vec()))),
                Err(error) => return Some(Err(unread(&self.path, &error))),
            }
        }
    }
}

fn first_time(path: &Path) -> Result<Option<Timestamp>, Failure> {
    for line in Lines::open(path)? {
        if let Ok(alert) = Alert::parse(&line?.1) {
            return Ok(Some(alert.time));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
