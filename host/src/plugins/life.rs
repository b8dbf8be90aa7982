//! Which version of each action is in force after a look at the files that are there.
//!
//! Each name is decided by itself. A sound file that is the only one of its name takes over. A version that was in force
//! stays so while something that is there and cannot be used stands in its place: a spoiled new version of its file, or a
//! second file that claims its name. It goes when its file is gone, and where it is not the one that is pinned, or not signed
//! by whom it has to be now.

use std::sync::Arc;

use super::engine::Engine;
use super::{LoadError, Origin, Plugin, Plugins, Source, Unusable, loader};

/// What becomes of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// What was found is in force, whether it is another version or not.
    Takes,
    /// What was in force stays so.
    Keeps,
    /// Nothing of this name is in force any more, or yet.
    Leaves,
}

/// `before` is where the version came from that was in force and may stay so; `found`, whether there is a sound one.
fn fate(name: &str, before: Option<&Origin>, found: bool, unusable: &[Unusable]) -> Fate {
    if found {
        return Fate::Takes;
    }
    let stands_in_its_place = |before| unusable.iter().any(|unusable| unusable.stands_for(name, before));
    if before.is_some_and(stands_in_its_place) { Fate::Keeps } else { Fate::Leaves }
}

/// Whether what was in force is the one that is pinned, and was signed by whom it has to be now.
fn may_stay(old: &Plugin, source: &Source) -> bool {
    let pin = source.pins.get(&old.manifest.name);
    pin.is_none_or(|pin| *pin == old.sha256) && source.keys.trust(&old.keys)
}

impl Unusable {
    /// Whether it is there in place of the version of this name that came from `origin`.
    pub fn stands_for(&self, name: &str, origin: &Origin) -> bool {
        self.name.as_deref() == Some(name) || self.origin == *origin
    }
}

impl Plugins {
    /// What is in force where `before` was until now, after another look at the source. A file whose content is that of
    /// one in force is not compiled again. Blocks as [`Self::load`] does.
    ///
    /// # Errors
    /// Only when the directory cannot be read.
    pub fn renew(engine: &Engine, source: &Source, before: &Self) -> Result<Self, LoadError> {
        let mut found = loader::load(engine, source, before)?;
        for (name, old) in &before.by_name {
            let version = may_stay(old, source).then_some(&old.origin);
            match fate(name, version, found.by_name.contains_key(name), &found.unusable) {
                Fate::Takes | Fate::Leaves => {}
                Fate::Keeps => found.put_back(name, old, source),
            }
        }
        Ok(found)
    }

    /// What is in force while the directory cannot be read: everything that was.
    #[must_use]
    pub fn unseen(&self, source: &Source, error: &LoadError) -> Self {
        let mut kept = self.within(source.limits);
        kept.by_name.retain(|_, plugin| may_stay(plugin, source));
        let origin = Origin::File(source.dir.clone());
        kept.unusable.push(Unusable { origin, name: None, sha256: None, reason: error.to_string(), in_force: None });
        kept
    }

    /// Takes back a version that was found, because of `reason`; the one before stays in force. False where there is none
    /// that could.
    pub fn take_back(&mut self, name: &str, reason: &str, before: &Self, source: &Source) -> bool {
        let Some(old) = before.by_name.get(name).filter(|old| may_stay(old, source)) else { return false };
        let Some(refused) = self.by_name.remove(name) else { return false };
        self.unusable.push(Unusable {
            origin: refused.origin.clone(),
            name: Some(name.to_owned()),
            sha256: Some(refused.sha256.clone()),
            reason: reason.to_owned(),
            in_force: None,
        });
        self.unusable.sort_by(|a, b| a.origin.cmp(&b.origin));
        self.put_back(name, old, source);
        true
    }

    fn put_back(&mut self, name: &str, old: &Arc<Plugin>, source: &Source) {
        for unusable in self.unusable.iter_mut().filter(|unusable| unusable.stands_for(name, &old.origin)) {
            // What it calls itself, if that can be read, is not what it is missed as.
            unusable.name = Some(name.to_owned());
            unusable.in_force = Some(old.sha256.clone());
        }
        self.by_name.insert(name.to_owned(), Arc::new(old.within(source.limits)));
    }
}

impl Plugin {
    /// Whether what was asked of the signature of another version is enough where this one is in force.
    pub fn trusts(&self, other: &Self) -> bool {
        self.keys.trust(&other.keys)
    }

    /// The same, already compiled, within other limits.
    pub(super) fn within(&self, limits: super::Limits) -> Self {
        let Self { manifest, origin, sha256, keys, code, .. } = self;
        let (manifest, origin, sha256) = (manifest.clone(), origin.clone(), sha256.clone());
        Self { manifest, origin, sha256, limits, keys: keys.clone(), code: code.clone() }
    }
}

#[cfg(test)]
impl Plugin {
    /// Tells one compilation from another.
    pub fn code_id(&self) -> usize {
        match &self.code {
            super::Code::Component(compiled) => Arc::as_ptr(compiled) as usize,
            super::Code::Native(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> Origin {
        Origin::File(name.into())
    }

    fn spoiled(origin: &str, name: Option<&str>) -> Unusable {
        let (origin, name) = (file(origin), name.map(str::to_owned));
        Unusable { origin, name, sha256: None, reason: "spoiled".to_owned(), in_force: None }
    }

    /// What becomes of `a`, of which a version from `a.wasm` was in force.
    fn of_a(found: bool, unusable: &[(&str, Option<&str>)]) -> Fate {
        let unusable: Vec<_> = unusable.iter().map(|(origin, name)| spoiled(origin, *name)).collect();
        fate("a", Some(&file("a.wasm")), found, &unusable)
    }

    #[test]
    fn a_sound_file_takes_over_whatever_else_is_there() {
        assert_eq!(of_a(true, &[]), Fate::Takes);
        assert_eq!(of_a(true, &[("a.wasm", None)]), Fate::Takes, "it has moved to another file");
        assert_eq!(fate("a", None, true, &[]), Fate::Takes, "a first one");
    }

    #[test]
    fn a_spoiled_new_version_keeps_the_one_before() {
        assert_eq!(of_a(false, &[("a.wasm", Some("a"))]), Fate::Keeps);
        assert_eq!(of_a(false, &[("a.wasm", None)]), Fate::Keeps, "its manifest cannot be read");
        assert_eq!(of_a(false, &[("a.wasm", Some("b"))]), Fate::Keeps, "it calls itself something else");
        assert_eq!(of_a(false, &[("b.wasm", Some("a"))]), Fate::Keeps, "in another file");
    }

    #[test]
    fn two_files_of_one_name_keep_the_version_that_was_in_force() {
        assert_eq!(of_a(false, &[("a.wasm", Some("a")), ("b.wasm", Some("a"))]), Fate::Keeps);
        assert_eq!(of_a(false, &[("b.wasm", Some("a")), ("c.wasm", Some("a"))]), Fate::Keeps);
    }

    #[test]
    fn a_file_that_is_gone_takes_its_action_with_it() {
        assert_eq!(of_a(false, &[]), Fate::Leaves);
        assert_eq!(of_a(false, &[("b.wasm", None), ("c.wasm", Some("c"))]), Fate::Leaves, "others' trouble");
    }

    #[test]
    fn nothing_is_kept_of_what_never_was_in_force_or_may_not_stay() {
        assert_eq!(fate("a", None, false, &[spoiled("a.wasm", Some("a"))]), Fate::Leaves);
    }
}
