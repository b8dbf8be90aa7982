//! What `plugins.oci` names, brought to where the loader finds it.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::Failure;
use crate::config::{self, Config};
use crate::plugins::registry::http::{Http, Plain};
use crate::plugins::registry::layout::Layout;
use crate::plugins::registry::pull::{Found, Sources, at_hand};
use crate::plugins::registry::reference::Pinned;
use crate::plugins::registry::secrets::PullSecrets;
use crate::plugins::registry::session::{Registries, Trouble};
use crate::plugins::registry::signature::Keys;
use crate::plugins::{Brought, Source};

/// Below the directory of compiled code, which is as private.
const CACHE: &str = "oci";

/// The artifacts of a configuration, and how they are come by.
#[derive(Clone)]
pub struct Artifacts {
    pub wanted: Vec<Pinned>,
    pub keys: Keys,
    registry: config::Registry,
    /// None where nothing is wanted, or nothing can be kept: then with the reason.
    cache: Option<Result<Layout, String>>,
}

impl Artifacts {
    /// # Errors
    /// A public key cannot be used: then nothing is to be loaded, since nobody could tell what is signed.
    pub fn of(config: &Config, cache_dir: Option<&Path>) -> Result<Self, Failure> {
        let plugins = &config.plugins;
        let keys = keys(config)?;
        let place = || match cache_dir {
            Some(dir) => Layout::open_or_create(&dir.join(CACHE), true),
            None => Err("there is no directory to keep fetched actions in: set `plugins.cache_dir`".to_owned()),
        };
        let cache = (!plugins.oci.is_empty()).then(place);
        Ok(Self { wanted: plugins.oci.clone(), keys, registry: plugins.registry.clone(), cache })
    }

    /// Whether both are fetched in the same way: keys are those of the same files, read again for each.
    pub fn is_same(&self, other: &Self) -> bool {
        self.wanted == other.wanted && self.registry == other.registry && self.keys == other.keys
    }

    pub fn missing(&self) -> Vec<Pinned> {
        self.wanted.iter().filter(|pinned| !matches!(self.find(pinned), Ok(Some(_)))).cloned().collect()
    }

    fn find(&self, pinned: &Pinned) -> Result<Option<Found>, Trouble> {
        match &self.cache {
            Some(Ok(cache)) => at_hand(cache, pinned, &self.keys),
            Some(Err(problem)) => Err(Trouble::NoAnswer(problem.clone())),
            None => Ok(None),
        }
    }

    /// # Errors
    /// It cannot be had now.
    pub async fn fetch(&self, pinned: &Pinned) -> Result<Found, Trouble> {
        match &self.cache {
            Some(Ok(cache)) => sources(&self.registry, self.keys.clone())?.fetch(pinned, cache).await,
            Some(Err(problem)) => Err(Trouble::NoAnswer(problem.clone())),
            None => Err(Trouble::Missing("nothing was to be fetched".to_owned())),
        }
    }

    /// What the loader is told while the rest is being fetched: `trouble` says what keeps one from being there. An answer is
    /// the last word, for all that it is asked again; that there is none is not.
    pub fn brought(&self, trouble: impl Fn(&Pinned) -> Option<Trouble>) -> Vec<Brought> {
        let one = |pinned: &Pinned| match (self.find(pinned), trouble(pinned)) {
            (Ok(Some(found)), _) => found_at(pinned, found),
            (_, Some(trouble)) => lacking(pinned, &trouble.to_string(), matches!(trouble, Trouble::NoAnswer(_))),
            (Ok(None), None) => lacking(pinned, "is being fetched", true),
            (Err(problem), None) => lacking(pinned, &problem.to_string(), true),
        };
        self.wanted.iter().map(one).collect()
    }

    /// Removes what other configurations had fetched.
    pub fn forget_others(&self) -> Result<(), String> {
        match &self.cache {
            Some(Ok(cache)) => cache.keep_only(&crate::plugins::registry::pull::belongings(cache, &self.wanted)),
            _ => Ok(()),
        }
    }
}

/// Where the files of fetched actions are.
pub fn blobs(cache_dir: &Path) -> PathBuf {
    cache_dir.join(CACHE).join("blobs/sha256")
}

fn found_at(pinned: &Pinned, Found { file, sha256 }: Found) -> Brought {
    Brought { origin: pinned.to_string(), file: Ok(file), sha256: Some(sha256), awaited: false }
}

fn lacking(pinned: &Pinned, why: &str, awaited: bool) -> Brought {
    Brought { origin: pinned.to_string(), file: Err(format!("is not at hand: {why}")), sha256: None, awaited }
}

/// # Errors
/// One cannot be used.
pub fn keys(config: &Config) -> Result<Keys, Failure> {
    let unusable = |problem| Failure::Usage(format!("{}: plugins.signed_by: {problem}", config.path.display()));
    Keys::read(&config.plugins.signed_by).map_err(unusable)
}

/// # Errors
/// The CA's certificates cannot be used.
pub fn sources(registry: &config::Registry, keys: Keys) -> Result<Sources, Trouble> {
    let registries = if registry.mirror_only {
        None
    } else {
        let plain = registry.insecure_hosts.clone().map_or(Plain::Loopback, Plain::Hosts);
        let http = Http::new(registry.ca_file.as_deref()).map_err(Trouble::NoAnswer)?;
        Some(Registries { http, secrets: PullSecrets(registry.pull_secrets.clone()), plain })
    };
    Ok(Sources { mirror: registry.mirror.clone(), registries, keys })
}

/// For a command that looks at the plugins and ends.
pub struct Once {
    pub source: Source,
    /// A registry did not answer: what it has is not known.
    pub unanswered: bool,
    /// Until the plugins are loaded.
    pub _kept: Option<TempDir>,
}

/// What is in the cache of a controller on this machine is used, the rest fetched once, and nothing of it left behind.
///
/// # Errors
/// A public key cannot be used.
pub async fn once(source: Source, config: &Config) -> Result<Once, Failure> {
    let keys = keys(config)?;
    let cache_dir = source.cache_dir.clone();
    // A check must not leave compiled code behind: it may run elsewhere, as somebody else.
    let source = Source { cache_dir: None, keys: keys.clone(), ..source };
    if config.plugins.oci.is_empty() {
        return Ok(Once { source, unanswered: false, _kept: None });
    }
    let failed = |error: String| Failure::Runtime(format!("cannot fetch actions: {error}"));
    let dir = tempfile::tempdir().map_err(|error| failed(error.to_string()))?;
    let cache = Layout::open_or_create(dir.path(), true).map_err(failed)?;
    let kept = cache_dir.and_then(|dir| Layout::open(&dir.join(CACHE)).ok());
    let (mut files, mut unanswered) = (Vec::new(), false);
    for pinned in &config.plugins.oci {
        if let Some(Ok(Some(found))) = kept.as_ref().map(|kept| at_hand(kept, pinned, &keys)) {
            files.push(found_at(pinned, found));
            continue;
        }
        let found = match sources(&config.plugins.registry, keys.clone()) {
            Ok(sources) => sources.fetch(pinned, &cache).await,
            Err(trouble) => Err(trouble),
        };
        files.push(match found {
            Ok(found) => found_at(pinned, found),
            Err(trouble) => {
                unanswered |= matches!(trouble, Trouble::NoAnswer(_));
                lacking(pinned, &trouble.to_string(), false)
            }
        });
    }
    Ok(Once { source: Source { files, ..source }, unanswered, _kept: Some(dir) })
}

/// What is wrong with the files that `plugins.registry` names.
pub fn problems(config: &Config) -> Vec<String> {
    let registry = &config.plugins.registry;
    let mut found = Vec::new();
    found.extend(PullSecrets(registry.pull_secrets.clone()).check().err().map(|problem| ("pull_secrets", problem)));
    if let Some(file) = &registry.ca_file {
        found.extend(Http::new(Some(file)).err().map(|problem| ("ca_file", problem)));
    }
    if let Some(dir) = &registry.mirror {
        found.extend(Layout::open(dir).err().map(|problem| ("mirror", problem)));
    }
    found.into_iter().map(|(key, problem)| format!("`plugins.registry.{key}`: {problem}")).collect()
}
