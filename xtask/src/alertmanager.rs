//! Builds the real Alertmanager that the tests page, once on this machine.

use integration_tests::alertmanager::{MODULE, directory, is_built};
use integration_tests::control_plane::has_go;

use crate::control_plane::go;

/// Builds it unless it is there. Answers whether it is there now: without Go it cannot be built.
///
/// # Errors
/// It does not build.
pub fn ensure() -> Result<bool, String> {
    if is_built()? {
        return Ok(true);
    }
    if !has_go() {
        return Ok(false);
    }
    let kept = directory()?;
    println!("building Alertmanager into {}: a minute, once", kept.display());
    let fresh = kept.with_extension(format!("{}.new", std::process::id()));
    std::fs::create_dir_all(&fresh).map_err(|error| format!("cannot create {}: {error}", fresh.display()))?;
    // Anywhere: a module with a version is no matter of the directory.
    go(&fresh, &fresh, &["install", "-ldflags", "-s -w", MODULE])?;
    match std::fs::rename(&fresh, &kept) {
        // Another clone was quicker.
        Err(_) if is_built()? => std::fs::remove_dir_all(&fresh),
        result => result,
    }
    .map_err(|error| format!("cannot move {} to {}: {error}", fresh.display(), kept.display()))?;
    Ok(true)
}
