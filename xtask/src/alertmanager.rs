//! Builds the real Alertmanager that the tests page, once on this machine.

use integration_tests::alertmanager::{MODULE, directory, is_built};
use integration_tests::control_plane::has_go;

use crate::control_plane::go;
use crate::kept;

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
    let says = format!("building Alertmanager into {}: a minute, once", kept.display());
    // Anywhere: a module with a version is no matter of the directory.
    kept::build(&kept, &says, is_built, |fresh| go(fresh, fresh, &["install", "-ldflags", "-s -w", MODULE]))?;
    Ok(true)
}
