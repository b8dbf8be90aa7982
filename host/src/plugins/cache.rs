//! Compiled code, kept between starts in a directory that only this user can write.
//!
//! Whoever can write there can run code in the controller, so a directory that others can write is not used at all.
//! The key is the component's digest and wasmtime's hash of its version and settings; a checksum beside each file
//! finds what a crash or a disk has spoiled, since wasmtime checks the head of a file only.

use std::fs::{self, DirBuilder};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use wasmtime::component::Component;

use super::mapped;
use crate::hex::hex;

/// Compiled files kept beside those in use: an update that is taken back starts quickly.
const KEPT: usize = 16;
/// What they may take: the compiled form of an action in Python has some 40 MB.
const KEPT_BYTES: u64 = 256 << 20;
/// How the name of a file begins that is being written.
const TEMPORARY: &str = ".new-";
/// One that is still being written is not that old.
const LEFT_OVER: Duration = Duration::from_secs(3600);

pub(super) struct CodeCache {
    dir: PathBuf,
    engine: wasmtime::Engine,
    /// Of the version and settings of the engine.
    compatibility: u64,
    uid: u32,
}

/// Why there is no cache. Nothing is lost but time: components are compiled at every start.
#[derive(Debug, thiserror::Error)]
pub(super) enum CacheError {
    #[error("cannot use {} to keep compiled actions: {source}", dir.display())]
    Io { dir: PathBuf, source: io::Error },
    #[error("{} is not used to keep compiled actions: it {problem}; make it a directory of this user's own, mode 0700", dir.display())]
    Unsafe { dir: PathBuf, problem: &'static str },
}

impl CodeCache {
    /// Opens the directory, and creates it where it is not there.
    pub fn open(dir: &Path, engine: &wasmtime::Engine) -> Result<Self, CacheError> {
        let io = |source| CacheError::Io { dir: dir.to_owned(), source };
        let refused = |problem| Err(CacheError::Unsafe { dir: dir.to_owned(), problem });
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io)?;
        let found = fs::symlink_metadata(dir).map_err(io)?;
        if !found.is_dir() {
            return refused("is a link or no directory");
        }
        if found.mode() & 0o022 != 0 {
            return refused("can be written by others");
        }
        // A file of our own tells who we are, and whether there is anything to be gained.
        let uid = tempfile::tempfile_in(dir).and_then(|file| file.metadata()).map_err(io)?.uid();
        if found.uid() != uid {
            return refused("belongs to another user");
        }
        Ok(Self { dir: dir.to_owned(), engine: engine.clone(), compatibility: compatibility(engine), uid })
    }

    /// The compiled form of the component with this digest, where it is there and whole.
    pub fn load(&self, sha256: &str) -> Option<Component> {
        let file = self.path(sha256, "cwasm");
        let sum_file = self.path(sha256, "sum");
        if !self.is_ours(&file) || !self.is_ours(&sum_file) {
            return None;
        }
        let sum = fs::read(sum_file).ok()?;
        if sum != checksum(&fs::read(&file).ok()?).as_bytes() {
            return None;
        }
        mapped::component(&self.engine, &file).ok()
    }

    /// Keeps what `Engine::precompile_component` gave.
    pub fn store(&self, sha256: &str, code: &[u8]) -> Result<(), CacheError> {
        let io = |source| CacheError::Io { dir: self.dir.clone(), source };
        self.write(&self.path(sha256, "cwasm"), code).map_err(io)?;
        self.write(&self.path(sha256, "sum"), checksum(code).as_bytes()).map_err(io)
    }

    /// Removes the oldest beyond [`KEPT`] and [`KEPT_BYTES`], so that updates of actions and of this program do not fill
    /// the disk, and what a crash left half written. What is `in_use` (digests) stays. Removing a mapped file is harmless;
    /// failing to remove one, too.
    pub fn prune(&self, in_use: &[&str]) {
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        let in_use: Vec<_> = in_use.iter().map(|sha256| self.path(sha256, "cwasm")).collect();
        let mut compiled = Vec::new();
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let Ok(found) = fs::symlink_metadata(&path) else { continue };
            let Ok(modified) = found.modified() else { continue };
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("cwasm") if !in_use.contains(&path) => compiled.push((modified, found.len(), path)),
                Some("sum") if !path.with_extension("cwasm").exists() => drop(fs::remove_file(&path)),
                _ if is_left_over(&path, modified) => drop(fs::remove_file(&path)),
                _ => {}
            }
        }
        compiled.sort();
        let mut bytes = 0_u64;
        for (kept, (_, size, path)) in compiled.iter().rev().enumerate() {
            bytes = bytes.saturating_add(*size);
            if kept >= KEPT || bytes > KEPT_BYTES {
                let _ = fs::remove_file(path);
                let _ = fs::remove_file(path.with_extension("sum"));
            }
        }
    }

    /// Whole or not at all, and never into a file that somebody has mapped.
    fn write(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(&self.dir)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    }

    fn is_ours(&self, path: &Path) -> bool {
        fs::symlink_metadata(path)
            .is_ok_and(|found| found.is_file() && found.uid() == self.uid && found.mode() & 0o022 == 0)
    }

    fn path(&self, sha256: &str, extension: &str) -> PathBuf {
        self.dir.join(format!("{sha256}-{:016x}.{extension}", self.compatibility))
    }
}

/// Whether a process that was killed left it half written.
fn is_left_over(path: &Path, modified: SystemTime) -> bool {
    let temporary = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(TEMPORARY.as_bytes()));
    temporary && modified.elapsed().is_ok_and(|age| age > LEFT_OVER)
}

/// Of the version and settings of an engine: what one has compiled, another of the same can run.
pub(super) fn compatibility(engine: &wasmtime::Engine) -> u64 {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

fn checksum(code: &[u8]) -> String {
    hex(&Sha256::digest(code))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    const DIGEST: &str = "0123";

    fn engine() -> wasmtime::Engine {
        wasmtime::Engine::default()
    }

    fn filled(dir: &Path) -> (CodeCache, PathBuf) {
        let cache = CodeCache::open(dir, &engine()).expect("a cache");
        let bytes = wat::parse_str("(component (core module (func)))").expect("WAT");
        cache.store(DIGEST, &cache.engine.precompile_component(&bytes).expect("compiles")).expect("stored");
        let file = cache.path(DIGEST, "cwasm");
        (cache, file)
    }

    #[test]
    fn gives_back_what_it_was_given_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, file) = filled(&dir.path().join("new/cache"));
        assert!(cache.load(DIGEST).is_some());
        assert!(cache.load("4567").is_none());
        assert_eq!(fs::metadata(file.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn does_not_load_a_spoiled_file() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, file) = filled(&dir.path().join("cache"));
        let mut code = fs::read(&file).unwrap();
        // In the middle, where wasmtime would not notice.
        let middle = code.len() / 2;
        code[middle] ^= 1;
        fs::write(&file, &code).unwrap();
        assert!(cache.load(DIGEST).is_none());
        fs::write(&file, b"").unwrap();
        assert!(cache.load(DIGEST).is_none());
    }

    #[test]
    fn does_not_load_code_compiled_with_other_settings() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, file) = filled(&dir.path().join("cache"));
        let mut config = wasmtime::Config::new();
        config.epoch_interruption(true);
        let other = CodeCache::open(&cache.dir, &wasmtime::Engine::new(&config).unwrap()).expect("a cache");
        assert!(other.load(DIGEST).is_none(), "its key differs");
        for extension in ["cwasm", "sum"] {
            fs::copy(cache.path(DIGEST, extension), other.path(DIGEST, extension)).unwrap();
        }
        assert!(other.load(DIGEST).is_none(), "wasmtime refuses it: {}", file.display());
    }

    #[test]
    fn refuses_a_directory_that_others_can_write() {
        let dir = tempfile::tempdir().unwrap();
        let open = dir.path().join("open");
        fs::create_dir(&open).unwrap();
        for mode in [0o777, 0o770, 0o702, 0o1777] {
            fs::set_permissions(&open, fs::Permissions::from_mode(mode)).unwrap();
            let error = CodeCache::open(&open, &engine()).err().expect("refused").to_string();
            assert!(error.contains("can be written by others") && error.contains("0700"), "{mode:o}: {error}");
        }
    }

    #[test]
    fn refuses_links_for_directory_and_file() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, file) = filled(&dir.path().join("cache"));
        let link = dir.path().join("link");
        symlink(&cache.dir, &link).unwrap();
        assert!(CodeCache::open(&link, &engine()).is_err());
        let elsewhere = dir.path().join("elsewhere.cwasm");
        fs::rename(&file, &elsewhere).unwrap();
        symlink(&elsewhere, &file).unwrap();
        assert!(cache.load(DIGEST).is_none());
    }

    #[test]
    fn forgets_the_oldest_that_are_not_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, used) = filled(&dir.path().join("cache"));
        for index in 0..20_u64 {
            for extension in ["cwasm", "sum"] {
                let path = cache.path(&format!("old{index:02}"), extension);
                let file = fs::File::create(&path).unwrap();
                file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(index)).unwrap();
            }
        }
        cache.prune(&[DIGEST]);
        assert!(used.exists() && cache.load(DIGEST).is_some());
        for index in 0..20 {
            for extension in ["cwasm", "sum"] {
                assert_eq!(cache.path(&format!("old{index:02}"), extension).exists(), index >= 4, "{index}");
            }
        }
    }

    #[test]
    fn forgets_what_another_program_compiled_and_what_was_left_half_written() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, used) = filled(&dir.path().join("cache"));
        let (long_ago, size) = (SystemTime::now() - LEFT_OVER * 2, KEPT_BYTES - 1);
        let put = |name: &str, modified: SystemTime, size: u64| {
            let file = fs::File::create(cache.dir.join(name)).unwrap();
            file.set_len(size).unwrap();
            file.set_modified(modified).unwrap();
        };
        let upgraded = format!("{DIGEST}-{:016x}.cwasm", !cache.compatibility);
        put(&upgraded, long_ago, size);
        put("gone-0000000000000000.sum", long_ago, 64);
        put(".new-killed", long_ago, 1);
        put(".new-written", SystemTime::now(), 1);
        cache.prune(&[DIGEST]);
        let there = |name: &str| cache.dir.join(name).exists();
        assert!(there(&upgraded), "there is room for it");
        assert!(there(".new-written") && !there(".new-killed") && !there("gone-0000000000000000.sum"));
        put("newer-0000000000000000.cwasm", SystemTime::now(), 2);
        cache.prune(&[DIGEST]);
        assert!(!there(&upgraded) && there("newer-0000000000000000.cwasm"), "the older one goes");
        assert!(used.exists() && cache.load(DIGEST).is_some());
    }

    #[test]
    fn does_not_load_a_file_that_others_can_write() {
        let dir = tempfile::tempdir().unwrap();
        let (cache, file) = filled(&dir.path().join("cache"));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(cache.load(DIGEST).is_none());
    }
}
