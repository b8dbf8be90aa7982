//! Builds programs that the tests run from their Go modules, each once on this machine.

use std::path::PathBuf;

use integration_tests::control_plane::has_go;
use integration_tests::{alertmanager, registry};

use crate::control_plane::go;
use crate::kept;

/// The real Alertmanager that the tests page.
///
/// # Errors
/// As of [`ensure`].
pub fn alertmanager() -> Result<bool, String> {
    use alertmanager::{MODULE, directory, is_built};
    ensure("Alertmanager", "a minute", MODULE, directory, is_built)
}

/// The real registry that the tests push actions to and pull them from.
///
/// # Errors
/// As of [`ensure`].
pub fn registry() -> Result<bool, String> {
    use registry::{MODULE, directory, is_built};
    ensure("a registry", "some minutes", MODULE, directory, is_built)
}

/// Builds it unless it is there. Answers whether it is there now: without Go it cannot be built.
///
/// # Errors
/// It does not build.
fn ensure(
    what: &str,
    takes: &str,
    module: &str,
    directory: fn() -> Result<PathBuf, String>,
    is_built: fn() -> Result<bool, String>,
) -> Result<bool, String> {
    if is_built()? {
        return Ok(true);
    }
    if !has_go() {
        return Ok(false);
    }
    let kept = directory()?;
    let says = format!("building {what} into {}: {takes}, once", kept.display());
    // Anywhere: a module with a version is no matter of the directory.
    kept::build(&kept, &says, is_built, |fresh| go(fresh, fresh, &["install", "-ldflags", "-s -w", module]))?;
    Ok(true)
}
