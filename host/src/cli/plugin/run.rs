//! `plugin run`: an action, run once as the controller would, with everything it did shown.

mod input;
mod json;
mod print;

use std::path::PathBuf;

use jiff::Timestamp;

use super::paint::Paint;
use crate::alert::Alert;
use crate::cli::{Failure, settings};
use crate::cluster::ClusterSpec;
use crate::config::{Config, ConfigError};
use crate::harness::setup::Wishes;
use crate::harness::stage::StageClock;
use crate::harness::{Cluster, Harness, Played, Setup, Verdict, case, setup};
use crate::respond::outcome::Outcome;
pub(super) use input::{Files, wishes};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The component.
    #[arg(value_name = "FILE")]
    component: PathBuf,
    /// The alert: Falco's JSON, or YAML. What Falco always sends is filled in where it is missing.
    #[arg(long, value_name = "FILE")]
    alert: PathBuf,
    /// simulated:DIR, where the action acts on the simulation; or kubeconfig[:FILE] or in-cluster, where everything is a
    /// dry run.
    #[arg(long, value_name = "SPEC")]
    cluster: String,
    /// The action's parameters as JSON, or @FILE with YAML.
    #[arg(long, value_name = "JSON")]
    parameters: Option<String>,
    /// A file with further permissions, as a list like the one under `plugins.grants.NAME`.
    #[arg(long, value_name = "FILE")]
    grants: Option<PathBuf>,
    /// A controller's configuration, for everything else: namespaces, protected owners, limits, the alert's rule.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Change nothing on a simulation either.
    #[arg(long)]
    dry_run: bool,
    /// Everything as JSON.
    #[arg(long)]
    json: bool,
}

/// What was run, for those who tell of it.
struct Told<'a> {
    harness: &'a Harness,
    setup: Shown,
    played: &'a Played,
}

/// What of the setup is shown.
struct Shown {
    rule: String,
    time: String,
    /// `production/checkout-1`, as the alert has it.
    place: String,
    cluster: String,
    simulated: bool,
}

/// An action and what it is asked, read and found sound.
pub(super) struct Prepared {
    pub harness: Harness,
    pub spec: ClusterSpec,
    pub alert: Alert,
    pub wishes: Wishes,
    config: Config,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let prepared = prepare(&arguments)?;
    // As in a replay: at the alert's own time, so that one that was recorded is not stale.
    let clock = StageClock::at(prepared.alert.time);
    let cluster = Cluster::open(&prepared.spec, &clock).await.map_err(|error| Failure::Usage(error.to_string()))?;
    answers(&prepared.spec, &cluster).await?;
    ended(&play(&prepared, cluster, &arguments).await?)
}

pub(super) fn prepare(arguments: &Arguments) -> Result<Prepared, Failure> {
    let spec = settings::cluster(Some(&arguments.cluster))?;
    let harness = Harness::load(&arguments.component).map_err(|error| Failure::Usage(error.to_string()))?;
    let action = harness.action().manifest.name.clone();
    let alert = case::read::read_alert(&arguments.alert, &Timestamp::now().to_string())
        .map_err(|message| Failure::Usage(format!("--alert: {message}")))?;
    let Arguments { config, grants, parameters, dry_run, .. } = arguments;
    let files = Files { config: config.as_deref(), grants: grants.as_deref(), parameters: parameters.as_deref() };
    let wishes = Wishes { dry_run: *dry_run, ..wishes(&files, &action, &alert.rule)? };
    let path = arguments.grants.clone().unwrap_or_else(|| "the command line".into());
    let config = setup::config(&path, &action, &alert, &wishes)
        .map_err(|problems| Failure::Usage(ConfigError::Invalid { path, problems }.to_string()))?;
    Ok(Prepared { harness, spec, alert, wishes, config })
}

pub(super) async fn answers(spec: &ClusterSpec, cluster: &Cluster) -> Result<(), Failure> {
    cluster.reader().reachable().await.map_err(|error| {
        Failure::Runtime(format!("the cluster {spec} does not answer, so nothing can be told: {error}"))
    })
}

/// Plays it and shows what came of it.
pub(super) async fn play(prepared: &Prepared, cluster: Cluster, arguments: &Arguments) -> Result<Played, Failure> {
    let Prepared { harness, spec, alert, config, .. } = prepared;
    let place = |key: &str| alert.text(key).unwrap_or_else(|| "-".to_owned());
    let shown = Shown {
        rule: alert.rule.clone(),
        time: alert.time_text.clone(),
        place: format!("{}/{}", place("k8s.ns.name"), place("k8s.pod.name")),
        cluster: spec.to_string(),
        simulated: cluster.is_simulated(),
    };
    let setup = Setup { config: config.clone(), alert: alert.clone(), received_at: alert.time, cluster };
    let played = harness.play(setup).await.map_err(|error| Failure::Runtime(error.to_string()))?;
    let told = Told { harness, setup: shown, played: &played };
    if arguments.json {
        println!("{}", json::document(&told));
    } else {
        print!("{}", print::text(&told, Paint::of_stdout()));
    }
    Ok(played)
}

/// That the action did not do what it is for is an exit code: scripts ask.
pub(super) fn ended(played: &Played) -> Result<(), Failure> {
    let why = match &played.verdict {
        _ if played.changed_although_dry => "a dry run changed the cluster".to_owned(),
        Verdict::Unwanted(why) => format!("no rule takes the alert ({why})"),
        Verdict::InvalidParameters(_) => "the action does not take its parameters".to_owned(),
        Verdict::Decided { decision, check, .. } => format!("the action was not started: {decision} ({check})"),
        Verdict::Ran(ran) => match ran.derived.outcome {
            Outcome::Done | Outcome::AlreadyGone | Outcome::Skipped => return Ok(()),
            Outcome::Failed(_) => format!("the action failed ({})", ran.derived.outcome.failure().unwrap_or_default()),
            Outcome::Unknown => "the result of a call is not known".to_owned(),
        },
    };
    Err(Failure::Runtime(why))
}
