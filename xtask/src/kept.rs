//! What is built once on this machine and kept: one clone builds, others wait for it; and what is there is whole.

use std::fs::{self, File, TryLockError};
use std::path::Path;

/// Has `make` fill a new directory, which then becomes `kept`, unless `is_there` says that somebody has done so already.
/// `says` what is built is printed before.
///
/// # Errors
/// Those of `make`; or something cannot be written.
pub fn build(
    kept: &Path,
    says: &str,
    is_there: impl Fn() -> Result<bool, String>,
    make: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<(), String> {
    let parent = kept.parent().ok_or_else(|| format!("{} has no parent directory", kept.display()))?;
    fs::create_dir_all(parent).map_err(|error| format!("cannot create {}: {error}", parent.display()))?;
    let path = kept.with_added_extension("lock");
    let failed = |error: std::io::Error| format!("cannot lock {}: {error}", path.display());
    let lock = File::create(&path).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::Error(error)) => return Err(failed(error)),
        Err(TryLockError::WouldBlock) => {
            println!("waiting for another clone, which builds {}", kept.display());
            lock.lock().map_err(failed)?;
        }
    }
    if is_there()? {
        return Ok(());
    }
    println!("{says}");
    // What an aborted build has left: nobody else writes there while the lock is held.
    let fresh = kept.with_added_extension("new");
    clear(&fresh)?;
    fs::create_dir_all(&fresh).map_err(|error| format!("cannot create {}: {error}", fresh.display()))?;
    make(&fresh)?;
    clear(kept)?;
    fs::rename(&fresh, kept).map_err(|error| format!("cannot move {} to {}: {error}", fresh.display(), kept.display()))
}

fn clear(directory: &Path) -> Result<(), String> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("cannot remove {}: {error}", directory.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn two_at_once_build_it_once_and_both_find_it() {
        let root = tempfile::tempdir().unwrap();
        let kept = root.path().join("cache/thing-v1.2");
        let built = AtomicU32::new(0);
        let ensure = || {
            build(
                &kept,
                "",
                || Ok(kept.join("binary").is_file()),
                |fresh| {
                    built.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(100));
                    fs::write(fresh.join("binary"), "").map_err(|error| error.to_string())
                },
            )
        };
        std::thread::scope(|scope| {
            let both = [scope.spawn(ensure), scope.spawn(ensure)];
            assert!(both.into_iter().all(|one| one.join().unwrap() == Ok(())));
        });
        assert!(kept.join("binary").is_file());
        assert_eq!(built.into_inner(), 1);
    }

    #[test]
    fn what_a_build_left_half_done_is_never_taken_for_whole_and_does_not_stay() {
        let root = tempfile::tempdir().unwrap();
        let kept = root.path().join("thing");
        let is_there = || Ok(kept.join("binary").is_file());
        let breaks = |fresh: &Path| {
            fs::write(fresh.join("half"), "").unwrap();
            Err("no network".to_owned())
        };
        assert_eq!(build(&kept, "", is_there, breaks), Err("no network".to_owned()));
        assert!(!kept.exists());
        build(&kept, "", is_there, |fresh| fs::write(fresh.join("binary"), "").map_err(|error| error.to_string()))
            .unwrap();
        assert!(kept.join("binary").is_file() && !kept.join("half").exists());
        let left: Vec<_> = fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 2, "the directory and its lock: {left:?}");
    }
}
