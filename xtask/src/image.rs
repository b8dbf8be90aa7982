//! `cargo xtask image`: what the container image holds, as a directory. `deploy/Containerfile` makes the image of it.

use std::path::Path;

use integration_tests::image;

use crate::build::{self, cargo};
use crate::{Outcome, plugins};

/// Builds plugins and controller, and lays them out in `directory`.
///
/// # Errors
/// Something does not build, or the directory is not empty.
pub fn lay_out(root: &Path, release: bool, directory: &Path) -> Result<Outcome, String> {
    // Before the build, which takes minutes.
    image::must_be_vacant(directory)?;
    plugins::build(root)?;
    let profile = if release {
        cargo(
            root,
            &["build", "--release", "--package", "falco-response-controller", "--bin", "falco-response-controller"],
        )?;
        "release"
    } else {
        build::controller(root)?;
        "debug"
    };
    let binary = root.join("target").join(profile).join("falco-response-controller");
    let libraries = image::lay_out(&binary, &root.join("target/plugins"), directory)?;
    println!("{} holds the {profile} build and {} libraries:", directory.display(), libraries.len());
    for library in &libraries {
        println!("  {}", library.display());
    }
    Ok(Outcome::Good)
}
