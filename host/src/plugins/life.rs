//! Which version of each action is in force after a look at the files that are there.
//!
//! Each name is decided by itself. A sound file that is the only one of its name takes over. A version that was in force
//! stays so while something that is there and cannot be used stands in its place: a spoiled new version of its file, or a
//! second file that claims its name. It goes when its file is gone, and where it is not the one that is pinned.

use std::sync::Arc;

use super::engine::Engine;
use super::{LoadError, Origin, Plugin, Plugins, Source, Unusable, loader};

/// A version of an action.
#[derive(Debug, Clone, Copy)]
struct Version<'a> {
    origin: &'a Origin,
    /// Lower-case hex.
    sha256: &'a str,
}

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

/// `vouched`: the signatures that are asked for now were asked for when it was loaded.
fn fate(
    name: &str,
    before: Option<Version>,
    found: bool,
    unusable: &[Unusable],
    pin: Option<&str>,
    vouched: bool,
) -> Fate {
    let Some(before) = before.filter(|_| !found) else { return if found { Fate::Takes } else { Fate::Leaves } };
    let stands_in_its_place = unusable.iter().any(|unusable| unusable.stands_for(name, before.origin));
    if stands_in_its_place && vouched && pin.is_none_or(|pin| pin == before.sha256) {
        Fate::Keeps
    } else {
        Fate::Leaves
    }
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
            let version = Version { origin: &old.origin, sha256: &old.sha256 };
            let pin = source.pins.get(name).map(String::as_str);
            match fate(
                name,
                Some(version),
                found.by_name.contains_key(name),
                &found.unusable,
                pin,
                source.keys.trust(&old.keys),
            ) {
                Fate::Takes | Fate::Leaves => {}
                Fate::Keeps => found.put_back(name, old, source),
            }
        }
        Ok(found)
    }

    /// What is in force while the directory cannot be read: everything that was.
    #[must_use]
    pub fn unseen(&self, source: &Source, error: &LoadError) -> Self {
        let mut kept = Self { by_name: self.within(source.limits).by_name, ..Self::default() };
        let origin = Origin::File(source.dir.clone());
        kept.unusable.push(Unusable { origin, name: None, sha256: None, reason: error.to_string(), in_force: None });
        kept
    }

    /// Takes back a version that was found, because of `reason`; the one before stays in force. False where there is none
    /// that could.
    pub fn take_back(&mut self, name: &str, reason: &str, before: &Self, source: &Source) -> bool {
        let Some(old) = before.by_name.get(name) else { return false };
        if source.pins.get(name).is_some_and(|pin| *pin != old.sha256) || !source.keys.trust(&old.keys) {
            return false;
        }
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

    const OLD: &str = "1111";

    fn file(name: &str) -> Origin {
        Origin::File(name.into())
    }

    /// What becomes of `a`, of which version 1111 in `a.wasm` was in force.
    fn of_a(found: bool, unusable: &[(&str, Option<&str>)], pin: Option<&str>) -> Fate {
        let unusable = unusable.iter().map(|(origin, name)| Unusable {
            origin: file(origin),
            name: name.map(str::to_owned),
            sha256: None,
            reason: "spoiled".to_owned(),
            in_force: None,
        });
        let before = Version { origin: &file("a.wasm"), sha256: OLD };
        fate("a", Some(before), found, &unusable.collect::<Vec<_>>(), pin, true)
    }

    #[test]
    fn a_sound_file_takes_over_whatever_else_is_there() {
        assert_eq!(of_a(true, &[], None), Fate::Takes);
        assert_eq!(of_a(true, &[("a.wasm", None)], None), Fate::Takes, "it has moved to another file");
        assert_eq!(fate("a", None, true, &[], None, true), Fate::Takes, "a first one");
    }

    #[test]
    fn a_spoiled_new_version_keeps_the_one_before() {
        assert_eq!(of_a(false, &[("a.wasm", Some("a"))], None), Fate::Keeps);
        assert_eq!(of_a(false, &[("a.wasm", None)], None), Fate::Keeps, "its manifest cannot be read");
        assert_eq!(of_a(false, &[("a.wasm", Some("b"))], None), Fate::Keeps, "it calls itself something else");
        assert_eq!(of_a(false, &[("b.wasm", Some("a"))], None), Fate::Keeps, "in another file");
    }

    #[test]
    fn two_files_of_one_name_keep_the_version_that_was_in_force() {
        assert_eq!(of_a(false, &[("a.wasm", Some("a")), ("b.wasm", Some("a"))], None), Fate::Keeps);
        assert_eq!(of_a(false, &[("b.wasm", Some("a")), ("c.wasm", Some("a"))], None), Fate::Keeps);
    }

    #[test]
    fn a_file_that_is_gone_takes_its_action_with_it() {
        assert_eq!(of_a(false, &[], None), Fate::Leaves);
        assert_eq!(of_a(false, &[("b.wasm", None), ("c.wasm", Some("c"))], None), Fate::Leaves, "others' trouble");
    }

    #[test]
    fn a_version_that_is_not_the_pinned_one_is_not_kept() {
        let spoiled: &[_] = &[("a.wasm", Some("a"))];
        assert_eq!(of_a(false, spoiled, Some(OLD)), Fate::Keeps);
        assert_eq!(of_a(false, spoiled, Some("2222")), Fate::Leaves);
    }

    #[test]
    fn a_version_that_nobody_vouched_for_is_not_kept_once_signatures_are_asked_for() {
        let unusable = Unusable {
            origin: file("a.wasm"),
            name: Some("a".to_owned()),
            sha256: None,
            reason: "is not signed".to_owned(),
            in_force: None,
        };
        let before = Version { origin: &file("a.wasm"), sha256: OLD };
        assert_eq!(fate("a", Some(before), false, &[unusable], None, false), Fate::Leaves);
    }

    #[test]
    fn nothing_is_kept_of_what_never_was_in_force() {
        let spoiled = Unusable {
            origin: file("a.wasm"),
            name: Some("a".to_owned()),
            sha256: None,
            reason: "spoiled".to_owned(),
            in_force: None,
        };
        assert_eq!(fate("a", None, false, &[spoiled], None, true), Fate::Leaves);
    }
}
