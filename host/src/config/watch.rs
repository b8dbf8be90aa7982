//! Notices that a file of the configuration is another one. Knows nothing of what is in them.
//!
//! It looks, once a second, instead of being told. A ConfigMap is replaced by renaming a symbolic link in its directory,
//! an editor renames a file over another, `>` writes into it: contents that are compared see all of these, on every file
//! system, and a notification that was missed does not exist.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// What is looked at.
#[derive(Debug, Clone)]
pub struct Watched {
    pub config: PathBuf,
    /// None where the token comes from elsewhere.
    pub token: Option<PathBuf>,
    /// Every `*.wasm` in it, and what is its signature.
    pub plugins: PathBuf,
    /// Where plugins are that were fetched from elsewhere; it may not be there.
    pub fetched: Option<PathBuf>,
    /// The files of the keys that plugins have to be signed by.
    pub keys: Vec<PathBuf>,
    /// While it is there, nothing live is sent.
    pub stop: PathBuf,
}

/// What was seen. Equal to another one when nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The file's bytes, or why it cannot be read.
    pub config: Result<Vec<u8>, String>,
    /// A digest: a secret is not kept twice.
    pub token: Option<Result<[u8; 32], String>>,
    pub plugins: Result<Vec<Stamp>, String>,
    pub stop: bool,
}

/// Which file a name led to, and in which state. Any write moves the time of its last change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    name: PathBuf,
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Watched {
    pub fn look(&self) -> Seen {
        let token = self.token.as_deref().map(|path| read(path).map(|bytes| Sha256::digest(bytes).into()));
        Seen {
            config: read(&self.config),
            token,
            plugins: self.plugins().map_err(|error| error.to_string()),
            // A file that cannot be looked at may be there.
            stop: self.stop.try_exists().unwrap_or(true),
        }
    }

    fn plugins(&self) -> std::io::Result<Vec<Stamp>> {
        let is_plugin = |name: &str| name.ends_with(".wasm") || name.ends_with(".wasm.sig");
        let mut found = stamps(&self.plugins, is_plugin)?;
        if let Some(fetched) = &self.fetched {
            found.extend(stamps(fetched, |_| true).unwrap_or_default());
        }
        // A key that is exchanged in its file takes its plugins with it.
        found.extend(self.keys.iter().map(|key| stamp(key.clone(), key)));
        Ok(found)
    }
}

/// Larger than a sound file is not read to its end: the loader refuses it by its size.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let most = super::tree::MAX_BYTES as u64 + 1;
    fs::File::open(path)
        .and_then(|file| file.take(most).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(bytes)
}

fn stamps(directory: &Path, counts: impl Fn(&str) -> bool) -> std::io::Result<Vec<Stamp>> {
    let mut stamps = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = PathBuf::from(entry?.file_name());
        if !counts(&name.to_string_lossy()) {
            continue;
        }
        let path = directory.join(&name);
        stamps.push(stamp(name, &path));
    }
    stamps.sort();
    Ok(stamps)
}

fn stamp(name: PathBuf, path: &Path) -> Stamp {
    let Ok(found) = fs::metadata(path) else {
        return Stamp { name, device: 0, inode: 0, size: 0, changed: (0, 0) };
    };
    let changed = (found.ctime(), found.ctime_nsec());
    Stamp { name, device: found.dev(), inode: found.ino(), size: found.len(), changed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn watched(directory: &Path) -> Watched {
        let at = |name: &str| directory.join(name);
        let (plugins, fetched, keys) = (at("plugins"), Some(at("fetched")), vec![at("cosign.pub")]);
        Watched { config: at("config.yaml"), token: Some(at("token")), plugins, fetched, keys, stop: at("stop") }
    }

    /// As the kubelet does it: a new directory, a new link to it, renamed over the old link.
    fn swap(directory: &Path, generation: &str, files: &[(&str, &str)]) {
        let data = directory.join(generation);
        fs::create_dir(&data).unwrap();
        for (name, text) in files {
            fs::write(data.join(name), text).unwrap();
        }
        symlink(generation, directory.join("..data_tmp")).unwrap();
        fs::rename(directory.join("..data_tmp"), directory.join("..data")).unwrap();
    }

    #[test]
    fn a_config_map_that_is_swapped_is_seen_also_when_its_sizes_stay() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        swap(path, "..1", &[("config.yaml", "dryrun: nope"), ("token", "a")]);
        for name in ["config.yaml", "token", "stop"] {
            symlink(format!("..data/{name}"), path.join(name)).unwrap();
        }
        let watched = watched(path);
        let first = watched.look();
        assert_eq!(first.config.as_deref(), Ok(b"dryrun: nope".as_slice()));
        assert!(!first.stop, "a link to nothing");
        assert_eq!(watched.look(), first);
        swap(path, "..2", &[("config.yaml", "dryrun: nope"), ("token", "a")]);
        assert_eq!(watched.look(), first, "the same contents");
        swap(path, "..3", &[("config.yaml", "dryrun: NOPE"), ("token", "a"), ("stop", "")]);
        let third = watched.look();
        assert!(third.stop && third.config != first.config && third.token == first.token);
        swap(path, "..4", &[("config.yaml", "dryrun: NOPE"), ("token", "b")]);
        assert_ne!(watched.look().token, third.token);
    }

    #[test]
    fn files_that_come_go_and_are_written_into_are_seen() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let watched = watched(path);
        let nothing = watched.look();
        assert!(nothing.config.is_err() && nothing.plugins.is_err());
        fs::create_dir(path.join("plugins")).unwrap();
        fs::write(path.join("plugins/a.wasm"), "1").unwrap();
        let one = watched.look();
        fs::write(path.join("plugins/notes.txt"), "1").unwrap();
        assert_eq!(watched.look(), one, "no plugin");
        fs::write(path.join("b"), "2").unwrap();
        fs::rename(path.join("b"), path.join("plugins/a.wasm")).unwrap();
        let other = watched.look();
        assert_ne!(other, one, "another file of the same name and size");
        fs::write(path.join("plugins/a.wasm.sig"), "1").unwrap();
        let signed = watched.look();
        assert_ne!(signed, other);
        fs::create_dir(path.join("fetched")).unwrap();
        assert_eq!(watched.look(), signed, "nothing was fetched yet");
        fs::write(path.join("fetched/0123"), "1").unwrap();
        assert_ne!(watched.look(), signed);
        let before = watched.look();
        fs::write(path.join("cosign.pub"), "1").unwrap();
        assert_ne!(watched.look(), before, "another key");
        let fetched = watched.look();
        fs::remove_file(path.join("plugins/a.wasm")).unwrap();
        assert_ne!(watched.look(), fetched);
    }
}
