//! From a reference to a component on this machine's disk: out of our own cache, a mirror, or the registry, in this order.
//!
//! Wherever it comes from it is checked in the same way: the manifest against the digest in the reference, what it names
//! against its digests and sizes, and the signatures, where the operator asks for them, against the keys. What passes is
//! kept in the cache, from which it is served without a network from then on.

use std::path::PathBuf;

use super::artifact::{Artifact, CONFIG_LIMIT, MANIFEST, MANIFEST_LIMIT, Part};
use super::layout::Layout;
use super::reference::{Digest, Pinned};
use super::session::{Purpose, Registries, Session, Trouble};
use super::signature::{self, Keys, PAYLOAD_LIMIT, Signed};
use crate::plugins::file::COMPONENT_LIMIT;

/// Where artifacts are looked for beside the cache, and whose signatures count.
#[derive(Clone)]
pub struct Sources {
    pub mirror: Option<PathBuf>,
    /// None: no network is touched.
    pub registries: Option<Registries>,
    pub keys: Keys,
}

/// A component that is at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub file: PathBuf,
    /// What the file has to be.
    pub sha256: String,
}

/// One artifact with what belongs to it, checked.
struct Parcel {
    manifest: Vec<u8>,
    component: Vec<u8>,
    /// Only where all of it was asked for.
    config: Option<Vec<u8>>,
    signatures: Option<Signatures>,
}

struct Signatures {
    manifest: Vec<u8>,
    signed: Vec<Signed>,
}

/// Where a parcel is put together from.
enum Shelf<'a> {
    Layout(&'a Layout),
    Registry(Session<'a>),
}

/// What a copy is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// What is needed to run it.
    Running,
    /// Everything, for others to take it from.
    Mirroring,
}

/// The component, where the cache has it whole, and signed as it must be.
///
/// # Errors
/// It is there, and does not pass.
pub fn at_hand(cache: &Layout, pinned: &Pinned, keys: &Keys) -> Result<Option<Found>, Trouble> {
    let unsound = Trouble::Unsound;
    let Some(manifest) = cache.blob(&pinned.digest, MANIFEST_LIMIT).map_err(unsound)? else { return Ok(None) };
    let part = Artifact::read(&manifest).map_err(unsound)?.component;
    let Some(component) = cache.blob(&part.digest, COMPONENT_LIMIT).map_err(unsound)? else { return Ok(None) };
    part.check(&component).map_err(unsound)?;
    if !keys.is_empty() {
        let signatures = in_layout(cache, &pinned.digest).map_err(unsound)?;
        let signed = signatures.map(|signatures| signatures.signed).unwrap_or_default();
        keys.check_artifact(&pinned.digest, &signed).map_err(unsound)?;
    }
    Ok(Some(Found { file: cache.path(&part.digest), sha256: part.digest.hex().to_owned() }))
}

/// What of a layout belongs to these artifacts.
pub fn belongings(layout: &Layout, artifacts: &[Pinned]) -> Vec<Digest> {
    let mut kept = Vec::new();
    for Pinned { digest, .. } in artifacts {
        kept.push(digest.clone());
        let manifest = layout.blob(digest, MANIFEST_LIMIT).ok().flatten();
        if let Some(artifact) = manifest.and_then(|manifest| Artifact::read(&manifest).ok()) {
            kept.extend([artifact.config.digest, artifact.component.digest]);
        }
        if let Ok(Some(signatures)) = in_layout(layout, digest) {
            kept.push(Digest::of(&signatures.manifest));
            kept.extend(signatures.signed.iter().map(|signed| Digest::of(&signed.payload)));
        }
    }
    kept
}

impl Sources {
    /// Takes an artifact into the cache, from where it is.
    ///
    /// # Errors
    /// It is nowhere, or does not pass.
    pub async fn fetch(&self, pinned: &Pinned, cache: &Layout) -> Result<Found, Trouble> {
        // Spoiled, or not signed when it was taken: what the others have may be better.
        if let Ok(Some(found)) = at_hand(cache, pinned, &self.keys) {
            return Ok(found);
        }
        // Gone before it is read again.
        self.parcel(pinned).await?.keep(cache, pinned)?;
        at_hand(cache, pinned, &self.keys)?
            .ok_or_else(|| Trouble::Unsound(format!("cannot be kept in {}", cache.dir().display())))
    }

    /// Copies an artifact with all that belongs to it from its registry into a mirror.
    ///
    /// # Errors
    /// It is not there, does not pass, or cannot be written.
    pub async fn mirror(&self, pinned: &Pinned, into: &Layout) -> Result<(), Trouble> {
        let Some(registries) = &self.registries else {
            return Err(Trouble::Missing("no network is to be touched".to_owned()));
        };
        let mut shelf = Shelf::Registry(registries.session(&pinned.repository, Purpose::Pull)?);
        Parcel::gather(&mut shelf, &pinned.digest, &self.keys, Extent::Mirroring).await?.keep(into, pinned)
    }

    /// The mirror is asked first; what it does not have, or has in a form that does not pass, the registry may have.
    async fn parcel(&self, pinned: &Pinned) -> Result<Parcel, Trouble> {
        let from_mirror = match &self.mirror {
            Some(dir) => Some(self.mirrored(dir, pinned).await),
            None => None,
        };
        match (from_mirror, &self.registries) {
            (Some(Ok(parcel)), _) => Ok(parcel),
            (Some(Err(trouble)), None) => Err(trouble),
            (None, None) => Err(Trouble::Missing("there is no mirror, and no network is to be touched".to_owned())),
            (problem, Some(registries)) => {
                let mut shelf = Shelf::Registry(registries.session(&pinned.repository, Purpose::Pull)?);
                let found = Parcel::gather(&mut shelf, &pinned.digest, &self.keys, Extent::Running).await;
                match problem {
                    // That a mirror lacks something is what registries are for.
                    Some(Err(trouble @ Trouble::Unsound(_))) => found.map_err(|further| also(further, &trouble)),
                    _ => found,
                }
            }
        }
    }

    async fn mirrored(&self, dir: &std::path::Path, pinned: &Pinned) -> Result<Parcel, Trouble> {
        let layout = Layout::open(dir).map_err(|problem| Trouble::Unsound(format!("the mirror {problem}")))?;
        let at = |trouble: Trouble| match trouble {
            Trouble::Missing(text) => Trouble::Missing(format!("the mirror {}: {text}", dir.display())),
            Trouble::Unsound(text) => Trouble::Unsound(format!("the mirror {}: {text}", dir.display())),
            other => other,
        };
        Parcel::gather(&mut Shelf::Layout(&layout), &pinned.digest, &self.keys, Extent::Running).await.map_err(at)
    }
}

fn also(trouble: Trouble, other: &Trouble) -> Trouble {
    let both = |text: String| format!("{text}; and {other}");
    match trouble {
        Trouble::NoAnswer(text) => Trouble::NoAnswer(both(text)),
        Trouble::Refused(text) => Trouble::Refused(both(text)),
        Trouble::Missing(text) => Trouble::Missing(both(text)),
        Trouble::Unsound(text) => Trouble::Unsound(both(text)),
    }
}

impl Parcel {
    async fn gather(shelf: &mut Shelf<'_>, digest: &Digest, keys: &Keys, extent: Extent) -> Result<Self, Trouble> {
        let manifest = shelf.manifest(digest).await?;
        let artifact = Artifact::read(&manifest).map_err(Trouble::Unsound)?;
        // Before what may be 64 MiB.
        let wanted = !keys.is_empty() || extent == Extent::Mirroring;
        let signatures = if wanted { shelf.signatures(digest).await? } else { None };
        let signed = signatures.as_ref().map_or(&[][..], |signatures| &signatures.signed);
        keys.check_artifact(digest, signed).map_err(Trouble::Unsound)?;
        let config = match extent {
            Extent::Running => None,
            Extent::Mirroring => Some(shelf.blob(&artifact.config, CONFIG_LIMIT).await?),
        };
        let component = shelf.blob(&artifact.component, COMPONENT_LIMIT).await?;
        Ok(Self { manifest, component, config, signatures })
    }

    /// The manifest comes last: where it is, the rest is.
    fn keep(&self, layout: &Layout, pinned: &Pinned) -> Result<(), Trouble> {
        let failed = Trouble::NoAnswer;
        let put = |content: &[u8]| layout.put(content).map(drop).map_err(failed);
        if let Some(signatures) = &self.signatures {
            signatures.signed.iter().try_for_each(|signed| put(&signed.payload))?;
            put(&signatures.manifest)?;
            layout.tag(&signature::tag(&pinned.digest), MANIFEST, &signatures.manifest).map_err(failed)?;
        }
        if let Some(config) = &self.config {
            put(config)?;
        }
        put(&self.component)?;
        put(&self.manifest)?;
        layout.tag(&format!("{}@{}", pinned.repository, pinned.digest), MANIFEST, &self.manifest).map_err(failed)
    }
}

impl Shelf<'_> {
    async fn manifest(&mut self, digest: &Digest) -> Result<Vec<u8>, Trouble> {
        match self {
            Self::Layout(layout) => read(layout, digest, MANIFEST_LIMIT),
            Self::Registry(session) => {
                let manifest = session.manifest(&digest.to_string()).await?;
                let part = Part { digest: digest.clone(), size: manifest.len() as u64 };
                part.check(&manifest).map_err(Trouble::Unsound)?;
                Ok(manifest.into())
            }
        }
    }

    async fn blob(&mut self, part: &Part, limit: u64) -> Result<Vec<u8>, Trouble> {
        match self {
            Self::Layout(layout) => {
                let content = read(layout, &part.digest, limit)?;
                part.check(&content).map_err(Trouble::Unsound)?;
                Ok(content)
            }
            Self::Registry(session) => session.blob(part).await.map(Into::into),
        }
    }

    /// None where there are none.
    async fn signatures(&mut self, digest: &Digest) -> Result<Option<Signatures>, Trouble> {
        let session = match self {
            Self::Layout(layout) => return in_layout(layout, digest).map_err(Trouble::Unsound),
            Self::Registry(session) => session,
        };
        let manifest: Vec<u8> = match session.manifest(&signature::tag(digest)).await {
            Ok(manifest) => manifest.into(),
            Err(Trouble::Missing(_)) => return Ok(None),
            Err(trouble) => return Err(trouble),
        };
        let mut signed = Vec::new();
        for (part, signature) in signature::listed(&manifest).map_err(Trouble::Unsound)? {
            let payload = session.blob(&part).await?.into();
            signed.push(Signed { payload, signature });
        }
        Ok(Some(Signatures { manifest, signed }))
    }
}

fn read(layout: &Layout, digest: &Digest, limit: u64) -> Result<Vec<u8>, Trouble> {
    let found = layout.blob(digest, limit).map_err(Trouble::Unsound)?;
    found.ok_or_else(|| Trouble::Missing(format!("{digest} is not in it")))
}

fn in_layout(layout: &Layout, digest: &Digest) -> Result<Option<Signatures>, String> {
    let Some(descriptor) = layout.tagged(&signature::tag(digest))? else { return Ok(None) };
    let part = Part::of(&descriptor, "manifest of signatures", MANIFEST_LIMIT)?;
    let Some(manifest) = layout.blob(&part.digest, MANIFEST_LIMIT)? else { return Ok(None) };
    let mut signed = Vec::new();
    for (part, signature) in signature::listed(&manifest)? {
        let payload = layout.blob(&part.digest, PAYLOAD_LIMIT)?;
        let payload = payload.ok_or_else(|| format!("the signed document {} is not in it", part.digest))?;
        signed.push(Signed { payload, signature });
    }
    Ok(Some(Signatures { manifest, signed }))
}
