//! `plugin record`: as `plugin run`, always dry, with everything that was exchanged with the cluster saved.

use std::path::PathBuf;

use super::run::{self as once, Arguments as Once};
use crate::cli::Failure;
use crate::cluster::connect::connect_recorded;
use crate::cluster::recorded::Recorder;
use crate::harness::Cluster;
use crate::harness::session::{Asked, Session};
use crate::harness::stage::StageClock;

// By the type's name the group would be taken for that of `run`, which is in it.
#[derive(Debug, clap::Args)]
#[group(id = "record")]
pub struct Arguments {
    #[command(flatten)]
    once: Once,
    /// Where the session is written to; a file that is there is replaced.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let prepared = once::prepare(&arguments.once)?;
    let recorder = Recorder::default();
    let ambient = StageClock::at(prepared.alert.time).ambient();
    let halves = connect_recorded(&prepared.spec, &ambient, &recorder).await;
    // Whatever the cluster is: nothing but dry runs is sent to it.
    let cluster = Cluster::real(halves.map_err(|error| Failure::Usage(error.to_string()))?);
    once::answers(&prepared.spec, &cluster).await?;
    // Whether it answers was our question, not the action's.
    drop(recorder.take());
    let played = once::play(&prepared, cluster, &arguments.once).await?;
    let described = prepared.spec.to_string();
    let asked = Asked { alert: &prepared.alert, wishes: &prepared.wishes, cluster: &described };
    let session = Session::of(&prepared.harness, &asked, &played, recorder.take());
    let output = arguments.output.display();
    std::fs::write(&arguments.output, session.to_yaml())
        .map_err(|error| Failure::Runtime(format!("cannot write {output}: {error}")))?;
    eprintln!("{output}: {} exchanges; look through it before you share it", session.exchanges.len());
    once::ended(&played)
}
