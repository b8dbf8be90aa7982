//! `plugin replay`: a session, played back with an action. It sends the same and ends the same, or the command fails.

use std::path::PathBuf;

use super::paint::Paint;
use crate::cli::Failure;
use crate::cluster::recorded::{Departure, Sent};
use crate::harness::Harness;
use crate::harness::merged::Line;
use crate::harness::session::{ReplayError, Session, departing};
use crate::telemetry::escape;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The component; it need not be the one that was recorded.
    #[arg(value_name = "FILE")]
    component: PathBuf,
    /// What `plugin record` wrote.
    #[arg(value_name = "SESSION")]
    session: PathBuf,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let session = Session::read(&arguments.session).map_err(|error| Failure::Usage(error.to_string()))?;
    let harness = Harness::load(&arguments.component).map_err(|error| Failure::Usage(error.to_string()))?;
    let name = &harness.action().manifest.name;
    let file = arguments.session.display();
    if *name != session.action {
        let component = arguments.component.display();
        return Err(Failure::Usage(format!(
            "{file} is a session of `{}`, and {component} is `{name}`",
            session.action
        )));
    }
    let replayed = session.replay(&harness, &arguments.session).await.map_err(|error| match error {
        ReplayError::Harness(error) => Failure::Runtime(error.to_string()),
        unsound => Failure::Usage(format!("{file}: {unsound}")),
    })?;
    let paint = Paint::of_stdout();
    let show = |lines: &[Line]| lines.iter().for_each(|line| println!("  {}", paint.line(line)));
    if let Some(departure) = &replayed.departure {
        println!("{file}: {} (- recorded, + sent)", escape::text(&departed(departure)));
        show(&departing(departure));
    }
    if !replayed.result.is_empty() {
        println!("{file}: it ends otherwise (- recorded, + now)");
        show(&replayed.result);
    }
    if !replayed.is_same() {
        return Err(Failure::Runtime(format!("{file} does not play back as it was recorded")));
    }
    println!("{file}: as recorded, {} exchanges", session.exchanges.len());
    Ok(())
}

fn departed(Departure { after, expected, actual }: &Departure) -> String {
    let told = |sent: &Sent| sent.to_string();
    match (expected.as_ref().map(told), actual.as_ref().map(told)) {
        (Some(expected), None) => format!("after {after} exchanges nothing more was sent, and {expected} was recorded"),
        (None, Some(actual)) => format!("after all {after} exchanges {actual} was sent"),
        (expected, actual) => format!(
            "after {after} exchanges {} was sent, and {} was recorded",
            actual.unwrap_or_default(),
            expected.unwrap_or_default()
        ),
    }
}
