//! Where components come from: the directory of plugins, and what was brought from elsewhere.

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;

/// What people are told of where a component comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    File(PathBuf),
    /// `oci://registry/name@sha256:…`
    Elsewhere(String),
}

/// A component that was brought from elsewhere, beside those in the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brought {
    /// `oci://registry/name@sha256:…`
    pub origin: String,
    /// Where its bytes are, in a directory that only this user can write; or why they are not there.
    pub file: Result<PathBuf, String>,
    /// What they have to be, in lower-case hex; they may have been changed since.
    pub sha256: Option<String>,
    /// It is not there, and being fetched: that nobody has it is not known yet.
    pub awaited: bool,
}

impl Display for Origin {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => write!(f, "{}", file.display()),
            Self::Elsewhere(origin) => f.write_str(origin),
        }
    }
}
