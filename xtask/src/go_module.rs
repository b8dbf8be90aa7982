//! Builds programs that the tests run from their Go modules, each once on this machine.

use integration_tests::control_plane::has_go;
use integration_tests::program::Program;
use integration_tests::{alertmanager, registry};

use crate::control_plane::go;
use crate::kept;

/// The real Alertmanager that the tests page.
///
/// # Errors
/// As of [`ensure`].
pub fn alertmanager() -> Result<bool, String> {
    ensure("Alertmanager", "a minute", alertmanager::PROGRAM)
}

/// The real registry that the tests push actions to and pull them from.
///
/// # Errors
/// As of [`ensure`].
pub fn registry() -> Result<bool, String> {
    ensure("a registry", "some minutes", registry::PROGRAM)
}

/// Builds it unless it is there. Answers whether it is there now: without Go it cannot be built.
///
/// # Errors
/// It does not build.
fn ensure(what: &str, takes: &str, program: Program) -> Result<bool, String> {
    if program.is_built()? {
        return Ok(true);
    }
    if !has_go() {
        return Ok(false);
    }
    let kept = program.directory()?;
    let says = format!("building {what} into {}: {takes}, once", kept.display());
    let install = ["install", "-ldflags", "-s -w", program.module];
    // Anywhere: a module with a version is no matter of the directory.
    kept::build(&kept, &says, || program.is_built(), |fresh| go(fresh, fresh, &install))?;
    Ok(true)
}
