//! Builds the real registry that the tests push actions to and pull them from, once on this machine.

use integration_tests::control_plane::has_go;
use integration_tests::registry::{MODULE, directory, is_built};

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
    let says = format!("building a registry into {}: some minutes, once", kept.display());
    // Anywhere: a module with a version is no matter of the directory.
    kept::build(&kept, &says, is_built, |fresh| go(fresh, fresh, &["install", "-ldflags", "-s -w", MODULE]))?;
    Ok(true)
}
