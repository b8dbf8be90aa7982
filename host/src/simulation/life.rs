//! One life of the controller: everything that `serve` puts together, on a runtime whose time is the simulation's, until
//! it dies, is told to stop, or has nothing left to do.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;

use super::disk::Slow;
use super::scenario::Ending;
use super::world::{World, after};
use super::{actions, api, far, pump};
use crate::cluster::connect::connect_through;
use crate::config::Config;
use crate::intake::token::Tokens;
use crate::intake::{self, Intake};
use crate::journal::Journal;
use crate::plugins::Limits;
use crate::respond::rules::Rules;
use crate::respond::{Destinations, Parts, Responder};
use crate::safety::gate::Gate;
use crate::ship::alertmanager::Alertmanager;
use crate::ship::graylog::Graylog;
use crate::ship::{self, Shipper, ShipperHandle};
use crate::telemetry::log::{Format, Log};
use crate::telemetry::metrics::Metrics;

/// How long after the last trouble everything has to be done: longer than `max_recovery_age` and every backoff.
const PATIENCE: Duration = Duration::from_secs(30 * 60);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Over {
    Dead,
    Told,
    AllDone,
    /// What is left after all patience.
    Stuck(String),
}

pub fn live(world: &Arc<World>, ending: Option<Ending>) -> Over {
    let at_step = if let Some(Ending::AtStep(step)) = ending { Some(step) } else { None };
    world.wake(at_step);
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    let over = runtime.block_on(async {
        world.time.start(Duration::ZERO);
        let over = tokio::select! {
            biased;
            () = world.death.notified() => Over::Dead,
            over = whole(world, ending) => over,
        };
        world.time.stop();
        over
    });
    // Every task dies here, wherever it was.
    drop(runtime);
    world.note(|| format!("the life ends: {over:?}"));
    over
}

struct Controller {
    responder: Responder,
    journal: Journal,
    shippers: ShipperHandle,
    log: Arc<std::sync::Mutex<Vec<u8>>>,
}

async fn whole(world: &Arc<World>, ending: Option<Ending>) -> Over {
    let (controller, intake) = start(world).await;
    let pump = tokio::spawn(pump::run(Arc::clone(world), intake));
    let prober = controller.responder.clone();
    let probe = tokio::spawn(async move { prober.probe().await });
    let over = match ending {
        Some(Ending::After(wait)) => {
            tokio::time::sleep(wait).await;
            world.die();
            return Over::Dead;
        }
        Some(Ending::Told(wait)) => {
            tokio::time::sleep(wait).await;
            Over::Told
        }
        // Dies at a step, or else when all is done.
        Some(Ending::AtStep(_)) | None => wait_until_all_is_done(world, &controller).await,
    };
    pump.abort();
    probe.abort();
    let drained = controller.responder.drain(Duration::from_secs(15)).await;
    if over == Over::AllDone && !drained {
        return Over::Stuck("something is still under way".to_owned());
    }
    controller.shippers.flush_and_stop(Duration::from_secs(5)).await;
    controller.journal.close().await;
    if String::from_utf8_lossy(&controller.log.lock().expect("not poisoned")).contains("this is a fault of it") {
        world.wrong("the controller failed while it worked on an alert".to_owned());
    }
    over
}

async fn start(world: &Arc<World>) -> (Controller, axum::Router) {
    let ambient = world.ambient.clone();
    let (log, lines) = Log::memory(&ambient, Format::Json);
    let metrics = Metrics::new();
    let (config, _) = world.scenario.config(world.state().notes.lives);
    let config = Config::parse(Path::new("config.yaml"), config.as_bytes()).expect("a configuration");
    let path = world.directory.path().join("journal.db");
    let journal = Journal::inline(&path, &ambient, Slow::new(world)).expect("opens");
    let (reader, writer) = connect_through(api::Api(Arc::clone(world)));
    let gate = Gate::new(reader, writer, ambient.clone(), Some(world.stop_file()));
    let limits =
        Limits { timeout: config.plugins.limits.timeout, calls: config.plugins.limits.calls, ..Limits::default() };
    let plugins = actions::plugins(world, limits);
    let (rules, problems) = Rules::join(&config, &plugins, "simulated".to_owned()).await;
    assert!(problems.is_empty(), "{problems:?}");
    let channels: Vec<Box<dyn ship::Channel>> =
        vec![Box::new(Graylog::new(far::GRAYLOG, "replica")), Box::new(Alertmanager::new(far::PAGER))];
    let responder = Responder::new(Parts {
        rules,
        gate,
        journal: journal.clone(),
        ambient: ambient.clone(),
        log: log.clone(),
        metrics: metrics.clone(),
        destinations: Destinations {
            records: vec![ship::graylog::DESTINATION.to_owned()],
            pages: vec![ship::alertmanager::DESTINATION.to_owned()],
            ..Destinations::default()
        },
        concurrency: config.concurrency,
        observer: None,
    });
    let shippers = Shipper::start(ship::Parts {
        journal: journal.clone(),
        ambient: ambient.clone(),
        http: far::client(world),
        channels,
        log: log.clone(),
        metrics: metrics.clone(),
        crowded: responder.crowded(),
    });
    let tokens = Tokens::parse(pump::TOKEN).expect("a token");
    let intake = Intake::new(Arc::new(responder.clone()), tokens, &ambient, &log, &metrics);
    let taken_up = responder.recover().await.expect("readable");
    world.note(|| format!("ready, {taken_up} taken up"));
    (Controller { responder, journal, shippers, log: lines }, intake::alerts(intake))
}

async fn wait_until_all_is_done(world: &World, controller: &Controller) -> Over {
    let patience = after(world.calm_at, PATIENCE);
    loop {
        tokio::time::sleep(Duration::from_secs(2)).await;
        if world.is_rough() || !world.is_over() {
            continue;
        }
        let inbox = controller.journal.unfinished().await.expect("readable").len();
        let mut parcels = 0;
        for destination in [ship::graylog::DESTINATION, ship::alertmanager::DESTINATION] {
            parcels += controller.journal.parcels(destination, 100).await.expect("readable").len();
        }
        if inbox + parcels == 0 {
            return Over::AllDone;
        }
        if world.now() > patience {
            return Over::Stuck(format!("{inbox} alerts and {parcels} parcels are left"));
        }
    }
}
