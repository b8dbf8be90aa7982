//! Fetches what `plugins.oci` names while the controller runs, for as long as it takes.
//!
//! A registry that is away keeps nobody from starting: what is not at hand after a moment is told to the loader as missing,
//! and fetched once the registry answers. That it came is seen by the files in the cache, as other plugins are by theirs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;

use crate::cli::Failure;
use crate::cli::artifacts::Artifacts;
use crate::config::Config;
use crate::plugins::Source;
use crate::plugins::registry::reference::Pinned;
use crate::plugins::registry::session::Trouble;
use crate::respond::record;
use crate::telemetry::log::{Level, Log};

/// How long a start or another configuration waits for what is not at hand: other plugins are to be loaded, too.
const MOMENT: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub struct Fetcher {
    wanted: watch::Sender<Wanted>,
    state: watch::Receiver<State>,
}

/// What a look at a configuration changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetch {
    /// From now on its artifacts are fetched, and no others.
    Start,
    /// What is being fetched is another one's.
    Nothing,
}

/// What is to be fetched, and its number among all that was.
#[derive(Clone)]
struct Wanted {
    number: u64,
    artifacts: Option<Arc<Artifacts>>,
}

/// Up to where it has come.
#[derive(Default)]
struct State {
    /// Of what each was tried once.
    tried: u64,
    /// Of what nothing was missing any more.
    done: u64,
    troubles: BTreeMap<Pinned, Trouble>,
}

impl Fetcher {
    /// It ends with the last of its clones.
    pub fn start(log: Log) -> Self {
        let (wanted, asked) = watch::channel(Wanted { number: 0, artifacts: None });
        let (says, state) = watch::channel(State::default());
        tokio::spawn(fetch(asked, says, log));
        Self { wanted, state }
    }

    /// What the loader is to be told under a configuration.
    ///
    /// # Errors
    /// A public key cannot be used.
    pub async fn source(&self, source: Source, config: &Config, fetch: Fetch) -> Result<Source, Failure> {
        let (config, cache_dir) = (config.clone(), source.cache_dir.clone());
        // It reads files.
        let looked = tokio::task::spawn_blocking(move || {
            let artifacts = Artifacts::of(&config, cache_dir.as_deref())?;
            let complete = artifacts.missing().is_empty();
            Ok::<_, Failure>((artifacts, complete))
        });
        let looked = looked.await.map_err(|error| Failure::Runtime(format!("cannot look for actions: {error}")))?;
        let (artifacts, complete) = looked?;
        let artifacts = Arc::new(artifacts);
        let done = self.state.borrow().done;
        let mut number = 0;
        let is_new = fetch == Fetch::Start
            && self.wanted.send_if_modified(|wanted| {
                let same = wanted.artifacts.as_ref().is_some_and(|before| before.is_same(&artifacts));
                // What was there is not any more, and nobody is at it.
                let same = same && (complete || wanted.number != done);
                if !same {
                    *wanted = Wanted { number: wanted.number + 1, artifacts: Some(Arc::clone(&artifacts)) };
                }
                number = wanted.number;
                !same
            });
        let mut state = self.state.clone();
        if is_new {
            // In time or not: what is there by then is told.
            let _ = tokio::time::timeout(MOMENT, state.wait_for(|state| state.tried >= number)).await;
        }
        let troubles = state.borrow().troubles.clone();
        let keys = artifacts.keys.clone();
        let files = tokio::task::spawn_blocking(move || artifacts.brought(|pinned| troubles.get(pinned).cloned()));
        let files = files.await.map_err(|error| Failure::Runtime(format!("cannot look for actions: {error}")))?;
        Ok(Source { files, keys, ..source })
    }

    /// Removes from the cache what nothing asks for any more.
    pub async fn forget_others(&self) -> Result<(), String> {
        let Some(artifacts) = self.wanted.borrow().artifacts.clone() else { return Ok(()) };
        tokio::task::spawn_blocking(move || artifacts.forget_others()).await.map_err(|error| error.to_string())?
    }
}

/// Round after round, until nobody is left to ask.
async fn fetch(mut asked: watch::Receiver<Wanted>, says: watch::Sender<State>, log: Log) {
    loop {
        let Wanted { number, artifacts } = asked.borrow_and_update().clone();
        if let Some(artifacts) = artifacts {
            says.send_modify(|state| state.troubles.clear());
            tokio::select! {
                () = rounds(&artifacts, number, &says, &log) => {}
                changed = asked.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
            }
        }
        if asked.changed().await.is_err() {
            return;
        }
    }
}

/// Until nothing is missing.
async fn rounds(artifacts: &Arc<Artifacts>, number: u64, says: &watch::Sender<State>, log: &Log) {
    let mut pause = FIRST_PAUSE;
    loop {
        let looked_at = Arc::clone(artifacts);
        // A look that panics is one that found nothing.
        let missing = tokio::task::spawn_blocking(move || looked_at.missing()).await.unwrap_or_default();
        let mut any_left = false;
        // One after the other: each may be 64 MiB, and those who answer alerts need their memory.
        for pinned in missing {
            match artifacts.fetch(&pinned).await {
                Ok(found) => {
                    let fields = [("artifact", json!(pinned.to_string())), ("sha256", json!(found.sha256))];
                    log.line(Level::Info, "an action was fetched", &record::fields(fields));
                    says.send_modify(|state| drop(state.troubles.remove(&pinned)));
                }
                Err(trouble) => {
                    any_left = true;
                    // Once, and not with every round.
                    if says.borrow().troubles.get(&pinned) != Some(&trouble) {
                        let fields = record::fields([("artifact", json!(pinned.to_string()))]);
                        let message = format!("an action cannot be fetched, and is tried again: {trouble}");
                        log.line(Level::Warn, &message, &fields);
                    }
                    says.send_modify(|state| drop(state.troubles.insert(pinned, trouble)));
                }
            }
        }
        says.send_modify(|state| {
            state.tried = number;
            state.done = if any_left { state.done } else { number };
        });
        if !any_left {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
}
