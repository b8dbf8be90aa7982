//! `serve`: puts the parts together, runs them, and takes them down in order.

mod fetch;
mod force;
mod last;
mod load;
mod plugins;
mod reload;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use self::fetch::{Fetch, Fetcher};
use self::load::{Loaded, cluster_name};
use self::plugins::Paged;
use self::reload::{Flags, InForce, Refused, Reloader};
use super::access::{Wanted, Watch};
use super::{Failure, delivery, settings};
use crate::access::needs;
use crate::ambient::Ambient;
use crate::cluster::{self, ClusterSpec};
use crate::config::Config;
use crate::config::watch::Seen;
use crate::hex::hex;
use crate::intake::server::Patience;
use crate::intake::{self, Intake};
use crate::journal::{Journal, JournalError};
use crate::plugins::Plugins;
use crate::plugins::engine::Engine;
use crate::respond::{Parts, Responder, record};
use crate::safety::gate::Gate;
use crate::ship::{self, Shipper};
use crate::telemetry::log::{Format, Level, Log};
use crate::telemetry::metrics::Metrics;

/// From the end of intake to exit: running actions, then the outbox.
const DRAIN_WITHIN: Duration = Duration::from_secs(11);
const FLUSH_WITHIN: Duration = Duration::from_secs(3);
/// A disk that hangs must not keep the process.
const CLOSE_WITHIN: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Where alerts are taken [default: 0.0.0.0:8080].
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Where metrics are shown [default: 127.0.0.1:9090].
    #[arg(long, value_name = "ADDR")]
    admin_listen: Option<SocketAddr>,
    /// Where the plugins are [default: /plugins].
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
    /// The journal [default: /var/lib/falco-response/journal.db].
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// The token that alerts must carry; FALCO_TOKEN and /etc/falco-response/token come next.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Text on a terminal, else JSON.
    #[arg(long, value_enum)]
    log_format: Option<LogFormat>,
    /// simulated:DIR, kubeconfig[:FILE] or in-cluster.
    #[arg(long, value_name = "SPEC")]
    cluster: Option<String>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

impl Arguments {
    fn format(&self) -> Format {
        match self.log_format {
            Some(LogFormat::Text) => Format::Text,
            Some(LogFormat::Json) => Format::Json,
            None if std::io::IsTerminal::is_terminal(&std::io::stdout()) => Format::Text,
            None => Format::Json,
        }
    }
}

impl Flags {
    fn of(arguments: &Arguments, config: &Config) -> Self {
        Self {
            config: arguments.config.clone(),
            plugins: arguments.plugins.clone(),
            token_file: arguments.token_file.clone(),
            journal: arguments.journal.clone().unwrap_or_else(|| config.journal.clone()),
        }
    }
}

/// Everything that runs, in the order in which it was started.
struct Running {
    log: Log,
    responder: Responder,
    journal: Journal,
    /// None where nothing is shipped.
    shippers: Option<ship::ShipperHandle>,
    /// Dropping or sending stops the two servers.
    stop: watch::Sender<bool>,
    servers: Vec<tokio::task::JoinHandle<()>>,
    shutdown_delay: Duration,
    access: Watch,
}

pub async fn run(arguments: Arguments) -> Result<(), Failure> {
    let ambient = Ambient::system();
    let log = Log::stdout(&ambient, arguments.format());
    crate::telemetry::install(&log);
    let config = settings::load(&arguments.config)?;
    // Before anything is read from the files: what changes from here on is seen.
    let seen = Flags::of(&arguments, &config).watched(&config).look();
    let tokens = settings::tokens(arguments.token_file.as_deref(), &config)?;
    let spec = settings::cluster(arguments.cluster.as_deref())?;
    let mut terminated = signal(SignalKind::terminate())
        .map_err(|error| Failure::Runtime(format!("cannot listen for SIGTERM: {error}")))?;
    let (running, reloader) = tokio::select! {
        running = start(arguments, config, seen, tokens, spec, ambient, log) => running?,
        // Nothing was taken yet, and what a start has taken up is in the inbox.
        _ = terminated.recv() => return Ok(()),
    };
    tokio::select! {
        _ = terminated.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
        () = running.responder.probe() => {}
        () = reloader.run() => {}
        () = running.access.run(&running.responder) => {}
        () = running.responder.upkeep() => {}
        () = running.responder.lift_expired() => {}
    }
    running.end().await
}

async fn start(
    arguments: Arguments,
    config: Config,
    seen: Seen,
    tokens: intake::token::Tokens,
    spec: ClusterSpec,
    ambient: Ambient,
    log: Log,
) -> Result<(Running, Reloader), Failure> {
    let listen = settings::address(arguments.listen, config.listen, settings::DEFAULT_LISTEN);
    let admin = settings::address(arguments.admin_listen, config.admin_listen, settings::DEFAULT_ADMIN_LISTEN);
    #[cfg(all(feature = "faults", not(test)))]
    log.line(Level::Warn, &crate::faults::warning([listen, admin]).map_err(Failure::Usage)?, &Map::new());
    let metrics = Metrics::new();
    let flags = Flags::of(&arguments, &config);
    let journal_path = flags.journal.clone();
    let bounds = settings::bounds(&config);
    let journal =
        Journal::open_within(&journal_path, &ambient, bounds).map_err(|error| Failure::Runtime(error.to_string()))?;
    let (reader, writer) =
        cluster::connect(&spec, &ambient).await.map_err(|error| Failure::Usage(error.to_string()))?;
    let (reader, writer) = (reader.observed(metrics.clone()), writer.observed(metrics.clone()));
    let cluster_name = cluster_name(&config, reader.is_simulated());
    let gate = Gate::new(reader.clone().eager(), writer, ambient.clone(), Some(settings::stop_file(&arguments.config)));
    let gate = gate.observed(metrics.clone());
    let key = settings::redaction_key(&config, &journal_path, &ambient)?;
    let memory = usize::try_from(config.plugins.limits.memory).unwrap_or(usize::MAX);
    let engine = Engine::new(Engine::SLOTS, memory).map_err(|error| Failure::Usage(error.to_string()))?;
    let fetcher = Fetcher::start(log.clone());
    let source = settings::plugins(flags.plugins.clone(), &config, &journal_path);
    let source = fetcher.source(source, &config, Fetch::Start).await?;
    if let Err(problem) = fetcher.forget_others().await {
        log.line(Level::Warn, &problem, &Map::new());
    }
    let nothing = Arc::new(Plugins::default());
    let loaded = Loaded::load(engine.clone(), source, &config, cluster_name, Arc::clone(&nothing), false).await?;
    loaded.report(&arguments.config, &config, &nothing, &log);
    // Of an action without a plugin nothing is needed: it does nothing.
    let (needs, _) = needs::needs(&config, &loaded.plugins);
    let digests = loaded.digests();
    let Loaded { mut rules, plugins: in_force, .. } = loaded;
    rules.redaction = rules.redaction.keyed(key.clone());
    metrics.rules_without_plugin(rules.without_plugin().len());
    metrics.plugins_unusable(rules.unusable.len());
    let (channels, destinations) = delivery::channels(&config, &rules.cluster_name, &ambient)
        .map_err(|error| Failure::Usage(format!("{}: {error}", arguments.config.display())))?;
    let dryrun = rules.dryrun;
    let concurrency = config.concurrency;
    let permissions_needed = needs.len();
    let wanted = watch::Sender::new(Wanted { needs, policy: Arc::clone(&rules.policy) });
    let access = Watch { wanted: wanted.subscribe(), reader, log: log.clone(), metrics: metrics.clone() };
    let parts = Parts {
        rules,
        gate,
        journal: journal.clone(),
        ambient: ambient.clone(),
        log: log.clone(),
        metrics: metrics.clone(),
        destinations,
        concurrency,
        observer: None,
    };
    let responder = Responder::new(parts);
    let shippers = if channels.is_empty() {
        // Reading the machine's certificates takes longer than everything else here together.
        None
    } else {
        let http =
            ship::http::client().map_err(|error| Failure::Runtime(format!("cannot set up outgoing HTTP: {error}")))?;
        Some(Shipper::start(ship::Parts {
            journal: journal.clone(),
            ambient: ambient.clone(),
            http,
            channels,
            log: log.clone(),
            metrics: metrics.clone(),
            crowded: responder.crowded(),
        }))
    };
    responder.brake(dryrun.then(|| force::DRY.to_owned()));
    let (pages, paged) = Paged::default().next(&responder, &responder.rules());
    let refusals = plugins::refusals(&in_force, &config.sha256);
    responder.notice(&refusals, &pages).await.map_err(|error| Failure::Runtime(error.to_string()))?;
    let intake = Intake::new(Arc::new(responder.clone()), tokens, &ambient, &log, &metrics);
    let (listen, admin) = (bind(listen).await?, bind(admin).await?);
    let (address, admin_address) = (local(&listen)?, local(&admin)?);
    remember(&responder, &journal, &config, &seen, &digests).await?;
    // Before the first alert is taken: what comes from now on is in the inbox as well, and is not to be taken up twice.
    let recovered = responder.recover().await.map_err(|error| Failure::Runtime(error.to_string()))?;
    let stop = watch::Sender::new(false);
    let servers = vec![
        tokio::spawn(intake::server::serve_alerts(listen, intake.clone(), config.shutdown_delay, stopped(&stop))),
        tokio::spawn(intake::server::serve(admin, intake::admin(metrics.clone()), Patience::default(), stopped(&stop))),
    ];
    let fields = record::fields([
        ("listen", json!(address.to_string())),
        ("admin_listen", json!(admin_address.to_string())),
        ("cluster", json!(spec.to_string())),
        ("dryrun", json!(dryrun)),
        ("config_sha256", json!(config.sha256)),
        ("taken_up", json!(recovered)),
        ("permissions_needed", json!(permissions_needed)),
        ("version", json!(env!("CARGO_PKG_VERSION"))),
    ]);
    log.line(Level::Info, "ready", &fields);
    let shutdown_delay = config.shutdown_delay;
    let reloader = Reloader {
        flags,
        fetcher,
        responder: responder.clone(),
        intake,
        engine,
        log: log.clone(),
        metrics,
        in_force: InForce {
            bytes: seen.config.as_ref().ok().filter(|bytes| is_of(&config, bytes)).cloned(),
            config,
            plugins: in_force,
        },
        redaction_key: key,
        seen,
        paged,
        wanted,
        refused: Refused::default(),
        brakes_early: false,
    };
    Ok((Running { log, responder, journal, shippers, stop, servers, shutdown_delay, access }, reloader))
}

/// Puts on record what changed while nobody ran, and keeps what is in force from now on.
async fn remember(
    responder: &Responder,
    journal: &Journal,
    config: &Config,
    seen: &Seen,
    digests: &BTreeMap<String, String>,
) -> Result<(), Failure> {
    let failed = |error: JournalError| Failure::Runtime(error.to_string());
    // Another one by now is taken as a reload, in a moment.
    let Some(bytes) = seen.config.as_ref().ok().filter(|bytes| is_of(config, bytes)) else {
        return Ok(());
    };
    let (kept, now) = (journal.configuration().await.map_err(failed)?, last::in_force(bytes, digests));
    if kept.as_ref() == Some(&now) {
        return Ok(());
    }
    let notices = last::since(kept.as_deref(), &config.path, config, digests);
    responder.configured(&notices, &[], now).await.map_err(failed)
}

fn is_of(config: &Config, bytes: &[u8]) -> bool {
    hex(&Sha256::digest(bytes)) == config.sha256
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| Failure::Runtime(format!("cannot listen on {address}: {error}")))
}

fn local(listener: &TcpListener) -> Result<SocketAddr, Failure> {
    listener.local_addr().map_err(|error| Failure::Runtime(format!("cannot tell the address listened on: {error}")))
}

impl Running {
    /// `/readyz` says no first, so that no new traffic is sent here; then intake stops, what runs ends, what waits to be
    /// delivered is, and the journal closes.
    async fn end(self) -> Result<(), Failure> {
        self.log.line(Level::Info, "shutting down", &Map::new());
        self.stop.send_replace(true);
        tokio::time::sleep(self.shutdown_delay).await;
        let servers = async {
            for server in self.servers {
                // A server that panicked has nothing left to end.
                let _ = server.await;
            }
        };
        let (_, drained) =
            tokio::join!(tokio::time::timeout(DRAIN_WITHIN, servers), self.responder.drain(DRAIN_WITHIN));
        if !drained {
            self.log.line(Level::Warn, "some actions did not end in time; the next start takes them up", &Map::new());
        }
        if let Some(shippers) = self.shippers {
            shippers.flush_and_stop(FLUSH_WITHIN).await;
        }
        if tokio::time::timeout(CLOSE_WITHIN, self.journal.close()).await.is_err() {
            self.log.line(Level::Warn, "the journal did not close in time; what was committed is on disk", &Map::new());
        }
        self.log.line(Level::Info, "stopped", &Map::new());
        Ok(())
    }
}

/// Resolves once `stop` is set, or nobody is left to set it.
fn stopped(stop: &watch::Sender<bool>) -> impl Future<Output = ()> + Send + 'static {
    let mut stop = stop.subscribe();
    async move {
        let _ = stop.wait_for(|stop| *stop).await;
    }
}
